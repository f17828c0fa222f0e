"""How a draft becomes a message, and which idempotency keys are remembered (pure but for the office's clock)."""

import asyncio
import math
from collections import deque

import msgspec

from core.api.base import MailboxName, MailId
from core.api.errors import InvalidInput
from core.api.mailboxes import MailboxPolicy
from core.mailbox.message import RANKS, Draft, Mail
from core.mailbox.office import Office
from core.mailbox.policy import LONGEST_DELAY_S, ttl_s


class Known(msgspec.Struct, frozen=True, gc=False):
    """A message that was taken in under a key. until: monotonic seconds.

    stored: ends when it is durable; None when it is.
    """

    mail_id: MailId
    until: float
    stored: "asyncio.Future[None] | None" = None


class Remembered:
    """Idempotency keys of one mailbox, each for a window."""

    __slots__ = ("_by_key", "_order")

    def __init__(self) -> None:
        self._by_key: dict[str, Known] = {}
        self._order: deque[tuple[float, str]] = deque()

    def find(self, key: str, now: float) -> Known | None:
        """What was taken in under the key, None when nothing was or its window is over."""
        known = self._by_key.get(key)
        return known if known is not None and known.until > now else None

    def add(self, key: str, known: Known) -> None:
        """Remember a key."""
        self._by_key[key] = known
        self._order.append((known.until, key))

    def forget(self, key: str, mail_id: MailId) -> None:
        """Take it again, if it is that message's."""
        known = self._by_key.get(key)
        if known is not None and known.mail_id == mail_id:
            del self._by_key[key]

    def trim(self, now: float) -> bool:
        """Let go of what is over; False when nothing is left."""
        order = self._order
        while order and order[0][0] <= now:
            until, key = order.popleft()
            known = self._by_key.get(key)
            if known is not None and known.until == until:
                del self._by_key[key]
        return bool(order)

    def items(self) -> list[tuple[str, Known]]:
        """All keys that are remembered."""
        return list(self._by_key.items())


def check_times(draft: Draft) -> None:
    """Raises InvalidInput for a delay or a time to live that cannot be."""
    for field, seconds in (("delay_s", draft.delay_s), ("ttl_s", draft.ttl_s or 0.0)):
        if not math.isfinite(seconds) or not 0 <= seconds <= LONGEST_DELAY_S:
            raise InvalidInput(
                f"{field} is {seconds}", field=field, value=seconds, fix=f"use 0 to {LONGEST_DELAY_S:g} seconds"
            )


def new_mail(name: MailboxName, policy: MailboxPolicy, draft: Draft, body: bytes, office: Office) -> Mail:
    """The message of a draft, as of now."""
    now, wall = office.now(), office.wall()
    mail_id: MailId = office.next_id
    office.next_id = mail_id + 1
    sender = draft.sender
    mail = Mail(
        mail_id,
        name,
        sender,
        body,
        draft.kind,
        draft.message_type,
        RANKS[draft.priority],
        wall,
        draft.key,
        draft.order_key or sender,
        draft.correlation,
        draft.causation,
        draft.guarantee or policy.guarantee,
        draft.headers,
        now,
    )
    if draft.delay_s:
        mail.due, mail.due_at = now + draft.delay_s, wall + draft.delay_s
    if (policy.ttl_s or draft.ttl_s) and (live_s := ttl_s(policy, draft)):
        mail.expires, mail.expires_at = now + live_s, wall + live_s
    return mail
