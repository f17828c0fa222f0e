"""Bots that speak Agent2Agent, 1.0 or 0.3, over JSON-RPC.

A message keeps its id over all attempts, as messageId: a server that looks at it does the work once. Where the card
says so it is streamed, and a short answer is waited for; a long one is asked for later.
"""

from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from core.api.errors import ConfigError
from core.api.relay_targets import TargetFinding, TargetStep
from core.api.relay_tasks import AttemptResult, RelayState
from core.clock import Clock
from core.relay.a2a import Code, Method
from core.relay.a2a_card import Card
from core.relay.a2a_discovery import Cards, NoCardError
from core.relay.a2a_exchange import Exchange, FailedError, credentials
from core.relay.a2a_words import Order
from core.relay.outcome import reply_of
from core.relay.web import Web
from core.relay.wire import Call, Reply

_NO_ENTRY = {401, 403}
_NOT_FOUND = 404
_MASK = "***"
_SHOWN_LETTERS = 3


class A2aAdapter:
    """Implements wire.Adapter."""

    def __init__(self, web: Web, clock: Clock) -> None:
        self._web = web
        self._clock = clock
        self._cards = Cards(web, clock)

    async def send(self, call: Call) -> Reply:
        """Deliver the message."""
        order = Order(
            message_id=call.id,
            text=call.text,
            trail=call.trail,
            context=call.context,
            sender=call.sender,
            is_immediate=True,
        )
        return _masked(call, await self._done(call, lambda exchange: exchange.send(order)))

    async def ask(self, call: Call) -> Reply:
        """How far the task is over there. A far side that knows nothing of it will say nothing more."""
        return _masked(call, await self._done(call, lambda exchange: exchange.ask(), is_about_task=True))

    async def cancel(self, call: Call) -> Reply:
        """Tell the far side to stop."""
        return _masked(call, await self._done(call, lambda exchange: exchange.cancel()))

    async def look(self, call: Call) -> tuple[Sequence[TargetFinding], str]:
        """Address, connection, TLS, whether we are let in, and who is there. The task that is asked for is none."""
        ends = self._ends(call)
        findings = list(await self._web.look(call.bot.url, networks=call.bot.networks, limit_s=call.limit_s))
        if any(finding.is_ok is False for finding in findings):
            return [*findings, _unreached(TargetStep.AUTH), _unreached(TargetStep.IDENTITY)], ""
        began = self._clock.monotonic()
        try:
            card, _ = await self._cards.of(call, credentials(call, b"", self._clock.now()), ends)
        except NoCardError as error:
            seconds = self._clock.monotonic() - began
            failed = TargetFinding(
                step=TargetStep.IDENTITY, is_ok=False, seconds=seconds, detail=_masked(call, error.reply).error
            )
            return [*findings, _unreached(TargetStep.AUTH), failed], ""
        seconds = self._clock.monotonic() - began
        auth = await self._let_in(call, card, ends)
        identity = _without_secrets(call, card.identity)
        detail = f"{identity}, Agent2Agent {card.version.value}{', streams' if card.can_stream else ''}"
        who = TargetFinding(step=TargetStep.IDENTITY, is_ok=True, seconds=seconds, detail=detail)
        return [*findings, auth, who], identity

    async def _let_in(self, call: Call, card: Card, ends: float) -> TargetFinding:
        began = self._clock.monotonic()
        is_ok: bool | None = True
        detail = "let in"
        try:
            await Exchange(self._web, self._clock, call, card, ends).rpc(Method.GET, {"id": f"look-{call.id}"})
        except ConfigError as error:
            is_ok, detail = False, error.message
        except FailedError as error:
            if error.code != Code.TASK_NOT_FOUND:
                is_ok, detail = (False if error.reply.status in _NO_ENTRY else None), _masked(call, error.reply).error
        seconds = self._clock.monotonic() - began
        return TargetFinding(step=TargetStep.AUTH, is_ok=is_ok, seconds=seconds, detail=detail)

    async def _done(
        self, call: Call, work: Callable[[Exchange], Awaitable[Reply]], *, is_about_task: bool = False
    ) -> Reply:
        ends = self._ends(call)
        while True:
            was_kept = False
            try:
                card, was_kept = await self._cards.of(call, credentials(call, b"", self._clock.now()), ends)
                exchange = Exchange(self._web, self._clock, call, card, ends)
                reply = await work(exchange)
            except NoCardError as error:
                return error.reply
            except ConfigError as error:
                return reply_of(error.message, AttemptResult.UNDELIVERED, is_ours=True)
            except FailedError as error:
                if is_about_task and error.code == Code.TASK_NOT_FOUND:
                    return _forgotten(error)
                if not error.is_outdated:
                    return error.reply
                self._cards.forget(call)
                if not was_kept:
                    return error.reply
                # The card that was kept may be of a server that is another one by now: nothing was done by this.
                continue
            if exchange.is_plain:
                self._cards.speaks_plainly(call)
            return reply

    def _ends(self, call: Call) -> float:
        return self._clock.monotonic() + call.limit_s


def _masked(call: Call, reply: Reply) -> Reply:
    """What the far side said, without our own credential, which it may send back."""
    error, answer = _without_secrets(call, reply.error), _without_secrets(call, reply.answer)
    return reply if (error, answer) == (reply.error, reply.answer) else replace(reply, error=error, answer=answer)


def _without_secrets(call: Call, text: str) -> str:
    for secret in filter(None, (call.credentials.token, *call.credentials.keys)):
        hidden = secret.reveal()
        text = text.replace(hidden, _MASK) if hidden else text
        if "…" in text:
            for length in range(len(hidden) - 1, _SHOWN_LETTERS, -1):
                # Words that were cut may end within it.
                text = text.replace(f"{hidden[:length]}…", _MASK)
    return text


def _forgotten(error: FailedError) -> Reply:
    why = f"it knows nothing of the task any more: {error.reply.error}"
    return Reply(result=AttemptResult.DELIVERED, status=_NOT_FOUND, error=why, state=RelayState.FAILED, is_silent=True)


def _unreached(step: TargetStep) -> TargetFinding:
    return TargetFinding(step=step, is_ok=None, seconds=0.0, detail="not reached")
