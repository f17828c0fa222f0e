"""What Claude Code asks before it acts: put to the operator, decided once, and none left without an answer."""

from collections.abc import Callable

from core.agents.acp.permission import tool_and_target
from core.agents.acp.wire import pretty
from core.agents.claude.wire import Fields, diff_of, kind_of, reply
from core.agents.loose_json import list_of, object_of, one_line, text_of
from core.agents.open_requests import ID_LIMIT, OPEN_LIMIT, USE, OpenRequest, OpenRequests
from core.agents.runner import Decision
from core.api.runs import ActionKind, ActionOption, ActionRequested, ActionSettled, OptionKind, RunReport

QUESTION_TOOL = "AskUserQuestion"
_YES = ActionOption(id="allow", label="Allow", kind=OptionKind.ALLOW_ONCE)
_NO = ActionOption(id="deny", label="Deny", kind=OptionKind.REJECT_ONCE)
_ANSWER = ActionOption(id="allow", label="Answer", kind=OptionKind.ALLOW_ONCE)
_NO_REASON = "The operator does not allow this."


class _Permission(OpenRequest, frozen=True):
    """given: the arguments as they came."""

    given: Fields


class Permissions(OpenRequests[_Permission]):
    """The requests of one program. send: to the program, False when it is gone; report: to the run."""

    def __init__(self, send: Callable[[Fields], bool], report: Callable[[RunReport], None]) -> None:
        super().__init__(report)
        self._send = send

    def put(self, request_id: str, request: Fields, *, cwd: str, chain: tuple[str, ...]) -> str:
        """Ask the operator. Why it was denied instead, "" when it was not."""
        # One answer would count for both, so neither is granted.
        is_used = self.withdraw(request_id)
        is_usable = 0 < len(request_id) <= ID_LIMIT and USE not in request_id
        if is_used or not is_usable or len(self._open) >= OPEN_LIMIT:
            self.deny(request_id, _NO_REASON)
            return "its id is in use" if is_used else "it has no usable id, or there are too many"
        action = requested(self._action_id(request_id), request, cwd=cwd, chain=chain)
        self._ask(_Permission(request_id, action, object_of(request.get("input"))))
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
        is_sent = self._send(reply(permission.key, response))
        outcome = ("approved" if allows else "denied") if is_sent else "expired"
        self._report(ActionSettled(action_id=action_id, outcome=outcome))
        return is_sent

    def drop(self, outcome: str) -> None:
        """Refuse all that is open, since the turn is over or to be. Of every other end the program knows itself."""
        for permission in self._open.values():
            self.deny(permission.key, "The turn was ended.")
        super().drop(outcome)


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
