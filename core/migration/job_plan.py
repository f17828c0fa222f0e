"""The jobs of a Hermes home as jobs of the configuration here (pure)."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from core import schedule
from core.api.errors import InvalidInput
from core.api.processes import Taken
from core.config.text import KeyPath
from core.migration.hermes_home import HermesHome, mapping, word

_NOT_NAME = re.compile(r"[^a-z0-9_.-]+")
_NAME_LIMIT = 64
_LEFT_OUT = ("skill", "skills", "model", "provider", "base_url", "context_from", "enabled_toolsets", "workdir")
_PLAIN = re.compile(r"[A-Za-z0-9_.@+-]+")


class Sink(Protocol):
    """Where what is to be done is collected."""

    @property
    def there(self) -> HermesHome:
        """The home that is read."""
        ...

    def note(self, kind: str, source: str, target: str, verdict: Taken, why: str = "") -> None:
        """A line of the table."""
        ...

    def job(self, source: str, name: str, values: Mapping[str, Any], why: str) -> None:
        """A job is to be set."""
        ...


def planned_jobs(sink: Sink, *, platforms: set[str]) -> None:
    """Plan every job there. platforms: connections that there are, or will be."""
    names: set[str] = set()
    for job in sink.there.jobs:
        source = f"cron/jobs.json: {word(job.get('id')) or word(job.get('name'))}"
        if why := _refusal(job):
            sink.note("job", source, "", Taken.SKIP, why)
            continue
        text, changes = _schedule(mapping(job.get("schedule")))
        zone = sink.there.timezone or "UTC"
        try:
            schedule.parsed(text, zone)
        except InvalidInput as error:
            sink.note("job", source, "", Taken.SKIP, error.message)
            continue
        deliver, change = _deliver(job, platforms)
        changes += change
        changes += _left_out(job)
        values = {"schedule": text, "text": word(job.get("prompt")), "timezone": zone}
        if deliver:
            values["deliver"] = deliver
        name = _name(job, names)
        names.add(name)
        sink.job(source, name, values, "; ".join(changes))


def job_values(values: Mapping[str, Any], name: str) -> dict[KeyPath, Any]:
    """The values of a job by their path in the configuration."""
    return {("cron", name, key): value for key, value in values.items()}


def _refusal(job: Mapping[str, Any]) -> str:
    if job.get("no_agent") or word(job.get("script")):
        return "it runs a script, and no agent"
    if not word(job.get("prompt")):
        return "it has no text"
    if job.get("enabled") is False or word(job.get("state")) in {"paused", "completed"}:
        return f"it is {word(job.get('state')) or 'switched off'} there"
    times = mapping(job.get("repeat")).get("times")
    if times is not None and word(mapping(job.get("schedule")).get("kind")) != "once":
        return f"it ends after {word(times)} times, and jobs here go on"
    return ""


def _left_out(job: Mapping[str, Any]) -> list[str]:
    """What of a job has no place here, in words."""
    names = [name for name in _LEFT_OUT if job.get(name)]
    return [f"without its {', '.join(names)}"] if names else []


def _schedule(there: Mapping[str, Any]) -> tuple[str, list[str]]:
    match word(there.get("kind")):
        case "interval":
            return f"every {word(there.get('minutes'))}m", ["counted from the start of the core"]
        case "once":
            return word(there.get("run_at")), []
        case _:
            return word(there.get("expr")), []


def _deliver(job: Mapping[str, Any], platforms: set[str]) -> tuple[str, list[str]]:
    """Where its answers go, and what is different."""
    origin = mapping(job.get("origin"))
    found: list[str] = []
    changes: list[str] = []
    for wanted in (word(job.get("deliver")) or "local").split(","):
        target = wanted.strip()
        if target == "local":
            continue
        if target == "all":
            found.append("all")
            continue
        # Ids of Matrix hold a colon, and its rooms have no threads there.
        parts = target.split(":", 1 if target.lower().startswith("matrix:") else 2)
        if target == "origin":
            parts = [word(origin.get("platform")), word(origin.get("chat_id"))]
            if thread := word(origin.get("thread_id")):
                parts.append(thread)
        if parts[0].lower() not in platforms:
            changes.append(f"not delivered to {target}: no such connection here")
            continue
        found.append(":".join([parts[0].lower(), *(_part(part) for part in parts[1:] if part)]))
    return ", ".join(found), changes


def _part(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def _name(job: Mapping[str, Any], taken: set[str]) -> str:
    plain = _NOT_NAME.sub("-", word(job.get("name")).lower()).strip("-._")[: _NAME_LIMIT - 16]
    name = plain if plain and plain[0].isalnum() else f"job-{word(job.get('id'))[:12].lower() or 'hermes'}"
    return name if name not in taken else f"{name}-{word(job.get('id'))[:12].lower()}"
