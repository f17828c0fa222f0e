"""Jobs of the clock: each time becomes one task, its answer goes where it is to go, all others are accounted for."""

from collections.abc import AsyncIterator

import pytest

from core.api.base import SYSTEM
from core.api.errors import ConflictError, InvalidInput, NotFound, Overloaded, Refused, Unavailable
from core.api.jobs import (
    AddJob,
    JobPost,
    JobRunState,
    JobSpec,
    JobState,
    ListJobs,
    Misfire,
    Overlap,
    PauseJob,
    PreviewSchedule,
    RemoveJob,
    ResumeJob,
    RunJob,
)
from core.api.tasks import TaskState
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.job_rig import NOON, FakeOffice, FakePost, JobRig

HOURLY = JobSpec(schedule="0 * * * *", text="report")


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


def key(name: str, at: float) -> str:
    """The key of a job's task at a time."""
    return f"cron-{name}@{at:.0f}"


async def test_a_time_becomes_one_task_in_the_session_of_the_job(rig: JobRig) -> None:
    """With a key made of job and time, in an epoch of its own, in the lane cron."""
    await rig.start(report=HOURLY)
    assert (await rig.view("report")).next_at == NOON + 3600
    await rig.advance(61)
    (order,) = rig.office.orders
    assert order.idempotency_key == key("report", NOON + 3600)
    assert (order.session_id, order.lane, order.label, order.spawned_by) == ("cron:dm:report", "cron", "report", "cron")
    assert rig.office.begun_anew == ["cron:dm:report"]
    view = await rig.view("report")
    assert view.state is JobState.RUNNING
    assert view.next_at == NOON + 7200


async def test_the_end_of_the_task_is_the_end_of_the_run(rig: JobRig) -> None:
    """Result, answer and duration are kept; one that failed counts as failed."""
    await rig.start(report=HOURLY)
    await rig.advance(60)
    await rig.advance(20)
    await rig.end(key("report", NOON + 3600), answer="all is well")
    last = (await rig.view("report")).last
    assert last is not None
    assert (last.state, last.answer, last.duration_s, last.post) == (JobRunState.OK, "all is well", 20.0, JobPost.KEPT)
    await rig.advance(3600)
    await rig.end(key("report", NOON + 7200), error="no model")
    view = await rig.view("report")
    assert view.last is not None
    assert (view.last.state, view.last.error) == (JobRunState.FAILED, "no model")
    assert (view.run_count, view.failed_count, view.state) == (2, 1, JobState.WAITING)


async def test_a_time_that_comes_while_the_run_goes_on_is_left_out_and_counted(rig: JobRig) -> None:
    """With overlap skip there is never a second run beside the first."""
    await rig.start(report=HOURLY)
    await rig.advance(7300)
    assert len(rig.office.orders) == 1
    assert (await rig.view("report")).skipped_count == 2


async def test_with_queue_it_waits_for_the_run_before(rig: JobRig) -> None:
    """One after the other, each under the key of its own time."""
    await rig.start(report=JobSpec(schedule="0 * * * *", text="report", overlap=Overlap.QUEUE))
    await rig.advance(3700)
    assert (await rig.view("report")).queued == 1
    await rig.end(key("report", NOON + 3600))
    assert rig.keys == [key("report", NOON + 3600), key("report", NOON + 7200)]


async def test_parts_belong_to_the_run(rig: JobRig) -> None:
    """They are made below its task, and the run ends with the last of them."""
    await rig.start(report=JobSpec(schedule="0 * * * *", text="whole", parts=("east", "west")))
    await rig.advance(60)
    first = key("report", NOON + 3600)
    assert rig.keys == [first, f"{first}-1", f"{first}-2"]
    assert [order.parent_id for order in rig.office.orders] == [None, "t1", "t1"]
    await rig.end(first)
    await rig.end(f"{first}-1")
    assert (await rig.view("report")).state is JobState.RUNNING
    await rig.end(f"{first}-2")
    assert (await rig.view("report")).state is JobState.WAITING


@pytest.mark.parametrize(
    ("misfire", "started", "missed"), [(Misfire.SKIP, 0, 5), (Misfire.RUN_ONCE, 1, 4), (Misfire.RUN_ALL, 1, 0)]
)
async def test_a_pause_of_the_machine_is_made_up_for_as_the_job_wants(
    rig: JobRig, misfire: Misfire, started: int, missed: int
) -> None:
    """What is not made up for is counted as missed."""
    await rig.start(report=JobSpec(schedule="0 * * * *", text="report", misfire=misfire))
    rig.clock.jump(5 * 3600.0)
    await rig.advance(30)
    view = await rig.view("report")
    assert (len(rig.office.orders), view.missed_count) == (started, missed)
    assert view.queued == (4 if misfire is Misfire.RUN_ALL else 0)
    assert view.next_at == NOON + 6 * 3600


async def test_a_clock_that_is_set_back_starts_nothing_twice(rig: JobRig) -> None:
    """The hour that comes a second time is the one that was already run."""
    await rig.start(report=HOURLY)
    await rig.advance(60)
    await rig.end(key("report", NOON + 3600))
    rig.clock.jump(-1800.0)
    await rig.advance(1830)
    assert len(rig.office.orders) == 1
    await rig.advance(3600)
    assert rig.keys == [key("report", NOON + 3600), key("report", NOON + 7200)]


async def test_a_clock_that_was_years_ahead_is_forgotten(rig: JobRig) -> None:
    """A job does not wait for years because the clock was wrong once."""
    await rig.start(report=HOURLY)
    rig.clock.jump(3 * 365 * 86_400.0)
    await rig.advance(30)
    (wrong,) = rig.keys
    await rig.end(wrong)
    rig.clock.jump(-3 * 365 * 86_400.0)
    await rig.advance(3700)
    assert rig.keys == [wrong, key("report", NOON + 7200)]


async def test_a_crash_between_the_decision_and_the_task_starts_it_once(clock: FakeClock) -> None:
    """The next start finds what was decided and uses the same key."""
    store, office = MemoryStore(), FakeOffice()
    first = JobRig(store, clock, office)
    office.errors = [Unavailable("the store is full")]
    await first.start(report=HOURLY)
    await first.advance(60)
    assert office.orders == []
    await first.stop()
    second = JobRig(store, clock, office, seed=1.0)
    await second.start(report=HOURLY)
    assert second.keys == [key("report", NOON + 3600)]
    await second.stop()


async def test_a_crash_after_the_task_was_started_starts_it_once(clock: FakeClock) -> None:
    """The task is there under its key, so the next start takes it up and does not begin its session anew."""
    store, office = MemoryStore(), FakeOffice()
    first = JobRig(store, clock, office)
    await first.start(report=HOURLY)
    await first.stop()
    before = {row.key: row for row in await store.scan("cron/job/")}
    assert before
    crashed = JobRig(store, clock, office, seed=1.0)
    await crashed.start(report=HOURLY)
    await crashed.advance(60)
    await crashed.stop()
    assert len(office.orders) == 1
    third = JobRig(store, clock, office, seed=2.0)
    await third.start(report=HOURLY)
    await third.end(key("report", NOON + 3600), answer="done")
    assert len(office.orders) == 1
    last = (await third.view("report")).last
    assert last is not None
    assert last.answer == "done"
    await third.stop()


async def test_a_task_that_nobody_knows_any_more_is_a_failed_run(clock: FakeClock) -> None:
    """The job goes on."""
    store, office = MemoryStore(), FakeOffice()
    first = JobRig(store, clock, office)
    await first.start(report=HOURLY)
    await first.advance(60)
    await first.stop()
    office.tasks.clear()
    second = JobRig(store, clock, office, seed=1.0)
    await second.start(report=HOURLY)
    view = await second.view("report")
    assert view.last is not None
    assert (view.state, view.last.error) == (JobState.WAITING, "its task is not known any more")
    await second.stop()


async def test_an_answer_goes_to_its_target_once(rig: JobRig) -> None:
    """Also when the way is barred at first, and the next run is over before it is free."""
    post = rig.jobs.post
    assert isinstance(post, FakePost)
    post.errors = [Unavailable("not yet") for _ in range(3)]
    await rig.start(report=JobSpec(schedule="* * * * *", text="report", deliver="home"))
    for number, words in enumerate(("first", "second")):
        await rig.advance(60)
        await rig.end(key("report", NOON + 3600 + 60 * number), answer=words)
    view = await rig.view("report")
    assert view.last is not None
    await rig.advance(60)
    assert list(post.sent.values()) == [("home", "first"), ("home", "second")]
    assert (await rig.view("report")).unsent == 0


async def test_an_answer_that_can_never_arrive_is_failed_and_stays_readable(rig: JobRig) -> None:
    """The row says why, and has the text."""
    post = rig.jobs.post
    assert isinstance(post, FakePost)
    post.errors = [NotFound("no chat 7", noun="chat", id="7")]
    await rig.start(report=JobSpec(schedule="0 * * * *", text="report", deliver="telegram:7"))
    await rig.advance(60)
    await rig.end(key("report", NOON + 3600), answer="words")
    last = (await rig.view("report")).last
    assert last is not None
    assert (last.post, last.post_error, last.answer) == (JobPost.FAILED, "no chat 7", "words")


async def test_without_a_way_an_answer_waits(clock: FakeClock) -> None:
    """Nothing is called sent that was not."""
    rig = await JobRig(MemoryStore(), clock, FakeOffice()).start(
        report=JobSpec(schedule="0 * * * *", text="report", deliver="home")
    )
    await rig.advance(60)
    await rig.end(key("report", NOON + 3600), answer="words")
    view = await rig.view("report")
    assert view.last is not None
    assert (view.last.post, view.unsent) == (JobPost.WAITING, 1)
    await rig.stop()


async def test_a_task_that_is_refused_for_good_is_a_failed_run(rig: JobRig) -> None:
    """The next time comes as usual."""
    rig.office.errors = [InvalidInput("no such lane", field="lane")]
    await rig.start(report=HOURLY)
    await rig.advance(60)
    view = await rig.view("report")
    assert view.last is not None
    assert (view.last.state, view.last.error, view.failed_count) == (JobRunState.FAILED, "no such lane", 1)
    await rig.advance(3600)
    assert rig.keys == [key("report", NOON + 7200)]


async def test_a_task_that_was_cancelled_is_a_failed_run_and_says_so(rig: JobRig) -> None:
    """Nothing is sent of it."""
    post = rig.jobs.post
    assert isinstance(post, FakePost)
    await rig.start(report=JobSpec(schedule="0 * * * *", text="report", deliver="home"))
    await rig.advance(60)
    await rig.end(key("report", NOON + 3600), state=TaskState.CANCELLED)
    last = (await rig.view("report")).last
    assert last is not None
    assert (last.state, last.error) == (JobRunState.FAILED, "its task was cancelled")
    assert post.sent == {}


async def test_a_key_that_is_another_task_s_is_a_failed_run(rig: JobRig) -> None:
    """It is not tried for ten minutes."""
    rig.office.errors = [ConflictError("other content under this key", key="k", expected="a", found="b")]
    await rig.start(report=HOURLY)
    await rig.advance(60)
    view = await rig.view("report")
    assert view.last is not None
    assert (view.state, view.last.error) == (JobState.WAITING, "other content under this key")


async def test_somebody_else_in_the_session_is_waited_for(rig: JobRig) -> None:
    """A run does not break into a conversation that goes on there."""
    rig.office.busy = {"cron:dm:report"}  # type: ignore[assignment]  # an id is a string
    await rig.start(report=HOURLY)
    await rig.advance(90)
    assert rig.office.orders == []
    rig.office.busy = set()
    await rig.advance(30)
    assert rig.keys == [key("report", NOON + 3600)]


# -- commands


async def test_a_job_that_is_added_runs_and_can_be_removed(rig: JobRig) -> None:
    """It is kept over a restart; another of its name is refused; one of the configuration cannot be removed."""
    await rig.start(report=HOURLY)
    spec = JobSpec(schedule="every 10m", text="look")
    view = await rig.jobs.orders.add_job(AddJob(name="look", spec=spec), SYSTEM)
    assert view.next_at == NOON + 3540 + 600
    with pytest.raises(ConflictError):
        await rig.jobs.orders.add_job(AddJob(name="look", spec=spec), SYSTEM)
    await rig.advance(600)
    assert key("look", NOON + 4140) in rig.keys
    await rig.jobs.orders.remove_job(RemoveJob(name="look"), SYSTEM)
    with pytest.raises(NotFound):
        await rig.jobs.orders.remove_job(RemoveJob(name="look"), SYSTEM)
    with pytest.raises(Refused):
        await rig.jobs.orders.remove_job(RemoveJob(name="report"), SYSTEM)


@pytest.mark.parametrize(
    ("name", "spec", "field"),
    [
        ("Bad Name", HOURLY, "name"),
        ("ok", JobSpec(schedule="x", text="t"), "schedule"),
        ("ok", JobSpec(schedule="0 * * * *", text="t", timezone="Mars/Base"), "timezone"),
        ("ok", JobSpec(schedule="0 * * * *", text=" "), "text"),
        ("ok", JobSpec(schedule="2001-01-01", text="t"), "schedule"),
        ("ok", JobSpec(schedule="0 * * * *", text="t", misfire_grace_s=-1.0), "misfire_grace_s"),
        ("ok", JobSpec(schedule="0 * * * *", text="t", deliver="home, origin"), "deliver"),
    ],
)
async def test_a_bad_job_is_refused_with_its_field(rig: JobRig, name: str, spec: JobSpec, field: str) -> None:
    """Nothing of it is kept."""
    await rig.start()
    with pytest.raises(InvalidInput) as caught:
        await rig.jobs.orders.add_job(AddJob(name=name, spec=spec), SYSTEM)
    assert caught.value.facts["field"] == field
    with pytest.raises(NotFound):
        await rig.jobs.orders.run_job(RunJob(name="ok"), SYSTEM)


async def test_a_paused_job_lets_its_times_go_by(rig: JobRig) -> None:
    """They are not made up for when it goes on; it can be run by hand meanwhile."""
    await rig.start(report=HOURLY)
    view = await rig.jobs.orders.pause_job(PauseJob(name="report", reason="holiday"), SYSTEM)
    assert (view.state, view.paused_reason, view.next_at) == (JobState.PAUSED, "holiday", None)
    await rig.advance(7200, step_s=600)
    assert rig.office.orders == []
    await rig.jobs.orders.run_job(RunJob(name="report"), SYSTEM)
    await rig.settle()
    assert len(rig.office.orders) == 1
    await rig.end(rig.keys[0])
    resumed = await rig.jobs.orders.resume_job(ResumeJob(name="report"), SYSTEM)
    assert resumed.next_at == NOON + 3 * 3600
    await rig.advance(60)
    assert rig.keys[1:] == [key("report", NOON + 3 * 3600)]


async def test_a_run_by_hand_comes_after_the_present_one_and_is_bounded(rig: JobRig) -> None:
    """Each has a key of its own."""
    await rig.start(report=HOURLY)
    for _ in range(11):
        await rig.jobs.orders.run_job(RunJob(name="report"), SYSTEM)
        await rig.settle()
    assert len(rig.office.orders) == 1
    with pytest.raises(Overloaded):
        await rig.jobs.orders.run_job(RunJob(name="report"), SYSTEM)
    await rig.end(rig.keys[0])
    assert len(set(rig.keys)) == 2


async def test_one_instant_is_done_after_it(rig: JobRig) -> None:
    """The row stays, with its result."""
    await rig.start()
    await rig.jobs.orders.add_job(AddJob(name="once", spec=JobSpec(schedule="2023-11-14T13:30", text="go")), SYSTEM)
    await rig.advance(1870)
    await rig.end(rig.keys[0], answer="gone")
    assert (await rig.view("once")).state is JobState.DONE


async def test_what_leaves_the_configuration_is_gone_and_what_changes_begins_anew(clock: FakeClock) -> None:
    """A job with another schedule has other times; its past stays."""
    store, office = MemoryStore(), FakeOffice()
    first = await JobRig(store, clock, office).start(report=HOURLY, old=HOURLY)
    await first.stop()
    second = JobRig(store, clock, office, seed=1.0)
    await second.start(report=JobSpec(schedule="every 5m", text="report"))
    assert (await second.view("report")).next_at == NOON + 3540 + 300
    assert [job.name for job in (await second.jobs.orders.list_jobs(ListJobs())).jobs] == ["report"]
    await second.stop()


async def test_a_preview_names_the_next_times(rig: JobRig) -> None:
    """Without making a job."""
    found = await rig.jobs.orders.preview_schedule(PreviewSchedule(schedule="0 * * * *", count=2))
    assert found.times_at == (NOON + 3600, NOON + 7200)
    with pytest.raises(InvalidInput):
        await rig.jobs.orders.preview_schedule(PreviewSchedule(schedule="0 * * * *", count=51))
