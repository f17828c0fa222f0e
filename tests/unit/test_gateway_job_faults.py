"""Jobs of the clock where things go wrong: answers that die on their way, restarts with runs that wait, long pauses."""

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.api.base import SYSTEM, DeliveryId
from core.api.deliveries import DeliveryDied, DeliverySent
from core.api.errors import Unavailable
from core.api.jobs import JobPost, JobRunState, JobSpec, Misfire, Overlap, PauseJob, RunJob
from core.api.tasks import ANSWER_LIMIT
from core.gateway import job as rules
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.job_rig import NOON, FakeOffice, FakePost, JobRig
from tests.support.views import delivery

HOURLY = JobSpec(schedule="0 * * * *", text="report")
SENT_HOURLY = JobSpec(schedule="0 * * * *", text="report", deliver="home")
ONE = NOON + 3600
KEY = f"cron-report@{ONE:.0f}"
TAG = KEY.replace("-", "_")


@pytest.fixture
def clock() -> FakeClock:
    """A minute before one."""
    return FakeClock(NOON + 3540)


@pytest.fixture
async def rig(clock: FakeClock) -> AsyncIterator[JobRig]:
    """One core, whose answers have a way out."""
    made = JobRig(MemoryStore(), clock, FakeOffice(), post=FakePost())
    yield made
    await made.stop()


async def told(rig: JobRig, event: type[Any], part: str, error: str = "") -> None:
    """The outbox says something of a part of the answer."""
    rig.journal.publish("s", event(delivery=delivery(f"{TAG}-{part}", error=error)))
    await rig.settle()


async def posted(rig: JobRig) -> tuple[JobPost, str, str]:
    """Where the last answer is, why, and what it was."""
    last = (await rig.view("report")).last
    assert last is not None
    return last.post, last.post_error, last.answer


async def test_an_answer_that_dies_on_its_way_did_not_arrive(rig: JobRig) -> None:
    """Its text stays with the job, with the reason; it arrived once the part that died was sent after all."""
    await rig.start(report=SENT_HOURLY)
    await rig.advance(60)
    await rig.end(KEY, answer="words")
    assert await posted(rig) == (JobPost.SENT, "", "words")
    await told(rig, DeliveryDied, "0", "the chat is gone")
    assert await posted(rig) == (JobPost.FAILED, "the chat is gone", "words")
    await told(rig, DeliverySent, "1")
    assert await posted(rig) == (JobPost.FAILED, "the chat is gone", "words")
    await told(rig, DeliverySent, "0")
    assert await posted(rig) == (JobPost.SENT, "", "words")


async def test_an_answer_that_dies_at_once_is_noticed(rig: JobRig) -> None:
    """Before the row of the job says that it was handed over."""
    post = rig.jobs.post
    assert isinstance(post, FakePost)
    send = post.send

    async def dies(target: str, text: str, *, key: str) -> None:
        await send(target, text, key=key)
        rig.journal.publish("s", DeliveryDied(delivery=delivery(f"{TAG}-0", error="refused")))

    post.send = dies  # type: ignore[method-assign]  # as an outbox that is quick
    await rig.start(report=SENT_HOURLY)
    await rig.advance(60)
    await rig.end(KEY, answer="words")
    assert await posted(rig) == (JobPost.FAILED, "refused", "words")


async def test_an_answer_that_died_while_nobody_kept_the_time_is_noticed(clock: FakeClock) -> None:
    """The outbox is asked at the start."""
    store, office = MemoryStore(), FakeOffice()
    first = await JobRig(store, clock, office, post=FakePost()).start(report=SENT_HOURLY)
    await first.advance(60)
    await first.end(KEY, answer="words")
    await first.stop()
    office.buried = {DeliveryId(f"{TAG}-0.2"): "blocked", DeliveryId("other-1"): "no matter"}
    second = await JobRig(store, clock, office, post=FakePost(), seed=1.0).start(report=SENT_HOURLY)
    assert await posted(second) == (JobPost.FAILED, "blocked", "words")
    await second.stop()


async def test_looks_that_come_early_use_up_no_tries(rig: JobRig) -> None:
    """Ends of other tasks wake the jobs; an answer that waits for its way is given its ten minutes all the same."""
    post = rig.jobs.post
    assert isinstance(post, FakePost)
    post.errors = [Unavailable("not yet") for _ in range(10)]
    busy = JobSpec(schedule="0 0 1 1 *", text="other")
    await rig.start(report=SENT_HOURLY, other=busy)
    await rig.advance(60)
    await rig.end(KEY, answer="words")
    for _ in range(30):
        await rig.jobs.orders.run_job(RunJob(name="other"), SYSTEM)
        await rig.settle()
        await rig.end(rig.keys[-1])
    assert len(post.errors) == 9
    assert (await posted(rig))[0] is JobPost.WAITING
    await rig.advance(600)
    assert await posted(rig) == (JobPost.SENT, "", "words")


async def test_runs_that_waited_over_a_restart_begin_anew(clock: FakeClock) -> None:
    """The agent sees no earlier run, whichever start of the core decided the time."""
    store, office = MemoryStore(), FakeOffice()
    spec = JobSpec(schedule="0 * * * *", text="report", overlap=Overlap.QUEUE)
    first = await JobRig(store, clock, office).start(report=spec)
    await first.advance(7300)
    assert office.begun_anew == ["cron:dm:report"]
    await first.stop()
    second = await JobRig(store, clock, office, seed=1.0).start(report=spec)
    await second.end(KEY, answer="done")
    assert len(office.orders) == 2
    assert office.begun_anew == ["cron:dm:report"] * 2
    await second.stop()


async def test_a_run_that_a_crash_left_at_work_is_taken_up(clock: FakeClock) -> None:
    """Its session is busy with it: it is not waited for, and not begun anew."""
    store, office = MemoryStore(), FakeOffice()
    office.errors = [Unavailable("stopped right after the task was stored")]
    first = await JobRig(store, clock, office).start(report=HOURLY)
    await first.advance(60)
    await first.stop()
    office.busy = {"cron:dm:report"}  # type: ignore[assignment]  # an id is a string
    second = await JobRig(store, clock, office, seed=1.0).start(report=HOURLY)
    assert (await second.view("report")).running is not None
    await second.stop()


async def test_a_start_that_is_tried_again_begins_its_session_once(rig: JobRig) -> None:
    """However long it takes."""
    rig.office.errors = [Unavailable("full") for _ in range(5)]
    await rig.start(report=HOURLY)
    await rig.advance(300)
    assert len(rig.office.orders) == 1
    assert rig.office.begun_anew == ["cron:dm:report"]


async def test_what_a_pause_lets_go_is_counted(rig: JobRig) -> None:
    """A time that becomes no run is on record; one that was ordered by hand was no time."""
    await rig.start(report=JobSpec(schedule="0 * * * *", text="report", overlap=Overlap.QUEUE))
    await rig.advance(7300)
    await rig.jobs.orders.run_job(RunJob(name="report"), SYSTEM)
    await rig.settle()
    view = await rig.jobs.orders.pause_job(PauseJob(name="report"), SYSTEM)
    assert (view.queued, view.missed_count, view.missed_at) == (0, 2, ONE + 7200)


async def test_an_answer_that_was_cut_says_so(rig: JobRig) -> None:
    """And where the whole of it is."""
    post = rig.jobs.post
    assert isinstance(post, FakePost)
    await rig.start(report=SENT_HOURLY)
    await rig.advance(60)
    await rig.end(KEY, answer="x" * ANSWER_LIMIT)
    ((_, text),) = post.sent.values()
    assert text == "x" * ANSWER_LIMIT + "\n\n[cut here; the whole answer is in cron:dm:report]"


async def test_a_target_of_the_configuration_that_can_never_be_is_told_at_the_start(rig: JobRig) -> None:
    """And not when the first answer cannot be sent."""
    await rig.start(report=JobSpec(schedule="0 * * * *", text="report", deliver="origin"))
    assert rig.faults == ["cron.report.deliver: a job comes from no chat"]


async def test_a_long_pause_of_the_machine_does_not_hold_the_loop(rig: JobRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of times are found on another thread; each is a run or counted."""
    threads: list[threading.Thread] = []
    due = rules.due

    def watched(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return due(*given)

    await rig.start(report=JobSpec(schedule="* * * * *", text="report", misfire=Misfire.RUN_ONCE))
    monkeypatch.setattr(rules, "due", watched)
    rig.clock.jump(3 * 86_400.0)
    await rig.advance(30)
    assert threads[0] is not threading.main_thread()
    view = await rig.view("report")
    assert view.running is not None
    assert view.running.state is JobRunState.RUNNING
    assert view.missed_count > 800
