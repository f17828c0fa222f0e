"""What needs a human because of agents, tasks and decisions that a restart left behind."""

import pytest

from console.mirror import Mirror
from console.needs import needs
from core.api.approvals import ApprovalList, ApprovalState
from core.api.base import SYSTEM, ApprovalId, Event, Record, Seq
from core.api.outboxes import OutboxActive, OutboxState
from core.api.platforms import PlatformActive, PlatformState
from core.api.profiles import PoolState, ProfileList
from core.api.tasks import DropReason, TaskPage, TaskState
from tests.support.fake_outboxes import an_outbox, busy_outboxes
from tests.support.fake_work import pool, task
from tests.support.views import NOW, ago, approval, health, platform, profile


def mirror_of() -> Mirror:
    """A mirror of a core that is well and has nothing to do."""
    mirror = Mirror()
    mirror.load_health(health(), asked_mono=NOW.mono, answered_mono=NOW.mono)
    return mirror


def test_agents_that_are_held_back_lead_to_the_agent():
    """What cannot work first; why, until when, and how many wait."""
    mirror = mirror_of()
    views = (
        profile("main", pool=pool()),
        profile("ops", pool=pool(state=PoolState.PAUSED, reason="freeze", changed_by="raj", waiting=3)),
        profile("dev", pool=pool(state=PoolState.DEGRADED, failure_count=5, reason="5 runs failed", retry=ago(-20))),
        profile("odd", problem="runer is not a key"),
    )
    mirror.load_profiles(ProfileList(profiles=views, seq=Seq(0)))
    found = [(need.kind, need.place, need.argument, need.text) for need in needs(mirror, NOW.mono)]
    assert found == [
        ("agent", "agent", "dev", "degraded: 5 runs failed  next try in 20s"),
        ("agent", "agent", "odd", "faulty: runer is not a key"),
        ("agent", "agent", "ops", "paused by raj: freeze  3 wait"),
    ]


def test_tasks_that_failed_within_the_hour_are_one_line_for_each_cause():
    """Older ones, archived ones and those that were cancelled are no alarm any more."""
    mirror = mirror_of()
    held = (
        task("t1", state=TaskState.ERROR, label="report", error="529", ended=ago(20)),
        task("t2", state=TaskState.DROPPED, label="old", dropped_reason=DropReason.AGENT_GONE, ended=ago(90)),
        task("t3", state=TaskState.DROPPED, label="older", dropped_reason=DropReason.AGENT_GONE, ended=ago(95)),
        task("t4", state=TaskState.ERROR, error="529", ended=ago(4_000)),
        task("t5", state=TaskState.ERROR, error="529", ended=ago(20), archived=ago(1)),
        task("t6", state=TaskState.CANCELLED, ended=ago(20)),
    )
    mirror.load_tasks(TaskPage(tasks=held, cursor="", has_more=False, seq=Seq(0)))
    found = [(need.place, need.argument, need.subject, need.text, need.age_s) for need in needs(mirror, NOW.mono)]
    assert found == [
        ("tasks", "", "2 tasks", "one cause: agent gone", pytest.approx(90.0)),
        ("task", "t1", "report", "error: 529", pytest.approx(20.0)),
    ]


def test_a_decision_that_a_restart_left_behind_can_be_asked_again():
    """Until it was; R does it."""
    mirror = mirror_of()
    orphan = approval("a1", state=ApprovalState.ORPHANED)
    again = approval("a2", state=ApprovalState.ORPHANED, replaced_by=ApprovalId("a3"))
    mirror.load_approvals(ApprovalList(approvals=(orphan, again), seq=Seq(0)))
    found = [(need.kind, need.key, need.argument, need.text) for need in needs(mirror, NOW.mono)]
    assert found == [("orphan", "R", "a1", "a restart left it undecided: delete report.txt")]


def live(event: Event) -> Record:
    """An event that is not kept."""
    return Record(seq=Seq(1), at=NOW.at, durable=False, actor=SYSTEM, subject="s", event=event)


def outboxes_of(mirror: Mirror) -> list[tuple[str, str, str, str]]:
    """What is said of accounts."""
    found = needs(mirror, NOW.mono)
    return [(need.kind, need.tone, need.subject, need.text) for need in found if need.place == "outboxes"]


def test_accounts_that_hold_messages_up_are_named_with_the_reason_and_when_they_go_on():
    """Each but those that go by their own rate, have nothing to send, or wait for a moment only."""
    mirror = mirror_of()
    for view in busy_outboxes().outboxes.values():
        mirror.apply(live(OutboxActive(outbox=view)))
    mirror.apply(live(OutboxActive(outbox=an_outbox("soon", state=OutboxState.HELD, waiting=1, next_try=ago(-5)))))
    mirror.apply(live(OutboxActive(outbox=an_outbox("idle", state=OutboxState.HELD, next_try=ago(-500)))))
    assert outboxes_of(mirror) == [
        ("held", "needs", "email", "held by an operator: moving the server  1 message waiting"),
        ("broken", "failing", "matrix", "connection refused  next try in 2m20s  3 messages waiting"),
        ("held", "needs", "telegram", "Too Many Requests: retry after 40  next try in 38s  12 messages waiting"),
    ]
    need = next(need for need in needs(mirror, NOW.mono) if need.subject == "matrix")
    assert (need.argument, need.age_s) == ("matrix", pytest.approx(400.0))


def test_an_account_whose_connection_is_down_is_one_line():
    """The cause is the same, and the connection is what can be mended."""
    mirror = mirror_of()
    mirror.apply(live(OutboxActive(outbox=an_outbox("matrix", state=OutboxState.BROKEN, waiting=3, why="refused"))))
    assert len(outboxes_of(mirror)) == 1
    mirror.apply(live(PlatformActive(platform=platform("matrix", state=PlatformState.DOWN, version=9))))
    assert outboxes_of(mirror) == []
