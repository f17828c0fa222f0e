"""Plays the steps of a scenario as the reports of one turn; cancel, steer and decisions reach into it."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import msgspec

from core.agents import workspaces
from core.agents.runner import Decision, RunnerContext, TurnRequest
from core.agents.scenario import (
    ApprovalPart,
    ErrorPart,
    RetryPart,
    Scenario,
    Span,
    Step,
    ToolPart,
    UsagePart,
    WritePart,
    filled,
    options_of,
    pieces,
    plan_of,
)
from core.agents.script import HOSTILE
from core.api.base import Mark
from core.api.errors import Refused
from core.api.runs import (
    ActionOption,
    ActionRequested,
    ActionSettled,
    OptionKind,
    Phase,
    PhaseChanged,
    PlanReported,
    RunLogged,
    RunReport,
    RunRetry,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolKind,
    ToolReported,
    ToolStatus,
    TurnEnded,
    Usage,
    UsageReported,
)
from core.waits import CutShort, Waits

Played = AsyncGenerator[RunReport, None]

_WRITE_OPTIONS = (
    ActionOption(id="allow", label="Write it", kind=OptionKind.ALLOW_ONCE),
    ActionOption(id="deny", label="Do not write it", kind=OptionKind.REJECT_ONCE),
)


class _Cancelled(Exception):
    """The turn was asked to stop."""


class _Over(Exception):
    """The turn ends here, by its scenario."""

    def __init__(self, end: TurnEnded) -> None:
        super().__init__()
        self.end = end


class Play:
    """One turn. standing: answers of kind `always` by title, kept by the runner for later turns."""

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
        self._calls: dict[str, ToolCall] = {}
        self._count = 0
        self._usage = Usage(input_tokens=len(self._said.split()))
        self._following: Sequence[Step] = ()
        self._plays: dict[str, Callable[[Step], Played]] = {
            name: getattr(self, f"_play_{name}") for name in Step.__struct_fields__
        }

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

    async def reports(self, steps: Sequence[Step]) -> Played:
        """All of the turn, to its TurnEnded."""
        end = TurnEnded(stop=Stop.END_TURN)
        try:
            async with aclosing(self._stepwise(steps)) as played:
                async for report in played:
                    yield report
        except _Cancelled:
            end = TurnEnded(stop=Stop.CANCELLED)
        except _Over as over:
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
            async with aclosing(self._plays[step.name](step)) as played:
                async for report in played:
                    yield report
            if self._following:
                stack.append(iter(self._following))
                self._following = ()

    def _noted(self) -> list[TextDelta]:
        notes, self._notes = self._notes, []
        return [TextDelta(text=f"\n(noted: {note})\n") for note in notes]

    def _check(self) -> None:
        if self._is_cancelled:
            raise _Cancelled

    async def _sleep(self, seconds: float) -> None:
        self._check()
        if seconds > 0:
            try:
                await self._waits.wait(self._context.clock.sleep(seconds))
            except CutShort:
                raise _Cancelled from None

    def _seconds(self, span: Span) -> float:
        low, high = span if isinstance(span, tuple) else (span, span)
        return (low + (high - low) * self._rng.random()) * self._pace

    def _new_id(self, what: str) -> str:
        self._count += 1
        return f"{what}-{self._count}"

    def _mark(self, later_s: float) -> Mark:
        clock = self._context.clock
        return Mark(clock.now() + later_s, clock.monotonic() + later_s)

    async def _words(self, text: str) -> AsyncGenerator[str, None]:
        whole = filled(text, self._said, self._sender)
        self._usage = msgspec.structs.replace(
            self._usage, output_tokens=self._usage.output_tokens + max(1, len(whole.split()))
        )
        for piece in pieces(whole) if self._scenario.streamed else [whole]:
            await self._sleep(self._scenario.word_pause_s * self._pace * (0.5 + self._rng.random()))
            yield piece

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

    def _told(self, call: ToolCall) -> ToolReported:
        if call.status.is_final:
            self._calls.pop(call.id, None)
        else:
            self._calls[call.id] = call
        return ToolReported(call=call)

    async def _play_plan(self, step: Step) -> Played:
        yield PlanReported(steps=plan_of(step.plan or ()))

    async def _play_pause(self, step: Step) -> Played:
        await self._sleep(self._seconds(step.pause or 0.0))
        for note in self._noted():
            yield note

    async def _play_silent(self, step: Step) -> Played:
        if step.silent:
            self._check()
            try:
                await self._waits.wait(_forever())
            except CutShort:
                raise _Cancelled from None
        return
        yield

    async def _play_crash(self, step: Step) -> Played:
        raise _Over(TurnEnded(stop=Stop.DIED, error=step.crash or "the agent process ended", code="crashed"))
        yield

    async def _play_error(self, step: Step) -> Played:
        part = step.error or ErrorPart(message="failed")
        raise _Over(TurnEnded(stop=Stop.ERROR, error=part.message, code=part.code))
        yield

    async def _play_stop(self, step: Step) -> Played:
        raise _Over(TurnEnded(stop=step.stop or Stop.END_TURN))
        yield

    async def _play_ask(self, step: Step) -> Played:
        async for piece in self._words(step.ask or ""):
            yield TextDelta(text=piece)
        yield PhaseChanged(phase=Phase.CLARIFY)
        raise _Over(TurnEnded(stop=Stop.WAITING_FOR_INPUT))

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
        retry = RunRetry(next_at=self._mark(seconds), count=part.count, reason=part.reason)
        yield PhaseChanged(phase=Phase.RETRY_BACKOFF, retry=retry)
        await self._sleep(seconds)
        yield PhaseChanged(phase=Phase.MODEL)

    async def _play_approval(self, step: Step) -> Played:
        part = step.approval or ApprovalPart(title="")
        action = ActionRequested(
            action_id=self._new_id("act"),
            title=filled(part.title, self._said, self._sender),
            detail=filled(part.detail, self._said, self._sender),
            kind=part.kind,
            options=options_of(part),
            deadline_s=part.deadline_s,
        )
        if action.title in self._standing:
            allowed = self._standing[action.title]
            yield RunLogged(level="info", text=f"{action.title}: decided by a standing {'yes' if allowed else 'no'}")
            self._following = part.allow if allowed else part.deny
            return
        async for report in self._asked(action, part.gives_up_s):
            yield report
        self._following = part.allow if self._is_allowed(action) else part.deny

    async def _asked(self, action: ActionRequested, gives_up_s: float | None) -> Played:
        self._open[action.action_id] = None
        yield action
        limits = [limit for limit in (action.deadline_s, gives_up_s) if limit is not None]
        clock = self._context.clock
        until = clock.monotonic() + min(limits) if limits else None
        while self._open[action.action_id] is None and (until is None or clock.monotonic() < until):
            self._check()
            try:
                await self._waits.wait(_forever() if until is None else clock.sleep(until - clock.monotonic()))
            except CutShort:
                continue
        decision = self._open[action.action_id]
        if decision is None and gives_up_s is not None and min(limits) == gives_up_s:
            return
        outcome = "expired" if decision is None else ("approved" if decision.allow else "denied")
        yield ActionSettled(action_id=action.action_id, outcome=outcome)

    def _is_allowed(self, action: ActionRequested) -> bool:
        """What was decided; anything but a clear yes is a no."""
        decision = self._open.pop(action.action_id, None)
        if decision is None:
            return False
        chosen = next((option for option in action.options if option.id == decision.option_id), None)
        allowed = decision.allow and chosen is not None and chosen.kind.allows
        if chosen is not None and chosen.kind in {OptionKind.ALLOW_ALWAYS, OptionKind.REJECT_ALWAYS}:
            self._standing[action.title] = allowed
        return allowed

    async def _play_write(self, step: Step) -> Played:
        part = step.write or WritePart(path="", text="")
        path = filled(part.path, self._said, self._sender)
        text = filled(part.text, self._said, self._sender)
        call = ToolCall(id=self._new_id("call"), title=f"write {path}", kind=ToolKind.EDIT, input=path)
        folder = self._context.workspace
        try:
            edit = await asyncio.to_thread(workspaces.propose, folder, path, text)
            call = msgspec.structs.replace(call, diff=edit.diff)
            yield self._told(call)
            action = _write_action(self._new_id("act"), path, call)
            async for report in self._asked(action, None):
                yield report
            self._check()
            if not self._is_allowed(action):
                yield self._told(msgspec.structs.replace(call, status=ToolStatus.FAILED, output="not allowed"))
                yield TextDelta(text=f"I did not write {path}: it was not allowed.")
                return
            call = msgspec.structs.replace(call, status=ToolStatus.IN_PROGRESS)
            yield self._told(call)
            await asyncio.to_thread(workspaces.carry_out, folder, edit)
            yield self._told(msgspec.structs.replace(call, status=ToolStatus.COMPLETED, output=f"wrote {path}"))
            yield TextDelta(text=f"Wrote {path}.")
        except Refused as error:
            yield self._told(msgspec.structs.replace(call, status=ToolStatus.FAILED, output=error.message))
            yield TextDelta(text=f"I did not write {path}: {error.message}.")


async def _forever() -> None:
    await asyncio.Event().wait()


def _write_action(action_id: str, path: str, call: ToolCall) -> ActionRequested:
    return ActionRequested(
        action_id=action_id,
        title=f"Write {path}",
        detail=call.diff,
        kind=ToolKind.EDIT,
        options=_WRITE_OPTIONS,
        tool_call_id=call.id,
    )
