"""What a far side answers over Agent2Agent, in either version: how far its task is, and what it says (pure)."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from core.api.relay_tasks import RelayState
from core.relay.a2a import UnreadableError, cut
from core.relay.a2a_words import as_json
from core.relay.wire import ASKS_BACK, NO_QUESTION, far_name

TEXT_LIMIT = 1_000_000
"""Characters of an answer that are kept."""

_STATES = {
    "submitted": RelayState.WORKING,
    "working": RelayState.WORKING,
    "completed": RelayState.COMPLETED,
    "failed": RelayState.FAILED,
    "canceled": RelayState.CANCELED,
    "rejected": RelayState.FAILED,
    "input_required": RelayState.COMPLETED,
    "auth_required": RelayState.FAILED,
}
_ARTIFACT_LIMIT = 1_000
T = TypeVar("T")
_UPDATES = {"task", "message", "status-update", "artifact-update"}


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    data: object = None
    raw: str | None = None
    url: str | None = None
    filename: str | None = None
    file: dict[str, object] | None = None


class _Message(msgspec.Struct, rename="camel"):
    parts: list[_Part] | None = None
    context_id: str | None = None
    task_id: str | None = None
    role: str | int | None = None


class _Status(msgspec.Struct):
    state: str | None = None
    message: _Message | None = None


class _Artifact(msgspec.Struct, rename="camel"):
    artifact_id: str | None = None
    parts: list[_Part] | None = None


class _Task(msgspec.Struct, rename="camel"):
    id: str
    context_id: str | None = None
    status: _Status | None = None
    artifacts: list[_Artifact] | None = None
    history: list[_Message] | None = None


class _StatusUpdate(msgspec.Struct, rename="camel"):
    task_id: str | None = None
    context_id: str | None = None
    status: _Status | None = None


class _ArtifactUpdate(msgspec.Struct, rename="camel"):
    artifact: _Artifact
    task_id: str | None = None
    context_id: str | None = None
    append: bool | None = None


class _Found(msgspec.Struct, rename="camel"):
    task: _Task | None = None
    message: _Message | None = None
    status_update: _StatusUpdate | None = None
    artifact_update: _ArtifactUpdate | None = None


class FarTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task over there, as far as it was told. word: its state as the protocol has it, in small letters. said: the
    message that came with the state; pieces: artifacts by id, in their order.
    """

    word: str = "working"
    id: str = ""
    context: str = ""
    said: str = ""
    pieces: tuple[tuple[str, str], ...] = ()

    @property
    def state(self) -> RelayState:
        """How far it is. A state that nobody knows counts as working."""
        return _STATES.get(self.word, RelayState.WORKING)

    @property
    def answer(self) -> str:
        """What the bot answers: its artifacts, else what it said last. Of one that failed, what there was by then."""
        text = "\n\n".join(text for _, text in self.pieces if text)
        if not self.state.is_over:
            return ""
        if self.word == "input_required":
            text = "\n\n".join(item for item in (text, self.said) if item)
            text = text or NO_QUESTION
        elif self.state is RelayState.COMPLETED:
            text = text or self.said
        return text[:TEXT_LIMIT]

    @property
    def error(self) -> str:
        """Why it ended badly, or what it waits for."""
        said = cut(self.said)
        match self.word:
            case "failed":
                return said or "it failed, and does not say why"
            case "rejected":
                return f"it will not do it: {said or 'it does not say why'}"
            case "auth_required":
                return f"it wants somebody to sign in over there: {said or 'it does not say where'}"
            case "canceled":
                return said
            case "input_required":
                return ASKS_BACK
            case _:
                return ""


def read_sent(result: Mapping[str, object]) -> FarTask:
    """What became of a message. Raises UnreadableError for what is neither a task nor a message."""
    return read_update(result, None)


def read_task(result: Mapping[str, object]) -> FarTask:
    """A task that was asked for. Raises UnreadableError."""
    return _of_task(_converted(result, _Task))


def read_update(result: Mapping[str, object], before: FarTask | None) -> FarTask:
    """The task after one thing of a stream. before: None for the first. Raises UnreadableError."""
    found = _found(result)
    known = before or FarTask()
    if found.task is not None:
        return _of_task(found.task)
    if found.message is not None:
        message = found.message
        task_id, context = far_name(message.task_id) or known.id, far_name(message.context_id) or known.context
        return FarTask(word="completed", id=task_id, context=context, said=text_of(message.parts))
    if (status := found.status_update) is not None:
        return _with_status(_placed(known, status.task_id, status.context_id), status.status)
    if (update := found.artifact_update) is not None:
        placed = _placed(known, update.task_id, update.context_id)
        return msgspec.structs.replace(placed, pieces=_with_piece(known.pieces, update))
    raise UnreadableError("the answer", "it holds neither a task nor a message")


def text_of(parts: Sequence[_Part] | None) -> str:
    """The text of parts; what is none is named. Pieces of one artifact are one text."""
    return "".join(_piece(part) for part in parts or ())[:TEXT_LIMIT]


def _found(result: Mapping[str, object]) -> _Found:
    """By what is there, not by the version: some servers of 1.0 answer with a bare task, some of 0.3 without kind."""
    kind = result.get("kind")
    if not isinstance(kind, str) or kind not in _UPDATES:
        found = _converted(result, _Found)
        if found != _Found():
            return found
        kind = "task" if "id" in result else "message" if "parts" in result else ""
    match kind:
        case "task":
            return _Found(task=_converted(result, _Task))
        case "message":
            return _Found(message=_converted(result, _Message))
        case "status-update":
            return _Found(status_update=_converted(result, _StatusUpdate))
        case "artifact-update":
            return _Found(artifact_update=_converted(result, _ArtifactUpdate))
        case _:
            return _Found()


def _of_task(task: _Task) -> FarTask:
    pieces: tuple[tuple[str, str], ...] = ()
    for artifact in (task.artifacts or [])[:_ARTIFACT_LIMIT]:
        pieces += ((artifact.artifact_id or "", text_of(artifact.parts)),)
    found = _with_status(FarTask(id=far_name(task.id), context=far_name(task.context_id), pieces=pieces), task.status)
    if found.state is RelayState.COMPLETED and not found.said and not pieces:
        said = [message for message in task.history or () if str(message.role).lower() in {"role_agent", "agent"}]
        return msgspec.structs.replace(found, said=text_of(said[-1].parts) if said else "")
    return found


def _with_status(task: FarTask, status: _Status | None) -> FarTask:
    if status is None:
        return task
    word = (status.state or "").lower().removeprefix("task_state_").replace("-", "_")
    said = text_of(status.message.parts) if status.message is not None else ""
    return msgspec.structs.replace(task, word=word or task.word, said=said)


def _placed(task: FarTask, task_id: str | None, context: str | None) -> FarTask:
    return msgspec.structs.replace(task, id=task.id or far_name(task_id), context=task.context or far_name(context))


def _with_piece(pieces: tuple[tuple[str, str], ...], update: _ArtifactUpdate) -> tuple[tuple[str, str], ...]:
    name, text = update.artifact.artifact_id or "", text_of(update.artifact.parts)
    before = dict(pieces)
    if name not in before and len(before) >= _ARTIFACT_LIMIT:
        return pieces
    before[name] = (before.get(name, "") + text if update.append else text)[:TEXT_LIMIT]
    return tuple(before.items())


def _piece(part: _Part) -> str:
    if part.text is not None:
        return part.text
    if part.data is not None:
        return as_json(part.data)
    if part.raw is None and part.url is None and part.file is None:
        return ""
    name = part.filename or (part.file or {}).get("name")
    return f"[a file{f' {cut(name)}' if isinstance(name, str) else ''}, which is left out]"


def _converted(value: Mapping[str, object], kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UnreadableError("the answer", str(error)) from None
