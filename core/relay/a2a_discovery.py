"""The cards of other agents: fetched when they are needed, kept for a while, asked for again with their tag."""

from collections.abc import Mapping

import msgspec

from core.api.relay_tasks import AttemptResult
from core.clock import Clock
from core.relay.a2a import CARD_PATH, OLD_CARD_PATH, A2aFault, cut
from core.relay.a2a_card import Card, ElsewhereError, read_card
from core.relay.outcome import refusal_of, reply_of
from core.relay.web import CallError, Web, WebAnswer
from core.relay.wire import Call, Reply

KEPT_S = 300.0
CARDS_LIMIT = 1_000
CARD_LIMIT_BYTES = 262_144
_ETAG_LIMIT = 200
_LEAST_S = 0.001
_OK, _SAME, _NOT_FOUND = 200, 304, 404


class NoCardError(Exception):
    """There is none that can be used. reply: what that means for the message, of which nothing was sent."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.error)
        self.reply = reply


class _Kept(msgspec.Struct, frozen=True):
    card: Card
    etag: str
    until: float


class Cards:
    """All that are kept; the oldest give way."""

    def __init__(self, web: Web, clock: Clock) -> None:
        self._web = web
        self._clock = clock
        self._kept: dict[tuple[str, str, tuple[str, ...]], _Kept] = {}

    async def of(self, call: Call, headers: Mapping[str, str], ends: float) -> tuple[Card, bool]:
        """The card of a bot, and whether it was here already. ends: monotonic seconds. Raises NoCardError."""
        key = _key(call)
        kept = self._kept.get(key)
        if kept is not None and self._clock.monotonic() < kept.until:
            return kept.card, True
        try:
            found = await self._fetched(call, headers, ends, kept)
        except NoCardError:
            self._kept.pop(key, None)
            raise
        self._keep(key, found)
        return found.card, False

    def forget(self, call: Call) -> None:
        """Ask for it again before the next message."""
        self._kept.pop(_key(call), None)

    def speaks_plainly(self, call: Call) -> None:
        """The bot cannot stream, whatever its card says."""
        if (kept := self._kept.get(_key(call))) is not None:
            card = msgspec.structs.replace(kept.card, can_stream=False)
            self._kept[_key(call)] = msgspec.structs.replace(kept, card=card)

    def _keep(self, key: tuple[str, str, tuple[str, ...]], found: _Kept) -> None:
        self._kept.pop(key, None)
        self._kept[key] = found
        if len(self._kept) > CARDS_LIMIT:
            del self._kept[next(iter(self._kept))]

    async def _fetched(self, call: Call, headers: Mapping[str, str], ends: float, kept: _Kept | None) -> _Kept:
        asked = {**headers, "accept": "application/json"}
        if kept is not None and kept.etag:
            asked["if-none-match"] = kept.etag
        answer = await self._asked(call, call.bot.url + CARD_PATH, asked, ends)
        until = self._clock.monotonic() + KEPT_S
        if answer.status == _NOT_FOUND:
            answer = await self._asked(call, call.bot.url + OLD_CARD_PATH, asked, ends)
        if answer.status == _SAME and kept is not None:
            return msgspec.structs.replace(kept, until=until)
        if answer.status != _OK:
            raise NoCardError(_not_there(call, answer))
        if answer.is_cut:
            raise NoCardError(_unsent(Reply(result=AttemptResult.UNKNOWN, error="its agent card did not come whole")))
        try:
            card = read_card(answer.body, call.bot.url)
        except ElsewhereError as error:
            # A rule of ours: no credential leaves for a place that nobody bound.
            raise NoCardError(reply_of(error.message, AttemptResult.UNDELIVERED, is_ours=True)) from None
        except A2aFault as fault:
            raise NoCardError(Reply(result=AttemptResult.REFUSED, status=answer.status, error=fault.message)) from None
        return _Kept(card, answer.headers.get("etag", "")[:_ETAG_LIMIT], until)

    async def _asked(self, call: Call, url: str, headers: Mapping[str, str], ends: float) -> WebAnswer:
        try:
            return await self._web.call(
                "GET",
                url,
                headers=headers,
                networks=call.bot.networks,
                limit_s=max(_LEAST_S, ends - self._clock.monotonic()),
                limit_bytes=CARD_LIMIT_BYTES,
            )
        except CallError as error:
            raise NoCardError(_unsent(reply_of(str(error), error.result, is_ours=error.is_ours))) from None


def _key(call: Call) -> tuple[str, str, tuple[str, ...]]:
    return call.bot.url, call.bot.peer, call.bot.networks


def _not_there(call: Call, answer: WebAnswer) -> Reply:
    where = call.bot.url + CARD_PATH
    if answer.status == _NOT_FOUND:
        why = f"there is no agent card at {where}"
    else:
        said = cut(answer.body.decode(errors="replace"))
        why = f"its agent card cannot be read: {where} answers {answer.status}{f': {said}' if said else ''}"
    return _unsent(refusal_of(answer.status, why, retry_after_s=answer.retry_after_s))


def _unsent(reply: Reply) -> Reply:
    """Whatever became of the question for the card, the message itself did not leave."""
    if reply.result is AttemptResult.UNKNOWN:
        return msgspec.structs.replace(reply, result=AttemptResult.UNDELIVERED)
    return reply
