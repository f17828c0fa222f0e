"""A copy of a conversation that stands for itself, whole or without its last turns; and earlier ones as a list (pure).

Nothing is ever taken out of a transcript: whoever undoes goes on in a new epoch that holds a copy of what came before,
and can take the old one up again.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from core.api.base import EntryId
from core.api.transcripts import EntryKind, EntryView

_SAID = frozenset({EntryKind.USER, EntryKind.NOTE})
_COPIED = frozenset({EntryKind.USER, EntryKind.NOTE, EntryKind.AGENT, EntryKind.TOOL, EntryKind.SYSTEM})
_WORDS = 60


class Cut(msgspec.Struct, frozen=True):
    """A conversation without its last turns. texts: what people said in those, oldest first. turns: how many."""

    entries: tuple[EntryView, ...]
    texts: tuple[str, ...] = ()
    turns: int = 0


class Epoch(msgspec.Struct, frozen=True):
    """An epoch as people know it. first, last: UTC seconds. words: the beginning of what was said first."""

    number: int
    first: float
    last: float
    said_count: int
    words: str


def cut(entries: Sequence[EntryView], turns: int) -> Cut:
    """The entries without the last turns; those that a summary stands for cannot be told apart and stay."""
    left = list(entries)
    texts: list[str] = []
    done = 0
    while done < turns and (begin := _last_turn(left)) is not None:
        texts = [item.text for item in left[begin:] if item.kind in _SAID] + texts
        left = left[:begin]
        done += 1
    return Cut(tuple(left), tuple(texts), done)


def _last_turn(entries: Sequence[EntryView]) -> int | None:
    """Where the last turn begins: with the first of what its run answered."""
    last = next((at for at in reversed(range(len(entries))) if entries[at].kind in _SAID), None)
    if last is None:
        return None
    run_id = entries[last].run_id
    if run_id is None:
        return last
    return next(at for at, item in enumerate(entries) if item.run_id == run_id and item.kind in _SAID)


def copied(entries: Sequence[EntryView], *, epoch: int, new_id: Callable[[], str]) -> tuple[EntryView, ...]:
    """The same said again in another epoch; a summary stands for nothing but itself there.

    Thoughts and decisions are left out: the agent is not given them.
    """
    copies: list[EntryView] = []
    for entry in entries:
        if entry.kind is not EntryKind.SUMMARY and entry.kind not in _COPIED:
            continue
        own = EntryId(new_id())
        covers = own if entry.kind is EntryKind.SUMMARY else None
        copies.append(
            msgspec.structs.replace(
                entry, id=own, epoch=epoch, run_id=None, message_id=None, is_imported=True, covers_until=covers
            )
        )
    return tuple(copies)


def epochs(entries: Iterable[EntryView]) -> tuple[Epoch, ...]:
    """The epochs that these entries belong to, by number."""
    found: dict[int, Epoch] = {}
    for entry in entries:
        known = found.get(entry.epoch) or Epoch(entry.epoch, entry.at, entry.at, 0, "")
        is_said = entry.kind in _SAID
        found[entry.epoch] = Epoch(
            entry.epoch,
            min(known.first, entry.at),
            max(known.last, entry.at),
            known.said_count + is_said,
            known.words or (beginning(entry.text) if is_said else ""),
        )
    return tuple(found[number] for number in sorted(found))


def beginning(text: str, limit: int = _WORDS) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
