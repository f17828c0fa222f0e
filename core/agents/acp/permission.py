"""What an ACP agent asks before it acts, as an action for the operator, and what a decision is on the wire (pure)."""

import posixpath
import shlex
from collections.abc import Iterator, Sequence
from typing import cast

from core.agents.acp.updates import diff_of, kind_of, words_of
from core.agents.acp.wire import Asked, Fields, fields, objects, pretty, text
from core.agents.runner import Decision
from core.api.runs import ActionOption, ActionRequested, OptionKind, ToolCall, ToolKind

CANCELLED: Fields = {"outcome": {"outcome": "cancelled"}}
_TITLE_LIMIT = 300
_KINDS = {kind.value: kind for kind in OptionKind}
_REJECTING = ("reject", "deny", "decline", "refuse")
_PATH_KEYS = ("path", "file_path", "filePath", "filepath", "notebook_path", "abs_path", "absolute_path")
_ADDRESS_KEYS = ("url", "uri", "address")
_QUERY_KEYS = ("query", "pattern")
_FOLDER_KEYS = ("cwd", "workdir", "working_dir", "workingDirectory", "working_directory")
# With these a command is not what its line says.
_ALTERING_KEYS = ("env", "environment", "environ", "stdin")
_TOOLS = {
    ToolKind.READ: "read",
    ToolKind.EDIT: "edit",
    ToolKind.DELETE: "delete",
    ToolKind.MOVE: "move",
    ToolKind.SEARCH: "search",
    ToolKind.FETCH: "fetch",
}


def requested(
    asked: Asked, known: ToolCall | None, *, action_id: str, cwd: str, listens_s: float | None
) -> ActionRequested:
    """The action that a request for permission stands for.

    action_id: made of the id of the request, as agents name the call as they like here. known: the call of that name as
    it was told before, for what the request leaves out. listens_s: how long the agent waits.
    """
    call = fields(asked.params.get("toolCall"))
    raw = call.get("rawInput")
    kind = kind_of(call["kind"]) if "kind" in call else known.kind if known is not None else ToolKind.OTHER
    diff = diff_of(call.get("content"))
    tool, target = tool_and_target(kind, raw, _told_paths(call), cwd=cwd)
    title = text(call.get("title")) or (known.title if known is not None else "") or target or kind.value
    return ActionRequested(
        action_id=action_id,
        title=title if len(title) <= _TITLE_LIMIT else f"{title[:_TITLE_LIMIT]}…",
        detail=_detail(call, known),
        kind=kind,
        options=options_of(asked.params.get("options")),
        tool_call_id=text(call.get("toolCallId")),
        deadline_s=listens_s,
        tool=tool,
        target=target,
        cwd=text(fields(raw).get("cwd")) or cwd,
        diff=diff,
    )


def options_of(options: object) -> tuple[ActionOption, ...]:
    """The options of a request, in the agent's order; those without an id of their own are left out."""
    found: dict[str, ActionOption] = {}
    for item in objects(options):
        option_id = text(item.get("optionId"))
        if option_id:
            label = text(item.get("name")) or option_id
            found.setdefault(option_id, ActionOption(id=option_id, label=label, kind=_option_kind(item.get("kind"))))
    return tuple(found.values())


def outcome_of(decision: Decision, options: Sequence[ActionOption]) -> tuple[Fields, str]:
    """The answer to send and what it means. Whatever is not clearly one of the options is a cancelled request."""
    chosen = next((option for option in options if option.id == decision.option_id), None)
    if chosen is None or (chosen.kind.allows and not decision.allow):
        return CANCELLED, "withdrawn" if decision.allow else "denied"
    answer = {"outcome": {"outcome": "selected", "optionId": chosen.id}}
    return answer, "approved" if chosen.kind.allows else "denied"


def tool_and_target(kind: ToolKind, raw: object, told: Sequence[str], *, cwd: str) -> tuple[str, str]:
    """What a policy looks at: a tool's name, and its whole command line, path or address; "" for what is not clear.

    told: paths that the request names outside its arguments. cwd: where the agent works. A command counts before
    everything else, and of two different paths neither does: a pattern that fits one of them must not allow the other.
    A command that is to run elsewhere, or with variables of its own, is more than its line says.
    """
    arguments = fields(raw)
    inner = fields(arguments.get("arguments"))
    commands = set(_commands(arguments)) | set(_commands(inner))
    if commands or kind is ToolKind.EXECUTE:
        is_clear = len(commands) == 1 and not any(_is_altered(each, cwd) for each in (arguments, inner))
        return "exec", commands.pop() if is_clear else ""
    paths = {*told, *_values(arguments, _PATH_KEYS), *_values(inner, _PATH_KEYS)}
    tool = _TOOLS.get(kind, "")
    match kind:
        case ToolKind.READ | ToolKind.EDIT | ToolKind.DELETE:
            found = paths
        case ToolKind.FETCH:
            found = {*_values(arguments, _ADDRESS_KEYS), *_values(inner, _ADDRESS_KEYS)}
        case ToolKind.SEARCH:
            found = {*_values(arguments, _QUERY_KEYS), *_values(inner, _QUERY_KEYS)}
        case _:
            found = set[str]()
    return tool, found.pop() if len(found) == 1 else ""


def _is_altered(arguments: Fields, cwd: str) -> bool:
    folders = [posixpath.normpath(posixpath.join(cwd, folder)) for folder in _values(arguments, _FOLDER_KEYS)]
    inside = posixpath.normpath(cwd).rstrip("/") + "/"
    elsewhere = any(not f"{folder}/".startswith(inside) for folder in folders)
    return elsewhere or any(arguments.get(key) for key in _ALTERING_KEYS)


def _option_kind(kind: object) -> OptionKind:
    # One that is not known is never taken for a safe refusal, and never for the smallest permission.
    name = text(kind)
    rejects = name.lower().startswith(_REJECTING)
    return _KINDS.get(name) or (OptionKind.REJECT_ALWAYS if rejects else OptionKind.ALLOW_ALWAYS)


def _detail(call: Fields, known: ToolCall | None) -> str:
    raw = call.get("rawInput")
    if raw is not None and raw != {}:
        return raw if isinstance(raw, str) else pretty(raw)
    if known is not None and known.input:
        return known.input
    return words_of(call.get("content")) or pretty(call)


def _told_paths(call: Fields) -> list[str]:
    diffs = [item for item in objects(call.get("content")) if item.get("type") == "diff"]
    return [path for item in (*objects(call.get("locations")), *diffs) if (path := text(item.get("path")))]


def _commands(arguments: Fields) -> Iterator[str]:
    for key in ("command", "cmd"):
        value = arguments.get(key)
        if isinstance(value, str) and value:
            words = _words(arguments.get("args"))
            yield shlex.join([value, *words]) if words else value
        elif words := _words(value):
            yield shlex.join(words)


def _words(value: object) -> list[str]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [str(item) for item in items]


def _values(arguments: Fields, keys: Sequence[str]) -> list[str]:
    return [value for key in keys if (value := text(arguments.get(key)))]
