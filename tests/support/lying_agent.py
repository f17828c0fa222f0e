"""An ACP agent that says what a test tells it to, byte for byte; run as a program of its own.

Its argument is a JSON object of steps: `initialize`, `session/new`, `session/prompt`, each a list of lines to write
when that is asked, in which ID stands for the number of the request. A step that is left out is answered well. A line
that begins with ! is an order: !exit CODE, !close (its output), !flood COUNT (of bytes, without a line end), !noise
COUNT (the same to standard error), !environment (tells its own, and puts its key everywhere), !wait (for a line).
"""

import json
import os
import sys
import time
from typing import Any

SESSION = "s"
GOOD = {
    "initialize": ['{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":1}}'],
    "session/new": ['{"jsonrpc":"2.0","id":ID,"result":{"sessionId":"s"}}'],
    "session/prompt": ['{"jsonrpc":"2.0","id":ID,"result":{"stopReason":"end_turn"}}'],
}


def said(text: str) -> str:
    """A line with a piece of the answer."""
    return update({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}})


def update(found: dict[str, Any]) -> str:
    """A line with an update."""
    params = {"sessionId": SESSION, "update": found}
    return json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": params})


def asks(request_id: str, call: dict[str, Any] | None = None, options: list[Any] | None = None) -> str:
    """A line that asks for permission. request_id: as it stands in the JSON."""
    yes = [{"optionId": "once", "name": "Yes", "kind": "allow_once"}, {"optionId": "no", "kind": "reject_once"}]
    call = {"toolCallId": "c", "rawInput": {"command": "ls"}} if call is None else call
    params = {"sessionId": SESSION, "toolCall": call, "options": yes if options is None else options}
    line = {"jsonrpc": "2.0", "id": "REQUEST", "method": "session/request_permission", "params": params}
    return json.dumps(line).replace('"REQUEST"', request_id)


ENDS = GOOD["session/prompt"][0]


def _write(line: str, fd: int = 1) -> None:
    data = line.encode(errors="surrogateescape")
    while data:
        data = data[os.write(fd, data) :]


def _order(order: str, rest: str) -> None:
    match order:
        case "exit":
            os._exit(int(rest))
        case "close":
            os.close(1)
            time.sleep(300)
        case "flood":
            _write("x" * int(rest))
        case "noise":
            _write("y" * int(rest), 2)
        case "environment":
            key = os.environ.get("AGENT_KEY", "no key")
            _write(said(json.dumps(dict(os.environ))) + "\n")
            call = {"sessionUpdate": "tool_call", "toolCallId": "t", "title": key, "rawInput": {"k": key}}
            _write(update(call | {"rawOutput": f"out {key}", "status": "completed"}) + "\n")
            _write(f"this is not JSON {key}\n{key}\n")
            _write(f"stderr {key}\n", 2)
        case _:
            sys.stdin.buffer.readline()


def _play(lines: list[str], number: object) -> None:
    for line in lines:
        if line.startswith("!"):
            _order(*line[1:].partition(" ")[::2])
        else:
            _write(line.replace("ID", json.dumps(number), 1) + "\n")


def main() -> None:
    """Until its input ends."""
    steps = GOOD | json.loads(sys.argv[1])
    for line in sys.stdin.buffer:
        message = json.loads(line)
        _play(steps.get(message.get("method", ""), []), message.get("id"))


if __name__ == "__main__":
    main()
