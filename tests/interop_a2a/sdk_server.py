"""The official server of Agent2Agent on a free port, in an environment of its own: the other side of our client.

Arguments: the token that it wants, the versions that its card offers (1.0, 0.3 or both with a comma), whether it
streams (yes or no). Its first line is its address. GET /runs says how often its agent was run, and for which messages.

The agent answers "echo: TEXT"; it works until it is canceled for "slow", takes half a second for "later", asks back
for "ask", fails for "fail", rejects "reject", and answers with a bare message for "bare".
"""

import asyncio
import socket
import sys

import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Message,
    Part,
    Role,
    Task,
    TaskState,
    TaskStatus,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send


class Agent(AgentExecutor):
    """Does what a text says."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.metadata: list[dict[str, object]] = []
        self.methods: list[str] = []

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Run once."""
        assert context.message is not None
        self.runs.append(context.message.message_id)
        self.metadata.append(json_of(context.message))
        self.methods.append(str(context.call_context.state.get("method") if context.call_context else None))
        text = context.get_user_input()
        if text == "bare":
            message = Message(message_id="bare-1", role=Role.ROLE_AGENT, parts=[Part(text="echo: bare")])
            message.context_id = context.context_id or ""
            await event_queue.enqueue_event(message)
            return
        await event_queue.enqueue_event(
            Task(
                id=context.task_id,
                context_id=context.context_id,
                status=TaskStatus(state=TaskState.TASK_STATE_SUBMITTED),
                history=[context.message],
            )
        )
        updater = TaskUpdater(event_queue, context.task_id or "", context.context_id or "")
        await updater.start_work()
        await self._finish(text, updater)

    async def _finish(self, text: str, updater: TaskUpdater) -> None:
        def said(words: str) -> Message:
            return updater.new_agent_message([Part(text=words)])

        if text == "slow":
            await asyncio.Event().wait()
        elif text == "later":
            await asyncio.sleep(2.5)
        match text:
            case "ask":
                await updater.requires_input(said("Which one?"))
            case "fail":
                await updater.failed(said("out of luck"))
            case "reject":
                await updater.reject(said("not mine"))
            case _:
                await updater.add_artifact([Part(text=f"echo: {text}")], name="answer")
                await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Stop a task."""
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()


def json_of(message: Message) -> dict[str, object]:
    """The metadata of a message."""
    from google.protobuf.json_format import MessageToDict

    found: dict[str, object] = MessageToDict(message.metadata)
    return found


def main() -> None:
    """Serve until killed."""
    token, versions, streams = sys.argv[1:4]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    offers = [
        AgentInterface(url=f"{url}/rpc", protocol_binding="JSONRPC", protocol_version=item)
        for item in versions.split(",")
    ]
    card = AgentCard(
        name="official",
        description="echoes",
        version="1.3.0",
        supported_interfaces=offers,
        capabilities=AgentCapabilities(streaming=streams == "yes"),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="echo", name="Echo", description="echoes", tags=["echo"])],
    )
    agent = Agent()
    handler = DefaultRequestHandler(agent_executor=agent, task_store=InMemoryTaskStore(), agent_card=card)

    async def runs(_: Request) -> Response:
        return JSONResponse({"runs": agent.runs, "metadata": agent.metadata, "methods": agent.methods})

    app = Starlette(
        routes=[
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, "/rpc", enable_v0_3_compat="0.3" in versions),
            Route("/runs", runs),
        ]
    )

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        known = dict(scope.get("headers", ())).get(b"authorization") == f"Bearer {token}".encode()
        if scope["type"] == "http" and scope["path"] == "/rpc" and not known:
            await Response(status_code=401)(scope, receive, send)
            return
        await app(scope, receive, send)

    listener.listen(64)
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(guarded, log_level="error")).run(sockets=[listener])


main()
