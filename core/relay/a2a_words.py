"""Messages, tasks, artifacts and updates of Agent2Agent, read and written in both versions (pure).

A version differs in its envelopes alone: 0.3 has `kind`, small letters and hyphens where 1.0 has one field of several.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from core.api.relay_tasks import RelayState
from core.relay import moment
from core.relay.a2a import A2aFault, A2aVersion, Code, cut
from core.relay.moment import Moment
from core.relay.task import RelayTask
from core.relay.trail import read_trail, trail_object
from core.relay.wire import Trail

ID_LIMIT = 200
"""Characters of the id of a message or a conversation."""

PARTS_LIMIT = 1_000
_ANSWER = "answer"
_STATES = {
    RelayState.QUEUED: "SUBMITTED",
    RelayState.SENDING: "SUBMITTED",
    RelayState.WORKING: "WORKING",
    RelayState.COMPLETED: "COMPLETED",
    RelayState.FAILED: "FAILED",
    RelayState.CANCELED: "CANCELED",
    RelayState.DEAD: "REJECTED",
}
_ORDER_OF_V1 = "TASK_STATE_"


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    kind: str | None = None
    data: object = None
    raw: str | None = None
    url: str | None = None
    file: dict[str, object] | None = None
    filename: str | None = None


class _Message(msgspec.Struct, rename="camel"):
    message_id: str | None = None
    parts: list[_Part] | None = None
    context_id: str | None = None
    task_id: str | None = None
    role: str | int | None = None
    metadata: dict[str, object] | None = None


class _Configuration(msgspec.Struct, rename="camel"):
    return_immediately: bool | None = None
    blocking: bool | None = None
    task_push_notification_config: dict[str, object] | None = None
    push_notification_config: dict[str, object] | None = None


class _Send(msgspec.Struct, rename="camel"):
    message: _Message
    configuration: _Configuration | None = None
    tenant: str | None = None


class _Named(msgspec.Struct):
    id: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a peer sends. context: as it names the conversation, "" where it does not. task_id: of a task that
    it would go on with. is_immediate: it does not wait for the end.
    """

    message_id: str
    text: str
    trail: Trail
    context: str = ""
    task_id: str = ""
    to: str = ""
    sender: str = ""
    is_immediate: bool = False


T = TypeVar("T")


def read_order(params: Mapping[str, object]) -> Order:
    """The message in the parameters of a call, in either version. Raises A2aFault that names the field."""
    found = _converted(params, _Send)
    message, configuration = found.message, found.configuration or _Configuration()
    if configuration.task_push_notification_config or configuration.push_notification_config:
        raise A2aFault(Code.NO_PUSH, "nothing is pushed from here; ask with GetTask, or stream")
    message_id = _id(message.message_id, "message.messageId", is_needed=True)
    context = _id(message.context_id, "message.contextId")
    if str(message.role) in {"ROLE_AGENT", "agent", "2"}:
        raise A2aFault(Code.PARAMS, "message.role is the agent's; send ROLE_USER")
    metadata = message.metadata or {}
    sender = metadata.get("sender")
    return Order(
        message_id=message_id,
        text=_taken_text(message.parts or []),
        trail=read_trail(metadata, context or message_id),
        context=context,
        task_id=_id(message.task_id, "message.taskId"),
        to=cut(found.tenant or ""),
        sender=cut(sender) if isinstance(sender, str) else "",
        is_immediate=bool(configuration.return_immediately) or configuration.blocking is False,
    )


def read_task_id(params: Mapping[str, object]) -> str:
    """The task that a call is about. Raises A2aFault."""
    return _id(_converted(params, _Named).id, "id", is_needed=True)


def order_params(order: Order, version: A2aVersion) -> dict[str, object]:
    """The parameters of a call that sends a message."""
    metadata = trail_object(order.trail)
    if order.sender:
        metadata["sender"] = order.sender
    message: dict[str, object] = {
        "messageId": order.message_id,
        "role": _role("user", version),
        "parts": _parts(order.text, version),
        "metadata": metadata,
    }
    if order.context:
        message["contextId"] = order.context
    if version is A2aVersion.V03:
        message["kind"] = "message"
        return {"message": message, "configuration": {"blocking": not order.is_immediate}}
    return {"message": message, "configuration": {"returnImmediately": order.is_immediate}}


def context_of(task: RelayTask) -> str:
    """The conversation of a task that came in, as its peer knows it."""
    return task.context or task.wire_id


def task_object(task: RelayTask, version: A2aVersion) -> dict[str, object]:
    """A task that came in."""
    found: dict[str, object] = {
        "id": task.wire_id,
        "contextId": context_of(task),
        "status": _status(task, version),
    }
    if task.answer:
        found["artifacts"] = [_artifact(task, version)]
    return {"kind": "task", **found} if version is A2aVersion.V03 else found


def whole(task: RelayTask, version: A2aVersion) -> dict[str, object]:
    """A task as the answer to a message, or as the first thing of a stream."""
    found = task_object(task, version)
    return found if version is A2aVersion.V03 else {"task": found}


def updates(task: RelayTask, version: A2aVersion) -> list[dict[str, object]]:
    """What changed about a task, in the order in which a stream says it: its answer, then its state."""
    found: list[dict[str, object]] = []
    place = {"taskId": task.wire_id, "contextId": context_of(task)}
    if task.answer and task.state.is_over:
        artifact: dict[str, object] = {**place, "artifact": _artifact(task, version), "lastChunk": True}
        found.append(_update("artifact", artifact, version))
    status: dict[str, object] = {**place, "status": _status(task, version)}
    if version is A2aVersion.V03:
        status["final"] = task.state.is_over
    found.append(_update("status", status, version))
    return found


def _update(what: str, update: dict[str, object], version: A2aVersion) -> dict[str, object]:
    return {"kind": f"{what}-update", **update} if version is A2aVersion.V03 else {f"{what}Update": update}


def _status(task: RelayTask, version: A2aVersion) -> dict[str, object]:
    name = _STATES[task.state]
    changed = task.ended or task.changed or task.created
    found: dict[str, object] = {
        "state": name.lower() if version is A2aVersion.V03 else _ORDER_OF_V1 + name,
        "timestamp": moment.write(Moment.of(round(changed.at, 3))),
    }
    if task.error and task.state.is_over:
        found["message"] = _agent_message(f"{task.wire_id}-status", task.error, task, version)
    return found


def _agent_message(message_id: str, text: str, task: RelayTask, version: A2aVersion) -> dict[str, object]:
    found: dict[str, object] = {
        "messageId": message_id,
        "role": _role("agent", version),
        "parts": _parts(text, version),
        "taskId": task.wire_id,
        "contextId": context_of(task),
    }
    return {"kind": "message", **found} if version is A2aVersion.V03 else found


def _artifact(task: RelayTask, version: A2aVersion) -> dict[str, object]:
    return {"artifactId": _ANSWER, "name": _ANSWER, "parts": _parts(task.answer, version)}


def _parts(text: str, version: A2aVersion) -> list[dict[str, str]]:
    return [{"kind": "text", "text": text}] if version is A2aVersion.V03 else [{"text": text}]


def _role(name: str, version: A2aVersion) -> str:
    return name if version is A2aVersion.V03 else f"ROLE_{name.upper()}"


def _converted(params: Mapping[str, object], kind: type[T]) -> T:
    try:
        return msgspec.convert(params, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise A2aFault(Code.PARAMS, f"the parameters cannot be: {cut(str(error))}") from None


def _id(value: str | None, field: str, *, is_needed: bool = False) -> str:
    text = value or ""
    if is_needed and not text:
        raise A2aFault(Code.PARAMS, f"{field} is missing")
    if len(text) > ID_LIMIT or not text.isprintable():
        raise A2aFault(Code.PARAMS, f"{field} may have {ID_LIMIT} printable characters")
    return text


def _taken_text(parts: Sequence[_Part]) -> str:
    if not parts:
        raise A2aFault(Code.PARAMS, "message.parts is empty; send at least one text")
    if len(parts) > PARTS_LIMIT:
        raise A2aFault(Code.PARAMS, f"message.parts may have {PARTS_LIMIT} parts")
    pieces: list[str] = []
    for number, part in enumerate(parts):
        if part.text is not None:
            pieces.append(part.text)
        elif part.data is not None:
            pieces.append(as_json(part.data))
        elif part.raw is not None or part.url is not None or part.file is not None:
            raise A2aFault(Code.CONTENT_TYPE, f"message.parts[{number}] is a file; only text and data are taken")
        else:
            raise A2aFault(Code.PARAMS, f"message.parts[{number}] holds nothing")
    text = "\n".join(pieces)
    if not text.strip():
        raise A2aFault(Code.PARAMS, "message.parts holds no text")
    return text


def as_json(value: Any) -> str:
    """A value from a part as text."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError, OverflowError):
        return "(data that cannot be shown)"
