"""A small ACP agent, run as a program of its own. The last words of a prompt say what it does.

Options: --needs-login, --needs-configuration, --version-2, --exits, --deaf-to-term, --plain (no modes, no models),
--refuses (does not let its mode and model be set), --slow (never answers that), --fragile (dies of it), --once (begins
one session only), --says-at-start TEXT (to standard error).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]
BIG_LINE_BYTES = 34_000_000
OPTIONS = [
    {"optionId": "once", "name": "Allow once", "kind": "allow_once"},
    {"optionId": "session", "name": "Allow for the session", "kind": "allow_always"},
    {"optionId": "always", "name": "Always", "kind": "allow_always"},
    {"optionId": "no", "name": "Deny", "kind": "reject_once"},
]


class Agent:
    """The agent: one thread reads, each prompt has one of its own."""

    def __init__(self, options: list[str]) -> None:
        self.options = options
        self.lock = threading.Lock()
        self.cancelled = threading.Event()
        self.answers: dict[Any, Fields] = {}
        self.answered = threading.Condition()
        self.next_id = 0
        self.session = "session-0"
        self.mode = "default"
        self.model = "small"
        self.turns: dict[str, Callable[[str], str]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    def send(self, message: Fields) -> None:
        """Write one message."""
        line = json.dumps({"jsonrpc": "2.0"} | message) + "\n"
        with self.lock:
            sys.stdout.write(line)
            sys.stdout.flush()

    def update(self, what: str, /, **more: Any) -> None:
        """Tell something about the session."""
        update = {"sessionUpdate": what} | more
        self.send({"method": "session/update", "params": {"sessionId": self.session, "update": update}})

    def say(self, text: str) -> None:
        """A piece of the answer."""
        self.update("agent_message_chunk", content={"type": "text", "text": text})

    def request(self, method: str, params: Fields) -> int:
        """Send a request; numbers begin at 0."""
        number, self.next_id = self.next_id, self.next_id + 1
        self.send({"id": number, "method": method, "params": params})
        return number

    def ask(self, call: Fields, options: list[Fields] | None = None) -> int:
        """Ask for permission."""
        params = {"sessionId": self.session, "toolCall": call, "options": OPTIONS if options is None else options}
        return self.request("session/request_permission", params)

    def wait(self, number: int) -> Fields:
        """The answer to a request."""
        with self.answered:
            self.answered.wait_for(lambda: number in self.answers)
            return self.answers.pop(number)

    def chosen(self, number: int) -> str:
        """The option that was chosen; "cancelled" for none."""
        answer = self.wait(number)
        if "error" in answer:
            return "refused"
        outcome = answer["result"]["outcome"]
        return str(outcome.get("optionId", outcome["outcome"]))

    def do_answer(self, rest: str) -> str:
        """Say it in two pieces."""
        self.update("agent_thought_chunk", content={"type": "text", "text": "hm"})
        self.say("You said: ")
        self.say(rest or "nothing")
        return "end_turn"

    def do_endless(self, _: str) -> str:
        """Begin and wait to be cancelled."""
        self.say("not a word more")
        self.cancelled.wait()
        return "cancelled"

    def do_deaf(self, _: str) -> str:
        """Begin and heed nothing."""
        self.say("I do not listen")
        threading.Event().wait()
        return "end_turn"

    def do_dies(self, _: str) -> str:
        """End the process in the middle of a turn."""
        self.say("going down")
        sys.stderr.write("boom: " + os.environ.get("AGENT_KEY", "no key") + "\n")
        sys.stderr.flush()
        os._exit(3)

    def do_tools(self, rest: str) -> str:
        """Run a command, if allowed."""
        command = rest or "rm -r build"
        raw = {"command": command, "description": "clean up"}
        self.update("tool_call", toolCallId="call-1", title=command, kind="execute", status="pending", rawInput=raw)
        number = self.ask({"toolCallId": "perm-1", "title": f"clean up: {command}", "kind": "execute", "rawInput": raw})
        option = self.chosen(number)
        ran = option in {"once", "session", "always"}
        content = [{"type": "content", "content": {"type": "text", "text": f"ran: {option}" if ran else option}}]
        self.update("tool_call_update", toolCallId="call-1", status="completed" if ran else "failed", content=content)
        self.say(f"chosen: {option}")
        return "cancelled" if self.cancelled.is_set() else "end_turn"

    def do_two(self, rest: str) -> str:
        """Ask for two things at a time."""
        numbers = [
            self.ask({"toolCallId": "same", "title": name, "kind": "execute", "rawInput": {"command": name}})
            for name in ("first", "second")
        ]
        self.say(", ".join(self.chosen(number) for number in numbers))
        return rest or "end_turn"

    def do_twice(self, rest: str) -> str:
        """Use the id of a request again, while it is open or later."""
        number = self.ask({"toolCallId": "a", "title": "harmless", "rawInput": {"command": "ls"}})
        first = f"{self.chosen(number)} " if rest == "later" else ""
        self.next_id = number
        self.ask({"toolCallId": "b", "title": "harmful", "rawInput": {"command": "rm"}})
        self.say(first + self.chosen(number))
        return "end_turn"

    def do_impatient(self, _: str) -> str:
        """Stop waiting for a decision when the call fails."""
        self.update("tool_call", toolCallId="c", title="slow", kind="execute")
        number = self.ask({"toolCallId": "c", "title": "slow", "rawInput": {"command": "make"}})
        self.update("tool_call_update", toolCallId="c", status="failed")
        self.say(self.chosen(number))
        return "end_turn"

    def do_forgets(self, _: str) -> str:
        """End the turn with an open request and an open call."""
        self.update("tool_call_update", toolCallId="never-announced", title="write notes", status="in_progress")
        self.ask({"toolCallId": "c", "title": "slow", "rawInput": {"command": "make"}})
        return "end_turn"

    def do_withdraws(self, _: str) -> str:
        """Take a request back."""
        number = self.ask({"toolCallId": "c", "title": "slow", "rawInput": {"command": "make"}})
        self.send({"method": "$/cancel_request", "params": {"requestId": number}})
        self.say(self.chosen(number))
        return "end_turn"

    def do_asks_and_dies(self, _: str) -> str:
        """End the process while a decision is waited for."""
        self.ask({"toolCallId": "c", "title": "slow", "rawInput": {"command": "make"}})
        sys.stderr.write(f"killed while asking with {os.environ.get('AGENT_KEY')}\n")
        sys.stderr.flush()
        os._exit(9)

    def do_elsewhere(self, _: str) -> str:
        """Ask in a session that nobody knows."""
        mine, self.session = self.session, "session-of-others"
        number = self.ask({"toolCallId": "c", "title": "slow", "rawInput": {"command": "make"}})
        self.session = mine
        self.say(self.chosen(number))
        return "end_turn"

    def do_late(self, _: str) -> str:
        """Tell what was answered after the turn `stops end_turn`."""
        self.say(self.chosen(self.next_id - 1))
        return "end_turn"

    def do_many(self, rest: str) -> str:
        """Ask for many things at a time."""
        numbers = [self.ask({"toolCallId": f"c-{count}", "rawInput": {"command": "ls"}}) for count in range(int(rest))]
        self.say(self.chosen(numbers[-1]))
        self.cancelled.wait()
        return "cancelled"

    def do_plan(self, _: str) -> str:
        """Tell a plan, change it, add one and take it away."""
        steps = [{"content": "look", "priority": "high", "status": "in_progress"}, {"content": "leap"}]
        self.update("plan", entries=steps)
        self.update("plan", entries=steps[1:])
        self.update("plan_update", plan={"type": "items", "id": "p2", "entries": steps[:1]})
        self.update("plan_removed", id="p2")
        return "end_turn"

    def do_edit(self, _: str) -> str:
        """Change a file, if allowed."""
        diff = {"type": "diff", "path": "/w/notes.txt", "oldText": "one\ntwo\n", "newText": "one\n2\n"}
        raw = {"tool": "write_file", "arguments": {"path": "/w/notes.txt", "content": "one\n2\n"}}
        self.update("tool_call", toolCallId="e", title="edit", kind="edit", locations=[{"path": "/w/notes.txt"}])
        number = self.ask({"toolCallId": "e", "kind": "edit", "content": [diff], "rawInput": raw})
        option = self.chosen(number)
        self.update("tool_call_update", toolCallId="e", status="completed", content=[diff])
        self.say(option)
        return "end_turn"

    def do_usage(self, _: str) -> str:
        """Tell of tokens and money, as totals of the session."""
        self.tokens = getattr(self, "tokens", 0) + 100
        self.update("usage_update", used=4_000, size=200_000, cost={"amount": self.tokens / 1_000, "currency": "USD"})
        return "end_turn"

    def do_odd(self, _: str) -> str:
        """Say what no client knows, and nonsense."""
        self.update("dance", steps=3)
        with self.lock:
            sys.stdout.write("this is not JSON\n[1,2]\n")
            sys.stdout.flush()
        self.send({"id": 4711, "result": {}})
        self.send({"method": "_vendor/ping", "params": {}})
        self.say("\ud83d\ude00")
        with self.lock:
            half = json.dumps({"type": "text", "text": "half HALF 1"}).replace("HALF", "\\ud800")
            update = '{"sessionUpdate":"agent_message_chunk","n":1e999,"content":' + half + "}"
            params = '{"sessionId":"' + self.session + '","update":' + update + "}"
            sys.stdout.write('{"jsonrpc":"2.0","method":"session/update","params":' + params + "}\n")
            sys.stdout.flush()
        return "end_turn"

    def do_wants_files(self, _: str) -> str:
        """Ask for what is not offered."""
        numbers = [
            self.request(method, {"sessionId": self.session, "path": "/etc/passwd"})
            for method in ("fs/read_text_file", "terminal/create", "elicitation/create")
        ]
        self.say(",".join(str(self.wait(number)["error"]["code"]) for number in numbers))
        return "end_turn"

    def do_oversize(self, _: str) -> str:
        """Send a line that is too long."""
        self.say("x" * BIG_LINE_BYTES)
        return "end_turn"

    def do_noisy(self, _: str) -> str:
        """Fill standard error, which blocks when nobody reads it."""
        for number in range(3_000):
            sys.stderr.write(f"{number:05} " + "log " * 30 + "\n")
        sys.stderr.flush()
        self.say("still here")
        return "end_turn"

    def do_flood(self, rest: str) -> str:
        """Send much text and many calls."""
        for number in range(int(rest)):
            self.say(f"{number} ")
            self.update("tool_call", toolCallId=f"call-{number}", title="t", status="completed")
        return "end_turn"

    def do_child(self, _: str) -> str:
        """Start a process that goes on by itself, and tell its id."""
        child = subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL)
        self.say(str(child.pid))
        return "end_turn"

    def do_environment(self, _: str) -> str:
        """Tell what it sees."""
        self.say(json.dumps(dict(os.environ)))
        return "end_turn"

    def do_looks(self, rest: str) -> str:
        """Tell whether a file is there."""
        self.say(str(os.path.lexists(rest)))
        return "end_turn"

    def do_fails(self, _: str) -> str:
        """Refuse the prompt."""
        raise RuntimeError("the provider says no")

    def do_invents(self, _: str) -> str:
        """End for a reason that nobody knows."""
        return "bored"

    def do_stops(self, rest: str) -> str:
        """End for that reason."""
        return rest

    def do_mode(self, rest: str) -> str:
        """Enter another mode, and tell something after the end."""
        self.mode = rest
        self.update("current_mode_update", currentModeId=rest)
        return "end_turn"

    def do_settings(self, _: str) -> str:
        """Tell mode and model."""
        self.say(f"{self.mode} {self.model}")
        return "end_turn"

    def do_prompt(self, _: str) -> str:
        """Tell the whole prompt."""
        self.say(json.dumps(self.blocks))
        return "end_turn"

    def answer_prompt(self, number: Any, params: Fields) -> None:
        """Do what the last line says."""
        self.blocks = params["prompt"]
        order = self.blocks[-1]["text"].splitlines()[-1].removeprefix("[note from the operator] ")
        word, _, rest = order.partition(" ")
        try:
            reason = self.turns.get(word, self.do_answer)(rest)
        except RuntimeError as error:
            self.send({"id": number, "error": {"code": -32603, "message": "Internal error", "data": str(error)}})
            return
        result: Fields = {"stopReason": reason}
        if word == "usage":
            result["usage"] = {"inputTokens": self.tokens * 3, "outputTokens": self.tokens, "totalTokens": 0}
        self.send({"id": number, "result": result})
        if word == "stops":
            self.say("one more thing")
            self.ask({"toolCallId": "c", "title": "slow", "rawInput": {"command": "make"}})
            self.update("current_mode_update", currentModeId="plan")

    def new_session(self, number: Any) -> None:
        """Begin a session, or say why not."""
        if "--once" in self.options and self.session != "session-0":
            self.options.append("--needs-login")
        self.session = f"session-{number}"
        if "--needs-login" in self.options:
            self.send({"id": number, "error": {"code": -32000, "message": "Authentication required"}})
        elif "--needs-configuration" in self.options:
            error = {"code": -32603, "message": "Internal error", "data": {"details": "no provider"}}
            self.send({"id": number, "error": error})
        elif "--plain" in self.options:
            self.send({"id": number, "result": {"sessionId": self.session}})
        else:
            modes = [{"id": name, "name": name} for name in ("default", "dont_ask")]
            models = [{"modelId": name, "name": name} for name in ("small", "large")]
            result = {
                "sessionId": self.session,
                "modes": {"currentModeId": self.mode, "availableModes": modes},
                "models": {"currentModelId": self.model, "availableModels": models},
            }
            self.send({"id": number, "result": result})
            self.update("available_commands_update", availableCommands=[{"name": "help"}])

    def take(self, message: Fields) -> None:
        """Do what the client wants."""
        number, params = message.get("id"), message.get("params", {})
        match message.get("method"):
            case None:
                with self.answered:
                    self.answers[number] = message
                    self.answered.notify_all()
            case "initialize":
                version = 2 if "--version-2" in self.options else 1
                methods = [{"id": "login", "name": "Log in", "description": "run fake-agent login"}]
                info = {"name": "fake", "title": "Fake agent", "version": "1.2"}
                self.send(
                    {"id": number, "result": {"protocolVersion": version, "agentInfo": info, "authMethods": methods}}
                )
            case "session/new":
                self.new_session(number)
            case "session/prompt":
                self.cancelled.clear()
                threading.Thread(target=self.answer_prompt, args=(number, params), daemon=True).start()
            case "session/cancel":
                self.cancelled.set()
            case "session/set_mode" | "session/set_model" if "--slow" in self.options:
                return
            case "session/set_mode" | "session/set_model" if "--fragile" in self.options:
                os._exit(5)
            case "session/set_mode" | "session/set_model" if "--refuses" not in self.options:
                self.mode, self.model = params.get("modeId", self.mode), params.get("modelId", self.model)
                self.send({"id": number, "result": {}})
            case method:
                self.send({"id": number, "error": {"code": -32601, "message": f"no {method} here"}})


def main(options: list[str]) -> None:
    """Serve until standard input ends."""
    if "--says-at-start" in options:
        sys.stderr.write(options[options.index("--says-at-start") + 1] + "\n")
        sys.stderr.flush()
    if "--exits" in options:
        sys.exit(7)
    agent = Agent(options)
    if "--deaf-to-term" in options:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        agent.take(json.loads(line))
    while "--deaf-to-term" in options:
        time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1:])
