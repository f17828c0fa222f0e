"""Who runs under which name and pid, who ended why, and who is in which group (pure)."""

from collections.abc import Callable, Iterable

import msgspec

from core.api.base import AgentName
from core.api.errors import ConflictError, NotFound
from core.mailbox.address import Group, Pid, group_name
from core.mailbox.balance import Balance, Member, choose

_ENDS_KEPT = 10_000


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The last end of an agent. reason: `normal`, or why it failed."""

    pid: Pid
    reason: str


class _Group(msgspec.Struct):
    balance: Balance
    members: set[str]
    last: str = ""


class Registry:
    """Agents by name, the groups that they joined, and how the last run of each ended.

    A name that was registered stays a recipient while its agent is down, until it is forgotten.
    """

    def __init__(self) -> None:
        self._running: dict[str, Pid] = {}
        self._known: set[str] = set()
        self._ended: dict[str, Ended] = {}
        self._groups: dict[str, _Group] = {}

    # -- agents

    def begin(self, name: AgentName, incarnation: int) -> Pid:
        """An agent runs from now on. Raises ConflictError when one of that name does already."""
        self.require_free(name)
        pid = Pid(name, incarnation)
        self._running[name] = pid
        self._known.add(name)
        return pid

    def require_free(self, name: str) -> None:
        """Raise ConflictError when an agent of that name runs."""
        holder = self._running.get(name)
        if holder is not None:
            raise ConflictError(
                f"an agent {name} is registered already, as {holder}",
                key=name,
                expected="",
                found=str(holder),
                fix=f"stop {holder} first, or take another name",
            )

    def end(self, pid: Pid, reason: str) -> bool:
        """That run is over; False when it was already."""
        if self._running.get(pid.name) != pid:
            return False
        del self._running[pid.name]
        self._ended.pop(pid.name, None)
        self._ended[pid.name] = Ended(pid, reason)
        if len(self._ended) > _ENDS_KEPT:
            del self._ended[next(iter(self._ended))]
        return True

    def forget(self, name: str) -> None:
        """The name is no recipient any more, and in no group. How its last run ended stays known."""
        self._known.discard(name)
        for group in list(self._groups):
            self.leave(group, name)

    def is_known(self, name: str) -> bool:
        """Whether mail for that name is taken, be its agent running or down."""
        return name in self._known

    def running(self, name: str) -> Pid | None:
        """The pid that runs under a name, None when none does."""
        return self._running.get(name)

    def is_running(self, pid: Pid) -> bool:
        """Whether that run goes on."""
        return self._running.get(pid.name) == pid

    @property
    def pids(self) -> tuple[Pid, ...]:
        """All that run, by name."""
        return tuple(sorted(self._running.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """All recipients by name, those that are down included."""
        return tuple(sorted(self._known))

    def why_down(self, who: AgentName | Pid) -> str:
        """Why nobody runs there: the reason of its end, `ended` for an older run, "" when none is known."""
        name = who.name if isinstance(who, Pid) else who
        ended = self._ended.get(name)
        if isinstance(who, Pid):
            if ended is not None and ended.pid == who:
                return ended.reason
            newest = self._running.get(name) or (ended.pid if ended else None)
            return "ended" if newest is not None and newest.incarnation > who.incarnation else ""
        return ended.reason if ended is not None else ""

    def require_recipient(self, who: AgentName | Pid) -> str:
        """The name whose mailbox is meant. Raises NotFound, whose fact `reason` is `unknown` or `ended`."""
        if isinstance(who, Pid):
            if self.is_running(who):
                return who.name
            raise self._absent(who)
        if who in self._known:
            return who
        raise self._absent(who)

    def require_running(self, who: AgentName | Pid) -> Pid:
        """The run that is meant. Raises NotFound, whose fact `reason` is `unknown` or `ended`."""
        pid = self._running.get(who.name if isinstance(who, Pid) else who)
        if pid is None or (isinstance(who, Pid) and pid != who):
            raise self._absent(who)
        return pid

    def _absent(self, who: AgentName | Pid) -> NotFound:
        why = self.why_down(who)
        if not why:
            return NotFound(
                f"no agent {who} is registered",
                noun="agent",
                id=str(who),
                reason="unknown",
                fix="look at the name, or register the agent first",
            )
        name = who.name if isinstance(who, Pid) else who
        return NotFound(
            f"{who} is over: {why}",
            noun="agent",
            id=str(who),
            reason="ended",
            why=why,
            fix=f"send to {name}, which means whoever runs under that name",
        )

    # -- groups

    def form(self, group: str | Group, balance: Balance) -> None:
        """Make a group, or change how it shares its work."""
        name = group_name(group)
        known = self._groups.get(name)
        if known is None:
            self._groups[name] = _Group(balance, set())
        else:
            known.balance = balance

    def join(self, group: str | Group, member: AgentName) -> bool:
        """Put a registered name into a group, which is made when there is none; False when it is in it already.

        Raises NotFound for a name that nobody registered.
        """
        self.require_recipient(member)
        name = group_name(group)
        known = self._groups.setdefault(name, _Group(Balance.ROUND_ROBIN, set()))
        is_new = member not in known.members
        known.members.add(member)
        return is_new

    def leave(self, group: str | Group, member: str) -> bool:
        """Take a name out of a group; False when it was not in it."""
        known = self._groups.get(group_name(group))
        if known is None or member not in known.members:
            return False
        known.members.discard(member)
        return True

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of all groups."""
        return tuple(sorted(self._groups))

    def members(self, group: Group) -> tuple[str, ...]:
        """Names in a group, those that are down included. Raises NotFound when it has none."""
        known = self._groups.get(group.name)
        if known is None or not known.members:
            raise NotFound(
                f"{group} has no members",
                noun="group",
                id=str(group),
                reason="unknown",
                fix="let an agent join it first",
            )
        return tuple(sorted(known.members))

    def choose(self, group: Group, candidates: Callable[[Iterable[str]], Iterable[Member]], key: str) -> str | None:
        """The member that gets the next message, None when none is ready. Raises NotFound when it has none."""
        names = self.members(group)
        known = self._groups[group.name]
        chosen = choose(known.balance, candidates(names), key=key, last=known.last)
        if chosen is None:
            return None
        known.last = chosen.name
        return chosen.name
