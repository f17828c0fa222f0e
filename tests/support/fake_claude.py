"""Claude Code as far as stream-json shows it; what a turn does is told by the last word of its message.

Run as a program, with nothing but the standard library. FAKE_CLAUDE_MODE: permission mode; FAKE_CLAUDE_START: "dies",
"refuses" or "silent" at its start.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WORDS = ("Hello", " there", " ana")
COMMAND = "touch made-here"
SESSION = "0b8e1c1e-0000-4000-8000-000000000000"


class InterruptedTurnError(Exception):
    """The user wants the turn to end."""


class Program:
    """One run of the program. turns: so far; model: as it was set."""

    def __init__(self) -> None:
        self.turns = 0
        self.cost = 0.0
        self.model = "fake-1"
        self.mode = os.environ.get("FAKE_CLAUDE_MODE", "default")
        self._asked = 0

    def say(self, kind: str, **more: Any) -> None:
        """A line."""
        sys.stdout.write(json.dumps({"type": kind, **more, "session_id": SESSION}) + "\n")
        sys.stdout.flush()

    def read(self) -> dict[str, Any]:
        """The next line of the other side; the program ends with its input."""
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        found: dict[str, Any] = json.loads(line)
        return found

    def control(self, found: dict[str, Any]) -> str:
        """Answer an order; its subtype."""
        subtype = str(found["request"]["subtype"])
        answer: dict[str, Any] = {"subtype": "success", "request_id": found["request_id"], "response": {}}
        if subtype == "initialize" and os.environ.get("FAKE_CLAUDE_START") == "refuses":
            answer = {"subtype": "error", "request_id": found["request_id"], "error": "log in first"}
        elif subtype == "set_model" and found["request"]["model"] == "nobody":
            answer = {"subtype": "error", "request_id": found["request_id"], "error": "no such model"}
        elif subtype == "set_model":
            self.model = found["request"]["model"]
        self.say("control_response", response=answer)
        return subtype

    def event(self, event: dict[str, Any], parent: str | None = None) -> None:
        """A partial."""
        self.say("stream_event", event=event, parent_tool_use_id=parent)

    def begin(self) -> None:
        """A message of the model."""
        usage = {"input_tokens": 5, "cache_read_input_tokens": 6, "output_tokens": 1}
        self.event({"type": "message_start", "message": {"id": "msg_1", "usage": usage}})

    def words(self, *words: str, kind: str = "text", parent: str | None = None) -> None:
        """Pieces of the answer, without its whole."""
        for word in words:
            delta = {"type": f"{kind}_delta", kind: word}
            self.event({"type": "content_block_delta", "index": 0, "delta": delta}, parent)

    def whole(self, *blocks: dict[str, Any], parent: str | None = None, model: str = "") -> None:
        """The message as a whole."""
        message = {"id": "msg_1", "role": "assistant", "model": model or self.model, "content": list(blocks)}
        self.say("assistant", message=message, parent_tool_use_id=parent)

    def call(self, call_id: str, name: str, parent: str | None = None, **given: Any) -> None:
        """A call of a tool."""
        self.whole({"type": "tool_use", "id": call_id, "name": name, "input": given}, parent=parent)

    def returned(self, call_id: str, output: Any, *, is_error: bool = False) -> None:
        """What a tool gave."""
        block = {"type": "tool_result", "tool_use_id": call_id, "content": output, "is_error": is_error}
        self.say("user", message={"role": "user", "content": [block]}, parent_tool_use_id=None)

    def request(self, name: str, call_id: str, **given: Any) -> str:
        """Ask for permission; the id of the request."""
        self._asked += 1
        request_id = f"req-{self._asked}"
        request = {"subtype": "can_use_tool", "tool_name": name, "input": given, "tool_use_id": call_id}
        self.say("control_request", request_id=request_id, request=request)
        return request_id

    def answers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Answers to requests as they come. Raises InterruptedTurnError."""
        while True:
            found = self.read()
            if found["type"] == "control_response":
                yield found["response"]["request_id"], found["response"].get("response") or found["response"]
            elif found["type"] == "control_request" and self.control(found) == "interrupt":
                raise InterruptedTurnError

    def result(self, subtype: str = "success", **more: Any) -> None:
        """The end of a turn."""
        self.cost += 0.25
        usage = {"input_tokens": 5, "cache_read_input_tokens": 6, "output_tokens": 3}
        models = {self.model: {"contextWindow": 200_000}}
        kept = {"subtype": subtype, "is_error": False, "total_cost_usd": self.cost, "usage": usage}
        self.say("result", **(kept | {"modelUsage": models} | more))

    def turn(self, words: str) -> None:
        """Answer a message."""
        self.turns += 1
        self.say(
            "system", subtype="init", model=self.model, permissionMode=self.mode, claude_code_version="2.1.44", tools=[]
        )
        try:
            TURNS.get(words.rsplit(maxsplit=1)[-1], _answer)(self, words)
        except InterruptedTurnError:
            block = {"type": "text", "text": "[Request interrupted by user]"}
            self.say("user", message={"role": "user", "content": [block]}, parent_tool_use_id=None)
            self.result("error_during_execution", errors=[])

    def main(self) -> None:
        """Until the input ends."""
        start = os.environ.get("FAKE_CLAUDE_START")
        if start == "dies":
            sys.exit("no node here")
        while True:
            found = self.read()
            if start == "silent":
                continue
            if found["type"] == "control_request":
                self.control(found)
            elif found["type"] == "user":
                content = found["message"]["content"]
                self.turn(content if isinstance(content, str) else "\n".join(block["text"] for block in content))


def _answer(program: Program, words: str) -> None:
    del words
    program.begin()
    program.words(*WORDS)
    program.whole({"type": "text", "text": "".join(WORDS)})
    program.result(result="".join(WORDS))


def _echo(program: Program, words: str) -> None:
    said = json.dumps({"heard": words, "turn": program.turns, "model": program.model, "argv": sys.argv[1:]})
    program.whole({"type": "text", "text": said})
    program.result(result=said)


def _environment(program: Program, words: str) -> None:
    del words
    program.result(result=json.dumps(dict(os.environ) | {"cwd": str(Path.cwd())}))


def _endless(program: Program, words: str) -> None:
    del words
    program.begin()
    program.words(WORDS[0])
    for _ in program.answers():
        pass


def _deaf(program: Program, words: str) -> None:
    del words
    program.begin()
    program.words(WORDS[0])
    while True:
        program.read()


def _dies(program: Program, words: str) -> None:
    del words
    program.begin()
    program.words(WORDS[0])
    sys.stderr.write(f"out of luck with {os.environ.get('SECRET', '')}\n")
    sys.exit(7)


def _dies_asking(program: Program, words: str) -> None:
    del words
    program.call("t1", "Bash", command=COMMAND)
    program.request("Bash", "t1", command=COMMAND)
    threading.Event().wait(0.2)
    sys.exit("gone")


def _tools(program: Program, words: str) -> None:
    del words
    program.begin()
    program.words("I will.")
    given = {"command": COMMAND, "description": "makes a file"}
    program.call("t1", "Bash", **given)
    wanted = program.request("Bash", "t1", **given)
    request_id, answer = next(program.answers())
    assert request_id == wanted
    if answer["behavior"] == "allow":
        program.returned("t1", [{"type": "text", "text": json.dumps(answer["updatedInput"])}])
    else:
        program.returned("t1", answer["message"], is_error=True)
    program.begin()
    program.words("Done.")
    program.whole({"type": "text", "text": "Done."})
    program.result(result="Done.")


def _two(program: Program, words: str) -> None:
    del words
    wanted = {program.request("Bash", name, command=name): name for name in ("one", "two")}
    said: dict[str, str] = {}
    for request_id, answer in program.answers():
        said[wanted[request_id]] = answer.get("updatedInput", {}).get("command", "no")
        if len(said) == len(wanted):
            break
    program.result(result=json.dumps(said, sort_keys=True))


def _edits(program: Program, words: str) -> None:
    del words
    edit = {"file_path": "/w/a.txt", "old_string": "old\n", "new_string": "new\n"}
    program.call("t1", "Edit", **edit)
    program.request("Edit", "t1", **edit)
    next(program.answers())
    program.returned("t1", "ok")
    todos = [{"content": "think", "status": "completed"}, {"content": "write", "status": "in_progress"}]
    program.call("t2", "TodoWrite", todos=todos)
    program.result(result="edited")


def _inner(program: Program, words: str) -> None:
    del words
    program.call("t1", "Task", prompt="go")
    program.words("inner words", parent="t1")
    program.call("t2", "Bash", parent="t1", command=COMMAND)
    program.request("Bash", "t2", command=COMMAND)
    next(program.answers())
    program.returned("t2", "ok")
    program.returned("t1", "ok")
    program.result(result="outer")


def _questions(program: Program, words: str) -> None:
    del words
    asked = {"questions": [{"question": "Which colour?", "options": [{"label": "red"}]}]}
    program.request("AskUserQuestion", "t1", **asked)
    _, answer = next(program.answers())
    program.result(result=json.dumps(answer.get("updatedInput", {}).get("answers")))


def _takes_back(program: Program, words: str) -> None:
    del words
    request_id = program.request("Bash", "t1", command=COMMAND)
    program.say("control_cancel_request", request_id=request_id)
    program.result(result="never mind")


def _odd(program: Program, words: str) -> None:
    del words
    sys.stdout.write("no json\n[1, 2]\n\n")
    program.say("weather", wind=3)
    program.say("weather", wind=4)
    program.say("system", subtype="compact_boundary")
    program.say("system", subtype="status", permissionMode="acceptEdits")
    program.say("control_request", request_id="hook-1", request={"subtype": "hook_callback"})
    _, answer = next(program.answers())
    program.begin()
    program.words("hm", kind="thinking")
    program.result(result=str(answer["error"]))


def _fails(program: Program, words: str) -> None:
    del words
    program.whole({"type": "text", "text": "API Error: 401"}, model="<synthetic>")
    program.result(is_error=True, result="API Error: 401\nbad key")


def _turns(program: Program, words: str) -> None:
    del words
    program.result("error_max_turns")


def _long(program: Program, words: str) -> None:
    del words
    program.begin()
    program.words(*(f"{number} " for number in range(20_000)))
    program.result(result="")


def _slow(program: Program, words: str) -> None:
    del words
    time.sleep(0.01)
    program.result("error_during_execution", errors=["one", "two"])


TURNS: dict[str, Callable[[Program, str], None]] = {
    "answer": _answer,
    "echo": _echo,
    "environment": _environment,
    "endless": _endless,
    "deaf": _deaf,
    "dies": _dies,
    "dies_asking": _dies_asking,
    "tools": _tools,
    "two": _two,
    "edits": _edits,
    "inner": _inner,
    "questions": _questions,
    "takes_back": _takes_back,
    "odd": _odd,
    "fails": _fails,
    "turns": _turns,
    "long": _long,
    "slow": _slow,
}

if __name__ == "__main__":
    Program().main()
