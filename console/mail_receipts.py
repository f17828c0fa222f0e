"""The core's answers about mailboxes in words and their tone (pure)."""

from collections.abc import Sequence

from console import text
from console.mail_names import mail_name
from console.mailbox_rows import depth_of
from core.api.base import MailId
from core.api.mail import BulkReceipt, PostReceipt
from core.api.mailboxes import MailboxState, MailboxView

_NAMED = 4


def no_words(_receipt: object) -> tuple[str, str]:
    """Nothing to say: a dialog says it."""
    return "", "plain"


def messages(count: int, noun: str = "message") -> str:
    """A number of them."""
    return text.counted(count, noun)


def standing_words(view: MailboxView) -> tuple[str, str]:
    """How a mailbox stands after an act."""
    name, depth = text.clean(view.name), messages(depth_of(view))
    if view.state is MailboxState.PAUSED:
        return f"paused: {name} takes messages in and gives none out; {depth} in it", "well"
    return f"{view.state.value}: {name}, {depth} in it", "well"


def made(view: MailboxView) -> tuple[str, str]:
    """A new mailbox."""
    return f"made: {text.clean(view.name)}, {'durable' if view.policy.durable else 'in memory only'}", "well"


def ruled(view: MailboxView) -> tuple[str, str]:
    """Other rules."""
    return f"the rules of {text.clean(view.name)} are changed", "well"


def posted(receipt: PostReceipt) -> tuple[str, str]:
    """Where a message is."""
    name = mail_name(receipt.mail_id)
    if receipt.is_duplicate:
        return f"known already: {name} in {text.clean(receipt.mailbox)} has the same key", "needs"
    return f"stored: {name} in {text.clean(receipt.mailbox)}", "well"


def by_mailbox(receipt: BulkReceipt) -> list[str]:
    """How many of which mailbox, the most first."""
    rows = sorted(receipt.by_mailbox.items(), key=lambda item: (-item[1], item[0]))
    return [f"{text.count(count):>7}  {text.clean(name)}" for name, count in rows]


def ids_words(mail_ids: Sequence[MailId]) -> str:
    """The first few ids."""
    more = f" and {len(mail_ids) - _NAMED} more" if len(mail_ids) > _NAMED else ""
    return ", ".join(mail_name(mail_id) for mail_id in mail_ids[:_NAMED]) + more


def _differs(receipt: BulkReceipt, counted: int) -> str:
    words = text.counted(counted, "was", "were")
    return f" ({words} counted before)" if receipt.changed != counted else ""


def redriven(receipt: BulkReceipt, *, target: str, counted: int) -> tuple[str, str]:
    """Where dead letters went."""
    if not receipt.changed:
        return f"nothing was sent again{_differs(receipt, counted)}", "needs"
    names = sorted(receipt.by_mailbox)
    where = target or (names[0] if len(names) == 1 else f"{len(names)} mailboxes")
    ids = f": {ids_words(receipt.mail_ids)}" if receipt.mail_ids else ""
    return f"{text.count(receipt.changed)} sent again to {text.clean(where)}{ids}{_differs(receipt, counted)}", "well"


def purged(receipt: BulkReceipt, *, counted: int) -> tuple[str, str]:
    """How many are gone."""
    if not receipt.changed:
        return f"nothing was dropped{_differs(receipt, counted)}", "needs"
    return f"{messages(receipt.changed)} dropped{_differs(receipt, counted)}", "well"


def removed(_receipt: BulkReceipt, name: str) -> tuple[str, str]:
    """A mailbox is gone."""
    return f"removed: {text.clean(name)}", "well"
