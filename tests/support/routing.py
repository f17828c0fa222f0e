"""Mailboxes with a router over them, in memory or on a store, under a clock that a test may move."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from core.api.base import MailboxName, MailId
from core.api.mail import DeadReason, MailKind
from core.api.mailboxes import MailboxPolicy
from core.clock import Clock, SystemClock
from core.journal import Journal
from core.mailbox.address import Pid
from core.mailbox.calls import Calls
from core.mailbox.incarnations import StoredIncarnations
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft, Mail
from core.mailbox.router import Router
from core.mailbox.system_info import Info, info_of
from core.mailbox.watches import Watches
from core.store.base import Store
from core.supervisor import Supervisor
from tests.support.stores import opened

MEMORY = MailboxPolicy(durable=False)
DURABLE = MailboxPolicy()
UNORDERED = MailboxPolicy(durable=False, ordered=False)


class Routing:
    """What a core has for mail. errors: what a task of it raised."""

    def __init__(self, store: Store, clock: Clock, *, undeliverable: str = "") -> None:
        self.clock = clock
        self.store = store
        self.errors: list[str] = []
        self.journal = Journal(store, clock)
        self.supervisor = Supervisor(
            clock,
            lambda view, error: self.errors.append(f"{view.name}: {error}") if error else None,
            lambda name, error: self.errors.append(f"{name}: {error!r}"),
        )
        self.boxes = Mailboxes(
            journal=self.journal, store=store, clock=clock, supervisor=self.supervisor, random=lambda: 0.5
        )
        self.router = Router(
            self.boxes,
            clock,
            incarnations=StoredIncarnations(store, self.journal),
            undeliverable=MailboxName(undeliverable) if undeliverable else None,
            on_fault=lambda what, error: self.errors.append(f"{what}: {error!r}"),
        )
        self.watches = Watches(self.router, self.boxes, clock)
        self.calls = Calls(self.router, self.boxes, clock)

    def box(self, name: str) -> Mailbox:
        """The mailbox of an agent."""
        return self.boxes.get(name)

    async def agents(self, *names: str, policy: MailboxPolicy = MEMORY) -> None:
        """Register agents."""
        for name in names:
            await self.router.register(name, policy)

    async def send(self, to: str, payload: object, sender: str = "ana", **fields: object) -> MailId:
        """Route a cast; `fields` of the draft."""
        receipt = await self.router.route(to, Draft(payload=payload, sender=sender, **fields))  # type: ignore[arg-type]  # a test may give any field
        return receipt.mail_id

    def taken(self, name: str) -> list[Mail]:
        """All messages that a mailbox gives out now, each acknowledged."""
        found: list[Mail] = []
        box = self.box(name)
        while (mail := box.try_receive()) is not None:
            box.ack(mail)
            found.append(mail)
        return found

    def payloads(self, name: str) -> list[object]:
        """What they hold."""
        return [mail.payload for mail in self.taken(name)]

    def dead(self, name: str, reason: DeadReason) -> list[Mail]:
        """Dead letters of a mailbox that died for a reason."""
        return [mail for mail in (self.box(name).dead or {}).values() if mail.reason is reason]


def changed(policy: MailboxPolicy, **rules: Any) -> MailboxPolicy:
    """The policy with other rules."""
    return msgspec.structs.replace(policy, **rules)


def took(rig: Routing, name: str) -> Mail:
    """The next message of a mailbox, which has one, on lease."""
    mail = rig.box(name).try_receive()
    assert mail is not None
    return mail


@asynccontextmanager
async def routing(
    home: Path, kind: str = "memory", clock: Clock | None = None, *, undeliverable: str = ""
) -> AsyncIterator[Routing]:
    """Open mailboxes over a store of that kind; at the end nothing may have failed in the background."""
    clock = clock or SystemClock()
    store = await opened(kind, home, clock)
    rig = Routing(store, clock, undeliverable=undeliverable)
    await rig.boxes.open()
    try:
        yield rig
    finally:
        await rig.boxes.close()
        await rig.supervisor.stop(deadline_s=5.0)
        await store.close()
    assert rig.errors == []


async def started(rig: Routing, *names: str, policy: MailboxPolicy = MEMORY) -> list[Pid]:
    """Agents that run."""
    return [await rig.router.register(name, policy) for name in names]


def news(rig: Routing, name: str) -> list[Info]:
    """The messages of the system in a mailbox."""
    return [info_of(mail) for mail in rig.taken(name) if mail.kind is MailKind.INFO]


def said(mail: Mail) -> Any:
    """A message in one word: its payload, or the type of news."""
    return mail.message_type if mail.kind is MailKind.INFO else mail.payload
