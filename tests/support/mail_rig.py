"""Mailboxes on a store in memory and a clock in the hands of the test, with all that is told of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from core.api.base import Actor, ActorKind, Event, MailboxName, Record
from core.api.mail import DeadReason
from core.api.mailboxes import MailboxPolicy
from core.handlers import Handlers
from core.journal import Journal
from core.mailbox.inspections import Inspections
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft, Mail
from core.mailbox.operations import Operations
from core.mailbox.redrives import Redrives
from core.mailbox.reporting import Reporting
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock

ANA = Actor(ActorKind.OPERATOR, "ana")
BOX = MailboxName("box")

E = TypeVar("E", bound=Event)


class MailRig:
    """The mailbox core as the kernel joins it, without its services' own tempo."""

    def __init__(self, store: MemoryStore, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.faults: list[str] = []
        self.records: list[Record] = []
        self.journal = Journal(store, clock)
        self.journal.on_record(self.records.append)
        self.supervisor = Supervisor(clock, lambda _view, error: self._fault(error), lambda *fault: self._fault(fault))
        self.mailboxes = Mailboxes(
            journal=self.journal, store=store, clock=clock, supervisor=self.supervisor, random=lambda: 0.5
        )
        self.reporting = Reporting(mailboxes=self.mailboxes, journal=self.journal, clock=clock)
        self.operations = Operations(mailboxes=self.mailboxes, journal=self.journal, clock=clock)
        self.inspections = Inspections(mailboxes=self.mailboxes, journal=self.journal, clock=clock)
        self.redrives = Redrives(mailboxes=self.mailboxes, clock=clock)
        self.handlers = Handlers()
        self.handlers.add(commands=self.operations.commands, queries=self.operations.queries)

    async def box(self, name: str = BOX, **rules: object) -> Mailbox:
        """A mailbox with these rules, made when it is not there."""
        return await self.mailboxes.ensure(name, MailboxPolicy(**rules))  # type: ignore[arg-type] # rules of a test

    async def killed(self, box: Mailbox, draft: Draft, error: str, reason: DeadReason = DeadReason.REJECTED) -> Mail:
        """A dead letter: posted, taken and rejected."""
        receipt = await box.post(draft)
        mail = await box.receive(lambda mail: mail.id == receipt.mail_id)
        box.reject(mail, error=error, reason=reason)
        return mail

    def told(self, kind: type[E]) -> list[E]:
        """The events of a kind so far."""
        return [record.event for record in self.records if isinstance(record.event, kind)]

    def _fault(self, fault: object) -> None:
        if fault:
            self.faults.append(str(fault))


@asynccontextmanager
async def mail_rig(store: MemoryStore | None = None, clock: FakeClock | None = None) -> AsyncIterator[MailRig]:
    """A core's mailboxes, opened and indexed; closed at the end, and the counts of each must add up."""
    rig = MailRig(store or MemoryStore(), clock or FakeClock())
    await rig.mailboxes.open()
    await rig.mailboxes.indexed()
    try:
        yield rig
        assert rig.faults == []
        assert [box.name for box in rig.mailboxes.all() if box.tally().difference] == []
    finally:
        await rig.supervisor.stop(deadline_s=1.0)
        await rig.mailboxes.close()
