"""Plays the steps of a scenario as the reports of one turn; cancel, steer and decisions reach into it."""

from collections.abc import Callable, Sequence
from contextlib import aclosing

import msgspec

from core.agents.scripted.scenario import ErrorPart, RetryPart, Step, ToolPart, UsagePart, filled, plan_of
from core.agents.scripted.script import HOSTILE, MODES_WITHOUT_QUESTIONS
from core.agents.scripted.stages import Over, Played, forever
from core.agents.scripted.tools import ToolPlays
from core.agents.turn_waits import retrying
from core.api.runs import (
    ActionSettled,
    ModeReported,
    Phase,
    PhaseChanged,
    PlanReported,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolReported,
    ToolStatus,
    TurnEnded,
    Usage,
    UsageReported,
)
from core.waits import CutShort


class Play(ToolPlays):
    """One turn."""

    async def reports(self, steps: Sequence[Step]) -> Played:
        """All of the turn, to its TurnEnded."""
        end = TurnEnded(stop=Stop.END_TURN)
        try:
            async with aclosing(self._stepwise(steps)) as played:
                async for report in played:
                    yield report
        except CutShort:
            end = TurnEnded(stop=Stop.CANCELLED)
        except Over as over:
            end = over.end
        self._is_over = True
        for action_id in list(self._open):
            del self._open[action_id]
            yield ActionSettled(action_id=action_id, outcome="withdrawn")
        for call in self._calls.values():
            yield ToolReported(call=msgspec.structs.replace(call, status=ToolStatus.ENDED))
        yield msgspec.structs.replace(end, usage=self._usage)

    async def _stepwise(self, steps: Sequence[Step]) -> Played:
        stack = [iter(steps)]
        while stack:
            self._check()
            for note in self._noted():
                yield note
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                continue
            play: Callable[[Step], Played] = getattr(self, f"_play_{step.name}")
            async with aclosing(play(step)) as played:
                async for report in played:
                    yield report
            if self._following:
                stack.append(iter(self._following))
                self._following = ()

    async def _play_text(self, step: Step) -> Played:
        async for piece in self._words(step.text or ""):
            yield TextDelta(text=piece)

    async def _play_thought(self, step: Step) -> Played:
        async for piece in self._words(step.thought or ""):
            yield ThoughtDelta(text=piece)

    async def _play_tool(self, step: Step) -> Played:
        part = step.tool or ToolPart(title="")
        call = ToolCall(
            id=self._new_id("call"),
            title=part.title,
            kind=part.kind,
            status=ToolStatus.IN_PROGRESS,
            input=filled(part.input, self._said, self._sender),
            diff=part.diff,
        )
        yield self._told(call)
        await self._sleep(self._seconds(part.seconds))
        status = ToolStatus.FAILED if part.fail else ToolStatus.COMPLETED
        yield self._told(msgspec.structs.replace(call, status=status, output=part.output))

    async def _play_plan(self, step: Step) -> Played:
        yield PlanReported(steps=plan_of(step.plan or ()))

    async def _play_pause(self, step: Step) -> Played:
        await self._sleep(self._seconds(step.pause or 0.0))
        for note in self._noted():
            yield note

    async def _play_silent(self, step: Step) -> Played:
        if step.silent:
            self._check()
            await self._waits.wait(forever())
        return
        yield

    async def _play_crash(self, step: Step) -> Played:
        raise Over(TurnEnded(stop=Stop.DIED, error=step.crash or "the agent process ended", code="crashed"))
        yield

    async def _play_error(self, step: Step) -> Played:
        part = step.error or ErrorPart(message="failed")
        raise Over(TurnEnded(stop=Stop.ERROR, error=part.message, code=part.code))
        yield

    async def _play_stop(self, step: Step) -> Played:
        raise Over(TurnEnded(stop=step.stop or Stop.END_TURN))
        yield

    async def _play_ask(self, step: Step) -> Played:
        async for piece in self._words(step.ask or ""):
            yield TextDelta(text=piece)
        yield PhaseChanged(phase=Phase.CLARIFY)
        raise Over(TurnEnded(stop=Stop.WAITING_FOR_INPUT))

    async def _play_wrong(self, step: Step) -> Played:
        if step.wrong:
            yield TextDelta(text=HOSTILE)

    async def _play_flood(self, step: Step) -> Played:
        for number in range(step.flood or 0):
            self._check()
            yield TextDelta(text=f"{number} ")

    async def _play_usage(self, step: Step) -> Played:
        part = step.usage or UsagePart()
        self._usage = Usage(
            input_tokens=part.input_tokens,
            output_tokens=part.output_tokens,
            context_tokens=part.context_tokens,
            context_limit=part.context_limit,
            cost_usd=part.cost_usd,
        )
        yield UsageReported(usage=self._usage)

    async def _play_retry(self, step: Step) -> Played:
        part = step.retry or RetryPart(reason="")
        seconds = self._seconds(part.seconds)
        yield retrying(self._context.clock, seconds, count=part.count, reason=part.reason)
        await self._sleep(seconds)
        yield PhaseChanged(phase=Phase.MODEL)

    async def _play_mode(self, step: Step) -> Played:
        mode = step.mode or ""
        yield ModeReported(mode=mode, asks=mode not in MODES_WITHOUT_QUESTIONS)
