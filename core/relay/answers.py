"""Answers of bots: asked for until they come, taken when they are sent, kept when they are late, told to who asked."""

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Callable

from core.api.base import Mark
from core.api.errors import HermesError, NotFound
from core.api.relay_tasks import (
    AttemptResult,
    RelayAnsweredLate,
    RelayDirection,
    RelayEnded,
    RelayReason,
    RelayState,
    RelayTaskView,
)
from core.backoff import ceiling_s
from core.clock import Clock, mark
from core.relay.calling import Calling
from core.relay.ledger import Change, Ledger
from core.relay.plan import LAST_POLL_S, asked_by_now, poll_s
from core.relay.ports import Askers
from core.relay.sending import with_answer
from core.relay.targets import Targets, Way
from core.relay.task import RelayTask, late, silent, told, unanswered
from core.relay.timers import Timers
from core.relay.wire import Reply
from core.relay_settings import RelaySettings
from core.supervisor import Supervisor

_ASKS_AT_A_TIME = 4
_TELL_LIMIT_S = 30.0
_TELL_BASE_S, _TELL_CAP_S = 1.0, 60.0

_WHY = {
    RelayReason.REFUSED: "it does not take the message",
    RelayReason.UNDELIVERED: "the message could not be delivered",
    RelayReason.UNANSWERED: "it has the message, and no answer came",
    RelayReason.UNKNOWN: "nobody can tell whether it has the message",
    RelayReason.LOOP: "the message has come around too often",
    RelayReason.AGENT: "it tried, and failed",
    RelayReason.POLICY: "our own rules forbid it",
}


class Answers:
    """What comes back for messages that went out.

    One task waits for all that is due. A far side is asked for a few messages at a time, so that one which hangs costs
    little. on_fault: told when an answer could not be given to who asked, and will not be.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        supervisor: Supervisor,
        settings: RelaySettings,
        ledger: Ledger,
        targets: Targets,
        calling: Calling,
        askers: Askers,
        random: Callable[[], float],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._settings = settings
        self._ledger = ledger
        self._targets = targets
        self._calling = calling
        self._askers = askers
        self._random = random
        self._on_fault = on_fault
        self._asks = Timers(clock, self._ask_due)
        self._tells = Timers(clock, self._tell_due)
        self._asked: dict[str, int] = {}
        self._asking: defaultdict[str, int] = defaultdict(int)
        self._in_line: defaultdict[str, deque[str]] = defaultdict(deque)
        self._told: dict[str, int] = {}
        self._is_running = False
        ledger.on_change(self.expect)

    async def start(self) -> None:
        """Go on asking for what an earlier start waited for, and tell whom it did not tell."""
        self._is_running = True
        for task in list(self._ledger.live()):
            self.expect(task)
        self._supervisor.start("relay answers", self._asks.run)
        self._supervisor.start("relay tellings", self._tells.run)

    async def stop(self) -> None:
        """Ask for nothing more."""
        self._is_running = False

    def expect(self, task: RelayTask) -> None:
        """A message has changed: ask while it is delivered and unanswered, tell once it is over."""
        if task.direction is not RelayDirection.OUT or not self._is_running:
            return
        if task.state is RelayState.WORKING:
            if task.id not in self._asked:
                self._ask_first(task)
        elif self._asked.pop(task.id, None) is not None:
            self._asks.drop(task.id)
        if task.is_untold and task.state.is_over and task.id not in self._told:
            self._told[task.id] = 0
            self._tells.set(task.id, self._clock.monotonic())

    async def came(self, peer: str, wire_id: str, reply: Reply) -> None:
        """A peer sent an answer by itself. One that is late is kept. Raises NotFound when it was not asked."""

        def decide(task: RelayTask) -> Change | None:
            # Before the first attempt nobody over there can know of it.
            is_asked = task.direction is RelayDirection.OUT and bool(task.attempts or task.state is RelayState.SENDING)
            if not is_asked or not peer or task.peer != peer:
                raise _not_asked(wire_id)
            if reply.state is None or not reply.state.is_over:
                return None
            return self._taken(task, reply)

        await self._ledger.change(wire_id, decide)

    # -- asking

    def _limit_at(self, task: RelayTask) -> float:
        """When no answer is waited for any more, monotonic seconds."""
        return self._delivered(task) + self._settings.answer_limit_s

    def _delivered(self, task: RelayTask) -> float:
        last = task.attempts[-1] if task.attempts else None
        return task.queued.mono if last is None else last.began.mono + last.latency_s

    def _ask_first(self, task: RelayTask) -> None:
        now = self._clock.monotonic()
        count = self._asked[task.id] = asked_by_now(now - self._delivered(task))
        # Of many that an earlier start left, not all are asked for at once.
        wait_s = poll_s(count, self._random) * (self._random() if count else 1.0)
        self._asks.set(task.id, min(now + wait_s, self._limit_at(task)))

    def _ask_later(self, task: RelayTask, at_least_s: float = 0.0) -> None:
        count = self._asked[task.id]
        wait_s = max(poll_s(count, self._random), min(at_least_s, LAST_POLL_S))
        now, limit_at = self._clock.monotonic(), self._limit_at(task)
        self._asks.set(task.id, min(now + wait_s, limit_at) if now < limit_at else now + wait_s)

    def _ask_due(self, task_id: str) -> None:
        task = self._ledger.find_live(task_id)
        if task is None or task.state is not RelayState.WORKING or not self._is_running:
            self._asked.pop(task_id, None)
            return
        if self._asking[task.origin] >= _ASKS_AT_A_TIME:
            self._in_line[task.origin].append(task_id)
            return
        self._asking[task.origin] += 1
        self._supervisor.spawn(f"relay ask:{task_id}", self._ask_in_turn(task.origin, task_id))

    async def _ask_in_turn(self, origin: str, first: str) -> None:
        """Ask for one, and for those that stand in line meanwhile."""
        try:
            task_id: str | None = first
            while task_id is not None:
                await self._ask(task_id)
                line = self._in_line.get(origin)
                task_id = line.popleft() if line else None
        finally:
            self._asking[origin] -= 1
            if not self._asking[origin]:
                del self._asking[origin]
                if not self._in_line.get(origin):
                    self._in_line.pop(origin, None)

    async def _ask(self, task_id: str) -> None:
        task = self._ledger.find_live(task_id)
        if task is None or task.state is not RelayState.WORKING or task_id not in self._asked or not self._is_running:
            return
        try:
            is_last = self._clock.monotonic() >= self._limit_at(task)
            way = self._targets.ask(task.origin)
            if not isinstance(way, Way):
                # What an operator stopped is no fault of the far side: it is asked once more before it is given up.
                if is_last and not math.isinf(way):
                    await self._ledger.change(task_id, self._given_up)
                else:
                    self._ask_later(task, way)
                return
            reply = await self._reply(task, way)
            is_over = reply.result is AttemptResult.DELIVERED and (
                reply.is_silent or (reply.state is not None and reply.state.is_over)
            )
            if is_over:
                await self._ledger.change(task_id, lambda current: self._taken(current, reply))
            elif is_last:
                await self._ledger.change(task_id, self._given_up)
            elif task_id in self._asked:
                self._asked[task_id] += 1
                self._ask_later(task, reply.retry_after_s or 0.0)
        except HermesError:
            # The store does not take it for now: it will be asked again.
            if task_id in self._asked:
                self._asked[task_id] += 1
                self._ask_later(task)

    async def _reply(self, task: RelayTask, way: Way) -> Reply:
        reply = Reply(result=AttemptResult.CUT_OFF)
        try:
            reply = await self._calling.ask(task)
        finally:
            self._targets.settle(way, reply)
        return reply

    def _given_up(self, task: RelayTask) -> Change | None:
        if task.state is not RelayState.WORKING:
            return None
        error = f"no answer within {self._settings.answer_limit_s:g} s"
        return Change(unanswered(task, mark(self._clock), error), _ended)

    def _taken(self, task: RelayTask, reply: Reply) -> Change | None:
        now = mark(self._clock)
        if task.state.is_over:
            if reply.state is not RelayState.COMPLETED:
                return None
            after = late(task, now, answer=reply.answer[: self._settings.text_limit], error=reply.error)
            return None if after is task else Change(after, _late)
        if reply.is_silent:
            if task.state is not RelayState.WORKING:
                return None
            is_lost = reply.state is RelayState.FAILED
            return Change(unanswered(task, now, reply.error) if is_lost else silent(task, now), _ended)
        return Change(with_answer(task, reply, now, self._settings.text_limit), _ended)

    # -- telling

    def _tell_due(self, task_id: str) -> None:
        if self._is_running:
            self._supervisor.spawn(f"relay tell:{task_id}", self._tell(task_id))

    async def _tell(self, task_id: str) -> None:
        """Tell the conversation that asked. It is noted then, and what is told twice by a crash has the same key."""
        task = self._ledger.find_live(task_id)
        if task is None or task.session_id is None or not task.is_untold:
            self._told.pop(task_id, None)
            return
        text, is_answer = words_for(task)
        key = f"relay:{task.id}:{task.round}:{'late' if task.is_late else 'end'}"
        try:
            async with asyncio.timeout(_TELL_LIMIT_S):
                await self._askers.tell(
                    task.session_id, text, bot=task.name, is_answer=is_answer, key=key, by=task.sender
                )
        except TimeoutError:
            self._tell_again(task_id)
            return
        except HermesError as error:
            if error.retryable:
                self._tell_again(task_id)
                return
            self._on_fault(f"relay answer for {task.session_id}", error)
        try:
            after = await self._ledger.change(task_id, lambda current: _noted(current, task, mark(self._clock)))
        except HermesError:
            self._tell_again(task_id)
            return
        self._told.pop(task_id, None)
        self.expect(after)

    def _tell_again(self, task_id: str) -> None:
        count = self._told[task_id] = self._told.get(task_id, 0) + 1
        wait_s = ceiling_s(count, base_s=_TELL_BASE_S, cap_s=_TELL_CAP_S)
        self._tells.set(task_id, self._clock.monotonic() + wait_s)


def words_for(task: RelayTask) -> tuple[str, bool]:
    """What is said of a message that is over, and whether those are the bot's own words."""
    is_done = task.state is RelayState.COMPLETED or task.is_late
    if task.answer and task.answered is not None and is_done:
        return task.answer, True
    if task.state is RelayState.COMPLETED:
        why = _WHY.get(task.reason, "it is done, and says nothing")
        return f"{task.name}: {why}", False
    why = _WHY.get(task.reason, task.state.value)
    said = f"; it said: {task.answer}" if task.answer and task.answered is not None else ""
    return f"{task.name}: {why}" + (f" ({task.error})" if task.error else "") + said, False


def _noted(current: RelayTask, said: RelayTask, now: Mark) -> Change | None:
    """It was told what was so then. What came since is still to be told."""
    if not current.is_untold or current.answer != said.answer:
        return None
    return Change(told(current, now))


def _ended(view: RelayTaskView) -> RelayEnded:
    return RelayEnded(task=view)


def _late(view: RelayTaskView) -> RelayAnsweredLate:
    return RelayAnsweredLate(task=view)


def _not_asked(wire_id: str) -> NotFound:
    return NotFound(f"no message {wire_id} waits for an answer", noun="relay task", id=wire_id)
