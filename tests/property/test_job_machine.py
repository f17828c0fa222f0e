"""A job under any order of times, ends, pauses and jumps of the clock: none becomes two runs, and all are counted."""

from hypothesis import given
from hypothesis import strategies as st

from core.api.base import AgentName, Mark, SessionId, TaskId
from core.api.errors import Overloaded
from core.api.jobs import JobRunState, JobSpec, Misfire, Overlap
from core.api.tasks import TaskKind, TaskState, TaskView
from core.gateway import job as rules
from core.schedule import between, parsed

BEGIN = 1_700_000_000.0
SPECS = st.builds(
    JobSpec,
    schedule=st.sampled_from(["every 1m", "every 7s", "* * * * *", "*/5 * * * *"]),
    text=st.just("report"),
    first_s=st.sampled_from([0.0, 5.0]),
    misfire=st.sampled_from(Misfire),
    misfire_grace_s=st.sampled_from([0.0, 60.0, 1e6]),
    overlap=st.sampled_from(Overlap),
)
# How the clock moves, and what is done then.
STEPS = st.lists(
    st.tuples(
        st.floats(0.0, 400.0) | st.floats(-300.0, 0.0),
        st.sampled_from(["look", "look", "start", "refuse", "end", "fail", "pause", "resume", "order"]),
    ),
    max_size=60,
)


def task(state: TaskState) -> TaskView:
    """A task as it ended."""
    return TaskView(
        id=TaskId("t"),
        version=1,
        agent=AgentName("main"),
        kind=TaskKind.AGENT_COMMAND,
        state=state,
        session_id=SessionId("cron:dm:job"),
        text="report",
        accepted=Mark(0.0, 0.0),
        answer="words",
    )


class World:
    """A job and all that it ever did."""

    def __init__(self, spec: JobSpec) -> None:
        self.schedule = parsed(spec.schedule)
        self.row = rules.made("job", spec, BEGIN)
        self.now = BEGIN
        self.keys: list[str] = []
        self.orders = 0

    def mark(self) -> Mark:
        """Now."""
        return Mark(self.now, self.now)

    def do(self, act: str) -> None:
        """One step, where it is possible."""
        row = self.row
        if act == "look":
            after, _ = rules.due(row, self.schedule, self.mark())
            self.keys += [run.key for run in after.queue if run not in row.queue]
        elif act == "start" and row.queue and row.running is None:
            after = rules.started(row, TaskId("t"), self.mark())
        elif act == "refuse" and row.queue:
            after = rules.refused(row, "no", self.mark())
        elif act in {"end", "fail"} and row.running is not None:
            after = rules.ended(row, task(TaskState.DONE if act == "end" else TaskState.ERROR), self.mark())
        elif act == "pause":
            after = rules.paused(row, "ana", "")
        elif act == "resume":
            after = rules.resumed(row, self.now)
        elif act == "order":
            try:
                after = rules.ordered(row, self.mark(), f"by-hand-{self.orders}")
            except Overloaded:
                return
            self.orders += 1
        else:
            return
        self.row = after


@given(SPECS, STEPS)
def test_no_time_becomes_two_runs(spec: JobSpec, steps: list[tuple[float, str]]) -> None:
    """Whatever the clock does; and never more wait than may."""
    world = World(spec)
    for by, act in steps:
        world.now += by
        world.do(act)
        assert len(world.row.queue) <= rules.QUEUE_LIMIT
        assert all(run.state is JobRunState.CLAIMED for run in world.row.queue)
        assert world.row.running is None or world.row.running.state is JobRunState.RUNNING
        assert world.row.last is None or rules.JOB_RUN.is_final(world.row.last.state)
    assert len(world.keys) == len(set(world.keys))


@given(SPECS, st.lists(st.floats(0.0, 400.0), max_size=40))
def test_every_time_is_run_missed_or_skipped(spec: JobSpec, steps: list[float]) -> None:
    """What was neither started nor said to be lost does not exist."""
    world = World(spec)
    for number, by in enumerate(steps):
        world.now += by
        world.do("look")
        world.do("start" if number % 2 else "end")
    passed = between(world.schedule, BEGIN, world.now, anchor=world.row.anchor_at)
    world.do("look")
    assert passed.count == len(world.keys) + world.row.missed_count + world.row.skipped_count


@given(SPECS, STEPS)
def test_a_decided_time_is_never_decided_again(spec: JobSpec, steps: list[tuple[float, str]]) -> None:
    """Small jumps of the clock do not take back what was decided."""
    world = World(spec)
    for by, act in steps:
        world.now += by
        before = world.row.decided_at
        world.do(act)
        assert world.row.decided_at >= before
