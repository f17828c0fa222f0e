"""Events about outboxes, breakers and the directory of chats as one short line for people (pure)."""

from collections.abc import Callable
from typing import Any

from console.text import clipped, counted
from core.api import breakers, chats, outboxes
from core.api.base import Event

Words = tuple[str, str, str]

_LEVELS = {
    breakers.BreakerState.CLOSED: "good",
    breakers.BreakerState.OPEN: "fail",
    breakers.BreakerState.HALF_OPEN: "info",
}


def _outbox(level: str, kind: str) -> Callable[[Any], Words]:
    def words(event: Any) -> Words:
        outbox = event.outbox
        why = f": {clipped(outbox.why)}" if outbox.why else ""
        return level, kind, f"{outbox.platform}, {counted(outbox.waiting, 'message')} waiting{why}"

    return words


def _breaker(event: breakers.BreakerChanged) -> Words:
    breaker = event.breaker
    by = f", {breaker.mode.value}" if breaker.mode is not breakers.BreakerMode.AUTOMATIC else ""
    why = breaker.reason or breaker.last_error
    detail = f": {clipped(why)}" if why else ""
    word = breaker.state.value.replace("_", "-")
    return _LEVELS[breaker.state], f"breaker {word}", f"{breaker.owner} {clipped(breaker.name)}{by}{detail}"


OUTBOX_WORDS: dict[type[Event], Callable[[Any], Words]] = {
    outboxes.OutboxHeld: _outbox("warn", "told to wait"),
    outboxes.OutboxFreed: _outbox("good", "wait lifted"),
    outboxes.OutboxActive: _outbox("info", "outbox active"),
    breakers.BreakerChanged: _breaker,
    chats.ChatsLearnt: lambda event: ("info", "chats learnt", f"{event.platform}, {event.count} new or renamed"),
}
