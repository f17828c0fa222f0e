"""The mailboxes in which messages wait to be sent, one for each origin, made when they are first needed.

A letter holds nothing but the id of its message: what is to be sent is in the books.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

import msgspec

from core.api.base import MailId
from core.api.errors import ConflictError, InvalidInput, NotFound, Unavailable
from core.api.mail import MailState
from core.api.mailboxes import MailboxPolicy
from core.clock import Clock
from core.letters import Gate, Letter, LetterHandler, Mailroom, MailTransaction, Outline, Owner
from core.relay.mail_names import RELAY_MAIL, mailbox_of
from core.relay.targets import Targets
from core.relay.task import RelayTask

SWEEP_EVERY_S = 60.0

_POLICY = MailboxPolicy(
    ordered=False,
    visibility_s=300.0,
    max_deliveries=1_000,
    max_crashes=1_000,
    body_limit_bytes=4_096,
    dedupe_s=0.0,
    dead_keep_count=0,
    dead_keep_s=0.0,
)
_ids = msgspec.msgpack.Decoder(str)


class RelayMailroom(Mailroom, Protocol):
    """Mailboxes, as far as the relay uses them."""

    def consume_calls(
        self,
        mailbox: str,
        handler: LetterHandler,
        *,
        concurrency: int,
        ready: Callable[[], Awaitable[None]],
        gate: Gate,
    ) -> None:
        """Give the messages of a mailbox to a handler that calls a far side."""
        ...

    async def remove(self, mailbox: str) -> None:
        """Stop giving and remove it. Raises ConflictError while it holds anything."""
        ...


class Mailing:
    """All of them. handler: sends what a letter stands for. is_needed: whether messages may come for an origin."""

    def __init__(
        self,
        *,
        mail: RelayMailroom,
        clock: Clock,
        targets: Targets,
        handler: LetterHandler,
        concurrency: int,
        is_needed: Callable[[str], bool],
    ) -> None:
        self._mail = mail
        self._clock = clock
        self._targets = targets
        self._handler = handler
        self._concurrency = concurrency
        self._is_needed = is_needed
        self._origins: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._letters: dict[str, tuple[str, MailId]] = {}
        self._owner = Owner(
            name="relay",
            put_in="use `relay send`",
            take_out="use `relay cancel`",
            rules="set relay in the configuration; pause and resume work here",
            redriven=self._redriven,
        )

    def transaction(self) -> MailTransaction:
        """Several changes in one commit."""
        return self._mail.transaction()

    def origin_of(self, mailbox: str) -> str:
        """Whose messages it holds; "" for one that is not open."""
        return self._origins.get(mailbox, "")

    def is_giving(self, origin: str) -> bool:
        """False while an operator has its mailbox paused."""
        return self._mail.is_giving(mailbox_of(origin))

    async def open(self, origin: str) -> str:
        """The mailbox of an origin, made and consumed when it is not yet. Raises StoreError, Unavailable at a stop."""
        mailbox = mailbox_of(origin)
        if mailbox in self._origins:
            return mailbox
        async with self._lock:
            if mailbox not in self._origins:
                await self._mail.ensure(mailbox, _POLICY, owner=self._owner)
                self._consume(mailbox, origin)
        return mailbox

    def _consume(self, mailbox: str, origin: str) -> None:
        try:
            self._mail.consume_calls(
                mailbox,
                self._handler,
                concurrency=self._concurrency,
                ready=partial(self._ready, origin),
                gate=self._targets.gate(origin),
            )
        except InvalidInput as error:
            raise Unavailable(f"nothing is sent to {origin} any more: {error.message}", what=mailbox) from error
        self._origins[mailbox] = origin

    async def _ready(self, origin: str) -> None:
        self._targets.vacated(origin)

    # -- letters

    def post(self, transaction: MailTransaction, task: RelayTask) -> None:
        """Have it sent once the transaction is committed. Its mailbox must be open. Raises MailboxClosed, NotFound."""
        mailbox = mailbox_of(task.origin)
        mail_id = transaction.post(mailbox, task.id, sender=task.sender or "relay", order_key=task.id)
        self._letters[task.id] = (mailbox, mail_id)

    def settle(self, transaction: MailTransaction, task_id: str) -> None:
        """Its letter is not needed any more, if there is one."""
        place = self._letters.get(task_id)
        if place is not None and self._mail.find_letter(*place) is not None:
            transaction.settle(*place)

    def settle_letter(self, transaction: MailTransaction, letter: Letter) -> None:
        """A letter is not needed any more. One that is gone already is no harm."""
        if self._mail.find_letter(letter.mailbox, letter.id) is not None:
            transaction.settle(letter.mailbox, letter.id)

    def find(self, task_id: str) -> Letter | None:
        """The letter of a message that waits or is being sent."""
        place = self._letters.get(task_id)
        return None if place is None else self._mail.find_letter(*place)

    def is_its_own(self, task: RelayTask, letter: Letter) -> bool:
        """Whether that letter is the message's, and not one that was left behind, such as at a former address."""
        if letter.mailbox != mailbox_of(task.origin):
            return False
        place = self._letters.get(task.id)
        if place is None or place[0] != letter.mailbox or self._mail.find_letter(*place) is None:
            place = self._letters[task.id] = (letter.mailbox, letter.id)
        return place == (letter.mailbox, letter.id)

    def place_of(self, task_id: str) -> tuple[str, MailId] | None:
        """Where its letter is, or was."""
        return self._letters.get(task_id)

    def put_back(self, task_id: str, place: tuple[str, MailId] | None) -> None:
        """A commit that would have given it another letter came to nothing. place: where its letter was before."""
        if self.find(task_id) is not None:
            return
        if place is None:
            self._letters.pop(task_id, None)
        else:
            self._letters[task_id] = place

    def forget(self, task_id: str) -> None:
        """It has no letter any more."""
        self._letters.pop(task_id, None)

    async def drop(self, letter: Letter) -> None:
        """Let go of a letter that stands for nothing. Raises StoreError."""
        task_id = task_id_of(letter)
        if self._letters.get(task_id) == (letter.mailbox, letter.id):
            self.forget(task_id)
        if self._mail.find_letter(letter.mailbox, letter.id) is None:
            return
        transaction = self._mail.transaction()
        try:
            transaction.settle(letter.mailbox, letter.id)
            await transaction.commit([], [])
        except ConflictError:
            return  # Somebody else did.
        except BaseException:
            transaction.cancel()
            raise

    # -- over time

    async def recover(self, origins: Sequence[str]) -> None:
        """Know the letters of these origins, and of what was opened before. What is left of others goes with its
        mailbox. Raises StoreError.
        """
        # Agents and chats are up before this: what they have sent meanwhile is under way.
        known = {mailbox_of(origin) for origin in origins} | self._origins.keys()
        for mailbox in self._mail.names(RELAY_MAIL):
            for letter in self._mail.letters(mailbox):
                if mailbox not in known:
                    await self.drop(letter)
                elif letter.state is not MailState.DEAD:
                    self._letters[task_id_of(letter)] = (mailbox, letter.id)
            if mailbox not in known:
                await self._remove(mailbox)

    async def run(self) -> None:
        """Remove what nobody needs, now and then, until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_EVERY_S)
            await self.sweep()

    async def sweep(self) -> None:
        """Remove the mailboxes to which nothing will come and in which nothing is. Raises StoreError."""
        for mailbox, origin in list(self._origins.items()):
            if self._is_needed(origin):
                continue
            async with self._lock:
                if self._mail.outline(mailbox) != Outline():
                    continue
                # Whoever opens it from now on makes it anew, after this.
                del self._origins[mailbox]
                is_gone = await self._remove(mailbox)
            if not is_gone:
                await self.open(origin)

    async def _remove(self, mailbox: str) -> bool:
        """Whether it is gone; if not, something came in at the last moment."""
        try:
            await self._mail.remove(mailbox)
        except ConflictError:
            return False
        except NotFound:
            return True
        return True

    def _redriven(self, mail_ids: Sequence[MailId]) -> None:
        for mailbox in self._origins:
            for mail_id in mail_ids:
                letter = self._mail.find_letter(mailbox, mail_id)
                task_id = "" if letter is None else task_id_of(letter)
                if task_id:
                    self._letters[task_id] = (mailbox, mail_id)


def task_id_of(letter: Letter) -> str:
    """Which message a letter stands for; "" for one that somebody else put in."""
    try:
        return _ids.decode(letter.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
