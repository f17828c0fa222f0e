"""Bindings, far sides, peers and messages of the relay with sensible defaults."""

from typing import Any

from core.api.bindings import BindingView, Bot, RelayProtocol
from core.api.breakers import BreakerState, BreakerView
from core.api.relay_targets import (
    RELAY,
    PeerView,
    TargetFinding,
    TargetReport,
    TargetStep,
    TargetView,
)
from core.api.relay_tasks import (
    AttemptResult,
    RelayAttempt,
    RelayDirection,
    RelayState,
    RelayTaskId,
    RelayTaskView,
    Trigger,
)
from tests.support.views import ago


def a_bot(name: str = "ops", url: str = "http://127.0.0.1:9101", **changes: Any) -> Bot:
    """A HotPlex on this machine."""
    return Bot(**{"name": name, "url": url, "networks": ("127.0.0.0/8",), **changes})


def a_binding(chat: str = "-100200", *bots: Bot, **changes: Any) -> BindingView:
    """A chat of telegram with a bot."""
    values: dict[str, Any] = {
        "platform": "telegram",
        "chat": chat,
        "version": 1,
        "bots": bots or (a_bot(),),
        "created": ago(9000),
        "changed": ago(600),
        "changed_by": "ana",
    }
    return BindingView(**{**values, **changes})


def a_breaker(name: str, **changes: Any) -> BreakerView:
    """One that is closed."""
    values: dict[str, Any] = {
        "owner": RELAY,
        "name": name,
        "version": 1,
        "state": BreakerState.CLOSED,
        "since": ago(3600),
    }
    return BreakerView(**{**values, **changes})


def a_target(origin: str = "http://127.0.0.1:9101", *bots: str, **changes: Any) -> TargetView:
    """A far side that is well."""
    values: dict[str, Any] = {
        "origin": origin,
        "version": 1,
        "bots": bots or ("ops",),
        "protocols": (RelayProtocol.HOTPLEX,),
        "breaker": a_breaker(origin),
        "sample_count": 50,
        "success_rate": 1.0,
        "p50_s": 0.2,
        "p95_s": 1.2,
        "last_ok": ago(8),
    }
    return TargetView(**{**values, **changes})


def a_message(task_id: str = "3f1c0000-0000-4000-8000-000000000001", **changes: Any) -> RelayTaskView:
    """One that waits to be sent."""
    values: dict[str, Any] = {
        "id": RelayTaskId(task_id),
        "version": 1,
        "direction": RelayDirection.OUT,
        "state": RelayState.QUEUED,
        "bot": "ops",
        "text": "is the build green?",
        "created": ago(30),
        "url": "http://127.0.0.1:9101",
        "origin": "http://127.0.0.1:9101",
        "platform": "telegram",
        "chat": "-100200",
        "sender": "main",
    }
    return RelayTaskView(**{**values, **changes})


def a_peer(name: str = "hotplex", **changes: Any) -> PeerView:
    """One that may call us."""
    values: dict[str, Any] = {
        "name": name,
        "version": 1,
        "agent": "main",
        "key_count": 2,
        "has_bearer": False,
        "fingerprints": ("1a2b3c4d", "99887766"),
        "taken": 41,
        "repeated": 2,
        "rate_per_min": 60,
        "last_seen": ago(40),
    }
    return PeerView(**{**values, **changes})


def an_attempt(number: int = 1, **changes: Any) -> RelayAttempt:
    """One that was answered with 503."""
    values: dict[str, Any] = {
        "number": number,
        "began": ago(300 - number),
        "url": "http://127.0.0.1:9102",
        "result": AttemptResult.UNDELIVERED,
        "trigger": Trigger.FIRST if number == 1 else Trigger.RETRY,
        "status": 503,
        "latency_s": 0.31,
        "error": "service unavailable",
    }
    return RelayAttempt(**{**values, **changes})


def a_report(bot: Bot, *, is_ok: bool = True) -> TargetReport:
    """A check that went well, or ended at the connection."""
    findings = (
        TargetFinding(step=TargetStep.ADDRESS, is_ok=True, seconds=0.001, detail="127.0.0.1"),
        TargetFinding(
            step=TargetStep.CONNECT, is_ok=is_ok, seconds=0.002, detail="" if is_ok else "connection refused"
        ),
        TargetFinding(step=TargetStep.TLS, is_ok=None, seconds=0.0, detail="plain http" if is_ok else ""),
        TargetFinding(
            step=TargetStep.AUTH, is_ok=True if is_ok else None, seconds=0.004, detail="bearer" if is_ok else ""
        ),
        TargetFinding(
            step=TargetStep.IDENTITY, is_ok=True if is_ok else None, seconds=0.0, detail="hotplex-2" if is_ok else ""
        ),
    )
    return TargetReport(
        bot=bot,
        origin=bot.url,
        is_ok=is_ok,
        findings=findings,
        latency_s=0.007,
        identity="hotplex-2" if is_ok else "",
    )
