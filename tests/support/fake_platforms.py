"""Connections of the scripted Hermes in every state, and the plainest answer to each order about one."""

from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec

from core.api import platforms
from core.api.base import PlatformName
from core.api.errors import NotFound
from core.api.platforms import PlatformPause, PlatformProbe, PlatformState, PlatformView
from tests.support.views import NOW, ago, platform

Emit = Callable[..., Any]


def carry_out(command: Any, views: MutableMapping[PlatformName, PlatformView], actor: Any, emit: Emit) -> Any:
    """The receipt of an order; None for one about something else."""
    match command:
        case platforms.PausePlatform():
            pause = PlatformPause(by=actor.name, reason=command.reason, at=NOW.at)
            view = _changed(views, command.platform, state=PlatformState.PAUSED, pause=pause, last_error="")
            emit(platforms.PlatformPaused(platform=view), actor=actor)
        case platforms.ResumePlatform():
            view = _changed(views, command.platform, state=PlatformState.CONNECTING, pause=None)
            emit(platforms.PlatformResumed(platform=view), actor=actor)
        case platforms.ReconnectPlatform():
            view = _changed(views, command.platform, state=PlatformState.CONNECTING, last_error="", next_try=None)
            emit(platforms.PlatformReconnecting(platform=view), actor=actor)
        case platforms.ProbePlatform():
            error = "no route to host" if command.platform == "discord" else ""
            probe = PlatformProbe(asked=NOW, latency_s=None if error else 0.041, error=error)
            view = _changed(views, command.platform, probe=probe)
            emit(platforms.PlatformProbed(platform=view), actor=actor)
        case _:
            return None
    return view


def _changed(views: MutableMapping[PlatformName, PlatformView], name: PlatformName, **changes: Any) -> PlatformView:
    view = views.get(name)
    if view is None:
        raise NotFound(f"no connection is called {name}", noun="platform", id=str(name))
    return msgspec.structs.replace(view, version=view.version + 1, **changes)


def telegram(name: str = "telegram", **changes: Any) -> PlatformView:
    """A bot that is well."""
    values: dict[str, Any] = {
        "kind": "telegram",
        "address": f"@{name}_bot at api.telegram.org",
        "identity": f"@{name}_bot",
        "heard": ago(12),
        "inbound": ago(40),
        "outbound_ack": ago(38),
        "inbound_count": 1204,
        "outbound_count": 1190,
        "heard_every_s": 30.0,
        "quiet_limit_s": 75.0,
        "can_probe": True,
        "probe": PlatformProbe(asked=ago(70), latency_s=0.041),
    }
    return platform(name, **{**values, **changes})


def all_states() -> list[PlatformView]:
    """One connection in each state."""
    return [
        platform("local", inbound=ago(3), heard=ago(3), inbound_count=12, address="in this process"),
        telegram("helpdesk", duplicate_count=20),
        telegram(
            "ops",
            state=PlatformState.CONFLICT,
            since=ago(95),
            heard=ago(130),
            failures=2,
            next_try=ago(-41),
            restart_count=3,
            last_error="identity conflict: another program reads the updates of this bot: stop it, or give this one a "
            "token of its own",
        ),
        telegram(
            "support",
            state=PlatformState.CONFLICT,
            since=ago(600),
            heard=None,
            inbound=None,
            address="",
            identity="",
            failures=40,
            next_try=ago(-9),
            holder="process 4711 of /home/ana/other (tg)",
            last_error="identity conflict: this telegram account is in use by process 4711 of /home/ana/other (tg); "
            "stop that one first",
        ),
        platform(
            "matrix",
            kind="matrix",
            state=PlatformState.DEAF,
            since=ago(4),
            address="@bot:example.org at matrix.example.org",
            identity="@bot:example.org",
            heard=ago(79),
            inbound=ago(400),
            outbound_ack=ago(380),
            inbound_count=88,
            outbound_count=90,
            heard_every_s=30.0,
            quiet_limit_s=75.0,
            failures=1,
            next_try=ago(-1),
            backlog=3,
            can_probe=True,
            probe=PlatformProbe(asked=ago(4), error="no answer within 10 s"),
            last_error="nothing heard for 75 s, expected every 30 s; asked: no answer within 10 s",
        ),
        platform(
            "discord",
            kind="discord",
            state=PlatformState.DOWN,
            since=ago(900),
            failures=6,
            next_try=ago(-25),
            restart_count=6,
            can_probe=True,
            last_error="403 Missing Access",
        ),
        platform(
            "email",
            kind="email",
            state=PlatformState.PAUSED,
            since=ago(300),
            address="ops@example.org at mail.example.org",
            identity="ops@example.org",
            inbound=ago(4000),
            backlog=7,
            can_probe=True,
            pause=PlatformPause(by="raj", reason="moving the server", at=NOW.at - 300),
        ),
        platform("slack", kind="slack", state=PlatformState.CONNECTING, since=ago(2)),
    ]
