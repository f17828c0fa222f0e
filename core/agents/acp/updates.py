"""What an ACP agent tells about a session, in the words of a run (pure). What is not known is a remark, no fault."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from core.agents.acp.wire import Fields, fields, objects, pretty, text
from core.agents.loose_json import number_of
from core.agents.tools.diff import unified_diff
from core.api.runs import (
    ModeReported,
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
    Usage,
    UsageReported,
)

FIELD_LIMIT = 65_536
_CALL_LIMIT = 10_000
_KEPT_LIMIT = 33_554_432
_LOG_LIMIT = 300
_KINDS = {kind.value: kind for kind in ToolKind}
_STATUSES = {status.value: status for status in ToolStatus}
_STOPS = {
    "end_turn": Stop.END_TURN,
    "max_tokens": Stop.MAX_TOKENS,
    "max_turn_requests": Stop.MAX_TURNS,
    "refusal": Stop.REFUSAL,
    "cancelled": Stop.CANCELLED,
}
# Parts of names of modes in which agents act without asking, letters only.
_UNASKING = ("accept", "auto", "bypass", "dontask", "fullaccess", "never", "unrestricted", "yolo")
_SILENT = frozenset({"user_message_chunk", "available_commands_update", "session_info_update"})
_LETTERS = re.compile(r"[^a-z]+")


def asks_in(mode: str) -> bool:
    """Whether an agent still asks for approval in a mode, by the mode's name."""
    letters = _LETTERS.sub("", mode.lower())
    return not any(part in letters for part in _UNASKING)


def mode_reported(mode: str) -> ModeReported:
    """The mode that an agent works in, as it is told."""
    return ModeReported(mode=mode, asks=asks_in(mode))


def stop_of(reason: str) -> Stop | None:
    """Why a turn ended; None for a reason that is not known."""
    return _STOPS.get(reason)


def kind_of(value: object) -> ToolKind:
    """The kind of a tool call; other when it is not known."""
    return _KINDS.get(text(value), ToolKind.OTHER)


def diff_of(content: object) -> str:
    """All diffs among the contents of a tool call, whole."""
    return "".join(
        unified_diff(
            text(item.get("path")) or "file",
            old if isinstance(old := item.get("oldText"), str) else None,
            text(item.get("newText")),
        )
        for item in objects(content)
        if item.get("type") == "diff"
    )


def words_of(content: object) -> str:
    """The text among the contents of a tool call; what is no text is named."""
    return "\n".join(
        _block(fields(item.get("content"))) if item.get("type") == "content" else f"[terminal {item.get('terminalId')}]"
        for item in objects(content)
        if item.get("type") != "diff"
    )


def selected(options: object, category: str) -> Fields:
    """The option of a session that has that category, such as mode or model; an empty one when there is none."""
    nothing: Fields = {}
    return next((item for item in objects(options) if item.get("category") == category), nothing)


class Updates:
    """The updates of one session. mode: the present one, "" while it is not known; calls: those of the present turn,
    their input whole.
    """

    def __init__(self) -> None:
        self.mode = ""
        self.calls: dict[str, ToolCall] = {}
        self._kept_letters = 0
        self._plans: dict[str, tuple[PlanStep, ...]] = {}
        self._usage = Usage()
        # Of the session so far: agents add up over all turns.
        self._cost = self._cost_before = 0.0
        self._tokens = self._tokens_before = (0, 0)

    def begin_turn(self) -> None:
        """What came before belongs to other turns."""
        self.calls.clear()
        self._kept_letters = 0
        self._plans.clear()
        self._cost_before, self._tokens_before = self._cost, self._tokens
        self._usage = msgspec.structs.replace(self._usage, input_tokens=0, output_tokens=0, cost_usd=0.0)

    def take(self, update: Fields) -> Iterator[RunReport]:
        """Reports from one update."""
        kind = text(update.get("sessionUpdate"))
        match kind:
            case "agent_message_chunk" | "agent_thought_chunk":
                said = _block(fields(update.get("content")))
                if said:
                    yield TextDelta(text=said) if kind == "agent_message_chunk" else ThoughtDelta(text=said)
            case "tool_call" | "tool_call_update":
                yield from self._call(update)
            case "plan" | "plan_update" | "plan_removed":
                yield from self._plan(kind, update)
            case "usage_update":
                yield self._context(update)
            case "current_mode_update" | "config_option_update":
                yield from self._mode(update)
            case _:
                yield RunLogged(level="debug", text=_remark(kind, update))

    def enter_mode(self, mode: str) -> Iterator[ModeReported]:
        """The agent works in another mode from now on."""
        if mode and mode != self.mode:
            self.mode = mode
            yield mode_reported(mode)

    def closing(self) -> Iterator[ToolReported]:
        """Ends of the tool calls whose ends never came."""
        for call in list(self.calls.values()):
            if not call.status.is_final:
                yield self._told(msgspec.structs.replace(call, status=ToolStatus.ENDED))

    def usage(self, answered: Fields) -> Usage:
        """Tokens of the turn, from what ended it. Agents add up over all turns of a session."""
        now = (int(number_of(answered.get("inputTokens"))), int(number_of(answered.get("outputTokens"))))
        if any(now):
            before = self._tokens_before if all(map(int.__ge__, now, self._tokens_before)) else (0, 0)
            self._tokens = now
            self._usage = msgspec.structs.replace(
                self._usage, input_tokens=now[0] - before[0], output_tokens=now[1] - before[1]
            )
        return self._usage

    def _call(self, update: Fields) -> Iterator[RunReport]:
        call_id = text(update.get("toolCallId"))
        known = self.calls.get(call_id)
        if not 0 < len(call_id) <= _LOG_LIMIT or (known is None and len(self.calls) >= _CALL_LIMIT):
            yield RunLogged(level="debug", text="a tool call without a usable id, or one too many, is left out")
            return
        call = known or ToolCall(id=call_id, title="", kind=ToolKind.OTHER)
        changes: dict[str, Any] = {}
        if title := text(update.get("title")):
            changes["title"] = _cut(title, _LOG_LIMIT)
        elif not call.title:
            changes["title"] = text(update.get("kind")) or call_id
        if "kind" in update:
            changes["kind"] = kind_of(update["kind"])
        if status := _STATUSES.get(text(update.get("status"))):
            changes["status"] = status
        contents = _contents(call, update)
        if self._kept_letters + sum(map(len, contents.values())) > _KEPT_LIMIT:
            yield RunLogged(
                level="warning", text="contents of a tool call are left out: they are too much for one turn"
            )
            contents.clear()
        yield self._told(msgspec.structs.replace(call, **changes | contents))

    def _told(self, call: ToolCall) -> ToolReported:
        # Kept whole: a request for approval may lean on it.
        self._kept_letters += _letters(call) - _letters(self.calls.get(call.id))
        self.calls[call.id] = call
        return ToolReported(call=msgspec.structs.replace(call, input=_cut(call.input, FIELD_LIMIT)))

    def _plan(self, kind: str, update: Fields) -> Iterator[RunReport]:
        if kind == "plan":
            self._plans = {"": _steps(update)}
        else:
            plan = fields(update.get("plan")) or update
            name = text(plan.get("id")) or text(plan.get("planId"))
            if kind == "plan_removed":
                self._plans.pop(name, None)
            else:
                self._plans[name] = _steps(plan)
        yield PlanReported(steps=tuple(step for steps in self._plans.values() for step in steps))

    def _context(self, update: Fields) -> UsageReported:
        cost = fields(update.get("cost"))
        if text(cost.get("currency")).upper() == "USD":
            self._cost = number_of(cost.get("amount"))
        spent = self._cost - self._cost_before
        self._usage = msgspec.structs.replace(
            self._usage,
            context_tokens=int(number_of(update.get("used"))),
            context_limit=int(number_of(update.get("size"))),
            cost_usd=spent if spent >= 0 else self._cost,
        )
        return UsageReported(usage=self._usage)

    def _mode(self, update: Fields) -> Iterator[RunReport]:
        mode = text(update.get("currentModeId")) or text(update.get("modeId"))
        yield from self.enter_mode(mode or text(selected(update.get("configOptions"), "mode").get("currentValue")))


def _letters(call: ToolCall | None) -> int:
    return 0 if call is None else len(call.input) + len(call.output) + len(call.diff)


def _contents(call: ToolCall, update: Fields) -> dict[str, str]:
    """What an update says of input, output and diff; what it leaves out stays."""
    changes: dict[str, str] = {}
    if (raw := update.get("rawInput")) is not None and raw != {}:
        changes["input"] = raw if isinstance(raw, str) else pretty(raw)
    elif not call.input and (places := _places(update.get("locations"))):
        changes["input"] = places
    if "content" in update:
        if diff := diff_of(update["content"]):
            changes["diff"] = _cut(diff, FIELD_LIMIT)
        if said := words_of(update["content"]):
            changes["output"] = _cut(said, FIELD_LIMIT)
    if "output" not in changes and not call.output and (raw := update.get("rawOutput")) is not None:
        changes["output"] = _cut(raw if isinstance(raw, str) else pretty(raw), FIELD_LIMIT)
    return changes


def _places(locations: object) -> str:
    return "\n".join(
        text(place.get("path")) + (f":{line}" if isinstance(line := place.get("line"), int) else "")
        for place in objects(locations)
    )


def _steps(plan: Fields) -> tuple[PlanStep, ...]:
    steps = tuple(
        PlanStep(
            text=text(entry.get("content")),
            status=text(entry.get("status")) or "pending",
            priority=text(entry.get("priority")) or "medium",
        )
        for entry in objects(plan.get("entries"))
    )
    written = text(plan.get("content")) or text(plan.get("markdown"))
    return steps or ((PlanStep(text=_cut(written, FIELD_LIMIT)),) if written else ())


def _block(content: Fields) -> str:
    kind = text(content.get("type"))
    if kind == "text":
        return text(content.get("text"))
    if kind == "resource":
        inside = fields(content.get("resource"))
        return text(inside.get("text")) or f"[resource {text(inside.get('uri'))}]"
    where = text(content.get("uri")) or text(content.get("name"))
    return f"[{kind} {where}]" if kind and where else f"[{kind}]" if kind else ""


def _remark(kind: str, update: Fields) -> str:
    if kind not in _SILENT:
        return f"an update that is not known here: {_cut(kind, 64)!r}"
    title = text(update.get("title"))
    names = [text(item.get("name")) for item in objects(update.get("availableCommands"))]
    return _cut(f"{kind.replace('_', ' ')}: {title or ', '.join(names)}".removesuffix(": "), _LOG_LIMIT)


def _cut(whole: str, limit: int) -> str:
    left = len(whole) - limit
    return whole if left <= 0 else f"{whole[:limit]}… ({left} more characters)"
