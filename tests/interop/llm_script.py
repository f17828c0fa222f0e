"""What the fake model answers: orders in the last text of the user that has some, one step for each round.

Each line of that text may be an order; lines that are none are left alone:

    say WORDS            the words, in pieces
    run: COMMAND         a call of the agent's own tool for shell commands
    write: FILE TEXT     a call of the agent's own tool that writes a file
    ask: QUESTION        a call of the agent's own tool for questions
    hang                 the answer begins and never ends
    fail: STATUS         an HTTP error

Orders are carried out one after the other, each after the result of the one before. When none is left the model says
`All done.`; to a text without an order it says `I hear you.`
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

CLOSING = "All done."
NO_ORDER = "I hear you."
_ORDER = re.compile(r"^\s*(?:(say)\s+|(run|write|ask|fail):\s*|(hang)\s*$)(.*)$", re.MULTILINE)
_SHELLS = ("terminal", "bash", "shell", "exec", "execute", "run_command", "run_shell_command")
_WRITERS = ("write_file", "write", "create_file")
_ASKERS = ("clarify", "askuserquestion", "ask")


class Tool(msgspec.Struct, frozen=True):
    """A tool that the agent offers. properties: of its arguments, by name; required: those that must be there."""

    name: str
    properties: dict[str, Any]
    required: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the model does in one round. tool: its name, with arguments; hangs: nothing comes after the text."""

    text: str = ""
    tool: str = ""
    arguments: dict[str, Any] = {}
    hangs: bool = False
    status: int = 200


def answer_to(body: Mapping[str, Any]) -> Answer:
    """The answer to a request, of OpenAI or of Anthropic."""
    text, done = _asked(body.get("messages") or [])
    orders = list(_orders(text))
    if not orders:
        return Answer(text=NO_ORDER)
    if done >= len(orders):
        return Answer(text=CLOSING)
    return _carried_out(*orders[done], tools_of(body))


def tools_of(body: Mapping[str, Any]) -> list[Tool]:
    """Tools of the request, in either form."""
    found: list[Tool] = []
    for item in body.get("tools") or []:
        function = item.get("function", item)
        schema = function.get("parameters") or function.get("input_schema") or {}
        required = tuple(schema.get("required") or ())
        found.append(Tool(str(function.get("name", "")), schema.get("properties") or {}, required))
    return found


def texts_of(content: Any) -> list[str]:
    """The texts of a message, whose content is a string or blocks."""
    if isinstance(content, str):
        return [content]
    return [str(block.get("text", "")) for block in content or [] if block.get("type") == "text"]


def _asked(messages: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """The last text of the user that is an order, and how many calls of tools came after it."""
    done = 0
    for item in reversed(messages):
        if item.get("role") == "assistant":
            done += len(item.get("tool_calls") or ()) + _block_count(item, "tool_use")
        elif item.get("role") == "user":
            # Texts that nothing was answered to come again in front of the next one.
            for text in reversed(texts_of(item.get("content"))):
                if _ORDER.search(text):
                    return text, done
            if not _block_count(item, "tool_result"):
                return "", done
    return "", done


def _block_count(item: Mapping[str, Any], kind: str) -> int:
    content = item.get("content")
    return sum(block.get("type") == kind for block in content) if isinstance(content, list) else 0


def _orders(text: str) -> Iterator[tuple[str, str]]:
    for found in _ORDER.finditer(text):
        say, verb, hang, rest = found.groups()
        yield say or verb or hang, rest.strip()


def _carried_out(verb: str, rest: str, tools: Sequence[Tool]) -> Answer:
    match verb:
        case "say":
            return Answer(text=rest)
        case "hang":
            return Answer(text="One moment", hangs=True)
        case "fail":
            return Answer(status=int(rest))
        case "run":
            return _called(tools, _SHELLS, {"command": rest, "cmd": rest, "description": "Runs it", "timeout": None})
        case "write":
            path, _, words = rest.partition(" ")
            given = {"path": path, "file_path": path, "content": words, "contents": words, "text": words}
            return _called(tools, _WRITERS, given)
        case _:
            return _called(tools, _ASKERS, {"question": rest, "questions": [_question(rest)]})


def _question(text: str) -> dict[str, Any]:
    options = [{"label": word, "description": word} for word in ("red", "blue")]
    return {"question": text, "header": "Choice", "options": options, "multiSelect": False}


def _called(tools: Sequence[Tool], names: Sequence[str], given: Mapping[str, Any]) -> Answer:
    by_name = {tool.name.lower().rpartition("__")[2]: tool for tool in tools}
    for name in names:
        if (tool := by_name.get(name)) is not None:
            arguments = {key: given[key] for key in tool.properties if given.get(key) is not None}
            for key in tool.required:
                arguments.setdefault(key, "")
            return Answer(text="I will do that.", tool=tool.name, arguments=arguments)
    offered = json.dumps(sorted(by_name))
    return Answer(text=f"There is no tool for that among {offered}.")
