"""How an account looks from outside: what holds it up, its breaker, its limits (pure)."""

import math

import msgspec

from core.api.base import Mark, PlatformName
from core.api.breakers import BreakerMode, BreakerState
from core.api.outboxes import OutboxState, OutboxView
from core.breaker import BreakerMode as Mode
from core.gateway.account import Account, Limits
from core.gateway.platform import Limits as PlatformLimits
from core.letters import Outline
from core.limiter import Rate
from core.platform_settings import ChatSettings, PlatformSettings

BREAKER_OWNER = "outbox"
"""Owner of the breakers of accounts."""


class Standing(msgspec.Struct, frozen=True):
    """What an account does. why: it does not send, "" when it does; left_s: for how many seconds, 0 when unknown."""

    state: OutboxState
    why: str = ""
    left_s: float = 0.0


def standing(account: Account, outline: Outline, now: float, paused_why: str) -> Standing:
    """What an account does with what is in its outbox. paused_why: who paused it, "" when nobody did."""
    if paused_why and outline.depth:
        return Standing(OutboxState.PAUSED, paused_why)
    broken_s = account.broken_s(now)
    breaker = account.breaker
    state = BreakerState(breaker.state.value)
    if state is BreakerState.OPEN:
        is_held = breaker.mode is Mode.HELD
        why = f"held by an operator: {breaker.reason or 'no reason given'}" if is_held else breaker.last_error
        return Standing(OutboxState.BROKEN, why, broken_s)
    held_s = account.held_s(now)
    if held_s and account.hold is not None:
        return Standing(OutboxState.HELD, account.hold.why, held_s)
    if state is BreakerState.HALF_OPEN:
        return Standing(OutboxState.PROBING, breaker.last_error)
    limited_s = account.limited_s(now)
    if limited_s and outline.depth > outline.in_flight:
        return Standing(OutboxState.LIMITED, f"{account.limits.rate.per_s:g} messages a second at most", limited_s)
    return Standing(OutboxState.SENDING if outline.depth else OutboxState.IDLE)


def outbox_view(
    name: PlatformName, account: Account, outline: Outline, now: Mark, *, version: int, paused_why: str
) -> OutboxView:
    """One outbox as it is now."""
    found = standing(account, outline, now.mono, paused_why)
    breaker, rate = account.breaker, account.limits.rate
    return OutboxView(
        platform=name,
        version=version,
        state=found.state,
        waiting=outline.depth,
        in_flight=outline.in_flight,
        dead=outline.dead,
        sent=account.sent_count,
        oldest=outline.oldest,
        next_try=_later(now, found.left_s) if 0 < found.left_s < math.inf else None,
        why=found.why,
        error=account.error,
        rate_per_s=rate.per_s,
        burst=rate.burst,
        tokens=round(account.tokens(now.mono), 1),
        chat_rate_per_s=account.limits.chat_rate.per_s,
        breaker=BreakerState(breaker.state.value),
        breaker_mode=BreakerMode(breaker.mode.value),
        breaker_since=_later(now, breaker.since - now.mono),
    )


def limits_from(limits: PlatformLimits | None, section: PlatformSettings | None) -> Limits:
    """What an account may send: what its adapter says, and the configuration in its place."""
    limits = limits or PlatformLimits()
    rate_per_s, burst, chat_rate_per_s = limits.rate_per_s, limits.burst, limits.chat_rate_per_s
    if isinstance(section, ChatSettings):
        rate_per_s = rate_per_s if section.rate_per_s is None else section.rate_per_s
        burst = section.burst or burst
        chat_rate_per_s = chat_rate_per_s if section.chat_rate_per_s is None else section.chat_rate_per_s
    return Limits(rate=Rate(rate_per_s, max(1, burst)), chat_rate=Rate(chat_rate_per_s))


def _later(now: Mark, after_s: float) -> Mark:
    return Mark(now.at + after_s, now.mono + after_s)
