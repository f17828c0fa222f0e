"""Bots elsewhere as agents here write to them: those that their chat is bound to, by the order that anybody has."""

import uuid
from collections.abc import Callable, Sequence

from core.api.base import Actor, ActorKind, AgentName, SessionId
from core.api.errors import InvalidInput, Refused
from core.api.relay_targets import RelayPause
from core.api.relay_tasks import GetRelayTask, SendRelay
from core.automation_side import Facade
from core.gateway.source import source_of
from core.relay.answer_waits import AnswerWaits
from core.relay.bindings import Bindings


class RelayBots:
    """Implements agents.ports.Bots. pause: the pause of the relay, as it is now. waits: who gets an answer at once."""

    def __init__(self, facade: Facade, bindings: Bindings, pause: Callable[[], RelayPause], waits: AnswerWaits) -> None:
        self._waits = waits
        self._facade = facade
        self._bindings = bindings
        self._pause = pause

    def names(self, session_id: SessionId) -> Sequence[str]:
        """Those that are bound to the chat of a conversation, or to any, and can be called by their name alone."""
        try:
            source = source_of(session_id)
        except InvalidInput:
            return ()
        known = sorted({bot.name for binding in self._bindings.all() for bot in binding.bots if bot.enabled})
        return [
            name for name in known if self._bindings.resolve(name, str(source.platform), source.chat).chosen is not None
        ]

    def addressed(self, name: str, session_id: SessionId) -> str:
        """Where the bot is that is meant. Raises NotFound, ConflictError, and Refused while the relay is paused."""
        self._check_paused()
        source = source_of(session_id)
        return self._bindings.demand(name, str(source.platform), source.chat).bot.url

    async def send_to(
        self, session_id: SessionId, name: str, text: str, *, agent: AgentName, key: str, wait_s: float = 0.0
    ) -> str:
        """Store a message for a bot, once for each key; what the agent is told."""
        self._check_paused()
        source = source_of(session_id)
        order = SendRelay(
            to=(name,),
            text=text,
            platform=str(source.platform),
            chat=source.chat,
            # What is asked for twice is sent once: the id is made of the key.
            id=str(uuid.uuid5(_KEYS, key)),
            session_id=session_id,
        )
        with self._waits.expecting(order.id) as waiter:
            receipt = await self._facade.execute(order, actor=Actor(ActorKind.AGENT, str(agent)))
            if receipt.is_duplicate:
                return await self._known(name, order.id)
            answer = await waiter.answer(wait_s) if wait_s else None
        if answer is not None:
            return answer
        return f"queued for {name} as {order.id}; the answer comes into this conversation"

    async def _known(self, name: str, task_id: str) -> str:
        """What is known of a message that was sent before: its answer may have gone to a try that was cut off."""
        found = await self._facade.query(GetRelayTask(id=task_id))
        said = f"; {name} answered: {found.answer}" if found.answer else ""
        return f"it was queued for {name} before{said}"

    def _check_paused(self) -> None:
        pause = self._pause()
        if pause.is_paused:
            why = f": {pause.reason}" if pause.reason else ""
            raise Refused(f"the relay is paused{why}", rule="paused", fix="say so, and try it later")


_KEYS = uuid.UUID("5e0d2c1a-6c3f-5b8e-9d14-70a2b4c6e8f0")
