"""Who is told when an agent ends: monitors (one way), links (both ways), and followers of all.

A notice about a peer stands behind everything that the peer sent to the same mailbox before.
In an ordered mailbox its place in the peer's line sees to that. Where there is no such line, and
where the mailbox is full, the notice is held back here until nothing is before it any more.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from core.api.base import MailboxName
from core.api.errors import HermesError, MailboxFull, NotFound, StoreError
from core.api.mail import MailFilter, MailState, PostReceipt
from core.clock import Clock
from core.mailbox.address import Group, Pid, agent_of
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.router import Fall, Router, has_room
from core.mailbox.system_info import (
    SYSTEM_SENDER,
    AgentStarted,
    AgentStopped,
    Down,
    Exit,
    HealthCheck,
    Info,
    SystemShutdown,
    info_draft,
)

NORMAL = "normal"
NOPROC = "noproc"
_TRY_AGAIN_S = 0.25
_LOOKED_AT = 500

K = TypeVar("K")


class _Notice(msgspec.Struct, frozen=True, gc=False):
    """peer: name of the agent that it is about. ref: of the monitor, 0 for none."""

    peer: str
    info: Info
    ref: int = 0


_Line = tuple[Pid, str]
"""Notices for one watcher about one peer: they keep their order, and hold up no others."""


class _Monitor(msgspec.Struct, frozen=True, gc=False):
    watcher: Pid
    target: Pid


class Watches:
    """Monitors and links between running agents. An observer of the router from its construction on.

    A notice carries the pid that it is for in its header `to`: a later run that finds it in a
    durable mailbox knows that it is not meant. lost_count: notices for mailboxes that take nothing.
    """

    def __init__(self, router: Router, boxes: Mailboxes, clock: Clock) -> None:
        self._registry = router.registry
        self._router = router
        self._boxes = boxes
        self._clock = clock
        self._refs = 0
        self._monitors: dict[int, _Monitor] = {}
        self._watched: dict[Pid, dict[int, None]] = {}
        self._watching: dict[Pid, dict[int, None]] = {}
        self._links: dict[Pid, dict[Pid, None]] = {}
        self._trapping: set[Pid] = set()
        self._followers: dict[Pid, None] = {}
        self._held: dict[_Line, deque[_Notice]] = {}
        self._sending: set[_Line] = set()
        self._wake = asyncio.Event()
        self.lost_count = 0
        router.observe(self)

    # -- monitors

    async def monitor(self, watcher: str | Pid, target: str | Pid) -> int:
        """Tell the watcher with a Down message when the target's run is over; at once (`noproc`) when it is.

        A name means whoever runs under it now. Any number of monitors is kept, each with a message
        of its own. Returns the reference for demonitor(). Raises NotFound when the watcher does not run.
        """
        holder = self._running(watcher)
        wanted = agent_of(target)
        self._refs += 1
        ref = self._refs
        pid = wanted if isinstance(wanted, Pid) else self._registry.running(wanted)
        if pid is None or not self._registry.is_running(pid):
            name = wanted.name if isinstance(wanted, Pid) else wanted
            await self._tell(holder, _Notice(name, Down(ref, str(wanted), NOPROC), ref))
            return ref
        self._monitors[ref] = _Monitor(holder, pid)
        self._watched.setdefault(pid, {})[ref] = None
        self._watching.setdefault(holder, {})[ref] = None
        return ref

    def demonitor(self, ref: int) -> bool:
        """Tell of that end no more; False when it was told already. A message in the mailbox stays there."""
        for notices in self._held.values():
            for notice in notices:
                if notice.ref == ref:
                    notices.remove(notice)
                    return True
        monitor = self._monitors.pop(ref, None)
        if monitor is None:
            return False
        _discard(self._watched, monitor.target, ref)
        _discard(self._watching, monitor.watcher, ref)
        return True

    # -- links

    async def link(self, one: str | Pid, other: str | Pid) -> None:
        """When one of the two fails, so does the other; one that traps exits gets an Exit message instead.

        Linking to an agent that does not run is an Exit message (`noproc`) for one that traps
        exits, and NotFound for others. An end with the reason `normal` stops nobody.
        """
        first = self._running(one)
        try:
            second = self._running(other)
        except NotFound:
            if first not in self._trapping:
                raise
            address = agent_of(other)
            name = address.name if isinstance(address, Pid) else address
            await self._tell(first, _Notice(name, Exit(str(other), NOPROC)))
            return
        if first != second:
            self._links.setdefault(first, {})[second] = None
            self._links.setdefault(second, {})[first] = None

    def unlink(self, one: Pid, other: Pid) -> bool:
        """Undo a link; False when there is none."""
        if other not in self._links.get(one, ()):
            return False
        _discard(self._links, one, other)
        _discard(self._links, other, one)
        return True

    def trap_exits(self, who: str | Pid, *, is_trapping: bool = True) -> None:
        """Whether the end of a linked peer becomes a message. Raises NotFound when it does not run."""
        pid = self._running(who)
        if is_trapping:
            self._trapping.add(pid)
        else:
            self._trapping.discard(pid)

    # -- news

    def follow(self, who: str | Pid) -> None:
        """Tell it of every start and end of other agents and of a shutdown. Raises NotFound when it does not run."""
        self._followers[self._running(who)] = None

    def unfollow(self, who: Pid) -> None:
        """Tell it no more."""
        self._followers.pop(who, None)

    async def inform(self, to: str | Pid | Group, info: Info, *, ttl_s: float | None = None) -> PostReceipt:
        """Send a message of the system to an agent. Raises what route() raises."""
        return await self._router.route(to, info_draft(info, ttl_s=ttl_s))

    async def check_health(self, who: str | Pid, *, ttl_s: float) -> PostReceipt:
        """Ask an agent for a sign of life: that it takes this message, and acknowledges it, within ttl_s seconds."""
        return await self.inform(who, HealthCheck(self._clock.now()), ttl_s=ttl_s)

    # -- what the router tells

    async def agent_started(self, pid: Pid) -> None:
        """Tell the followers."""
        for follower in list(self._followers):
            await self._tell(follower, _Notice(pid.name, AgentStarted(str(pid))))

    async def agent_stopped(self, pid: Pid, reason: str) -> Sequence[Fall]:
        """Tell watchers, followers and linked ones that trap exits; return the linked ones that must end."""
        self._forget_watcher(pid)
        lines: list[_Line] = []
        for ref in list(self._watched.pop(pid, ())):
            monitor = self._monitors.pop(ref)
            _discard(self._watching, monitor.watcher, ref)
            lines.append(self._keep(monitor.watcher, _Notice(pid.name, Down(ref, str(pid), reason), ref)))
        falling: list[Fall] = []
        for peer in list(self._links.pop(pid, ())):
            _discard(self._links, peer, pid)
            if peer in self._trapping:
                lines.append(self._keep(peer, _Notice(pid.name, Exit(str(pid), reason))))
            elif reason != NORMAL:
                falling.append((peer, reason))
        lines += [
            self._keep(follower, _Notice(pid.name, AgentStopped(str(pid), reason))) for follower in self._followers
        ]
        # All of them are kept by now: whoever gives up waiting for this takes none of them back.
        for line in dict.fromkeys(lines):
            await self._send(line)
        return falling

    async def shutting_down(self, reason: str) -> None:
        """Tell the followers."""
        for follower in list(self._followers):
            await self._tell(follower, _Notice(SYSTEM_SENDER, SystemShutdown(reason)))

    # -- notices

    @property
    def held_count(self) -> int:
        """Notices that wait for room, or for earlier mail of the peer to be dealt with."""
        return sum(map(len, self._held.values()))

    async def run(self) -> None:
        """Send what is held back as soon as it may go. A service: it never returns."""
        while True:
            await self._wake.wait()
            await self.flush()
            if self._held:
                await self._clock.sleep(_TRY_AGAIN_S)
            else:
                self._wake.clear()

    async def flush(self) -> None:
        """Send what is held back and may go now."""
        for line in list(self._held):
            await self._send(line)

    async def _tell(self, watcher: Pid, notice: _Notice) -> None:
        await self._send(self._keep(watcher, notice))

    def _keep(self, watcher: Pid, notice: _Notice) -> _Line:
        line = watcher, notice.peer
        self._held.setdefault(line, deque()).append(notice)
        self._wake.set()
        return line

    async def _send(self, line: _Line) -> None:
        notices = self._held.get(line)
        if notices is None or line in self._sending:
            return
        self._sending.add(line)
        try:
            while notices:
                notice = notices[0]
                # What is on its way to the disk gets there, also when nobody waits for it any more.
                is_sent = True
                try:
                    is_sent = await self._sent(line[0], notice)
                finally:
                    if is_sent and notices and notices[0] is notice:
                        notices.popleft()
                if not is_sent:
                    break
        finally:
            self._sending.discard(line)
            if notices:
                self._wake.set()
            elif self._held.get(line) is notices:
                del self._held[line]

    async def _sent(self, watcher: Pid, notice: _Notice) -> bool:
        """Whether nothing is left to do for that notice."""
        box = self._boxes.find(MailboxName(watcher.name))
        if box is None or not self._registry.is_running(watcher):
            self.lost_count += box is None
            return True
        if not has_room(box) or self._is_behind_mail(box, notice.peer):
            return False
        try:
            await box.post(info_draft(notice.info, sender=notice.peer, to=str(watcher)))
        except (MailboxFull, StoreError):
            return False
        except HermesError:
            self.lost_count += 1
        return True

    def _is_behind_mail(self, box: Mailbox, peer: str) -> bool:
        """Whether mail of that peer waits or is out there which the mailbox would not keep before a notice."""
        if box.policy.ordered and not self._router.has_own_keys(peer, box.name):
            return False
        live = MailFilter(sender=peer, states=(MailState.QUEUED, MailState.IN_FLIGHT))
        if box.browse(where=live, limit=1):
            return True
        # One that backs off was sent before; one that its sender put off is for later anyway.
        delayed = MailFilter(sender=peer, states=(MailState.DELAYED,))
        return any(mail.attempt for mail in box.browse(where=delayed, limit=_LOOKED_AT))

    # -- who

    def _running(self, who: str | Pid) -> Pid:
        return self._registry.require_running(agent_of(who))

    def _forget_watcher(self, pid: Pid) -> None:
        for ref in self._watching.pop(pid, ()):
            monitor = self._monitors.pop(ref)
            _discard(self._watched, monitor.target, ref)
        self._trapping.discard(pid)
        self._followers.pop(pid, None)
        for line in [line for line in self._held if line[0] == pid]:
            del self._held[line]


def _discard(table: dict[Pid, dict[K, None]], pid: Pid, entry: K) -> None:
    entries = table.get(pid)
    if entries is not None:
        entries.pop(entry, None)
        if not entries:
            del table[pid]
