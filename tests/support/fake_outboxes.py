"""Outboxes, breakers and the directory of chats of the scripted Hermes."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from core.api import breakers, chats, deliveries, outboxes
from core.api.base import PlatformName
from core.api.breakers import BreakerMode, BreakerState, BreakerView
from core.api.chats import ChatView
from core.api.errors import NotFound
from core.api.outboxes import OutboxState, OutboxView
from core.api.sessions import ChatKind
from tests.support.views import NOW, ago, delivery

Emit = Callable[..., Any]


def an_outbox(name: str = "telegram", **changes: Any) -> OutboxView:
    """An account that has nothing to do."""
    values: dict[str, Any] = {
        "platform": PlatformName(name),
        "version": 1,
        "state": OutboxState.IDLE,
        "sent": 12,
        "breaker_since": ago(600),
    }
    return OutboxView(**{**values, **changes})


def busy_outboxes() -> "FakeOutboxes":
    """One that was told to wait, one that is left alone, one that goes by its rate, one that is held, one at rest."""
    return FakeOutboxes(
        [
            an_outbox("local"),
            an_outbox(
                "telegram",
                state=OutboxState.HELD,
                waiting=12,
                oldest=ago(95),
                next_try=ago(-38),
                why="Too Many Requests: retry after 40",
                error="Too Many Requests: retry after 40",
                rate_per_s=30.0,
                burst=30,
                tokens=27.5,
                chat_rate_per_s=1.0,
                sent=2_300,
            ),
            an_outbox(
                "matrix",
                state=OutboxState.BROKEN,
                waiting=3,
                oldest=ago(400),
                next_try=ago(-140),
                dead=2,
                why="connection refused",
                error="connection refused",
                breaker=BreakerState.OPEN,
                breaker_since=ago(160),
            ),
            an_outbox(
                "discord",
                state=OutboxState.LIMITED,
                waiting=40,
                in_flight=1,
                oldest=ago(9),
                next_try=ago(-1),
                why="5 messages a second at most",
                rate_per_s=5.0,
                burst=5,
                tokens=0.2,
            ),
            an_outbox(
                "email",
                state=OutboxState.BROKEN,
                waiting=1,
                oldest=ago(60),
                why="held by an operator: moving the server",
                breaker=BreakerState.OPEN,
                breaker_mode=BreakerMode.HELD,
                breaker_since=ago(300),
            ),
        ]
    )


class FakeOutboxes:
    """What a core says of them, and the plainest answer to each order."""

    def __init__(self, views: Iterable[OutboxView] = (), known: Iterable[ChatView] = ()) -> None:
        self.outboxes = {str(view.platform): view for view in views}
        self.chats = list(known)

    def keep(self, event: Any) -> None:
        """Take in the views that an event carries."""
        view = getattr(event, "outbox", None)
        if isinstance(view, OutboxView):
            self.outboxes[str(view.platform)] = view

    def answer(self, query: Any, seq: Any) -> Any:
        """The answer to a query; None for one about something else."""
        match query:
            case outboxes.ListOutboxes():
                return outboxes.OutboxList(outboxes=tuple(self.outboxes.values()), seq=seq)
            case breakers.ListBreakers():
                return breakers.BreakerList(breakers=tuple(map(_breaker, self.outboxes.values())), seq=seq)
            case chats.ListChats():
                return chats.ChatList(chats=tuple(self.chats), total=len(self.chats), seq=seq)
            case _:
                return None

    def carry_out(self, command: Any, actor: Any, emit: Emit) -> Any:
        """The receipt of an order; None for one about something else."""
        match command:
            case outboxes.LiftHold():
                view = self._changed(command.platform, state=OutboxState.SENDING, next_try=None, why="")
                emit(outboxes.OutboxFreed(outbox=view), actor=actor)
                return view
            case breakers.HoldBreakerOpen():
                mode, state = BreakerMode.HELD, BreakerState.OPEN
                why = f"held by an operator: {command.reason}"
                view = self._changed(command.name, state=OutboxState.BROKEN, breaker=state, breaker_mode=mode, why=why)
            case breakers.DisableBreaker():
                mode, state = BreakerMode.DISABLED, BreakerState.CLOSED
                view = self._changed(
                    command.name, state=OutboxState.SENDING, breaker=state, breaker_mode=mode, next_try=None, why=""
                )
            case breakers.ProbeBreaker():
                view = self._changed(
                    command.name, state=OutboxState.PROBING, breaker=BreakerState.HALF_OPEN, next_try=None
                )
            case breakers.ReleaseBreaker() | breakers.ResetBreaker():
                mode, state = BreakerMode.AUTOMATIC, BreakerState.CLOSED
                view = self._changed(
                    command.name, state=OutboxState.SENDING, breaker=state, breaker_mode=mode, next_try=None, why=""
                )
            case chats.RefreshChats():
                return chats.ChatsRefreshed(asked=(PlatformName("telegram"),), chat_count=len(self.chats))
            case deliveries.SendToTarget():
                platform, _, chat = command.target.partition(":")
                sent = delivery("delivery-9", platform=PlatformName(platform), chat=chat, text=command.text)
                return deliveries.SentToTarget(deliveries=(sent,))
            case _:
                return None
        emit(outboxes.OutboxActive(outbox=view), actor=actor)
        return _breaker(view)

    def _changed(self, name: str, **changes: Any) -> OutboxView:
        view = self.outboxes.get(str(name))
        if view is None:
            raise NotFound(f"no account {name} has sent anything", noun="account", id=str(name))
        self.outboxes[str(name)] = msgspec.structs.replace(view, version=view.version + 1, **changes)
        return self.outboxes[str(name)]


def _breaker(view: OutboxView) -> BreakerView:
    return BreakerView(
        owner="outbox",
        name=str(view.platform),
        version=view.version,
        state=view.breaker,
        mode=view.breaker_mode,
        since=view.breaker_since or NOW,
        next_probe=view.next_try if view.breaker is BreakerState.OPEN else None,
        last_error=view.error,
    )


def a_chat(name: str, **changes: Any) -> ChatView:
    """A group that is known."""
    values: dict[str, Any] = {
        "platform": PlatformName("telegram"),
        "kind": ChatKind.GROUP,
        "chat": "-100200",
        "name": name,
        "seen": ago(30),
    }
    return ChatView(**{**values, **changes})
