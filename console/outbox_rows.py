"""The outboxes of all accounts, as the core last showed them (pure)."""

from console.changes import Changes
from core.api import breakers, chats, outboxes
from core.api.base import Event, Record
from core.api.outboxes import OutboxView
from core.api.platforms import PlatformView

_ABOUT_OUTBOXES = (outboxes.OutboxHeld, outboxes.OutboxFreed, outboxes.OutboxActive)

HANDLED: frozenset[type[Event]] = frozenset({*_ABOUT_OUTBOXES, breakers.BreakerChanged, chats.ChatsLearnt})


class OutboxRows:
    """Views by platform. An older view never takes the place of a newer one."""

    def __init__(self) -> None:
        self.outboxes: dict[str, OutboxView] = {}

    @property
    def unsent(self) -> int:
        """How many messages of all accounts are not sent, dead ones too."""
        return sum(view.waiting + view.dead for view in self.outboxes.values())

    def waiting_on(self, view: PlatformView) -> int:
        """How many messages wait to be sent over a connection."""
        outbox = self.outboxes.get(str(view.name))
        return view.backlog if outbox is None else outbox.waiting

    def apply(self, record: Record, changes: Changes) -> bool:
        """Take an event in; False when it is not about any of these."""
        event = record.event
        if not isinstance(event, _ABOUT_OUTBOXES):
            # A breaker is shown with its outbox, the directory where it is asked for.
            return isinstance(event, breakers.BreakerChanged | chats.ChatsLearnt)
        key = str(event.outbox.platform)
        before = self.outboxes.get(key)
        if before is None or before.version < event.outbox.version:
            self.outboxes[key] = event.outbox
            changes.outboxes.add(key)
        return True
