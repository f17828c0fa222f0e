"""Epochs of a session: each is a conversation of its own that the agent sees, all on the same record (pure)."""

import msgspec

from core.api.base import EntryId
from core.api.errors import InvalidInput
from core.api.sessions import SessionView


def newest(view: SessionView) -> int:
    """The last epoch that was begun; the present one, unless an earlier one was taken up again."""
    return view.epoch if view.last_epoch is None else view.last_epoch


def begun_anew(view: SessionView) -> SessionView:
    """The session in an epoch that no entry belongs to yet, and no longer put away."""
    following = newest(view) + 1
    return msgspec.structs.replace(
        _fresh(view),
        epoch=following,
        last_epoch=None if view.last_epoch is None else following,
        last_outcome=None,
    )


def taken_up(view: SessionView, epoch: int | None) -> SessionView:
    """The session in one of its epochs, the present one for None, and no longer put away.

    Raises InvalidInput when it has no such epoch. The summary and the estimate of another epoch are yet to be found.
    """
    if epoch is None or epoch == view.epoch:
        return msgspec.structs.replace(view, is_archived=False)
    if not 0 <= epoch <= newest(view):
        raise InvalidInput(
            f"epoch is {epoch}, and the session has had 0 to {newest(view)}",
            field="epoch",
            value=epoch,
            fix="see its transcript",
        )
    return msgspec.structs.replace(_fresh(view), epoch=epoch, last_epoch=newest(view))


def summed_up(view: SessionView, summary_id: EntryId | None, context_tokens: int) -> SessionView:
    """The session with what the agent is given of its epoch."""
    return msgspec.structs.replace(view, summary_id=summary_id, context_tokens=context_tokens)


def _fresh(view: SessionView) -> SessionView:
    return msgspec.structs.replace(
        view,
        is_archived=False,
        input_tokens=0,
        output_tokens=0,
        compaction=None,
        summary_id=None,
        context_tokens=0,
        begun_by=None,
    )
