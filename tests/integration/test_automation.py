"""Hooks and jobs in a whole core: a job asks the embedded agent, and a hook hears of all of it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from core.api.base import SYSTEM, Event, Seq
from core.api.deliveries import DeliveryDied, DeliverySent
from core.api.hooks import HookState, ListHooks
from core.api.jobs import AddJob, JobChanged, JobEnded, JobPost, JobRunState, JobSpec, JobView, ListJobs, RunJob
from core.api.sessions import ListSessions
from core.config import FILE_NAME, load
from core.kernel import Kernel
from tests.support.hook_rig import write_hook

E = TypeVar("E", bound=Event)

CONFIG = """
http: {enabled: false}
store: {url: 'sqlite:core.db'}
agents: {main: {runner: scripted, scenario: 'builtin:assistant', pace: 0.1}}
platforms: {local: {kind: loopback}}
cron:
  often: {schedule: every 1h, first_s: 1, text: hello, deliver: 'local:ana'}
"""


async def opened(home: Path) -> Kernel:
    """A core on that home."""
    return await Kernel.open(home, await asyncio.to_thread(load, home, {}))


async def once_over(kernel: Kernel, name: str, count: int = 1) -> JobView:
    """A job, once that many runs of it are over."""
    records = kernel.subscribe(after=Seq(0))
    async with asyncio.timeout(30):
        async for record in records:
            if isinstance(record.event, JobEnded) and record.event.job.name == name:
                count -= 1
                if not count:
                    break
    return next(job for job in (await kernel.query(ListJobs())).jobs if job.name == name)


async def posted(kernel: Kernel, name: str) -> JobPost:
    """Where the answer of a job is, once it is on its way."""
    async with asyncio.timeout(30):
        async for record in kernel.subscribe(after=Seq(0)):
            if isinstance(record.event, JobChanged) and record.event.job.name == name and record.event.job.last:
                return record.event.job.last.post
    raise AssertionError("the stream ended")


def has_failed(job: JobView) -> bool:
    """Whether its last answer never arrived."""
    return job.last is not None and job.last.post is JobPost.FAILED


async def told(kernel: Kernel, kind: type[E], fits: Callable[[E], bool]) -> E:
    """The first such event."""
    async with asyncio.timeout(30):
        async for record in kernel.subscribe(after=Seq(0)):
            if isinstance(record.event, kind) and fits(record.event):
                return record.event
    raise AssertionError("the stream ended")


async def test_a_job_is_run_its_answer_kept_and_a_hook_told(tmp_path: Path) -> None:
    """From the clock to the answer, and over a restart: the second core starts no time again."""
    out = tmp_path / "out"
    handler = (
        f"import json\ndef handle(e, c):\n    with open({str(out)!r}, 'a') as f: f.write(json.dumps([e, c]) + '\\n')\n"
    )
    write_hook(tmp_path, "all", handler, "events: ['*']\n")
    (tmp_path / FILE_NAME).write_text(CONFIG, encoding="utf-8")
    kernel = await opened(tmp_path)
    try:
        view = await once_over(kernel, "often")
        assert view.last is not None
        assert (view.last.state, view.run_count) == (JobRunState.OK, 1)
        assert view.last.answer
        assert await posted(kernel, "often") is JobPost.SENT
        sessions = (await kernel.query(ListSessions(prefix="cron:"))).sessions
        assert [session.id for session in sessions] == ["cron:dm:often"]
        await kernel.execute(AddJob(name="mine", spec=JobSpec(schedule="0 0 1 1 *", text="hi")), actor=SYSTEM)
        await kernel.execute(RunJob(name="mine"), actor=SYSTEM)
        await kernel.execute(RunJob(name="mine"), actor=SYSTEM)
        assert (await once_over(kernel, "mine", 2)).run_count == 2
        (mine,) = (await kernel.query(ListSessions(prefix="cron:dm:mine"))).sessions
        assert mine.epoch == 1
        hooks = {hook.name: hook for hook in (await kernel.query(ListHooks())).hooks}
        assert hooks["all"].state is HookState.READY
        async with asyncio.timeout(30):
            while not out.exists() or "agent:end" not in out.read_text():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
    finally:
        await kernel.close()
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert told[0][0] == "gateway:startup"
    assert {"session:start", "agent:start", "agent:end"} <= {event for event, _ in told}
    kernel = await opened(tmp_path)
    try:
        again = await once_over(kernel, "often")
        assert again.run_count == 1
        assert again.next_at == view.next_at
        assert {job.name for job in (await kernel.query(ListJobs())).jobs} == {"often", "mine"}
    finally:
        await kernel.close()


async def test_an_answer_is_known_by_its_delivery(tmp_path: Path) -> None:
    """So that one that dies on its way is seen in its job."""
    (tmp_path / FILE_NAME).write_text(CONFIG, encoding="utf-8")
    kernel = await opened(tmp_path)
    try:
        run = (await once_over(kernel, "often")).last
        assert run is not None
        sent = await told(kernel, DeliverySent, lambda event: event.delivery.text == run.answer)
        post = kernel.automation.jobs.post
        assert post is not None
        assert sent.delivery.id.partition("-")[0] == post.tag(f"cron-{run.key}")
        assert await posted(kernel, "often") is JobPost.SENT
        died = DeliveryDied(delivery=msgspec.structs.replace(sent.delivery, error="the chat is gone"))
        kernel.journal.publish("s", died)
        changed = await told(kernel, JobChanged, lambda event: has_failed(event.job))
        assert changed.job.last is not None
        assert changed.job.last.post_error == "the chat is gone"
    finally:
        await kernel.close()
