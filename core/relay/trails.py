"""Where messages have been, in numbers: what ends a loop, and who relays to whom.

All of it is in memory and bounded. A start takes up the last messages of the books.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping

import msgspec

from core.api.base import Mark, Seq, SessionId
from core.api.relay_targets import RelayEdge, RelayGraph
from core.api.relay_tasks import RelayDirection, RelayReason, RelayState
from core.clock import Clock, mark
from core.relay.loops import Limits, before, begun, onward, passed, refusal
from core.relay.task import RelayTask
from core.relay.wire import Trail
from core.relay_settings import RelaySettings

WINDOW_S = 86_400.0
"""Seconds that the graph looks back."""

_HOUR_S = 3600.0
_EDGES_KEPT = 2_000
_SESSIONS_KEPT = 10_000
_CONVERSATIONS_KEPT = 20_000
_TURNS_KEPT = 200_000
_TEXT_LIMIT = 200


class _Edge:
    """What went from one to another. hours: hour, sent and failed, the oldest first."""

    def __init__(self) -> None:
        self.hours: deque[list[int]] = deque()
        self.last = Mark(0.0, 0.0)
        self.tripped_mono: float | None = None
        self.why = ""
        self.path: tuple[str, ...] = ()

    def add(self, at: Mark, *, is_failed: bool) -> None:
        hour = int(at.mono // _HOUR_S)
        if not self.hours or self.hours[-1][0] != hour:
            self.hours.append([hour, 0, 0])
        self.hours[-1][1] += 1
        self.hours[-1][2] += is_failed
        self.last = at

    def trip(self, at: float, why: str, path: tuple[str, ...]) -> None:
        self.tripped_mono, self.why, self.path = at, why, path

    def forget(self, now: float) -> None:
        oldest = int((now - WINDOW_S) // _HOUR_S)
        while self.hours and self.hours[0][0] <= oldest:
            self.hours.popleft()
        if self.tripped_mono is not None and now - self.tripped_mono > WINDOW_S:
            self.tripped_mono, self.why, self.path = None, "", ()


class _Session(msgspec.Struct, frozen=True, gc=False):
    """What a conversation here is about. is_answer: it answers a message that came in, with this trail."""

    trail: Trail
    at: float
    is_answer: bool


class Trails:
    """Turns of conversations and edges between bots, within a window."""

    def __init__(self, settings: RelaySettings, clock: Clock) -> None:
        self._clock = clock
        self._limits = Limits(hops=settings.hop_limit, turns=settings.turn_limit, window_s=settings.turn_window_s)
        self.name = settings.name
        """How we call ourselves in paths."""
        self._edges: OrderedDict[tuple[str, str], _Edge] = OrderedDict()
        self._sessions: OrderedDict[SessionId, _Session] = OrderedDict()
        self._turns: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._turn_count = 0
        # Conversations of messages that came without a trail: with which peer.
        self._roots: OrderedDict[str, str] = OrderedDict()

    def open(self, tasks: Iterable[RelayTask]) -> None:
        """Take up messages of an earlier start, such as those of the last day."""
        now = mark(self._clock)
        for task in sorted(tasks, key=lambda task: task.created.at):
            age_s = max(0.0, now.at - task.created.at)
            if age_s < WINDOW_S:
                self._take_up(task, Mark(task.created.at, now.mono - age_s))

    def of_session(self, session_id: SessionId | None, task_id: str) -> Trail:
        """The trail of a message that a conversation here sends on: it goes on where what it answers came from.

        All that a conversation sends within the window of turns counts as one conversation of bots, also when nothing
        came in: what a bot answers may make it send again.
        """
        if session_id is None:
            return begun(task_id, self.name)
        now = self._clock.monotonic()
        found = self._sessions.get(session_id)
        if found is None or now - found.at > (WINDOW_S if found.is_answer else self._limits.window_s):
            found = _Session(Trail(conversation=task_id), now, is_answer=False)
        self._keep_session(session_id, msgspec.structs.replace(found, at=now))
        trail = found.trail
        return onward(trail, self.name) if found.is_answer else begun(trail.conversation, self.name)

    def bind(self, session_id: SessionId, trail: Trail) -> None:
        """From here on the conversation answers a message with this trail."""
        self._keep_session(session_id, _Session(trail, self._clock.monotonic(), is_answer=True))

    def refusal(self, trail: Trail, target: str, *, peer: str = "") -> str:
        """Why a message may go no further, with its path in words; "" when it may. Takes a turn of its conversation
        when it may. peer: who sent it, of one that came in.

        What is sent on because of messages of a peer that hands no trails on counts as one conversation with that
        peer: nobody can tell whether it comes back. What such a peer calls a conversation is one of its own.
        """
        now = self._clock.monotonic()
        turns = self._turns_of(self._counted_as(trail, peer), now)
        why = refusal(trail, target[:_TEXT_LIMIT], own=self.name, turns=turns, limits=self._limits)
        if not why:
            self._take(trail, peer, now)
        return why

    def not_taken(self, trail: Trail, *, peer: str = "") -> None:
        """Give back the turn of a message that could not be kept: whoever sends it again is in no loop."""
        key = self._counted_as(trail, peer)
        if turns := self._turns.get(key):
            turns.pop()
            self._turn_count -= 1
            if not turns:
                del self._turns[key]

    def noted(self, source: str, target: str, *, is_failed: bool, why: str = "", trail: Trail | None = None) -> None:
        """Something went from one to the other. why: the limit that it hit."""
        now = mark(self._clock)
        edge = self._add(source, target, now, is_failed=is_failed)
        if why:
            edge.trip(now.mono, why, () if trail is None else (*trail.path, target[:_TEXT_LIMIT]))

    def graph(self, seq: Seq, breakers: Mapping[str, str] | None = None) -> RelayGraph:
        """All edges, the latest first. breakers: the state of what is not closed, by name of bot."""
        now = self._clock.monotonic()
        known = breakers or {}
        edges: list[RelayEdge] = []
        for (source, target), edge in reversed(tuple(self._edges.items())):
            edge.forget(now)
            if not edge.hours:
                del self._edges[source, target]
                continue
            edges.append(
                RelayEdge(
                    source=source,
                    target=target,
                    sent=sum(hour[1] for hour in edge.hours),
                    failed=sum(hour[2] for hour in edge.hours),
                    last=edge.last,
                    is_tripped=edge.tripped_mono is not None,
                    why=edge.why,
                    path=edge.path,
                    breaker=known.get(target, ""),
                )
            )
        return RelayGraph(
            edges=tuple(edges),
            window_s=WINDOW_S,
            hop_limit=self._limits.hops,
            turn_limit=self._limits.turns,
            seq=seq,
        )

    # -- inside

    def _take_up(self, task: RelayTask, created: Mark) -> None:
        is_out = task.direction is RelayDirection.OUT
        source = (str(task.session_id or "") or task.sender) if is_out else task.peer
        target = task.name if is_out else self.name
        is_failed = task.state in {RelayState.FAILED, RelayState.DEAD}
        edge = self._add(source, target, created, is_failed=is_failed)
        if task.reason is RelayReason.LOOP:
            # It took no turn, and nothing follows from it.
            edge.trip(created.mono, task.error, (*task.trail.path, target))
            return
        self._take(task.trail, "" if is_out else task.peer, created.mono)
        if task.session_id is not None:
            trail = before(task.trail) if is_out else task.trail
            is_answer = not is_out or task.trail.hops > 0
            self._keep_session(task.session_id, _Session(trail, created.mono, is_answer))

    def _add(self, source: str, target: str, at: Mark, *, is_failed: bool) -> _Edge:
        key = (source or self.name)[:_TEXT_LIMIT], (target or self.name)[:_TEXT_LIMIT]
        edge = self._edges.get(key)
        if edge is None:
            edge = self._edges[key] = _Edge()
            if len(self._edges) > _EDGES_KEPT:
                self._edges.popitem(last=False)
        else:
            self._edges.move_to_end(key)
            edge.forget(at.mono)
        edge.add(at, is_failed=is_failed)
        return edge

    def _keep_session(self, session_id: SessionId, session: _Session) -> None:
        self._sessions[session_id] = session
        self._sessions.move_to_end(session_id)
        if len(self._sessions) > _SESSIONS_KEPT:
            self._sessions.popitem(last=False)

    def _counted_as(self, trail: Trail, peer: str) -> tuple[str, str]:
        """Whose conversation of which name a turn is of: of one peer, or "" for all that hand its trail on.

        peer: "" for what goes out.
        """
        if peer:
            return "" if passed(trail) else peer, trail.conversation
        root = self._roots.get(trail.conversation)
        return ("", trail.conversation) if root is None else (root, "")

    def _take(self, trail: Trail, peer: str, at: float) -> None:
        self._take_turn(self._counted_as(trail, peer), at)
        if peer and not passed(trail):
            self._take_root(trail.conversation, peer)

    def _take_root(self, conversation: str, peer: str) -> None:
        self._roots[conversation] = peer
        self._roots.move_to_end(conversation)
        if len(self._roots) > _CONVERSATIONS_KEPT:
            self._roots.popitem(last=False)

    def _turns_of(self, conversation: tuple[str, str], now: float) -> int:
        turns = self._turns.get(conversation)
        if turns is None:
            return 0
        while turns and turns[0] <= now - self._limits.window_s:
            turns.popleft()
            self._turn_count -= 1
        if not turns:
            del self._turns[conversation]
        return len(turns)

    def _take_turn(self, conversation: tuple[str, str], at: float) -> None:
        if at <= self._clock.monotonic() - self._limits.window_s:
            return
        turns = self._turns.setdefault(conversation, deque())
        self._turns.move_to_end(conversation)
        turns.append(at)
        self._turn_count += 1
        # Those that were quiet for longest are forgotten first, never the one that just spoke.
        while len(self._turns) > 1 and (len(self._turns) > _CONVERSATIONS_KEPT or self._turn_count > _TURNS_KEPT):
            self._turn_count -= len(self._turns.popitem(last=False)[1])
