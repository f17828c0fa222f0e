"""The shape of what begins by itself in the configuration: jobs of the clock, and hooks."""

from typing import Annotated

import msgspec
from msgspec import Meta

from core.api.jobs import Misfire, Overlap
from core.section import Name, Section


class HookSettings(Section, frozen=True, kw_only=True):
    """Programs in the home's hooks folder that are told what happens."""

    enabled: Annotated[bool, Meta(description="whether any hook is told anything")] = True
    timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="longest time of one call where HOOK.yaml says nothing")
    ] = 10.0
    queue_limit: Annotated[int, Meta(ge=1, le=100_000, description="events that may wait for one hook")] = 1000
    failure_limit: Annotated[int, Meta(ge=1, le=1000, description="failures in a row after which one is paused")] = 5
    on: Annotated[
        tuple[Name, ...], Meta(description="hooks to switch on that are off by themselves, as built-in ones")
    ] = ()
    off: Annotated[tuple[Name, ...], Meta(description="hooks to switch off")] = ()


class JobSettings(Section, frozen=True, kw_only=True):
    """Work that begins by the clock."""

    schedule: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="five fields of cron, `every 30m`, or one instant such as 2026-12-24T18:00",
        ),
    ]
    text: Annotated[str, Meta(min_length=1, max_length=200_000, description="what is to be done")]
    timezone: Annotated[str, Meta(max_length=64, description="time zone of the fields, such as Europe/Vienna")] = "UTC"
    first_s: Annotated[
        float,
        Meta(
            ge=0, le=31_536_000, description="of `every`: from when the job is known to its first time; 0 is a period"
        ),
    ] = 0.0
    agent: Annotated[str | None, Meta(description="agent that does it; null is the default one")] = None
    deliver: Annotated[
        str, Meta(max_length=500, description="where the answer goes, such as home or telegram:8841; empty keeps it")
    ] = ""
    enabled: Annotated[bool, Meta(description="whether its times count")] = True
    misfire: Annotated[Misfire, Meta(description="what becomes of times that nobody could start")] = Misfire.RUN_ONCE
    misfire_grace_s: Annotated[
        float, Meta(ge=0, le=31_536_000, description="how late a start still counts as in time")
    ] = 60.0
    overlap: Annotated[Overlap, Meta(description="what becomes of a time while the run before goes on")] = Overlap.SKIP
    lane: Annotated[str, Meta(max_length=64, description="lane of the agent")] = "cron"
    label: Annotated[str, Meta(max_length=64, description="a word to find its tasks by; empty is the name")] = ""
    parts: Annotated[tuple[str, ...], Meta(max_length=32, description="further tasks, made below it")] = ()


CronSettings = dict[Name, JobSettings]

# As in settings.py: used once under the import lock.
msgspec.json.Decoder(CronSettings)
msgspec.json.Decoder(HookSettings)
