"""Sends the messages of one bot: each call once as far as we can know, in another form where the first is refused.

Telegram has no key by which it could tell a repeated message. What is known to be sent is not sent again while this
process lives. Where no answer came back nobody knows, and losing an answer is worse than sending it twice: so it is
tried again, and the error says that it may appear twice.
"""

import asyncio

import msgspec

from core.api.base import DeliveryId
from core.clock import Clock
from core.gateway.adapters.recent import Recent
from core.gateway.adapters.telegram_api import BotApi
from core.gateway.adapters.telegram_errors import BotError, Floods
from core.gateway.adapters.telegram_inbound import native_id
from core.gateway.adapters.telegram_outbound import Step, steps
from core.gateway.adapters.telegram_text import whole
from core.gateway.adapters.web import UnsentError
from core.gateway.platform import Outbound, PlatformError, PlatformErrorKind

_KEPT = 10_000
_KEEP_S = 86_400.0
_DOUBT = "nobody knows whether it was sent, and another try may show it twice"
_OLD_DOUBT = "an earlier try may have been sent"


class _Progress(msgspec.Struct):
    """How far a delivery has come. sent: native ids, one for each call. is_doubtful: a call was left unanswered."""

    sent: list[str] = msgspec.field(default_factory=list[str])
    is_doubtful: bool = False


class Sending:
    """The way out of one bot."""

    def __init__(self, api: BotApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._progress: Recent[DeliveryId, _Progress] = Recent(limit=_KEPT, keep_s=_KEEP_S)
        self._moved: Recent[str, str] = Recent(limit=_KEPT, keep_s=float("inf"))
        self._floods = Floods()

    async def send(self, message: Outbound) -> str:
        """Send what of a message is not sent yet; returns the id of the part that carries its text. Raises
        PlatformError.
        """
        now = self._clock.monotonic()
        progress = self._progress.find(message.delivery_id, now)
        if progress is None:
            progress = _Progress()
            self._progress.put(message.delivery_id, progress, now)
        try:
            for step in steps(message)[len(progress.sent) :]:
                progress.sent.append(await self._done(message, step, progress))
        except PlatformError as error:
            raise self._explained(error, message, progress) from None
        return progress.sent[0]

    async def _done(self, message: Outbound, step: Step, progress: _Progress) -> str:
        """The id of the message that a call made or changed."""
        chat = self._moved.find(message.source.chat, self._clock.monotonic())
        if chat is not None and not step.is_edit:
            step = step.moved_to(chat)
        try:
            return await self._asked(step)
        except BotError as error:
            if error.is_unchanged and step.is_edit:
                return message.edits
            if error.moved_to and not step.is_edit:
                self._moved.put(message.source.chat, error.moved_to, self._clock.monotonic())
                return await self._asked(step.moved_to(error.moved_to))
            progress.is_doubtful |= error.has_left_doubt and not step.is_edit
            raise
        except PlatformError as error:
            # A refusal is one of ours here: what we did not send whole, nobody carries out.
            is_ours = isinstance(error, UnsentError) or error.kind is PlatformErrorKind.REFUSED
            progress.is_doubtful |= not is_ours and not step.is_edit
            raise
        except asyncio.CancelledError:
            # The core's own deadline has ended the wait.
            progress.is_doubtful |= not step.is_edit
            raise

    async def _asked(self, step: Step) -> str:
        try:
            return await self._called(step, is_formatted=True)
        except BotError as error:
            if error.is_unreadable and step.text:
                return await self._called(step, is_formatted=False)
            if error.is_no_media and step.file is not None:
                return await self._asked(step.as_document())
            if error.has_no_text and step.method == "editMessageText":
                return await self._asked(step.as_caption())
            raise

    async def _called(self, step: Step, *, is_formatted: bool) -> str:
        params = step.formatted() if is_formatted else step.plain()
        if step.file is None:
            result = await self._api.call(step.method, params)
        else:
            result = await self._api.upload(step.method, params, step.file_field, step.file)
        number = whole(result, "message_id")
        return native_id(params["chat_id"], "" if number is None else number)

    def _explained(self, error: PlatformError, message: Outbound, progress: _Progress) -> PlatformError:
        """The error with what operators should know about earlier tries, and about whom it concerns."""
        is_final = error.kind is not PlatformErrorKind.RETRY_AFTER
        words = error.message
        if progress.is_doubtful:
            words = f"{words}; {_OLD_DOUBT if is_final or _is_certain(error) else _DOUBT}"
        is_for_chat = error.is_for_chat
        if isinstance(error, BotError) and error.is_flood:
            now = self._clock.monotonic()
            is_for_chat = self._floods.is_for_chat(message.source.chat, error.retry_after_s or 0.0, now)
        return PlatformError(error.kind, words, retry_after_s=error.retry_after_s, is_for_chat=is_for_chat)


def _is_certain(error: PlatformError) -> bool:
    """Whether this very try has certainly not been carried out."""
    return isinstance(error, UnsentError) or (isinstance(error, BotError) and not error.has_left_doubt)
