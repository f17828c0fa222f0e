"""The tool loop of a chat endpoint: asks the model, has each call decided, carries it out, and asks again."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from core.agents.chat.answer import Answer
from core.agents.chat.completions import ChatError, result_message, wish_message
from core.agents.runner import Decision
from core.agents.tools.calls import LOOP_LIMIT, LoopWatch, WantedCall
from core.agents.tools.output import shortened
from core.agents.tools.tools import Prepared, ToolOutcome, Tools, refusal_text
from core.agents.turn_waits import TurnWaits
from core.api.errors import HermesError
from core.api.runs import (
    ActionOption,
    ActionRequested,
    ActionSettled,
    OptionKind,
    RunLogged,
    RunReport,
    Stop,
    TextDelta,
    ToolCall,
    ToolReported,
    ToolStatus,
    Usage,
    UsageReported,
)

Message = Mapping[str, Any]
Reports = AsyncGenerator[RunReport, None]
NO_TOOLS = "this agent has no tools"
OPTIONS = (
    ActionOption(id="allow", label="Allow once", kind=OptionKind.ALLOW_ONCE),
    ActionOption(id="deny", label="Deny", kind=OptionKind.REJECT_ONCE),
)
_GAP = "\n\n"
_NAMES_LIMIT = 300
_INPUT_LIMIT = 16_384


class Rounds:
    """One turn. stop: why it ended, once it has; usage: of all rounds so far.

    ask: puts the conversation to the model once, and fills the answer. new_id: ids of actions.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Sequence[Message], Answer], Reports],
        tools: Tools,
        waits: TurnWaits,
        new_id: Callable[[], str],
        cwd: str,
        max_rounds: int,
    ) -> None:
        self._ask = ask
        self._tools = tools
        self._waits = waits
        self._new_id = new_id
        self._cwd = cwd
        self._max_rounds = max_rounds
        self._watch = LoopWatch()
        self._action_id = ""
        self._decision: Decision | None = None
        self._decided = asyncio.Event()
        self._unfinished: dict[str, ToolCall] = {}
        self._ids: set[str] = set()
        self._has_spoken = False
        self.stop = Stop.END_TURN
        self.usage = Usage()

    def decide(self, action_id: str, decision: Decision) -> bool:
        """Take a decision. False when it is not waited for."""
        if not self._action_id or action_id != self._action_id or self._decision is not None:
            return False
        self._decision = decision
        self._decided.set()
        return True

    async def reports(self, messages: Sequence[Message]) -> Reports:
        """All of the turn but its end. Raises ChatError, CutShort."""
        said = list(messages)
        calls: list[WantedCall] = []
        for number in range(self._max_rounds + 1):
            answer = Answer()
            async with aclosing(self._round(said, answer)) as found:
                async for report in found:
                    yield report
            calls = [self._named(call) for call in answer.calls()]
            if not answer.wants_tools() or not self._tools.names:
                for report in self._unwanted(answer, calls):
                    yield report
                return
            if number == self._max_rounds:
                break
            said.append(wish_message(answer.text, calls))
            for call in calls:
                async with aclosing(self._call(call, said)) as found:
                    async for report in found:
                        yield report
        for call in calls:
            yield _failed(call, f"not run: the turn has had its {self._max_rounds} rounds of tool calls")
        self.stop = Stop.MAX_TURNS

    def leftovers(self) -> Iterator[RunReport]:
        """What is still open when the turn ends early."""
        if self._action_id:
            yield ActionSettled(action_id=self._action_id, outcome="withdrawn")
            self._action_id = ""
        for call in self._unfinished.values():
            yield ToolReported(call=msgspec.structs.replace(call, status=ToolStatus.ENDED))
        self._unfinished.clear()

    async def _round(self, said: Sequence[Message], answer: Answer) -> Reports:
        before, needs_gap = self.usage, self._has_spoken
        async with aclosing(self._ask(said, answer)) as found:
            async for report in found:
                if isinstance(report, UsageReported):
                    self.usage = _summed(before, report.usage)
                    yield UsageReported(usage=self.usage)
                elif isinstance(report, TextDelta):
                    self._has_spoken = True
                    yield TextDelta(text=_GAP + report.text) if needs_gap else report
                    needs_gap = False
                else:
                    yield report

    def _named(self, call: WantedCall) -> WantedCall:
        """The call under an id that no other call of the turn has: some servers count anew in each answer."""
        id_, number = call.id, 1
        while id_ in self._ids:
            number += 1
            id_ = f"{call.id}-{number}"
        self._ids.add(id_)
        return msgspec.structs.replace(call, id=id_)

    def _unwanted(self, answer: Answer, calls: Sequence[WantedCall]) -> Iterator[RunReport]:
        """The end of an answer, with calls that nobody carries out."""
        for call in calls:
            yield _failed(call, NO_TOOLS if not self._tools.names else "not run: the model refused")
        if calls and not answer.text and not self._tools.names:
            names = ", ".join(call.name or "an unnamed tool" for call in calls)[:_NAMES_LIMIT]
            raise ChatError("protocol", f"the model asked for {names}, but {NO_TOOLS}")
        self.stop = answer.stop()

    async def _call(self, call: WantedCall, said: list[Message]) -> Reports:
        """One call from its announcement to its result, which is put to the conversation."""
        shown = ToolCall(id=call.id, title=call.name or "unnamed tool", input=_shown_input(call))
        if self._tools.is_memory(call.name):
            yield self._told(shown)
            outcome = await self._waits.wait(self._tools.remember(call))
            for report in self._done(call, said, shown, outcome, target=call.arguments):
                yield report
            return
        target = ""
        try:
            prepared = await self._waits.wait(self._tools.prepare(call))
        except HermesError as error:
            text, is_failed, target = refusal_text(error), True, str(error.facts.get("value") or "")
        else:
            action = prepared.action
            target = action.target
            shown = msgspec.structs.replace(shown, title=action.title, kind=action.kind, diff=action.diff)
            yield self._told(shown)
            async with aclosing(self._asked(call, prepared)) as found:
                async for report in found:
                    yield report
            text, is_failed = self._denial(), True
            if not text:
                shown = msgspec.structs.replace(shown, status=ToolStatus.IN_PROGRESS)
                yield self._told(shown)
                outcome = await self._waits.wait(self._tools.carry_out(prepared))
                text, is_failed = outcome.text, outcome.is_failed
        for report in self._done(call, said, shown, ToolOutcome(text, is_failed=is_failed), target=target):
            yield report

    def _done(
        self, call: WantedCall, said: list[Message], shown: ToolCall, outcome: ToolOutcome, *, target: str
    ) -> Iterator[RunReport]:
        """The end of a call, which is put to the conversation. Raises ChatError for one too many of its like."""
        status = ToolStatus.FAILED if outcome.is_failed else ToolStatus.COMPLETED
        yield self._told(msgspec.structs.replace(shown, status=status, output=outcome.text))
        said.append(result_message(call, outcome.text))
        if self._watch.note(call.name, target, outcome.text):
            why = f"{call.name} was called {LOOP_LIMIT} times in a row, each with the same result"
            yield RunLogged(level="warning", text=f"tool loop: {why}")
            raise ChatError("tool_loop", why)

    async def _asked(self, call: WantedCall, prepared: Prepared) -> Reports:
        """Ask whether a call may be carried out, and wait for the answer."""
        action = prepared.action
        self._decision = None
        self._decided.clear()
        self._action_id = self._new_id()
        yield ActionRequested(
            action_id=self._action_id,
            title=action.title,
            detail=action.detail,
            kind=action.kind,
            options=OPTIONS,
            tool_call_id=call.id,
            tool=action.tool,
            target=action.target,
            cwd=self._cwd,
            diff=action.diff,
        )
        await self._waits.wait(self._decided.wait())
        action_id, self._action_id = self._action_id, ""
        yield ActionSettled(action_id=action_id, outcome="denied" if self._denial() else "approved")

    def _denial(self) -> str:
        """What the model is told of a no; "" for a clear yes, and anything else is a no."""
        decision = self._decision
        chosen = next((item for item in OPTIONS if decision is not None and item.id == decision.option_id), None)
        if decision is not None and decision.allow and chosen is not None and chosen.kind.allows:
            return ""
        reason = decision.reason if decision is not None else ""
        return f"denied: {reason}" if reason else "denied"

    def _told(self, call: ToolCall) -> ToolReported:
        if call.status.is_final:
            self._unfinished.pop(call.id, None)
        else:
            self._unfinished[call.id] = call
        return ToolReported(call=call)


def _failed(call: WantedCall, why: str) -> ToolReported:
    shown = ToolCall(
        id=call.id, title=call.name or "unnamed tool", status=ToolStatus.FAILED, input=_shown_input(call), output=why
    )
    return ToolReported(call=shown)


def _shown_input(call: WantedCall) -> str:
    # What is decided about is shown whole elsewhere; this goes along with each change of the call.
    return shortened(call.arguments, _INPUT_LIMIT)


def _summed(before: Usage, now: Usage) -> Usage:
    """Tokens of the rounds before and of this one; what is in use is what this one says."""
    return Usage(
        input_tokens=before.input_tokens + now.input_tokens,
        output_tokens=before.output_tokens + now.output_tokens,
        context_tokens=now.context_tokens,
        context_limit=now.context_limit,
        cost_usd=before.cost_usd + now.cost_usd,
    )
