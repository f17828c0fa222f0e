"""A run of a Hermes agent as its API of runs tells about it: what an event or a status means (pure).

Its requests for approval need not have ids, and are answered in the order in which they came; an id that one has goes
back with the answer. So they are shown one at a time, and where it is not certain which one an answer would meet,
everything that waits is denied.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from core.agents.loose_json import count_of, list_of, number_of, object_in, object_of, one_line, text_of
from core.agents.runner import Decision
from core.api.approvals import ApprovalState
from core.api.runs import (
    ActionOption,
    ActionRequested,
    ActionSettled,
    OptionKind,
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
)

DENY = "deny"
_GONE = "gone"
_OPTIONS = {
    "once": ActionOption(id="once", label="allow once", kind=OptionKind.ALLOW_ONCE),
    "session": ActionOption(id="session", label="allow for this run, by pattern", kind=OptionKind.ALLOW_ALWAYS),
    "always": ActionOption(id="always", label="always allow, by pattern", kind=OptionKind.ALLOW_ALWAYS),
    DENY: ActionOption(id=DENY, label="deny", kind=OptionKind.REJECT_ONCE),
}
_KINDS = {
    "terminal": ToolKind.EXECUTE,
    "execute_code": ToolKind.EXECUTE,
    "process": ToolKind.EXECUTE,
    "read_file": ToolKind.READ,
    "write_file": ToolKind.EDIT,
    "patch": ToolKind.EDIT,
    "search_files": ToolKind.SEARCH,
    "web_search": ToolKind.SEARCH,
    "web_extract": ToolKind.FETCH,
    "browser_navigate": ToolKind.FETCH,
}
_SHELLS = frozenset({"terminal", "process"})
_LOST = (
    "The agent waits for approval of something that it has said once, on a connection that broke. "
    "What it is can no longer be known, so it can only be denied, or the run stopped."
)
_UNKNOWN_LIMIT = 100
_MARGIN_S = 5.0
_SHOWABLE_S = 1.0
_SAME_INSTANT_S = 0.5


class Asked(msgspec.Struct, kw_only=True):
    """A request for approval that waits there. at: monotonic, when it came; stamp: by the agent's own clock.

    answer: what it was answered; "" before. is_known: whether its details are. name: its id there; "" for none.
    """

    action: ActionRequested
    at: float
    stamp: float
    is_known: bool = True
    is_shown: bool = False
    is_sending: bool = False
    answer: str = ""
    name: str = ""


class RemoteRun:
    """A run as far as it is known here. end: set once it is over there.

    must_deny: something waits there of which nobody can know what it is; all of it is to be denied.
    """

    def __init__(self, run_id: str, listens_s: float | None) -> None:
        self.run_id = run_id
        self.end: TurnEnded | None = None
        self.must_deny = False
        self._listens_s = listens_s
        self._asked: list[Asked] = []
        self._asked_count = 0
        self._last_stamp = 0.0
        self._is_doubtful = False
        self._calls: dict[str, ToolCall] = {}
        self._call_count = 0
        self._segment: list[str] = []
        self._has_text = False
        self._is_polled = False
        self._unknown: set[str] = set()

    def take(self, data: str, now: float) -> Iterator[RunReport]:
        """Reports from the data of one event. now: monotonic."""
        event = object_in(data)
        name = text_of(event.get("event"))
        match name:
            case "message.delta":
                yield from self._say(text_of(event.get("delta")))
            case "reasoning.available":
                text = text_of(event.get("text"))
                # Of a model that does not reason it is the answer once more.
                if text and text.strip() not in self._said():
                    yield ThoughtDelta(text=text)
            case "tool.started":
                yield self._started(event)
            case "tool.completed":
                yield from self._completed(event)
            case "approval.request":
                self._requested(event, now)
            case "approval.responded":
                yield from self._responded(event)
            case "run.completed" | "run.failed" | "run.cancelled":
                yield from self._over(name.removeprefix("run."), event)
            case _:
                yield from self._left_out(name, data)
        yield from self.shown(now)

    def poll(self, found: Mapping[str, Any], now: float) -> Iterator[RunReport]:
        """Reports from the status of the run, asked for since its events were lost. now: monotonic."""
        self._is_polled = True
        status = text_of(found.get("status"))
        if status in {"completed", "failed", "cancelled"}:
            yield from self._over(status, found)
            return
        yield from self._drop_answered()
        last = text_of(found.get("last_event"))
        stamp = number_of(found.get("updated_at"))
        if status == "waiting_for_approval" and last == "approval.request":
            if stamp > self._last_stamp + _SAME_INSTANT_S:
                yield from self._settle_all(ApprovalState.EXPIRED)
                self._ask(Asked(action=_unknown_action(self._next_id()), at=now, stamp=stamp, is_known=False))
        elif last == "tool.completed" and self._asked and not self._asked[0].is_sending:
            # It may have been the one that waited; what an answer would meet now nobody knows.
            self.must_deny = True
        yield from self.shown(now)

    def choice(self, action_id: str, decision: Decision, now: float) -> dict[str, Any] | None:
        """What is to be posted for a decision, from now on as being sent; None when nobody waits for it."""
        head = self._asked[0] if self._asked else None
        if head is None or self.end is not None or self.must_deny or not head.is_shown:
            return None
        if head.action.action_id != action_id or head.answer or head.is_sending:
            return None
        if self._listens_s is not None and now - head.at >= self._last_chance_s(allow=decision.allow):
            return None
        option = next((item for item in head.action.options if item.id == decision.option_id), None)
        if option is None or option.kind.allows is not decision.allow:
            wanted = OptionKind.ALLOW_ONCE if decision.allow else OptionKind.REJECT_ONCE
            option = next((item for item in head.action.options if item.kind is wanted), None)
        if option is None:
            return None
        head.is_sending = True
        if not head.is_known:
            return {"choice": option.id, "all": True}
        return {"choice": option.id, "approval_id": head.name} if head.name else {"choice": option.id}

    def answered(self, action_id: str, choice: str) -> None:
        """How the sending went. choice: that was taken; "" when it may not have arrived."""
        for item in self._asked:
            if item.action.action_id == action_id:
                item.is_sending, item.answer = False, choice

    def nothing_waits(self) -> None:
        """The agent said that nothing waits for an answer."""
        for item in self._asked:
            item.is_sending, item.answer = False, _GONE

    def denied(self) -> Iterator[RunReport]:
        """Everything that waited there has been denied."""
        self.must_deny = self._is_doubtful = False
        text = "requests for approval were denied: which of them an answer would have met was not certain"
        yield RunLogged(level="warning", text=text)
        yield from self._settle_all(ApprovalState.EXPIRED)

    def shown(self, now: float) -> Iterator[RunReport]:
        """The next request for approval, once those before it are settled."""
        if self._is_polled or any(item.answer == _GONE for item in self._asked):
            yield from self._drop_answered()
        head = self._asked[0] if self._asked else None
        if head is None or head.is_shown or self.must_deny or self.end is not None:
            return
        left_s = None if self._listens_s is None else self._listens_s - (now - head.at)
        if left_s is not None and left_s < self._margin_s + min(_SHOWABLE_S, self._margin_s):
            self.must_deny = True
            return
        head.is_shown = True
        head.action = msgspec.structs.replace(head.action, deadline_s=left_s)
        yield head.action

    def close(self, *, is_dead: bool = False) -> Iterator[RunReport]:
        """Settle what is open, now that the turn is over. is_dead: the end of the run says what became of it."""
        if is_dead:
            self._asked.clear()
        yield from self._settle_all(ApprovalState.EXPIRED)
        for call in self._calls.values():
            yield ToolReported(call=msgspec.structs.replace(call, status=ToolStatus.ENDED))
        self._calls.clear()

    @property
    def _margin_s(self) -> float:
        return min(_MARGIN_S, (self._listens_s or 0.0) / 4)

    def _last_chance_s(self, *, allow: bool) -> float:
        """Age up to which an answer is sent. A yes that comes too late would meet the request after it."""
        assert self._listens_s is not None
        return self._listens_s - (self._margin_s / 2 if allow else 0.0)

    def _said(self) -> str:
        """Text since the last tool call. Put together only where it is looked at: each piece would copy all before."""
        self._segment[:] = ["".join(self._segment)]
        return self._segment[0]

    def _say(self, text: str) -> Iterator[RunReport]:
        if text:
            self._segment.append(text)
            self._has_text = True
            yield TextDelta(text=text)

    def _left_out(self, name: str, data: str) -> Iterator[RunReport]:
        shown = one_line(name)
        if shown not in self._unknown and len(self._unknown) < _UNKNOWN_LIMIT:
            self._unknown.add(shown)
            yield RunLogged(level="debug", text=f"unknown event {shown or one_line(data)}")

    def _started(self, event: Mapping[str, Any]) -> RunReport:
        name = text_of(event.get("tool")) or "tool"
        self._call_count += 1
        self._segment.clear()
        call = ToolCall(
            id=f"{self.run_id}/t{self._call_count}",
            title=name,
            kind=_KINDS.get(name, ToolKind.OTHER),
            status=ToolStatus.IN_PROGRESS,
            input=text_of(event.get("preview")),
        )
        self._calls[call.id] = call
        return ToolReported(call=call)

    def _completed(self, event: Mapping[str, Any]) -> Iterator[RunReport]:
        name = text_of(event.get("tool"))
        call = next((item for item in self._calls.values() if item.title == name), None)
        if call is not None:
            del self._calls[call.id]
            status = ToolStatus.FAILED if event.get("error") else ToolStatus.COMPLETED
            yield ToolReported(call=msgspec.structs.replace(call, status=status))
        if self._asked and not self._calls:
            yield from self._settle_all(ApprovalState.EXPIRED)
        elif len(self._asked) > 1:
            self.must_deny = True
        elif self._asked:
            self._is_doubtful = True

    def _requested(self, event: Mapping[str, Any], now: float) -> None:
        if self._asked and self._is_doubtful:
            self.must_deny = True
        tool = next(iter(self._calls.values())).title if len(self._calls) == 1 else ""
        action = _known_action(self._next_id(), event, tool)
        stamp, name = number_of(event.get("timestamp")), text_of(event.get("approval_id"))
        self._ask(Asked(action=action, at=now, stamp=stamp, name=name))

    def _ask(self, asked: Asked) -> None:
        self._last_stamp = max(self._last_stamp, asked.stamp)
        self._asked.append(asked)

    def _next_id(self) -> str:
        self._asked_count += 1
        return f"{self.run_id}/{self._asked_count}"

    def _responded(self, event: Mapping[str, Any]) -> Iterator[RunReport]:
        name = text_of(event.get("approval_id"))
        named = [item for item in self._asked if name and item.name == name]
        for item in named or self._asked[: max(1, count_of(event.get("resolved")))]:
            yield from self._settle(item, _outcome(item.answer or text_of(event.get("choice"))))
        self._is_doubtful = False

    def _drop_answered(self) -> Iterator[RunReport]:
        for item in [item for item in self._asked if item.answer]:
            yield from self._settle(item, _outcome(item.answer))

    def _settle_all(self, outcome: ApprovalState) -> Iterator[RunReport]:
        for item in list(self._asked):
            yield from self._settle(item, _outcome(item.answer) if item.answer else outcome)
        self._is_doubtful = False

    def _settle(self, item: Asked, outcome: ApprovalState) -> Iterator[RunReport]:
        self._asked.remove(item)
        if item.is_shown:
            yield ActionSettled(action_id=item.action.action_id, outcome=outcome.value)

    def _over(self, how: str, found: Mapping[str, Any]) -> Iterator[RunReport]:
        if how == "completed":
            output = text_of(found.get("output"))
            said = self._said()
            if self._is_polled or not said.strip():
                yield from self._say(remainder(said, output, has_text=self._has_text))
            self.end = TurnEnded(stop=Stop.END_TURN, usage=_usage(found.get("usage")))
        elif how == "failed":
            error = one_line(text_of(found.get("error"))) or "the agent gave no reason"
            self.end = TurnEnded(stop=Stop.ERROR, error=error, code="agent_failed")
        else:
            self.end = TurnEnded(stop=Stop.CANCELLED, error="the run was stopped there", code="stopped")


def remainder(segment: str, output: str, *, has_text: bool) -> str:
    """What of a final answer has not been said yet. segment: text since the last tool call; has_text: or before."""
    wanted, said = output.strip(), segment.lstrip()
    if not wanted or said.rstrip() == wanted:
        return ""
    if said.strip() and wanted.startswith(said):
        return wanted[len(said) :]
    return f"\n\n{wanted}" if has_text else wanted


def _known_action(action_id: str, event: Mapping[str, Any], tool: str) -> ActionRequested:
    command = text_of(event.get("command"))
    keys = {key: event[key] for key in ("pattern_key", "pattern_keys", "smart_denied") if event.get(key)}
    detail = command
    if keys:
        detail += f"\n\n{msgspec.json.format(msgspec.json.encode(keys)).decode()}"
    detail += "\n\n(the agent masks what looks like a credential)"
    choices = [item for item in list_of(event.get("choices")) if isinstance(item, str) and item in _OPTIONS]
    if DENY not in choices:
        choices.append(DENY)
    return ActionRequested(
        action_id=action_id,
        title=one_line(text_of(event.get("description"))) or "approval of a command",
        detail=detail,
        kind=_KINDS.get(tool, ToolKind.EXECUTE),
        options=tuple(_OPTIONS[item] for item in dict.fromkeys(choices)),
        tool="exec" if tool in _SHELLS else tool,
        target=command,
    )


def _unknown_action(action_id: str) -> ActionRequested:
    return ActionRequested(
        action_id=action_id,
        title="approval of something whose details were lost",
        detail=_LOST,
        kind=ToolKind.OTHER,
        options=(_OPTIONS[DENY],),
    )


def _outcome(choice: str) -> ApprovalState:
    if choice == _GONE:
        return ApprovalState.EXPIRED
    return ApprovalState.DENIED if choice == DENY else ApprovalState.APPROVED


def _usage(found: object) -> Usage:
    counts = object_of(found)
    return Usage(input_tokens=count_of(counts.get("input_tokens")), output_tokens=count_of(counts.get("output_tokens")))
