"""Calls of the core's own tools as a model wants them: put together, checked, named for the policy (pure)."""

import hashlib
import posixpath
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

from core.api.errors import InvalidInput
from core.api.runs import ToolKind

ARGUMENT_LIMIT = 262_144
LOOP_LIMIT = 10
EXEC, READ, WRITE, SEND, RELAY = "exec", "read", "write", "send", "relay"
_COMMAND_LIMIT = 32_768
_PATH_LIMIT = 4_096
_PLACE_LIMIT = 2_048
_NAME_LIMIT = 64
_WAIT_LIMIT_S = 600
_TITLE_LIMIT = 120
_QUOTED_LIMIT = 200
_WORD_LIMIT = 50


class WantedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call as a model wants it. arguments: its own JSON, however wrong; is_cut: it was longer than the limit."""

    id: str
    name: str
    arguments: str
    is_cut: bool = False


class ExecArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command line for a shell. limit_s: longest time, None is the profile's."""

    command: Annotated[str, Meta(min_length=1, max_length=_COMMAND_LIMIT)]
    limit_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None


class ReadArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to read."""

    path: Annotated[str, Meta(min_length=1, max_length=_PATH_LIMIT)]


class WriteArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file and all that it is to hold."""

    path: Annotated[str, Meta(min_length=1, max_length=_PATH_LIMIT)]
    text: str


class SendArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message to a chat. target: as docs/concepts/delivery.md has it, one chat."""

    target: Annotated[str, Meta(min_length=1, max_length=_PLACE_LIMIT)]
    text: Annotated[str, Meta(min_length=1)]


class RelayArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message to a bot elsewhere. to: its name. wait_s: how long its answer is waited for."""

    to: Annotated[str, Meta(min_length=1, max_length=_NAME_LIMIT)]
    text: Annotated[str, Meta(min_length=1)]
    wait_s: Annotated[float, Meta(ge=0, le=_WAIT_LIMIT_S)] = 0.0


Arguments = ExecArguments | ReadArguments | WriteArguments | SendArguments | RelayArguments
Checked = TypeVar("Checked", ExecArguments, ReadArguments, WriteArguments, SendArguments, RelayArguments)


class ToolAction(msgspec.Struct, frozen=True, kw_only=True):
    """A call that can be carried out. detail: its arguments exactly as the model wrote them; of a message its text.

    target: what the policy looks at, the whole command line, the path inside the workspace, the chat, or the bot. diff:
    of a write, "" until the file was looked at.
    """

    tool: str
    target: str
    kind: ToolKind
    title: str
    detail: str
    arguments: Arguments
    diff: str = ""


def tool_action(call: WantedCall, offered: Sequence[str], *, root: str = "") -> ToolAction:
    """What a call would do. root: the workspace; a path in it may be given as a whole.

    Raises InvalidInput (facts: field, value, fix) for one that is not offered or is wrong.
    """
    if call.name not in offered:
        names = ", ".join(offered)
        raise InvalidInput(
            f"there is no tool {call.name[:_QUOTED_LIMIT]!r}", field="name", value=call.name, fix=f"one of {names}"
        )
    if call.is_cut:
        raise InvalidInput(
            f"the arguments are longer than {ARGUMENT_LIMIT} characters", field="arguments", fix="write less at a time"
        )
    if call.name == EXEC:
        wanted = _checked(call, ExecArguments)
        return _action(call, wanted, _unbroken("command", wanted.command), ToolKind.EXECUTE)
    if call.name == READ:
        found = _checked(call, ReadArguments)
        return _action(call, found, _inside(found.path, root), ToolKind.READ)
    if call.name == SEND:
        letter = _checked(call, SendArguments)
        action = _action(call, letter, _unbroken("target", letter.target), ToolKind.OTHER)
        return msgspec.structs.replace(action, detail=_unbroken("text", letter.text))
    if call.name == RELAY:
        message = _checked(call, RelayArguments)
        action = _action(call, message, _unbroken("to", message.to), ToolKind.OTHER)
        return msgspec.structs.replace(action, detail=_unbroken("text", message.text))
    change = _checked(call, WriteArguments)
    return _action(call, change, _inside(change.path, root), ToolKind.EDIT)


def decoded_arguments(text: str) -> dict[str, Any] | None:
    """The arguments of a call, None when they are no JSON object."""
    values = _decoded(text)
    return cast("dict[str, Any]", values) if isinstance(values, dict) else None


def told_arguments(call: WantedCall) -> str:
    """Arguments as they can be told back to an endpoint: some fail when what the model wrote is no JSON object."""
    return call.arguments if call.arguments and isinstance(_decoded(call.arguments), dict) else "{}"


def title_of(tool: str, target: str) -> str:
    """One short line for a call."""
    line = " ".join(target.split())
    return f"{tool} {line if len(line) <= _TITLE_LIMIT else line[: _TITLE_LIMIT - 3] + '...'}"


class LoopWatch:
    """Notices a model that does the same again and again: a tool whose results do not change, whatever it is given."""

    def __init__(self, limit: int = LOOP_LIMIT) -> None:
        self._limit = limit
        self._last = ""
        self.count = 0

    def note(self, tool: str, target: str, result: str) -> bool:
        """Whether this is one too many. Words of the target are left out of the result: an error often repeats them."""
        same = result
        for word in (target, *target.split(maxsplit=_WORD_LIMIT)[:_WORD_LIMIT]):
            same = same.replace(word, "") if word else same
        digest = hashlib.sha256(f"{tool}\0{same}".encode(errors="replace")).hexdigest()
        self.count = self.count + 1 if digest == self._last else 1
        self._last = digest
        return self.count >= self._limit


def _action(call: WantedCall, arguments: Arguments, target: str, kind: ToolKind) -> ToolAction:
    return ToolAction(
        tool=call.name,
        target=target,
        kind=kind,
        title=title_of(call.name, target),
        detail=call.arguments,
        arguments=arguments,
    )


def _checked(call: WantedCall, kind: type[Checked]) -> Checked:
    values = _decoded(call.arguments)
    if not isinstance(values, dict):
        raise InvalidInput(
            "the arguments are not a JSON object",
            field="arguments",
            value=call.arguments[:_QUOTED_LIMIT],
            fix=f"an object with {', '.join(kind.__struct_fields__)}",
        )
    try:
        return msgspec.convert(cast("dict[str, Any]", values), kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        raise InvalidInput(
            f"{what}{f' in {place[:-1]}' if place else ''}"[:_QUOTED_LIMIT],
            field=place.rstrip("`") or "arguments",
            fix=f"an object with {', '.join(kind.__struct_fields__)}",
        ) from None


def _decoded(text: str) -> object:
    try:
        found: Any = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    return cast("object", found)


def _unbroken(field: str, text: str) -> str:
    if "\0" in text or not text.strip():
        raise InvalidInput(f"{field} is empty or holds a zero byte", field=field, fix="leave it out")
    return text


def _inside(path: str, root: str) -> str:
    """A path inside the workspace in its shortest form, so that a pattern cannot be led around."""
    plain = posixpath.normpath(_unbroken("path", path))
    if root:
        plain = plain.removeprefix(root.rstrip("/") + "/")
    if plain in {".", ".."} or plain.startswith(("/", "../")):
        raise InvalidInput(
            f"{path[:_QUOTED_LIMIT]!r} is not a file inside the workspace",
            field="path",
            value=path[:_QUOTED_LIMIT],
            fix="a path relative to the workspace, such as notes.txt",
        )
    return plain
