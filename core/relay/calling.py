"""Messages as calls of adapters, and what those say, whatever befalls them."""

import asyncio
from collections.abc import Awaitable, Callable

from core.api.bindings import RelayProtocol
from core.api.errors import HermesError, NotFound
from core.api.relay_tasks import AttemptResult
from core.relay.peers import NOBODY, Peers
from core.relay.task import RelayTask
from core.relay.wire import Adapter, Call, Reply
from core.relay_settings import RelaySettings

_GRACE_S = 2.0


class Calling:
    """The adapters of all protocols. Nothing here decides what a reply means."""

    def __init__(self, *, settings: RelaySettings, peers: Peers, adapters: Callable[[RelayProtocol], Adapter]) -> None:
        self._settings = settings
        self._peers = peers
        self._adapters = adapters

    def call_of(self, task: RelayTask) -> Call:
        """The message as an adapter sends it. Raises NotFound, ConfigError when it cannot be called as it is bound."""
        if task.bot is None:
            raise NotFound("the message has no bot", noun="bot", id=task.name, fix="give it another address")
        return Call(
            id=task.wire_id,
            bot=task.bot,
            text=task.text,
            trail=task.trail,
            credentials=self._peers.outgoing(task.bot.peer) if task.bot.peer else NOBODY,
            created_at=task.created.at,
            attempt=task.attempt_count + 1,
            limit_s=self._settings.attempt_limit_s,
            # Who asked here is nobody else's business.
            sender=self._settings.name,
            context=task.context,
            remote_id=task.remote_id,
        )

    async def send(self, call: Call) -> Reply:
        """Deliver the message."""
        return await self._guarded(lambda adapter, call: adapter.send(call), call)

    async def ask(self, task: RelayTask) -> Reply:
        """How far it is over there."""
        return await self._about(task, lambda adapter, call: adapter.ask(call))

    async def cancel(self, task: RelayTask) -> Reply:
        """Tell the far side to stop."""
        return await self._about(task, lambda adapter, call: adapter.cancel(call))

    async def _about(self, task: RelayTask, act: Callable[[Adapter, Call], Awaitable[Reply]]) -> Reply:
        try:
            call = self.call_of(task)
        except HermesError as error:
            return Reply(result=AttemptResult.CUT_OFF, error=error.message)
        return await self._guarded(act, call)

    async def _guarded(self, act: Callable[[Adapter, Call], Awaitable[Reply]], call: Call) -> Reply:
        try:
            async with asyncio.timeout(call.limit_s + _GRACE_S):
                return await act(self._adapters(call.bot.protocol), call)
        except TimeoutError:
            return Reply(result=AttemptResult.UNKNOWN, error=f"no answer within {call.limit_s:g} s")
        except Exception as error:  # noqa: BLE001 - a fault of an adapter must not stop the mailbox
            return Reply(result=AttemptResult.UNKNOWN, error=f"{type(error).__name__}: {error}")
