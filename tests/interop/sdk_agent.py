"""An agent made with the SDK of ACP; run in an environment that has it: sdk_agent.py FOLDER-OF-ITS-EXAMPLES.

It is the SDK's own example agent, which repeats what it is told. To `run: COMMAND` it asks for permission as the SDK
does that, and runs the command when it is allowed.
"""

import asyncio
import subprocess
import sys
from importlib import import_module
from typing import Any

sys.path.insert(0, sys.argv[1])
acp: Any = import_module("acp")
schema: Any = import_module("acp.schema")
Example: Any = import_module("agent").ExampleAgent

OPTIONS = [("yes", "Yes, go on", "allow_once"), ("ever", "Yes, always", "allow_always"), ("no", "No", "reject_once")]


class Asking:
    """The tool, to be mixed into the example."""

    _conn: Any

    async def prompt(self, session_id: str, prompt: list[Any], **more: Any) -> Any:
        """Answer."""
        verb, _, command = prompt[-1].text.partition(": ")
        if verb != "run":
            return await Example.prompt(self, session_id=session_id, prompt=prompt, **more)
        call = {"title": command, "kind": "execute", "raw_input": {"command": command}}
        await self._conn.session_update(session_id, acp.start_tool_call("call-1", status="pending", **call))
        response = await self._conn.request_permission(
            session_id=session_id,
            tool_call=schema.ToolCallUpdate(tool_call_id="call-1", **call),
            options=[schema.PermissionOption(option_id=key, name=name, kind=kind) for key, name, kind in OPTIONS],
        )
        if response.outcome.outcome == "cancelled":
            await self._end(session_id, "failed")
            return acp.PromptResponse(stop_reason="cancelled")
        may = response.outcome.option_id in {"yes", "ever"}
        if may:
            await asyncio.to_thread(subprocess.run, command, shell=True, check=True)
        await self._end(session_id, "completed" if may else "failed")
        await self._conn.session_update(session_id, acp.update_agent_message_text("All done." if may else "Then not."))
        return acp.PromptResponse(stop_reason="end_turn")

    async def _end(self, session_id: str, status: str) -> None:
        await self._conn.session_update(session_id, acp.update_tool_call("call-1", status=status))


if __name__ == "__main__":
    asyncio.run(acp.run_agent(type("AskingAgent", (Asking, Example), {})()))
