"""A mailbox for consumers, in one list, that keeps a diary of what is done to its messages."""

import asyncio
from collections import deque

from core.api.base import MailboxName, MailId
from core.api.errors import DeadlineExceeded, MailboxClosed, StaleLease
from core.api.mail import DeadReason
from core.api.mailboxes import MailboxPolicy
from core.mailbox.message import Mail


class FakeSupply:
    """Messages by number. diary: what was done, in order, as (act, number, detail)."""

    def __init__(self, name: str = "orders", *, policy: MailboxPolicy | None = None) -> None:
        self.name = MailboxName(name)
        self.policy = policy or MailboxPolicy(durable=False, visibility_s=30.0, max_deliveries=5)
        self.queued: deque[Mail] = deque()
        self.leased: dict[int, Mail] = {}
        self.diary: list[tuple[str, int, str]] = []
        self.delays: list[float | None] = []
        self.is_closed = False
        self._waiters: deque[asyncio.Future[None]] = deque()

    def put(self, *numbers: int) -> None:
        """New messages."""
        self.queued.extend(Mail(MailId(number), self.name, "ana", b"\xc0") for number in numbers)
        self._wake()

    def close(self) -> None:
        """Nothing comes any more."""
        self.is_closed = True
        self._wake()

    def done(self, act: str) -> list[int]:
        """Numbers of the messages to which that was done."""
        return [number for what, number, _ in self.diary if what == act]

    async def receive(self, *, timeout_s: float | None = None) -> Mail:
        """The next one."""
        while not self.queued:
            if self.is_closed:
                raise MailboxClosed("closed", mailbox=self.name)
            if timeout_s is not None:
                raise DeadlineExceeded("nothing came", what=self.name, limit_s=timeout_s)
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        mail = self.queued.popleft()
        mail.attempt += 1
        self.leased[mail.id] = mail
        return mail

    def peek(self) -> Mail | None:
        """The next one, untouched."""
        return self.queued[0] if self.queued else None

    def ack(self, mail: Mail) -> None:
        """Done with."""
        self._end(mail, "ack")

    def nack(self, mail: Mail, *, error: str, delay_s: float | None = None) -> None:
        """Failed."""
        self._end(mail, "nack", error)
        self.delays.append(delay_s)

    def reject(self, mail: Mail, *, error: str, reason: DeadReason = DeadReason.REJECTED) -> None:
        """Dead."""
        self._end(mail, "reject", error)

    def release(self, mail: Mail) -> None:
        """Back to its place."""
        self._end(mail, "release")
        self.queued.appendleft(mail.__copy__())
        self._wake()

    def put_off(self, mail: Mail, *, delay_s: float, error: str = "") -> None:
        """Too early."""
        self._end(mail, "put off", error)
        self.delays.append(delay_s)

    def extend(self, mail: Mail) -> None:
        """Still held."""
        self._check(mail)
        self.diary.append(("extend", mail.id, ""))

    def lose(self, number: int) -> None:
        """Somebody else has it now."""
        del self.leased[number]

    def _end(self, mail: Mail, act: str, detail: str = "") -> None:
        self._check(mail)
        del self.leased[mail.id]
        self.diary.append((act, mail.id, detail))

    def _check(self, mail: Mail) -> None:
        if self.leased.get(mail.id) is not mail:
            raise StaleLease("stale", mail_id=mail.id, attempt=mail.attempt)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
