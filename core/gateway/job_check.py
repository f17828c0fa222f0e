"""What an order about jobs may say (pure): every field is checked, and the refusal names it."""

import re
from collections.abc import Callable, Iterable

from core.api.errors import InvalidInput, NotFound
from core.api.jobs import JobSpec, PreviewSchedule, ScheduleView
from core.schedule import following, parsed, words

PREVIEW_LIMIT = 50

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_TEXT_LIMIT, _SHORT, _TARGET_LIMIT, _PARTS = 200_000, 64, 500, 32
_LONGEST_S = 31_536_000.0
_ORIGIN = "origin"


def checked_name(name: str) -> str:
    """The name of a job. Raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"a job cannot be called {name[:80]!r}",
            field="name",
            value=name[:80],
            fix="a name of a-z 0-9 _ . - with at most 64 letters",
        )
    return name


def checked_spec(spec: JobSpec, agents: Iterable[str], check_target: Callable[[str], None]) -> JobSpec:
    """What a job is to do. Raises InvalidInput, NotFound for an agent. Reads the time zone: off the loop at first."""
    parsed(spec.schedule, spec.timezone)
    texts = (spec.text, *spec.parts)
    if not all(text.strip() and len(text) <= _TEXT_LIMIT for text in texts) or len(spec.parts) > _PARTS:
        raise InvalidInput(
            "a job needs a text", field="text", value=spec.text[:20], fix=f"1 to {_TEXT_LIMIT} characters"
        )
    if spec.agent and spec.agent not in set(agents):
        raise NotFound(f"no agent {spec.agent[:80]}", noun="agent", id=spec.agent[:80], fix="see `agents list`")
    for field, limit in (("lane", _SHORT), ("label", _SHORT), ("deliver", _TARGET_LIMIT)):
        if len(getattr(spec, field)) > limit:
            value = str(getattr(spec, field))[:20]
            raise InvalidInput(f"{field} is too long", field=field, value=value, fix=f"at most {limit} characters")
    for field in ("first_s", "misfire_grace_s"):
        if not 0 <= getattr(spec, field) <= _LONGEST_S:
            raise InvalidInput(
                f"{field} is {getattr(spec, field)}", field=field, value=getattr(spec, field), fix="0 to 31536000"
            )
    check_deliver(spec.deliver, check_target)
    return spec


def check_deliver(target: str, check_target: Callable[[str], None]) -> None:
    """Where an answer is to go, "" for nowhere. Raises InvalidInput for what can never be."""
    if any(part.strip().lower() == _ORIGIN for part in target.split(",")):
        fix = "name the chat, such as telegram:8841, or home"
        raise InvalidInput("a job comes from no chat", field="deliver", value=target[:80], fix=fix)
    if target:
        check_target(target)


def previewed(query: PreviewSchedule, now: float) -> ScheduleView:
    """The next times of a schedule. Raises InvalidInput. Reads the time zone: off the loop."""
    if not 1 <= query.count <= PREVIEW_LIMIT:
        raise InvalidInput(f"count is {query.count}", field="count", value=query.count, fix=f"use 1 to {PREVIEW_LIMIT}")
    schedule = parsed(query.schedule, query.timezone)
    times: list[float] = []
    at = following(schedule, now, anchor=now)
    while at is not None and len(times) < query.count:
        times.append(at)
        at = following(schedule, at, anchor=now)
    return ScheduleView(schedule=query.schedule, timezone=query.timezone, words=words(schedule), times_at=tuple(times))
