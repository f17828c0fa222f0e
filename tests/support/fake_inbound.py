"""relay.inbound.Inbound without a ledger: messages are kept in memory, and a test says when one is over."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from core.api.base import Mark
from core.api.relay_tasks import RelayDirection, RelayState, RelayTaskId
from core.relay.inbound import Message, RefusedMessage, Taken
from core.relay.task import RelayTask


class FakeInbound:
    """Keeps what comes. answer: given at once to everything, None leaves it to the test."""

    def __init__(self, answer: str | None = None) -> None:
        self.answer = answer
        self.taken: list[Message] = []
        self.tasks: dict[tuple[str, str], RelayTask] = {}
        self.refusal: RefusedMessage | None = None
        self.admitted: list[tuple[str, bool]] = []
        self.waiting = asyncio.Event()
        self.waiter_count = 0
        self._changed = asyncio.Event()

    def admit(self, peer: str, *, is_read: bool = False) -> None:
        """Count a request."""
        self.admitted.append((peer, is_read))
        if self.refusal is not None and not is_read:
            raise self.refusal

    async def take(self, message: Message) -> Taken:
        """Keep a message."""
        key = (message.peer, message.wire_id)
        known = self.tasks.get(key)
        if known is not None:
            if known.body_hash != message.body_hash:
                raise RefusedMessage(422, "id_reused", "another message has this id already")
            return Taken(known, is_repeated=True)
        if message.to == "nobody":
            raise RefusedMessage(404, "unknown_agent", "no agent nobody answers you here")
        self.taken.append(message)
        task = RelayTask(
            id=RelayTaskId(f"{message.peer}/{message.wire_id}"),
            wire_id=message.wire_id,
            direction=RelayDirection.IN,
            state=RelayState.WORKING,
            text=message.text,
            created=Mark(1_774_191_845.5, 10.0),
            trail=message.trail,
            peer=message.peer,
            sender=message.sender,
            context=message.context or message.trail.conversation,
            body_hash=message.body_hash,
        )
        self.tasks[key] = task
        if self.answer is not None:
            self.end(message.peer, message.wire_id, answer=self.answer)
        return Taken(self.tasks[key], is_repeated=False)

    async def find(self, peer: str, wire_id: str) -> RelayTask:
        """A message of that peer."""
        if (peer, wire_id) not in self.tasks:
            raise RefusedMessage(404, "unknown_task", "you have sent no such message")
        return self.tasks[peer, wire_id]

    async def cancel(self, peer: str, wire_id: str, reason: str) -> RelayTask:
        """Stop it."""
        assert isinstance(reason, str)
        task = await self.find(peer, wire_id)
        if task.state.is_over:
            raise RefusedMessage(409, "over", f"it is {task.state.value} already")
        return self.end(peer, wire_id, state=RelayState.CANCELED)

    async def changes(self, task: RelayTask, *, limit_s: float) -> AsyncGenerator[RelayTask, None]:
        """The message now and whenever it changes."""
        key = (task.peer, task.wire_id)
        self.waiter_count += 1
        try:
            found = self.tasks[key]
            yield found
            async with asyncio.timeout(limit_s):
                while not found.state.is_over:
                    self.waiting.set()
                    await self._changed.wait()
                    found = self.tasks[key]
                    yield found
        except TimeoutError:
            return
        finally:
            self.waiter_count -= 1

    def end(
        self, peer: str, wire_id: str, *, state: RelayState = RelayState.COMPLETED, answer: str = "", error: str = ""
    ) -> RelayTask:
        """A message is over."""
        before = self.tasks[peer, wire_id]
        fields: dict[str, Any] = {"state": state, "answer": answer, "error": error, "version": before.version + 1}
        task = self.tasks[peer, wire_id] = msgspec.structs.replace(before, **fields, ended=Mark(1_774_191_850.25, 15.0))
        self._changed.set()
        self._changed = asyncio.Event()
        return task
