"""Mail to agents and groups: registration, routing, broadcast, figures, and a shutdown that loses nothing.

Agents have mailboxes of their own names. A durable mailbox belongs to the name and not to
one run: what waits in it when an agent ends is there for the run that comes after it.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import Enum, auto
from typing import Protocol

import msgspec

from core.api.base import AgentName, MailboxName
from core.api.errors import ConflictError, HermesError, MailboxClosed, NotFound, Unavailable
from core.api.mail import DeadReason, PostReceipt
from core.api.mailboxes import MailboxPolicy, MailboxState
from core.clock import Clock
from core.mailbox.address import Group, Pid, agent_name, agent_of, name_of, parse_address
from core.mailbox.balance import Balance, Member
from core.mailbox.broadcasts import Outcome, post_to_each
from core.mailbox.burials import post_dead
from core.mailbox.drains import DrainReport, drain
from core.mailbox.incarnations import Counted, Incarnations
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft
from core.mailbox.registry import Registry

EVERYBODY = "*"
"""A broadcast to it goes to all that are registered."""

PID_HEADER = "pid"
"""Header of a message that was sent by a pid: that pid. Its sender is the name."""

TO_HEADER = "to"
"""Header of an undeliverable message: whom it was for."""

_GAVE_UP = "cancelled"
_SENDERS_KEPT = 10_000

OnExit = Callable[[str], Awaitable[None]]
"""Stops an agent whose linked peer failed; it is given the reason."""

Fall = tuple[Pid, str]
"""A run that has to end, and why."""


class _Phase(Enum):
    OPEN = auto()
    DRAINING = auto()
    CLOSED = auto()


class Observer(Protocol):
    """Told of starts and ends by the router, in the order in which they happen."""

    async def agent_started(self, pid: Pid) -> None:
        """It is registered and gets mail."""
        ...

    async def agent_stopped(self, pid: Pid, reason: str) -> Sequence[Fall]:
        """It is over. Returns who has to end with it."""
        ...

    async def shutting_down(self, reason: str) -> None:
        """From now on nothing is routed."""
        ...


class RouterStats(msgspec.Struct, frozen=True, kw_only=True):
    """What was routed since the start.

    routed: asked for, each recipient of a broadcast counted; they add up to delivered + duplicates + all refused.
    delivered: accepted by a mailbox. refused: by cause, which is the code of the error and for
    `not_found` its reason; `cancelled` ones may have been accepted all the same.
    undeliverable: refused ones that were kept as dead letters.
    broadcasts: calls of broadcast(). agents: running now; recipients: names that take mail.
    """

    routed: int = 0
    delivered: int = 0
    duplicates: int = 0
    refused: dict[str, int] = {}
    undeliverable: int = 0
    broadcasts: int = 0
    agents: int = 0
    recipients: int = 0


class Router:
    """Finds the mailbox that a message is for.

    undeliverable: mailbox that keeps messages to unknown or ended agents as dead letters;
    None keeps none. Either way the sender gets its error. on_fault: told what an agent's on_exit raised.
    """

    def __init__(
        self,
        boxes: Mailboxes,
        clock: Clock,
        *,
        incarnations: Incarnations | None = None,
        undeliverable: MailboxName | None = None,
        on_fault: Callable[[str, Exception], None] = lambda _what, _error: None,
    ) -> None:
        self._boxes = boxes
        self._clock = clock
        self._incarnations = incarnations or Counted()
        self._undeliverable = undeliverable
        self._on_fault = on_fault
        self._observers: list[Observer] = []
        self._on_exit: dict[Pid, OnExit] = {}
        self._keyed: dict[str, set[str]] = {}
        self._phase = _Phase.OPEN
        self._routed = self._delivered = self._duplicates = self._kept = self._broadcasts = 0
        self._refused: Counter[str] = Counter()
        self.registry = Registry()

    # -- agents

    async def register(self, name: str, policy: MailboxPolicy | None = None, *, on_exit: OnExit | None = None) -> Pid:
        """An agent runs from now on; its mailbox is made when there is none.

        policy: of a new mailbox; one that is there keeps its own. on_exit: stops the agent when
        a linked peer fails. Raises ConflictError when it runs already or the
        mailbox of that name is not an agent's, InvalidInput, StoreError, Unavailable.
        """
        self._require_open()
        checked = agent_name(name)
        self.registry.require_free(checked)
        if checked in self._boxes.owners:
            raise ConflictError(
                f"mailbox {checked} belongs to another part of the core", key=checked, fix="take another name"
            )
        await self._boxes.ensure(MailboxName(checked), policy or MailboxPolicy())
        incarnation = await self._incarnations.take()
        self._require_open()
        pid = self.registry.begin(checked, incarnation)
        if on_exit is not None:
            self._on_exit[pid] = on_exit
        for observer in self._observers:
            await observer.agent_started(pid)
        return pid

    async def stop(self, who: str | Pid, reason: str = "normal") -> bool:
        """A run is over; its name still takes mail, for the next one. False when it was over already.

        Peers that watch it are told, and linked ones end with it, unless they trap exits.
        """
        address = agent_of(who)
        pid = address if isinstance(address, Pid) else self.registry.running(address)
        if pid is None or not self.registry.is_running(pid):
            return False
        falling = await self._end(pid, reason)
        while falling:
            linked, why = falling.popleft()
            await self._ask_to_exit(linked, why)
            falling += await self._end(linked, why)
        return True

    async def unregister(self, who: str | Pid, reason: str = "normal") -> bool:
        """A run is over and its name takes no mail any more; it leaves its groups. The mailbox stays.

        False when there is no such name, or when the pid is of an earlier run; then nothing has changed.
        """
        address = agent_of(who)
        name = address.name if isinstance(address, Pid) else address
        if not self.registry.is_known(name) or (isinstance(address, Pid) and not self.registry.is_running(address)):
            return False
        self.registry.forget(name)
        await self.stop(address, reason)
        return True

    def observe(self, observer: Observer) -> None:
        """Tell it of starts and ends."""
        self._observers.append(observer)

    # -- groups

    def form(self, group: str | Group, balance: Balance) -> None:
        """Make a group, or change how it shares its work."""
        self.registry.form(group, balance)

    def join(self, group: str | Group, member: str) -> bool:
        """Put an agent into a group, by name; it stays in it over its restarts. Raises NotFound."""
        return self.registry.join(group, agent_name(member))

    def leave(self, group: str | Group, member: str) -> bool:
        """Take an agent out of a group; False when it was not in it."""
        return self.registry.leave(group, agent_name(member))

    # -- mail

    async def route(self, to: str | Pid | Group, draft: Draft) -> PostReceipt:
        """Put a message into the mailbox of an agent, or of one member of a group.

        A name takes mail also while its agent is down; a pid only while that run goes on. Raises
        NotFound (fact `reason`: unknown or ended), MailboxClosed, MailboxFull, Unavailable,
        InvalidInput, StoreError.
        """
        self._routed += 1
        try:
            receipt = await self._post(to, draft)
        except NotFound as error:
            self._refused[f"{error.code}:{error.facts.get('reason')}"] += 1
            await self._keep(to, draft, error)
            raise
        except HermesError as error:
            self._refused[error.code] += 1
            raise
        except BaseException:
            self._refused[_GAVE_UP] += 1
            raise
        if receipt.is_duplicate:
            self._duplicates += 1
        else:
            self._delivered += 1
        return receipt

    async def broadcast(self, to: str | Group | Iterable[str], draft: Draft) -> dict[str, Outcome]:
        """Put a message into many mailboxes; for each name its receipt or its error.

        to: a group (all its members, be they up or down), EVERYBODY, or names. Raises NotFound for
        a group without members.
        """
        names = self._names(to)
        self._broadcasts += 1
        return await post_to_each(names, lambda name: self.route(name, draft))

    def choose(self, to: str | Pid | Group, draft: Draft) -> AgentName | Pid:
        """The agent that a message to this address would go to; of a group, one member.

        Raises NotFound for a group without members, Unavailable when none of them is ready, InvalidInput.
        """
        address = parse_address(to) if isinstance(to, str) else to
        if not isinstance(address, Group):
            return address
        key = draft.order_key or name_of(draft.sender)
        chosen = self.registry.choose(address, self._candidates, key)
        if chosen is None:
            raise Unavailable(
                f"no member of {address} is ready",
                what=str(address),
                members=len(self.registry.members(address)),
                fix="start or resume one of them, or send again later",
            )
        return AgentName(chosen)

    def has_own_keys(self, sender: str, mailbox: MailboxName) -> bool:
        """Whether that agent sent something there under an ordering key of its own."""
        return mailbox in self._keyed.get(sender, ())

    def stats(self) -> RouterStats:
        """What was routed since the start."""
        return RouterStats(
            routed=self._routed,
            delivered=self._delivered,
            duplicates=self._duplicates,
            refused=dict(self._refused),
            undeliverable=self._kept,
            broadcasts=self._broadcasts,
            agents=len(self.registry.pids),
            recipients=len(self.registry.names),
        )

    async def shutdown(self, *, deadline_s: float = 5.0, reason: str = "shutdown") -> DrainReport:
        """Take nothing in from outside, let agents finish what is queued, and say what is left where.

        Running agents may still send each other what their work leads to until that is done.
        What a durable mailbox still holds stays in its store and is given out after the next start.
        """
        if self._phase is _Phase.OPEN:
            for observer in self._observers:
                await observer.shutting_down(reason)
            self._phase = _Phase.DRAINING
        boxes = (self._boxes.find(MailboxName(name)) for name in self.registry.names)
        report = await drain([box for box in boxes if box is not None], self._clock, deadline_s=deadline_s)
        self._phase = _Phase.CLOSED
        return report

    # -- inside

    async def _post(self, to: str | Pid | Group, draft: Draft) -> PostReceipt:
        self._require_open(name_of(draft.sender))
        who = self.choose(to, draft)
        name = MailboxName(self.registry.require_recipient(who))
        box = self._boxes.find(name)
        if box is None:
            raise MailboxClosed(
                f"mailbox {name} was deleted", mailbox=name, fix=f"register {name} again, which makes a new one"
            )
        sent = _signed(draft)
        if sent.order_key and sent.order_key != sent.sender and self.registry.is_known(sent.sender):
            self._keyed.setdefault(sent.sender, set()).add(name)
            if len(self._keyed) > _SENDERS_KEPT:
                del self._keyed[next(iter(self._keyed))]
        return await box.post(sent)

    async def _keep(self, to: str | Pid | Group, draft: Draft, error: NotFound) -> None:
        if self._undeliverable is None:
            return
        sent = _signed(draft)
        kept = msgspec.structs.replace(sent, headers={**(sent.headers or {}), TO_HEADER: str(to)})
        try:
            receipt = await post_dead(
                self._boxes, self._undeliverable, kept, reason=DeadReason.UNDELIVERABLE, error=error.message
            )
        except HermesError:
            # The sender has its error; that no copy could be kept must not hide it.
            return
        self._kept += 1
        error.facts["kept_as"] = f"m-{receipt.mail_id}"

    async def _end(self, pid: Pid, reason: str) -> deque[Fall]:
        falling: deque[Fall] = deque()
        self._on_exit.pop(pid, None)
        if self.registry.end(pid, reason):
            for observer in self._observers:
                falling += await observer.agent_stopped(pid, reason)
        return falling

    async def _ask_to_exit(self, pid: Pid, reason: str) -> None:
        on_exit = self._on_exit.get(pid)
        if on_exit is None or not self.registry.is_running(pid):
            return
        try:
            await on_exit(reason)
        except Exception as error:  # noqa: BLE001 -- an agent that fails to stop must not spare the ones behind it
            self._on_fault(f"stopping {pid}", error)

    def _names(self, to: str | Group | Iterable[str]) -> Iterable[str]:
        if isinstance(to, Group):
            return self.registry.members(to)
        if not isinstance(to, str):
            return to
        if to == EVERYBODY:
            return self.registry.names
        address = parse_address(to)
        return self.registry.members(address) if isinstance(address, Group) else (to,)

    def _candidates(self, names: Iterable[str]) -> list[Member]:
        return [self._member(name) for name in names]

    def _member(self, name: str) -> Member:
        box = self._boxes.find(MailboxName(name))
        if box is None:
            return Member(name, is_ready=False)
        is_up = self.registry.running(name) is not None
        return Member(name, box.depth, is_up and box.state is MailboxState.OPEN, has_room(box))

    def _require_open(self, sender: str = "") -> None:
        if self._phase is _Phase.OPEN:
            return
        if self._phase is _Phase.DRAINING and self.registry.running(sender) is not None:
            return
        raise Unavailable("the router is shutting down", what="router", fix="send again after the next start")


def has_room(box: Mailbox) -> bool:
    """Whether one more message fits now."""
    capacity = box.policy.capacity
    return not capacity or box.depth < capacity


def _signed(draft: Draft) -> Draft:
    """Sent by a name, so that order holds over restarts; a pid that was given goes into a header."""
    name = name_of(draft.sender)
    if name == draft.sender:
        return draft
    headers = {**(draft.headers or {}), PID_HEADER: draft.sender}
    return msgspec.structs.replace(draft, sender=name, headers=headers)
