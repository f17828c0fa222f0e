"""The giving side of a mailbox: receivers wait in the order in which they came, and none is woken in vain."""

import asyncio
import math
from abc import ABC, abstractmethod
from collections import deque

import msgspec

from core.api.base import MailboxName, Mark
from core.api.errors import DeadlineExceeded, MailboxClosed
from core.api.mailboxes import MailboxPolicy, MailboxState
from core.mailbox.maillog import MailLog
from core.mailbox.message import Mail
from core.mailbox.meter import Meter
from core.mailbox.office import Office
from core.mailbox.queue import Match, Queue
from core.mailbox.records import Taken

_OPEN, _DRAINING, _CLOSED = MailboxState.OPEN, MailboxState.DRAINING, MailboxState.CLOSED


class Receiver(msgspec.Struct, gc=False, eq=False):
    """Somebody who waits for a message. match: None for any."""

    future: "asyncio.Future[Mail]"
    match: Match | None
    is_served: bool = False


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Why nothing is given out. until, until_at: monotonic and UTC seconds, 0 for until it is resumed."""

    by: str
    reason: str
    until: float = 0.0
    until_at: float = 0.0


class Giving(Queue, ABC):
    """A queue that hands messages to whoever waits for them.

    _is_plain: it is open and in memory, and nothing about it is out of the ordinary: what costs
    time for each message can be left out. log: None for a mailbox in memory. meter: while somebody measures it.
    is_active: the office looks after it at its next round.
    """

    __slots__ = (
        "_is_giving",
        "_is_indexing",
        "_is_plain",
        "_log",
        "_made_at",
        "_made_on",
        "_office",
        "_receivers",
        "_selective",
        "_state",
        "_wary",
        "alarm_at",
        "is_active",
        "last_error",
        "meter",
        "name",
        "pause",
    )

    def __init__(self, name: MailboxName, policy: MailboxPolicy, office: Office, log: MailLog | None) -> None:
        super().__init__(policy)
        self.name = name
        self._office = office
        self._log = log
        self._is_indexing = False
        self._receivers: deque[Receiver] | None = None
        self._selective: deque[Receiver] | None = None
        self._become(_OPEN)
        self.created = Mark(office.wall(), office.now())
        self.pause: Pause | None = None
        self.last_error = ""
        self.meter: Meter | None = None
        self.is_active = False
        self.alarm_at = math.inf
        self._wary = 0

    @property
    def state(self) -> MailboxState:
        """Whether it takes and gives."""
        return self._state

    @property
    def is_indexing(self) -> bool:
        """Whether stored messages are still being read; nothing is given out until they are in."""
        return self._is_indexing

    @is_indexing.setter
    def is_indexing(self, value: bool) -> None:
        self._is_indexing = value
        self._replan()

    @property
    def created(self) -> Mark:
        """When it was made."""
        return Mark(self._made_at, self._made_on)

    @created.setter
    def created(self, instant: Mark) -> None:
        self._made_at, self._made_on = instant.at, instant.mono

    @property
    def consumers(self) -> int:
        """Receivers that await a message, and messages that somebody holds."""
        return len(self._receivers or ()) + len(self._selective or ()) + len(self.leases)

    async def receive(self, match: Match | None = None, *, timeout_s: float | None = None) -> Mail:
        """The next message, or the next that fits, on lease. Waits for one.

        Raises DeadlineExceeded after timeout_s seconds, MailboxClosed when there will be none.
        """
        if match is None and self._is_plain:
            # What try_receive() comes to in a mailbox in memory.
            mail = self.take_next(self._office.now())
            if mail is not None:
                if not self.is_active:
                    self.activate()
                return mail
        mail = self.try_receive(match)
        if mail is None:
            mail = await self._wait(match, timeout_s)
        if self._log is not None and mail.place and (self._wary or (mail.past is not None and mail.crashes)):
            # It was in flight at a crash, or may have been: this delivery must be known before it can cause another.
            self._wary -= self._wary > 0
            try:
                await self._log.flushed()
            except BaseException:
                # It was not handed over, so that was no delivery.
                mail.attempt -= 1
                self.release(mail)
                raise
        return mail

    def try_receive(self, match: Match | None = None) -> Mail | None:
        """The next message on lease if there is one now. Never waits."""
        if not self._is_giving:
            return None
        mail = self.take(self._office.now()) if match is None else self.take_match(match, self._office.now())
        if mail is None:
            return None
        if not self.is_active:
            self.activate()
        if mail.place and self._log is not None:
            self._log.note(Taken(mail.id, mail.attempt))
        return mail

    @abstractmethod
    def release(self, mail: Mail) -> None:
        """Give it back unharmed. Raises StaleLease."""

    def activate(self) -> None:
        """Be looked after at the next round."""
        if not self.is_active:
            self.is_active = True
            self._office.activate(self)

    @abstractmethod
    def attend(self, now: float, wall: float) -> None:
        """Do what is due."""

    def _become(self, state: MailboxState) -> None:
        self._state = state
        self._replan()

    def _replan(self) -> None:
        """Settle once what would else be asked for every message."""
        state, policy = self._state, self.policy
        is_simple = not (policy.ttl_s or policy.in_flight_limit or self._selective)
        self._is_plain = is_simple and state is _OPEN and self._log is None
        self._is_giving = (state is _OPEN or state is _DRAINING) and not self._is_indexing

    async def _wait(self, match: Match | None, timeout_s: float | None) -> Mail:
        if self._state is _CLOSED:
            raise self._closed()
        receiver = Receiver(asyncio.get_running_loop().create_future(), match)
        if match is None:
            if self._receivers is None:
                self._receivers = deque()
            self._receivers.append(receiver)
            self.is_awaited = True
        else:
            if self._selective is None:
                self._selective = deque()
            self._selective.append(receiver)
            self._replan()
        try:
            if timeout_s is None:
                mail = await receiver.future
            else:
                async with asyncio.timeout(timeout_s):
                    mail = await receiver.future
            receiver.is_served = True
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"nothing came into {self.name} within {timeout_s:g} s", what=str(self.name), limit_s=timeout_s
            ) from error
        finally:
            self._leave(receiver)
        return mail

    def _leave(self, receiver: Receiver) -> None:
        """A receiver is gone; what it was handed at the moment of its cancellation goes to the next one."""
        receivers = self._receivers if receiver.match is None else self._selective
        if receivers is not None and receiver in receivers:
            receivers.remove(receiver)
            self._replan()
        future = receiver.future
        if future.done() and not future.cancelled() and future.exception() is None and not receiver.is_served:
            mail = future.result()
            if self.leases.get(mail.id) is mail:
                self.release(mail)

    def _on_sample(self, mail: Mail) -> None:
        self.sample(mail, self._office.now())

    def _on_ready(self) -> None:
        self._serve()

    def _serve(self) -> None:
        receivers = self._receivers
        while receivers:
            if receivers[0].future.done():
                receivers.popleft()
                continue
            mail = self.try_receive()
            if mail is None:
                return
            receivers.popleft().future.set_result(mail)
        self.is_awaited = False

    def _serve_selective(self) -> None:
        for receiver in list(self._selective or ()):
            if not receiver.future.done():
                mail = self.try_receive(receiver.match)
                if mail is not None:
                    receiver.future.set_result(mail)
                    if self._selective is not None and receiver in self._selective:
                        self._selective.remove(receiver)
        self._replan()

    def _send_away(self) -> None:
        for receiver in (*(self._receivers or ()), *(self._selective or ())):
            if not receiver.future.done():
                receiver.future.set_exception(self._closed())
        self._receivers = self._selective = None
        self._replan()

    def _closed(self) -> MailboxClosed:
        return MailboxClosed(
            f"mailbox {self.name} is {self._state.value}", mailbox=str(self.name), fix="use another one"
        )
