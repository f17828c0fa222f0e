"""Any OpenAI-compatible chat endpoint. The tools that it may use are the core's own, and each call is asked for."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

import msgspec

from core.agent_settings import OpenaiSettings
from core.agents.adapters import CAPABILITIES
from core.agents.chat.answer import Answer
from core.agents.chat.calls import ChatClient
from core.agents.chat.completions import ChatError, messages_of
from core.agents.chat.pictures import with_pictures
from core.agents.chat.rounds import Message, Rounds
from core.agents.endpoints import check_address, shown_address
from core.agents.runner import Decision, Runner, RunnerContext, TurnRequest, unready
from core.agents.tools.letters import Letters
from core.agents.tools.relays import BotLetters
from core.agents.tools.tools import Tools
from core.agents.turn_waits import TurnWaits
from core.api.base import AgentName
from core.api.errors import DeadlineExceeded, Refused, Unavailable
from core.api.runs import RunReport, Stop, TurnEnded
from core.secrets import Secret
from core.waits import CutShort


class OpenaiRunner:
    """Drives a chat endpoint for one session. The conversation is ours; the endpoint remembers nothing."""

    kind = "openai"
    capabilities = CAPABILITIES["openai"]

    def __init__(self, settings: OpenaiSettings, context: RunnerContext) -> None:
        self._settings = settings
        self._context = context
        self._client: ChatClient | None = None
        self._waits = TurnWaits()
        self._rounds: Rounds | None = None
        self._action_count = 0
        self._is_busy = False
        self._is_closed = False
        self._facts = {"model": settings.model, "url": shown_address(settings.base_url)}
        if settings.tools:
            self._facts["tools"] = ", ".join(settings.tools)

    @property
    def is_alive(self) -> bool:
        """Until it is closed: every request connects anew."""
        return not self._is_closed

    async def open(self) -> None:
        """Read the key and make a client; nothing is sent. Raises ConfigError when the key cannot be had."""
        key: Secret | None = None
        if self._settings.key is not None:
            key = await asyncio.to_thread(self._context.secret, self._settings.key)
        self._client = await asyncio.to_thread(self._made_client, key)

    async def turn(self, request: TurnRequest) -> AsyncIterator[RunReport]:
        """Ask, carry out what is allowed, ask again, and report what comes until it ends."""
        client = self._client
        refusal = unready(is_open=client is not None, is_closed=self._is_closed, is_busy=self._is_busy)
        if refusal is not None:
            yield refusal
            return
        assert client is not None
        self._is_busy = True
        self._waits.mend()
        rounds = self._rounds = self._made_rounds(client, request)
        try:
            async with aclosing(rounds.reports(await self._said(request))) as reports:
                async for report in reports:
                    yield report
            end = TurnEnded(stop=rounds.stop)
        except Exception as error:
            # A connection that is dropped under a read fails in many ways.
            if self._waits.is_cut:
                end = TurnEnded(stop=Stop.CANCELLED)
            elif isinstance(error, ChatError):
                end = TurnEnded(stop=Stop.ERROR, error=client.without_key(error.message), code=error.code)
            else:
                raise
        finally:
            self._rounds = None
            self._is_busy = False
        for report in rounds.leftovers():
            yield report
        yield msgspec.structs.replace(end, usage=rounds.usage)

    async def decide(self, action_id: str, decision: Decision) -> bool:
        """Pass a decision on. False when it is not waited for."""
        return self._rounds is not None and self._rounds.decide(action_id, decision)

    async def steer(self, text: str) -> bool:
        """False: a completion that goes on takes nothing in."""
        del text
        return False

    async def cancel(self, reason: str) -> None:
        """Drop the connection of the turn, end its tool, and let its question go."""
        del reason
        self._waits.cut()

    async def summarize(self, text: str, *, model: str) -> str:
        """A summary by the model that is named, else the profile's fast one, else its own; "" when it refuses.

        Raises Unavailable, DeadlineExceeded, and Refused while a turn goes on.
        """
        client, limit_s = self._client, self._settings.compaction.timeout_s
        if client is None or self._is_closed:
            raise Unavailable("this runner is not open", fix="open it first")
        if self._is_busy:
            raise Refused("a turn goes on", rule="busy")
        self._is_busy = True
        self._waits.mend()
        try:
            async with asyncio.timeout(limit_s):
                return await client.summary(text, model=model)
        except TimeoutError:
            raise DeadlineExceeded("no summary in time", what="summary", limit_s=limit_s) from None
        except CutShort:
            raise Unavailable("the summary was cancelled") from None
        except ChatError as error:
            raise Unavailable(client.without_key(error.message), reason=error.code) from None
        finally:
            self._is_busy = False

    async def close(self) -> None:
        """Drop all connections."""
        self._is_closed = True
        await self.cancel("closed")
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def describe(self) -> Mapping[str, str]:
        """Model, address and the tools that it may ask for."""
        return self._facts

    async def _said(self, request: TurnRequest) -> Sequence[Message]:
        said = messages_of(self._settings.system_prompt, request)
        if not self._settings.vision:
            return said
        texts = [item.text for item in request.messages]
        return await asyncio.to_thread(with_pictures, said, texts, self._context.workspace)

    def _made_client(self, key: Secret | None) -> ChatClient:
        context = self._context
        return ChatClient(self._settings, key, waits=self._waits, clock=context.clock, random=context.random)

    def _made_rounds(self, client: ChatClient, request: TurnRequest) -> Rounds:
        context, settings = self._context, self._settings
        tools = Tools(
            context.tools,
            home=context.home,
            workspace=context.workspace,
            policy=request.policy,
            names=settings.tools,
            limit_s=settings.tool_limit_s,
            memory=request.memory,
            letters=None if context.courier is None else Letters(context.courier, request),
            bot_letters=None
            if context.bots is None
            else BotLetters(context.bots, request, limit_s=min(settings.tool_limit_s, settings.stall_limit_s)),
        )

        def ask(messages: Sequence[Message], answer: Answer) -> AsyncGenerator[RunReport, None]:
            return client.answered(messages, answer, model=request.model, tools=tools.schemas())

        return Rounds(
            ask=ask,
            tools=tools,
            waits=self._waits,
            new_id=self._new_id,
            cwd=str(context.workspace),
            max_rounds=settings.max_rounds,
        )

    def _new_id(self) -> str:
        # Never used twice: a late answer to an earlier question must find none.
        self._action_count += 1
        return f"act-{self._action_count}"


def create(agent: AgentName, settings: OpenaiSettings, context: RunnerContext) -> Runner:
    """A runner for one session. Raises Unavailable when the address cannot be used."""
    check_address(agent, settings.base_url)
    return OpenaiRunner(settings, context)
