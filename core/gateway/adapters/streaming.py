"""One streamed answer on the wire: text as it comes, comments against silence, one proper end."""

from core.api.runs import ActionRequested, Phase, PhaseChanged, RunReport, TextDelta, TurnEnded
from core.clock import Clock
from core.gateway.adapters import openai_wire as wire
from core.http.asgi import Headers, Send, chunk, start

_KEEPALIVE = wire.comment("keepalive")
_WAITS = wire.comment("waits for an operator's decision")


class StreamWriter:
    """Writes server-sent events. keepalive_s: longest silence on the wire while reports still come.

    Tool calls and thoughts are not sent: clients take an event that they do not know for a chunk.
    """

    def __init__(self, send: Send, reply: wire.Reply, *, clock: Clock, keepalive_s: float, wants_usage: bool) -> None:
        self._send = send
        self._reply = reply
        self._clock = clock
        self._keepalive_s = keepalive_s
        self._wants_usage = wants_usage
        self._written_at = clock.monotonic()

    async def begin(self, headers: Headers) -> None:
        """Send headers and the first chunk at once, so that the caller knows that it is heard."""
        await start(self._send, 200, [("content-type", "text/event-stream; charset=utf-8"), *headers])
        await self._write(wire.role_chunk(self._reply))

    async def take(self, report: RunReport | None) -> None:
        """Write what a report means to the caller; None is silence."""
        match report:
            case TextDelta(text=text):
                if text:
                    await self._write(wire.text_chunk(self._reply, text))
            case ActionRequested() | PhaseChanged(phase=Phase.APPROVAL):
                await self._write(_WAITS)
            case None:
                await self._write(_KEEPALIVE)
            case _:
                if self._clock.monotonic() - self._written_at >= self._keepalive_s:
                    await self._write(_KEEPALIVE)

    async def end(self, ended: TurnEnded | None) -> None:
        """Write how it ended and close the stream."""
        if ended is None:
            await self.fail("lost", "the run is gone and left no answer")
            return
        if not ended.stop.is_answer:
            await self.fail(*wire.failure(ended))
            return
        await self._write(wire.last_chunk(self._reply, ended.stop))
        if self._wants_usage:
            await self._write(wire.usage_chunk(self._reply, ended.usage))
        await chunk(self._send, wire.DONE, more=False)

    async def fail(self, code: str, message: str) -> None:
        """Write an error and close the stream."""
        await chunk(self._send, wire.error_chunk(code, message) + wire.DONE, more=False)

    async def _write(self, piece: bytes) -> None:
        self._written_at = self._clock.monotonic()
        await chunk(self._send, piece, more=True)
