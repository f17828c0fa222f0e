"""Claude Code over stream-json: what to send, and what its lines mean in the words of a run (pure).

The format is no published standard: what is not known is a remark, and what is missing counts as nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from core.agent_settings import ClaudeCliSettings
from core.agents.acp.updates import mode_reported
from core.agents.acp.wire import pretty
from core.agents.loose_json import count_of, list_of, number_of, object_of, one_line, text_of
from core.agents.tools.diff import unified_diff
from core.api.runs import (
    PlanReported,
    PlanStep,
    RunLogged,
    RunReport,
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

Fields = Mapping[str, Any]

FLAGS = (
    "-p",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--verbose",
    "--permission-prompt-tool",
    "stdio",
    "--include-partial-messages",
)
DEFAULT_MODE = "default"
_FIELD_LIMIT = 65_536
_UNKNOWN_LIMIT = 100
_OWN_WORDS = "<synthetic>"
_KINDS = {
    "Bash": ToolKind.EXECUTE,
    "KillShell": ToolKind.EXECUTE,
    "Read": ToolKind.READ,
    "Write": ToolKind.EDIT,
    "Edit": ToolKind.EDIT,
    "MultiEdit": ToolKind.EDIT,
    "NotebookEdit": ToolKind.EDIT,
    "Glob": ToolKind.SEARCH,
    "Grep": ToolKind.SEARCH,
    "WebSearch": ToolKind.SEARCH,
    "WebFetch": ToolKind.FETCH,
}
_STOPS = {"max_tokens": Stop.MAX_TOKENS, "refusal": Stop.REFUSAL}


def command_line(settings: ClaudeCliSettings) -> list[str]:
    """Program and arguments."""
    line = [*settings.command, *FLAGS]
    if settings.model:
        line += ["--model", settings.model]
    if settings.system_prompt.strip():
        line += ["--append-system-prompt", settings.system_prompt]
    return line


def line_of(message: Fields) -> bytes:
    """A message as it is sent."""
    return msgspec.json.encode(message)


def user(blocks: Sequence[Fields]) -> Fields:
    """What the user says."""
    return {"type": "user", "message": {"role": "user", "content": blocks}, "parent_tool_use_id": None}


def control(request_id: str, subtype: str, **more: str) -> Fields:
    """An order to the program itself."""
    return {"type": "control_request", "request_id": request_id, "request": {"subtype": subtype, **more}}


def reply(request_id: str, response: Fields) -> Fields:
    """The answer to a request of the program."""
    inner = {"subtype": "success", "request_id": request_id, "response": response}
    return {"type": "control_response", "response": inner}


def refusal(request_id: str, why: str) -> Fields:
    """The answer to a request that is not known here."""
    return {"type": "control_response", "response": {"subtype": "error", "request_id": request_id, "error": why}}


def kind_of(tool: str) -> ToolKind:
    """What a tool does, by its name."""
    return _KINDS.get(tool, ToolKind.OTHER)


def diff_of(tool: str, given: Fields) -> str:
    """The change of a file that a call would make, as far as its arguments tell. What a file held before is not known:
    one that is written anew is all added lines.
    """
    path = text_of(given.get("file_path"))
    if tool == "Write":
        return unified_diff(path, None, text_of(given.get("content")))
    edits = [given] if tool == "Edit" else [object_of(item) for item in list_of(given.get("edits"))]
    return "".join(
        unified_diff(path, text_of(edit.get("old_string")), text_of(edit.get("new_string")))
        for edit in edits
        if tool in {"Edit", "MultiEdit"}
    )


class Reader:
    """What the program tells, over all turns of its life. calls: those that are not finished, by id.

    end: of the present turn, once it is known.
    """

    def __init__(self) -> None:
        self.version = ""
        self.model = ""
        self.mode = DEFAULT_MODE
        self.calls: dict[str, ToolCall] = {}
        self.end: TurnEnded | None = None
        self._parents: dict[str, str] = {}
        self._streamed: list[str] = []
        self._has_text = False
        self._needs_break = False
        self._context_tokens = 0
        self._cost_usd = 0.0
        self._unknown: set[str] = set()

    def begin_turn(self) -> None:
        """Another turn begins."""
        self.end = None
        self.calls.clear()
        self._parents.clear()
        self._has_text = self._needs_break = False
        self._streamed.clear()

    def take(self, message: Fields) -> Iterator[RunReport]:
        """Reports of a line that is no control message."""
        match message.get("type"):
            case "system":
                yield from self._system(message)
            case "stream_event":
                yield from self._event(
                    object_of(message.get("event")), is_inner=bool(message.get("parent_tool_use_id"))
                )
            case "assistant":
                yield from self._assistant(message)
            case "user":
                yield from self._results(message)
            case "result":
                yield from self._result(message)
            case kind:
                yield from self._left_out(text_of(kind) or "a line without a type")

    def closing(self) -> Iterator[RunReport]:
        """Ends of the tool calls that were never reported."""
        for call in self.calls.values():
            yield ToolReported(call=msgspec.structs.replace(call, status=ToolStatus.ENDED))
        self.calls.clear()

    def chain_of(self, call_id: str) -> tuple[str, ...]:
        """Titles of the calls inside which a call was made, the outermost first."""
        chain: list[str] = []
        inner = self._parents.get(call_id, "")
        while inner and len(chain) <= len(self._parents):
            call = self.calls.get(inner)
            chain.append(call.title if call is not None else "another agent")
            inner = self._parents.get(inner, "")
        return tuple(reversed(chain))

    def enter_mode(self, mode: str) -> Iterator[RunReport]:
        """A mode that was told; nothing when it is the one before."""
        if mode and mode != self.mode:
            self.mode = mode
            yield mode_reported(mode)

    def _left_out(self, name: str) -> Iterator[RunReport]:
        shown = one_line(name)
        if shown not in self._unknown and len(self._unknown) < _UNKNOWN_LIMIT:
            self._unknown.add(shown)
            yield RunLogged(level="debug", text=f"left out: {shown}")

    def _system(self, message: Fields) -> Iterator[RunReport]:
        self.model = text_of(message.get("model")) or self.model
        self.version = text_of(message.get("claude_code_version")) or self.version
        yield from self.enter_mode(text_of(message.get("permissionMode")))
        subtype = text_of(message.get("subtype"))
        if subtype == "compact_boundary":
            yield RunLogged(level="info", text="the agent has made its conversation shorter")
        elif subtype not in {"init", "status"}:
            yield from self._left_out(f"system {subtype}")

    def _event(self, event: Fields, *, is_inner: bool) -> Iterator[RunReport]:
        match event.get("type"):
            case "message_start" if not is_inner:
                message = object_of(event.get("message"))
                self._context_tokens = _input_tokens(object_of(message.get("usage")))
                self._streamed.clear()
                self._needs_break = self._has_text
            case "content_block_delta":
                delta = object_of(event.get("delta"))
                thought = text_of(delta.get("thinking"))
                said = text_of(delta.get("text"))
                if thought or (said and is_inner):
                    yield ThoughtDelta(text=thought or said)
                elif said:
                    self._streamed.append(said)
                    yield self._said(said)
            case _:
                pass

    def _has_streamed(self, said: str) -> bool:
        # Put together only here: each piece would copy all before.
        self._streamed[:] = ["".join(self._streamed)]
        return said in self._streamed[0]

    def _said(self, said: str) -> RunReport:
        # Text before and after a tool call are two paragraphs.
        gap = "\n\n" if self._needs_break else ""
        self._has_text, self._needs_break = True, False
        return TextDelta(text=gap + said)

    def _assistant(self, line: Fields) -> Iterator[RunReport]:
        message = object_of(line.get("message"))
        parent = text_of(line.get("parent_tool_use_id"))
        is_own = text_of(message.get("model")) == _OWN_WORDS
        for block in map(object_of, list_of(message.get("content"))):
            said = text_of(block.get("text"))
            if block.get("type") == "tool_use":
                yield from self._called(block, parent)
            elif block.get("type") == "text" and said and not parent and not is_own and not self._has_streamed(said):
                yield self._said(said)

    def _called(self, block: Fields, parent: str) -> Iterator[RunReport]:
        name, given = text_of(block.get("name")), object_of(block.get("input"))
        if name == "TodoWrite":
            yield PlanReported(steps=_steps(given))
        call = ToolCall(
            id=text_of(block.get("id")) or name,
            title=name or "tool",
            kind=kind_of(name),
            status=ToolStatus.IN_PROGRESS,
            input=pretty(given)[:_FIELD_LIMIT],
            diff=diff_of(name, given)[:_FIELD_LIMIT],
        )
        self.calls[call.id] = call
        if parent:
            self._parents[call.id] = parent
        yield ToolReported(call=call)

    def _results(self, line: Fields) -> Iterator[RunReport]:
        for block in map(object_of, list_of(object_of(line.get("message")).get("content"))):
            call = self.calls.pop(text_of(block.get("tool_use_id")), None)
            if block.get("type") == "tool_result" and call is not None:
                status = ToolStatus.FAILED if block.get("is_error") else ToolStatus.COMPLETED
                output = text_of(block.get("content"))[:_FIELD_LIMIT]
                yield ToolReported(call=msgspec.structs.replace(call, status=status, output=output))

    def _result(self, line: Fields) -> Iterator[RunReport]:
        subtype, said = text_of(line.get("subtype")), text_of(line.get("result"))
        usage = self._usage(line)
        yield UsageReported(usage=usage)
        if subtype == "success" and not line.get("is_error"):
            if said and not self._has_text:
                yield self._said(said)
            self.end = TurnEnded(stop=_STOPS.get(text_of(line.get("stop_reason")), Stop.END_TURN), usage=usage)
        elif subtype == "error_max_turns":
            self.end = TurnEnded(stop=Stop.MAX_TURNS, usage=usage)
        else:
            errors = "; ".join(text_of(item) for item in list_of(line.get("errors")))
            why = one_line(said or errors) or f"the agent ended its turn with {one_line(subtype)}"
            self.end = TurnEnded(stop=Stop.ERROR, error=why, code="agent_error", usage=usage)

    def _usage(self, line: Fields) -> Usage:
        counts = object_of(line.get("usage"))
        # It adds up over the life of the program.
        before = self._cost_usd
        self._cost_usd = number_of(line.get("total_cost_usd")) or before
        models = [object_of(item) for item in object_of(line.get("modelUsage")).values()]
        return Usage(
            input_tokens=_input_tokens(counts),
            output_tokens=count_of(counts.get("output_tokens")),
            context_tokens=self._context_tokens,
            context_limit=max((count_of(item.get("contextWindow")) for item in models), default=0),
            cost_usd=max(0.0, self._cost_usd - before),
        )


def _input_tokens(counts: Fields) -> int:
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(count_of(counts.get(name)) for name in names)


def _steps(given: Fields) -> tuple[PlanStep, ...]:
    items = [object_of(item) for item in list_of(given.get("todos"))]
    return tuple(
        PlanStep(text=text_of(item.get("content")), status=text_of(item.get("status")) or "pending")
        for item in items
        if text_of(item.get("content"))
    )
