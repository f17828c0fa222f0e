"""When a conversation is over by itself, so that the next message begins a new one (pure)."""

from core.api.base import Mark
from core.api.sessions import ResetCause
from core.settings import ResetMode, ResetSettings


def reset_due(rules: ResetSettings, last: Mark, now: Mark, day_began_at: float) -> ResetCause | None:
    """Why a conversation is over that nobody wrote in since `last`; None while it goes on.

    Idle time is measured on the monotonic clock, so a step of the wall clock ends nothing. day_began_at: UTC seconds
    of the last time that it was the hour of the rules.
    """
    is_idle = rules.mode in {ResetMode.IDLE, ResetMode.BOTH} and now.mono - last.mono >= rules.idle_s
    if is_idle:
        return ResetCause.IDLE
    if rules.mode in {ResetMode.DAILY, ResetMode.BOTH} and _at(last, now) < day_began_at:
        return ResetCause.DAILY
    return None


def reset_words(cause: ResetCause, rules: ResetSettings) -> str:
    """What the people in the chat are told."""
    if cause is ResetCause.DAILY:
        why = f"a new day began at {rules.at_hour}:00"
    else:
        hours = rules.idle_s / 3600
        why = f"nobody wrote for {hours:g} h" if hours >= 1 else f"nobody wrote for {rules.idle_s / 60:g} min"
    return f"This is a new conversation: {why}. /resume takes the last one up again."


def _at(last: Mark, now: Mark) -> float:
    # By its age, so that a step of the wall clock since then begins no new day.
    return now.at - (now.mono - last.mono)
