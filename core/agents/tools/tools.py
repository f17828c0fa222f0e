"""The core's own tools, as a model is offered them, and how they are carried out."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.agents.memory_provider import MemoryTools
from core.agents.places import check_apart
from core.agents.ports import ToolHost, ToolResult
from core.agents.tools import workspaces
from core.agents.tools.calls import (
    EXEC,
    READ,
    RELAY,
    SEND,
    WRITE,
    ExecArguments,
    RelayArguments,
    SendArguments,
    ToolAction,
    WantedCall,
    WriteArguments,
    decoded_arguments,
    title_of,
    tool_action,
)
from core.agents.tools.letters import Letter, Letters
from core.agents.tools.output import shortened
from core.agents.tools.relays import BotLetter, BotLetters
from core.agents.tools.workspaces import Edit
from core.api.errors import HermesError, Refused
from core.api.policies import ExecutionPolicy, WorkspaceAccess

RESULT_LIMIT = 65_536
SHELL = ("/bin/sh", "-c")


class ToolOutcome(msgspec.Struct, frozen=True):
    """What became of a call. text: for the model and for people."""

    text: str
    is_failed: bool = False


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was checked as far as that is possible before anybody allows it. edit: what a write would change.

    letter: what would be sent, and where; bot_letter: the same to a bot.
    """

    action: ToolAction
    edit: Edit | None = None
    letter: Letter | None = None
    bot_letter: BotLetter | None = None


class Tools:
    """The tools of one turn. home: of the core; names: which are offered; limit_s: longest time of a tool process.
    memory: what the agent remembers, None for nothing. letters: sends messages to chats, None for nobody who can;
    bot_letters: the same to bots.

    Where the workspace leads is looked at in each call: it may have become a link to what the core keeps.
    """

    def __init__(
        self,
        host: ToolHost,
        *,
        home: Path,
        workspace: Path,
        policy: ExecutionPolicy,
        names: Sequence[str],
        limit_s: float,
        memory: MemoryTools | None = None,
        letters: Letters | None = None,
        bot_letters: BotLetters | None = None,
    ) -> None:
        self._letters = letters
        self._bot_letters = bot_letters
        self._memory = memory
        self._remembers = {} if memory is None else {tool.name: tool for tool in memory.tools}
        self._host = host
        self._home = home
        self._workspace = workspace
        self._policy = policy
        self._limit_s = limit_s
        missing = {SEND: letters is None, RELAY: bot_letters is None}
        self._own = tuple(name for name in (*_SCHEMAS, RELAY) if name in names and not missing.get(name))
        self.names = (*self._own, *self._remembers)

    def schemas(self) -> list[Mapping[str, Any]]:
        """What the model is told of them."""
        told = [_function(tool.name, tool.text, tool.parameters) for tool in self._remembers.values()]
        own = (
            _relay_schema(self._bot_letters) if name == RELAY and self._bot_letters else _SCHEMAS[name]
            for name in self._own
        )
        return [*own, *told]

    def is_memory(self, name: str) -> bool:
        """Whether a call only reads or changes what the agent remembers, which needs nobody's leave."""
        return name in self._remembers

    async def remember(self, call: WantedCall) -> ToolOutcome:
        """Carry out a call of the memory. What goes wrong is an outcome too."""
        assert self._memory is not None
        arguments = decoded_arguments(call.arguments)
        if arguments is None:
            return ToolOutcome("the arguments are not a JSON object", is_failed=True)
        try:
            text = await self._memory.call(call.name, arguments)
        except HermesError as error:
            return ToolOutcome(refusal_text(error), is_failed=True)
        return ToolOutcome(shortened(text, RESULT_LIMIT))

    async def prepare(self, call: WantedCall) -> Prepared:
        """Check a call; nothing is changed. Raises InvalidInput, Refused when it cannot be carried out anyway."""
        action = tool_action(call, self._own, root=str(self._workspace))
        if isinstance(action.arguments, SendArguments) and self._letters is not None:
            found, letter = self._letters.prepared(action, action.arguments, call.id)
            return Prepared(action=found, letter=letter)
        if isinstance(action.arguments, RelayArguments) and self._bot_letters is not None:
            found, bot_letter = self._bot_letters.prepared(action, action.arguments, call.id)
            return Prepared(action=found, bot_letter=bot_letter)
        if isinstance(action.arguments, ExecArguments):
            why = self._host.refusal(self._policy)
            if why:
                raise Refused(why, rule="runtime")
            return Prepared(action=action)
        self._check_access(action)
        return await asyncio.to_thread(self._looked_at, action)

    async def carry_out(self, prepared: Prepared) -> ToolOutcome:
        """Do what was allowed. What goes wrong is an outcome too. Cancelling ends a tool process."""
        try:
            return await self._done(prepared)
        except HermesError as error:
            return ToolOutcome(refusal_text(error), is_failed=True)

    async def _done(self, prepared: Prepared) -> ToolOutcome:
        wanted = prepared.action.arguments
        if isinstance(wanted, ExecArguments):
            limit_s = min(wanted.limit_s or self._limit_s, self._limit_s)
            argv = [*SHELL, wanted.command]
            folder = await asyncio.to_thread(self._folder)
            found = await self._host.run(argv, policy=self._policy, workspace=folder, limit_s=limit_s)
            return outcome_of(found)
        if prepared.letter is not None and self._letters is not None:
            return ToolOutcome(await self._letters.send(prepared.letter, prepared.action.target))
        if prepared.bot_letter is not None and self._bot_letters is not None:
            return ToolOutcome(await self._bot_letters.send(prepared.bot_letter))
        return await asyncio.to_thread(self._filed, prepared)

    def _filed(self, prepared: Prepared) -> ToolOutcome:
        """What comes of a call about a file. Blocks."""
        if isinstance(prepared.action.arguments, WriteArguments) and prepared.edit is not None:
            workspaces.carry_out(self._folder(), prepared.edit)
            return ToolOutcome(f"wrote {prepared.action.target}")
        text = workspaces.read(self._folder(), prepared.action.target)
        return ToolOutcome(shortened(text, RESULT_LIMIT))

    def _looked_at(self, action: ToolAction) -> Prepared:
        """A call with the place where its path really leads, links followed: that is what the policy must look at."""
        folder = self._folder()
        place = workspaces.locate(folder, action.target)
        found = msgspec.structs.replace(action, target=place, title=title_of(action.tool, place))
        if not isinstance(action.arguments, WriteArguments):
            return Prepared(action=found)
        edit = workspaces.propose(folder, place, action.arguments.text)
        return Prepared(action=msgspec.structs.replace(found, diff=edit.diff), edit=edit)

    def _folder(self) -> Path:
        """The folder that the workspace is now. Blocks. Raises Refused for one that the core keeps for itself."""
        return check_apart(self._workspace, self._home)

    def _check_access(self, action: ToolAction) -> None:
        access = self._policy.workspace_access
        is_change = isinstance(action.arguments, WriteArguments)
        if access is WorkspaceAccess.NONE or (is_change and access is WorkspaceAccess.RO):
            raise Refused(f"workspace_access is {access.value}", rule="workspace_access")


def outcome_of(result: ToolResult) -> ToolOutcome:
    """What a tool process left, in words: its output, and how it ended unless that was well."""
    ended = f"ended: {result.why}" if result.why else f"exit code {result.exit_code}"
    is_failed = bool(result.why) or result.exit_code != 0
    text = shortened(result.output, RESULT_LIMIT)
    if not is_failed:
        return ToolOutcome(text)
    gap = "" if not text or text.endswith("\n") else "\n"
    return ToolOutcome(f"{text}{gap}[{ended}]", is_failed=True)


def refusal_text(error: HermesError) -> str:
    """An error as a model and people are told it."""
    fix = error.facts.get("fix")
    return f"{error.message}; {fix}" if fix else error.message


def _schema(name: str, about: str, properties: Mapping[str, Any], required: Sequence[str]) -> Mapping[str, Any]:
    parameters = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
    return _function(name, about, parameters)


def _function(name: str, about: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}


def _relay_schema(letters: BotLetters) -> Mapping[str, Any]:
    """Of the tool `relay`, with the bots that can be reached now."""
    names = letters.names
    shown = ", ".join(names[:_BOTS_SHOWN]) + (" and others" if len(names) > _BOTS_SHOWN else "")
    return _schema(
        RELAY,
        "Send a message to another bot. With wait_s you get its answer at once if it comes in time; else it comes into "
        "this conversation later, as a message of that bot. It may have to be approved first.",
        {
            "to": {"type": "string", "description": f"The bot: {shown}." if names else "The bot; none can be reached."},
            "text": {"type": "string", "description": "The whole message."},
            "wait_s": {
                "type": "number",
                "description": f"How long to wait for the answer in seconds, {letters.limit_s:g} at most.",
            },
        },
        ["to", "text"],
    )


_BOTS_SHOWN = 100
_PATH = {"type": "string", "description": "Path relative to the workspace, such as notes/today.txt."}
_SCHEMAS = {
    EXEC: _schema(
        EXEC,
        "Run a command line with /bin/sh in the workspace and get its output. It may have to be approved first.",
        {
            "command": {"type": "string", "description": "The whole command line."},
            "limit_s": {"type": "number", "description": "Longest time in seconds, if shorter than usual."},
        },
        ["command"],
    ),
    READ: _schema(READ, "Read a text file of the workspace.", {"path": _PATH}, ["path"]),
    WRITE: _schema(
        WRITE,
        "Write a text file of the workspace, in place of what it held. It may have to be approved first.",
        {"path": _PATH, "text": {"type": "string", "description": "All that the file is to hold."}},
        ["path", "text"],
    ),
    SEND: _schema(
        SEND,
        "Send a message to a chat, besides your answer. It may have to be approved first.",
        {
            "target": {
                "type": "string",
                "description": "origin (this chat), home, PLATFORM (its home chat), or PLATFORM:CHAT[:THREAD].",
            },
            "text": {"type": "string", "description": "The whole message."},
        },
        ["target", "text"],
    ),
}
