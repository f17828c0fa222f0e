"""The official client of Agent2Agent against one of our cores. Arguments: address, token, version of the protocol.

Prints what it saw as one line of JSON.
"""

import asyncio
import json
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from a2a.client import Client, ClientConfig, create_client
from a2a.client.card_resolver import A2ACardResolver
from a2a.types.a2a_pb2 import (
    AgentCard,
    AgentInterface,
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)

ENDS = {TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_CANCELED}


class Peer:
    """One client."""

    def __init__(self, http: httpx.AsyncClient, card: AgentCard) -> None:
        self.http = http
        self.card = card

    async def client(self, *, streaming: bool, polling: bool = False) -> Client:
        """A client that streams, waits or polls."""
        return await create_client(
            self.card, ClientConfig(streaming=streaming, polling=polling, httpx_client=self.http)
        )

    async def send(self, client: Client, text: str, message_id: str = "", **more: Any) -> list[Any]:
        """What comes of a message."""
        message = Message(
            message_id=message_id or str(uuid.uuid4()), role=Role.ROLE_USER, parts=[Part(text=text)], **more
        )
        configuration = SendMessageConfiguration()
        return [
            event
            async for event in client.send_message(SendMessageRequest(message=message, configuration=configuration))
        ]


def name(state: int) -> str:
    """Of a state."""
    return TaskState.Name(state).removeprefix("TASK_STATE_")  # type: ignore[no-any-return, attr-defined]


def answer(task: Task) -> str:
    """The text of the artifacts."""
    return "|".join(part.text for artifact in task.artifacts for part in artifact.parts)


async def error(work: Callable[[], Awaitable[object]]) -> str:
    """The class of what the client raises."""
    try:
        await work()
    except Exception as found:  # noqa: BLE001 - which one it is, is what is wanted
        return type(found).__name__ + (" 401" if "401" in str(found) else "")
    return "nothing"


async def session(url: str, token: str, version: str) -> dict[str, Any]:
    """Everything that a peer may do."""
    seen: dict[str, Any] = {}
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30, trust_env=False) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        seen["card"] = [
            card.name,
            [f"{item.protocol_binding} {item.protocol_version}" for item in card.supported_interfaces],
        ]
        kept = [item for item in card.supported_interfaces if item.protocol_version == version]
        del card.supported_interfaces[:]
        card.supported_interfaces.extend(
            AgentInterface(url=item.url, protocol_binding="JSONRPC", protocol_version=version) for item in kept
        )
        peer = Peer(http, card)
        waiting = await peer.client(streaming=False)
        (found,) = await peer.send(waiting, "hello", f"send-{version}", context_id="ctx")
        seen["send"] = [name(found.task.status.state), answer(found.task), found.task.context_id]
        (again,) = await peer.send(waiting, "hello", f"send-{version}", context_id="ctx")
        seen["same id"] = [again.task.id == found.task.id, answer(again.task)]
        seen["other text"] = await error(lambda: peer.send(waiting, "other", f"send-{version}", context_id="ctx"))
        (failed,) = await peer.send(waiting, "fail")
        seen["fail"] = [name(failed.task.status.state), failed.task.status.message.parts[0].text]
        streaming = await peer.client(streaming=True)
        seen["stream"] = [event.WhichOneof("payload") for event in await peer.send(streaming, "stream this")]
        seen.update(await polls(peer, version))
        stranger = httpx.AsyncClient(headers={"authorization": "Bearer wrong"}, timeout=30, trust_env=False)
        async with stranger:
            closed = Peer(stranger, card)
            client = await closed.client(streaming=False)
            seen["stranger"] = await error(lambda: closed.send(client, "let me in"))
    return seen


async def polls(peer: Peer, version: str) -> dict[str, Any]:
    """A task that goes on, is asked for, followed, and canceled."""
    client = await peer.client(streaming=False, polling=True)
    (begun,) = await peer.send(client, "stall", f"stall-{version}")
    task_id = begun.task.id
    seen: dict[str, Any] = {"at once": name(begun.task.status.state)}
    seen["poll"] = name((await client.get_task(GetTaskRequest(id=task_id))).status.state)
    streaming = await peer.client(streaming=True)

    heard = asyncio.Event()

    async def follow() -> list[str]:
        last = []
        async for event in streaming.subscribe(SubscribeToTaskRequest(id=task_id)):
            kind = event.WhichOneof("payload")
            last.append(f"{kind} {name(getattr(event, kind).status.state)}" if kind != "artifact_update" else kind)
            heard.set()
        return last

    following = asyncio.create_task(follow())
    await asyncio.wait_for(heard.wait(), 30)
    canceled = await client.cancel_task(CancelTaskRequest(id=task_id))
    seen["cancel"] = name(canceled.status.state)
    seen["followed"] = await following
    seen["cancel again"] = await error(lambda: client.cancel_task(CancelTaskRequest(id=task_id)))
    seen["unknown"] = await error(lambda: client.get_task(GetTaskRequest(id="never")))
    return seen


sys.stdout.write(json.dumps(asyncio.run(session(*sys.argv[1:4]))) + "\n")
