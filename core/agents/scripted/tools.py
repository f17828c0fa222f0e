"""Steps of a scenario that act: they ask first, and what they write or run is real, under the policy."""

from contextlib import aclosing

import msgspec

from core.agents.scripted.scenario import ApprovalPart, RunPart, Step, WritePart, filled, options_of
from core.agents.scripted.stages import Played, Stage
from core.agents.tools.calls import EXEC, WRITE, WantedCall
from core.agents.tools.tools import Prepared, Tools, refusal_text
from core.api.errors import HermesError
from core.api.runs import (
    ActionKind,
    ActionOption,
    ActionRequested,
    OptionKind,
    Phase,
    PhaseChanged,
    RunLogged,
    TextDelta,
    ToolCall,
    ToolKind,
    ToolReported,
    ToolStatus,
)

_RUN_LIMIT_S = 120.0
_WRITE_OPTIONS = (
    ActionOption(id="allow", label="Write it", kind=OptionKind.ALLOW_ONCE),
    ActionOption(id="deny", label="Do not write it", kind=OptionKind.REJECT_ONCE),
)
_RUN_OPTIONS = (
    ActionOption(id="allow", label="Run it", kind=OptionKind.ALLOW_ONCE),
    ActionOption(id="deny", label="Do not run it", kind=OptionKind.REJECT_ONCE),
)
_QUESTION_OPTIONS = (
    ActionOption(id="answer", label="Answer", kind=OptionKind.ALLOW_ONCE),
    ActionOption(id="skip", label="Give no answer", kind=OptionKind.REJECT_ONCE),
)
_COMMAND_KINDS = frozenset({ToolKind.EXECUTE, ToolKind.DELETE})


class ToolPlays(Stage):
    """The steps that ask an operator."""

    async def _play_approval(self, step: Step) -> Played:
        part = step.approval or ApprovalPart(title="")
        detail = filled(part.detail, self._said, self._sender)
        is_command = part.kind in _COMMAND_KINDS and not part.tool
        action = ActionRequested(
            action_id=self._new_id("act"),
            title=filled(part.title, self._said, self._sender),
            detail=detail,
            kind=part.kind,
            options=options_of(part),
            deadline_s=part.deadline_s,
            tool=EXEC if is_command else part.tool,
            target=detail if is_command else filled(part.target, self._said, self._sender),
            cwd=str(self._context.workspace),
            diff=part.diff,
            chain=part.chain,
        )
        if action.title in self._standing:
            allowed = self._standing[action.title]
            yield RunLogged(level="info", text=f"{action.title}: decided by a standing {'yes' if allowed else 'no'}")
            self._following = part.allow if allowed else part.deny
            return
        async for report in self._asked(action, part.gives_up_s):
            yield report
        self._following = part.allow if self._is_allowed(action) else part.deny

    async def _play_question(self, step: Step) -> Played:
        question = filled(step.question or "", self._said, self._sender)
        action = ActionRequested(
            action_id=self._new_id("act"),
            title=question,
            detail="",
            kind=ToolKind.OTHER,
            options=_QUESTION_OPTIONS,
            action_kind=ActionKind.QUESTION,
        )
        yield PhaseChanged(phase=Phase.CLARIFY)
        async for report in self._asked(action, None):
            yield report
        answer = self._decision.answer if self._is_allowed(action) and self._decision is not None else ""
        yield TextDelta(text=f"You answered: {answer}" if answer else "You gave no answer, so I go on without one.")

    async def _play_write(self, step: Step) -> Played:
        part = step.write or WritePart(path="", text="")
        path = filled(part.path, self._said, self._sender)
        arguments = {"path": path, "text": filled(part.text, self._said, self._sender)}
        shown = ToolCall(id=self._new_id("call"), title=f"write {path}", kind=ToolKind.EDIT, input=path)
        async with aclosing(self._acted(shown, arguments, f"Write {path}", _WRITE_OPTIONS)) as played:
            async for report in played:
                yield report
        yield TextDelta(text=f"Wrote {path}." if self._is_done else f"I did not write {path}: {self._outcome}.")

    async def _play_run(self, step: Step) -> Played:
        part = step.run or RunPart(command="")
        command = filled(part.command, self._said, self._sender)
        shown = ToolCall(id=self._new_id("call"), title=f"run {command}", kind=ToolKind.EXECUTE, input=command)
        async with aclosing(self._acted(shown, {"command": command}, f"run: {command}", _RUN_OPTIONS)) as played:
            async for report in played:
                yield report
        yield TextDelta(text=f"Ran it:\n{self._outcome}" if self._is_done else f"It did not work: {self._outcome}")

    async def _acted(
        self, shown: ToolCall, arguments: dict[str, str], title: str, options: tuple[ActionOption, ...]
    ) -> Played:
        """A call of one of the core's tools: checked, asked for, carried out. Leaves _is_done and _outcome behind."""
        tool = WRITE if shown.kind is ToolKind.EDIT else EXEC
        self._is_done, self._outcome = False, "it was not allowed"
        tools = Tools(
            self._context.tools,
            home=self._context.home,
            workspace=self._context.workspace,
            policy=self._request.policy,
            names=(tool,),
            limit_s=min(_RUN_LIMIT_S, self._request.total_s),
        )
        call = WantedCall(id=shown.id, name=tool, arguments=msgspec.json.encode(arguments).decode())
        try:
            prepared = await tools.prepare(call)
        except HermesError as error:
            self._outcome = refusal_text(error) if tool == EXEC else error.message
            yield self._ended(shown)
            return
        action = prepared.action
        shown = msgspec.structs.replace(shown, diff=action.diff)
        yield self._told(shown)
        asked = ActionRequested(
            action_id=self._new_id("act"),
            title=title,
            detail=action.diff or action.target,
            kind=shown.kind,
            options=options,
            tool_call_id=shown.id,
            tool=action.tool,
            target=action.target,
            cwd=str(self._context.workspace),
            diff=action.diff,
        )
        async for report in self._asked(asked, None):
            yield report
        self._check()
        if self._is_allowed(asked):
            yield self._told(msgspec.structs.replace(shown, status=ToolStatus.IN_PROGRESS))
            await self._carry_out(tools, prepared)
        yield self._ended(shown)

    async def _carry_out(self, tools: Tools, prepared: Prepared) -> None:
        self._check()
        outcome = await self._waits.wait(tools.carry_out(prepared))
        self._is_done, self._outcome = not outcome.is_failed, outcome.text

    def _ended(self, shown: ToolCall) -> ToolReported:
        status = ToolStatus.COMPLETED if self._is_done else ToolStatus.FAILED
        return self._told(msgspec.structs.replace(shown, status=status, output=self._outcome))
