"""kill -9 while jobs of the clock run: each time becomes one task, or is counted as missed or left out."""

import asyncio
import os
import random
from pathlib import Path

import msgspec
import pytest

from core.api.jobs import ListJobs
from core.api.tasks import ListTasks, TaskFilter, TaskView
from core.connect import attach
from core.gateway.job import JobRow
from core.home import prepare
from core.schedule import between, parsed
from tests.support.served_core import ServedCore
from tests.support.stores import opened

JOBS = ("skipping", "queueing", "catching_up")
CONFIG = """
http: {port: 0}
agents: {main: {runner: scripted, scenario: 'builtin:assistant', pace: 0}}
cron:
  skipping: {schedule: every 1s, text: hello}
  queueing: {schedule: every 1s, text: hello, overlap: queue}
  catching_up: {schedule: every 1s, text: hello, misfire: run_all, overlap: queue}
"""
LONG, SHORT = 60, 8
_rows = msgspec.json.Decoder(JobRow)


async def tasks_of(core: ServedCore) -> list[TaskView]:
    """Every task that a job made."""
    hermes = await attach(core.home)
    found: list[TaskView] = []
    try:
        cursor = ""
        while True:
            page = await hermes.query(ListTasks(only=TaskFilter(spawned_by="cron"), limit=200, cursor=cursor))
            found += page.tasks
            cursor = page.cursor
            if not page.has_more:
                return found
    finally:
        await hermes.close()


async def drained(core: ServedCore) -> None:
    """Once nothing of the jobs is under way any more."""
    hermes = await attach(core.home)
    try:
        async with asyncio.timeout(60):
            while any(job.running or job.queued for job in (await hermes.query(ListJobs())).jobs):  # noqa: ASYNC110 - theirs
                await asyncio.sleep(0.05)
    finally:
        await hermes.close()


def passed(row: JobRow) -> int:
    """How many times of a job have been decided."""
    return between(parsed(row.spec.schedule), row.anchor_at, row.decided_at, anchor=row.anchor_at).count


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_no_time_is_lost_or_run_twice(tmp_path: Path) -> None:
    """What was decided before a kill is the same task after it."""
    home = tmp_path / "home"
    await asyncio.to_thread(prepare, home)
    (home / "config.yaml").write_text(CONFIG, encoding="utf-8")
    core, rng = ServedCore(home), random.Random(7)
    for _ in range(LONG if os.environ.get("HERMES_TORTURE") == "long" else SHORT):
        await core.start()
        # When it dies is what is tried out.
        await asyncio.sleep(rng.uniform(0.2, 2.5))
        await core.kill()
    # No further time is decided; what was, goes on.
    off = CONFIG.replace("text: hello", "text: hello, enabled: false")
    (home / "config.yaml").write_text(off, encoding="utf-8")
    await core.start()
    await drained(core)
    tasks = await tasks_of(core)
    await core.kill()
    keys = [task.idempotency_key for task in tasks]
    assert len(keys) == len(set(keys))
    store = await opened("sqlite", home)
    try:
        rows = [_rows.decode(row.body) for row in await store.scan("cron/job/")]
    finally:
        await store.close()
    assert {row.name for row in rows} == set(JOBS)
    for row in rows:
        made = {key for key in keys if key.startswith(f"cron-{row.name}@")}
        assert made
        assert len(made) + row.missed_count + row.skipped_count == await asyncio.to_thread(passed, row), row.name
