"""What Claude Code asks before it acts: put to the operator, decided once, and none left without an answer."""

from collections.abc import Callable

import msgspec

from core.agents.acp.permission import tool_and_target
from core.agents.acp.wire import pretty
from core.agents.claude.wire import Fields, diff_of, kind_of, reply
from core.agents.loose_json import list_of, object_of, one_line, text_of
from core.agents.runner import Decision
from core.api.runs import ActionKind, ActionOption, ActionRequested, ActionSettled, OptionKind, RunReport

OPEN_LIMIT = 64
_ID_LIMIT = 200
_USE = "#"
QUESTION_TOOL = "AskUserQuestion"
_YES = ActionOption(id="allow", label="Allow", kind=OptionKind.ALLOW_ONCE)
_NO = ActionOption(id="deny", label="Deny", kind=OptionKind.REJECT_ONCE)
_ANSWER = ActionOption(id="allow", label="Answer", kind=OptionKind.ALLOW_ONCE)
_NO_REASON = "The operator does not allow this."


class _Permission(msgspec.Struct, frozen=True):
    request_id: str
    action: ActionRequested
    given: Fields


class Permissions:
    """Open requests, each under its own id. send: to the program, False when it is gone; report: to the run."""

    def __init__(self, send: Callable[[Fields], bool], report: Callable[[RunReport], None]) -> None:
        self._send = send
        self._report = report
        self._open: dict[str, _Permission] = {}
        self._uses: dict[str, int] = {}

    def put(self, request_id: str, request: Fields, *, cwd: str, chain: tuple[str, ...]) -> str:
        """Ask the operator. Why it was denied instead, "" when it was not."""
        before = self._find(request_id)
        is_usable = 0 < len(request_id) <= _ID_LIMIT and _USE not in request_id
        if before is not None or not is_usable or len(self._open) >= OPEN_LIMIT:
            if before is not None:
                # One answer would count for both, so neither is granted.
                self._settle(before, "withdrawn")
            self.deny(request_id, _NO_REASON)
            return "its id is in use" if before is not None else "it has no usable id, or there are too many"
        given = object_of(request.get("input"))
        uses = self._uses[request_id] = self._uses.get(request_id, 0) + 1
        # A decision that comes late must never meet a later request of the same id.
        action_id = request_id if uses == 1 else f"{request_id}{_USE}{uses}"
        action = requested(action_id, request, cwd=cwd, chain=chain)
        self._open[action_id] = _Permission(request_id, action, given)
        self._report(action)
        return ""

    def deny(self, request_id: str, why: str) -> None:
        """Refuse a request that nobody is asked about."""
        self._send(reply(request_id, {"behavior": "deny", "message": why}))

    def decide(self, action_id: str, decision: Decision) -> bool:
        """Pass a decision on. False when the program does not wait for it."""
        permission = self._open.pop(action_id, None)
        if permission is None:
            return False
        allows = decision.allow and decision.option_id in {"", _YES.id}
        if allows:
            response: Fields = {"behavior": "allow", "updatedInput": _answered(permission, decision.answer)}
        else:
            response = {"behavior": "deny", "message": decision.reason or _NO_REASON}
        is_sent = self._send(reply(permission.request_id, response))
        self._settled(permission, ("approved" if allows else "denied") if is_sent else "expired")
        return is_sent

    def withdraw(self, request_id: str) -> None:
        """The program has taken a request back."""
        permission = self._find(request_id)
        if permission is not None:
            self._settle(permission, "withdrawn")

    def expire(self, call_id: str) -> None:
        """A call that has ended needs no permission any more."""
        for permission in list(self._open.values()):
            if call_id and permission.action.tool_call_id == call_id:
                self._settle(permission, "expired")

    def drop(self, outcome: str) -> None:
        """Refuse all that is open, since the turn is over or to be."""
        for permission in list(self._open.values()):
            self.deny(permission.request_id, "The turn was ended.")
            self._settle(permission, outcome)

    def forget(self) -> None:
        """Nobody waits any more, as the program is dead; the end of its run says so of all that it asked."""
        self._open.clear()

    def _find(self, request_id: str) -> _Permission | None:
        return next((each for each in self._open.values() if each.request_id == request_id), None)

    def _settle(self, permission: _Permission, outcome: str) -> None:
        del self._open[permission.action.action_id]
        self._settled(permission, outcome)

    def _settled(self, permission: _Permission, outcome: str) -> None:
        self._report(ActionSettled(action_id=permission.action.action_id, outcome=outcome))


def requested(action_id: str, request: Fields, *, cwd: str, chain: tuple[str, ...]) -> ActionRequested:
    """The action that a request stands for. Its arguments are shown exactly, since exactly they go back with a yes."""
    name, given = text_of(request.get("tool_name")), object_of(request.get("input"))
    kind = kind_of(name)
    tool, target = tool_and_target(kind, dict(given), (), cwd=cwd)
    is_question = name == QUESTION_TOOL
    title = f"{name}: {target}" if target else name
    if is_question:
        title = " / ".join(_questions(given)) or name
    return ActionRequested(
        action_id=action_id,
        title=one_line(title) or "a tool without a name",
        detail=pretty(given),
        kind=kind,
        options=(_ANSWER if is_question else _YES, _NO),
        tool_call_id=text_of(request.get("tool_use_id")),
        action_kind=ActionKind.QUESTION if is_question else ActionKind.APPROVAL,
        tool=tool or name,
        target=target,
        cwd=cwd,
        diff=diff_of(name, given),
        chain=chain,
    )


def _answered(permission: _Permission, answer: str) -> Fields:
    """The arguments that go back: as they came, of a question with the answer."""
    if permission.action.action_kind is not ActionKind.QUESTION:
        return permission.given
    return {**permission.given, "answers": dict.fromkeys(_questions(permission.given), answer)}


def _questions(given: Fields) -> list[str]:
    asked = [text_of(object_of(item).get("question")) for item in list_of(given.get("questions"))]
    return [question for question in asked if question]
