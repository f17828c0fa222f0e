"""The stage of a turn that is played: time, cancel, steer, decisions, and which calls and questions are open."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence

import msgspec

from core.agents.runner import Decision, RunnerContext, TurnRequest
from core.agents.scripted.scenario import Scenario, Span, Step, filled, pieces
from core.api.runs import (
    ActionKind,
    ActionRequested,
    ActionSettled,
    OptionKind,
    RunReport,
    TextDelta,
    ToolCall,
    ToolReported,
    TurnEnded,
    Usage,
)
from core.waits import CutShort, Waits

Played = AsyncGenerator[RunReport, None]


class Over(Exception):
    """The turn ends here, by its scenario."""

    def __init__(self, end: TurnEnded) -> None:
        super().__init__()
        self.end = end


class Stage:
    """What every step of a turn needs. standing: answers of kind `always` by title, kept by the runner for later
    turns.
    """

    def __init__(
        self,
        context: RunnerContext,
        scenario: Scenario,
        request: TurnRequest,
        *,
        pace: float,
        rng: random.Random,
        standing: dict[str, bool],
    ) -> None:
        self._context = context
        self._request = request
        self._scenario = scenario
        self._pace = pace
        self._rng = rng
        self._standing = standing
        self._said = "\n".join(message.text for message in request.messages)
        self._sender = request.messages[-1].sender if request.messages else ""
        self._waits = Waits()
        self._is_cancelled = False
        self._is_over = False
        self._notes: list[str] = []
        self._open: dict[str, Decision | None] = {}
        self._decision: Decision | None = None
        self._calls: dict[str, ToolCall] = {}
        self._count = 0
        self._usage = Usage(input_tokens=len(self._said.split()))
        self._following: Sequence[Step] = ()
        self._is_done = False
        self._outcome = ""

    def decide(self, action_id: str, decision: Decision) -> bool:
        """Take a decision. False when it is not waited for."""
        if action_id not in self._open or self._open[action_id] is not None:
            return False
        self._open[action_id] = decision
        self._waits.cut()
        return True

    def steer(self, text: str) -> bool:
        """Work a text into what is being said. False when the turn is as good as over."""
        if self._is_over or self._is_cancelled:
            return False
        self._notes.append(text)
        return True

    def cancel(self) -> None:
        """End the turn within the present step."""
        self._is_cancelled = True
        self._waits.cut()

    def _noted(self) -> list[TextDelta]:
        notes, self._notes = self._notes, []
        return [TextDelta(text=f"\n(noted: {note})\n") for note in notes]

    def _check(self) -> None:
        if self._is_cancelled:
            raise CutShort

    async def _sleep(self, seconds: float) -> None:
        self._check()
        if seconds > 0:
            await self._waits.wait(self._context.clock.sleep(seconds))

    def _seconds(self, span: Span) -> float:
        low, high = span if isinstance(span, tuple) else (span, span)
        return (low + (high - low) * self._rng.random()) * self._pace

    def _new_id(self, what: str) -> str:
        self._count += 1
        return f"{what}-{self._count}"

    async def _words(self, text: str) -> AsyncGenerator[str, None]:
        whole = filled(text, self._said, self._sender)
        self._usage = msgspec.structs.replace(
            self._usage, output_tokens=self._usage.output_tokens + max(1, len(whole.split()))
        )
        for piece in pieces(whole) if self._scenario.streamed else [whole]:
            await self._sleep(self._scenario.word_pause_s * self._pace * (0.5 + self._rng.random()))
            yield piece

    def _told(self, call: ToolCall) -> ToolReported:
        if call.status.is_final:
            self._calls.pop(call.id, None)
        else:
            self._calls[call.id] = call
        return ToolReported(call=call)

    async def _asked(self, action: ActionRequested, gives_up_s: float | None) -> Played:
        """Ask, and wait for the answer. Leaves _decision behind; None when none came in time."""
        self._open[action.action_id] = None
        yield action
        limits = [limit for limit in (action.deadline_s, gives_up_s) if limit is not None]
        clock = self._context.clock
        until = clock.monotonic() + min(limits) if limits else None
        while self._open[action.action_id] is None and (until is None or clock.monotonic() < until):
            self._check()
            try:
                await self._waits.wait(forever() if until is None else clock.sleep(until - clock.monotonic()))
            except CutShort:
                continue
        # Before its end is told: whoever holds that report must not be able to decide, or to settle it once more.
        decision = self._decision = self._open.pop(action.action_id)
        if decision is None and gives_up_s is not None and min(limits) == gives_up_s:
            return
        outcome = "expired" if decision is None else ("approved" if decision.allow else "denied")
        yield ActionSettled(action_id=action.action_id, outcome=outcome)

    def _is_allowed(self, action: ActionRequested) -> bool:
        """What was decided; anything but a clear yes is a no."""
        decision = self._decision
        if decision is None:
            return False
        chosen = next((option for option in action.options if option.id == decision.option_id), None)
        # The words are the answer to a question; nobody has to choose besides.
        is_said = action.action_kind is ActionKind.QUESTION and not decision.option_id
        allowed = decision.allow and (is_said or (chosen is not None and chosen.kind.allows))
        if chosen is not None and chosen.kind in {OptionKind.ALLOW_ALWAYS, OptionKind.REJECT_ALWAYS}:
            self._standing[action.title] = allowed
        return allowed


async def forever() -> None:
    """A wait that only ends by being cut."""
    await asyncio.Event().wait()
