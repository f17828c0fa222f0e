"""The words of what works for a session: runner, lease, memory, decisions, ways of taking a message."""

import msgspec
import pytest

from console.mode_words import MODE_WORDS
from console.receipts import sent
from console.session_facts import all_facts
from console.session_runtime import alarms, compaction_words, lease_problem, meter
from console.session_words import doing, effect_words
from console.widgets.meter import bar
from core.api.base import EntryId, Mark, MessageId, PlatformName, RunId, SessionId, TaskId
from core.api.runs import (
    ActionKind,
    Compacted,
    CompactionState,
    LeaseView,
    Phase,
    PlanStep,
    RunnerState,
    RunRetry,
    Stop,
    Usage,
)
from core.api.sessions import ChatKind, Mode, Outcome, ResetCause, SendReceipt, SessionState, SessionView, Source
from tests.support.fake_work import runner
from tests.support.views import NOW, ago, approval, outcome, run, session


def age(mark: Mark) -> float:
    """Seconds before NOW."""
    return NOW.mono - mark.mono


def whole() -> SessionView:
    """A session in which every field says something."""
    usage = Usage(input_tokens=1, output_tokens=2, context_tokens=41_000, context_limit=128_000, cost_usd=0.5)
    ended = outcome(stop=Stop.ERROR, error="it broke", code="broken", answered=False, usage=usage)
    return session(
        "ana",
        run=run(
            retry=RunRetry(next_at=ago(-8), count=2, reason="overloaded"),
            tool="fetch",
            interrupt_asked=ago(3),
            last_tool_event=ago(4),
            usage=usage,
            plan=(PlanStep(text="look"),),
            task_id=TaskId("task-9"),
            model="big",
            mode="plan",
        ),
        lane_holder=RunId("run-1"),
        inbound=ago(5),
        outbound_ack=ago(6),
        queue_depth=2,
        queue_head=ago(7),
        last_outcome=ended,
        lease=LeaseView(boot=1, run_id=RunId("run-1"), token=4, since=ago(20), renewed=ago(5)),
        lease_token=4,
        runner=runner(facts={"pid": "4711"}),
        compaction=Compacted(state=CompactionState.DONE, before_tokens=118, after_tokens=40, limit_tokens=100),
        context_tokens=77,
        user="local:ana",
        summary_id=EntryId("e5"),
        last_epoch=3,
    )


OTHER: dict[str, object] = {
    "source": Source(platform=PlatformName("irc"), kind=ChatKind.GROUP, chat="c", thread="t", user="u"),
    "state": SessionState.FAILED,
    "phase": Phase.TOOL,
    "plan": (PlanStep(text="leap"),),
    "message_ids": (MessageId("other"),),
    "retry": None,
    "usage": Usage(),
    "run": None,
    "runner": None,
    "lease": None,
    "compaction": None,
    "last_outcome": None,
    "begun_by": ResetCause.IDLE,
}


def another(name: str, value: object) -> object:
    """Another value for a field."""
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, Mark):
        return Mark(value.at - 1234, value.mono - 1234)
    return value + 77 if isinstance(value, int | float) else f"{value}-other"


@pytest.mark.parametrize("name", [field.name for field in msgspec.structs.fields(SessionView)])
def test_every_field_of_a_session_is_in_the_state_tab(name: str):
    """A fact that the core knows cannot be forgotten by the screen: another value is another text."""
    view = whole()
    other = msgspec.structs.replace(view, **{name: another(name, getattr(view, name))})
    assert all_facts(other, age, use_ascii=True) != all_facts(view, age, use_ascii=True)


@pytest.mark.parametrize("kind", ["run", "runner", "lease"])
def test_every_field_of_what_works_for_a_session_is_in_the_state_tab(kind: str):
    """The run, the runner and the lease, each whole."""
    view = whole()
    part = getattr(view, kind)
    # They name the session that the tab is about, and its agent.
    names = [item.name for item in msgspec.structs.fields(part) if item.name not in {"session_id", "agent"}]
    forgotten = []
    for name in names:
        value = getattr(part, name)
        given = {"pid": "9"} if name == "facts" else RunnerState.DEAD if (kind, name) == ("runner", "state") else None
        changed = msgspec.structs.replace(part, **{name: given or another(name, value)})
        other = msgspec.structs.replace(view, **{kind: changed})
        if all_facts(other, age, use_ascii=True) == all_facts(view, age, use_ascii=True):
            forgotten.append(name)
    assert forgotten == []
    assert ("retry", "try 3 in 8s: overloaded", "needs") in all_facts(view, age, use_ascii=True)


def test_a_mode_that_does_not_ask_is_loud():
    """Named by the run, and by the runner where no run goes on."""
    loud = ("dont_ask: it does not ask", "failing")
    running = session("ana", run=run(mode="dont_ask", asks=False))
    kept = session("ana", runner=runner(mode="dont_ask", asks=False))
    assert loud in alarms(running, age)
    assert loud in alarms(kept, age)
    assert alarms(session("ana", run=run(mode="plan"), runner=runner()), age) == []


def test_a_lease_that_is_not_renewed_or_of_another_start_is_loud():
    """Three renewals missed, or a core that is gone."""
    lease = LeaseView(boot=1, run_id=RunId("run-1"), token=4, since=ago(90), renewed=ago(12))
    assert lease_problem(session("ana", lease=lease), age) == ""
    stale = msgspec.structs.replace(lease, renewed=ago(31))
    assert lease_problem(session("ana", lease=stale), age) == "lease stale: renewed 31s ago"
    assert "start 1" in lease_problem(session("ana", lease=lease, boot=2), age)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (CompactionState.DONE, "compacted 118k->117k (limit 100k)"),
        (CompactionState.INEFFECTIVE, "compaction ineffective 118k->117k (limit 100k)"),
        (CompactionState.FAILED, "compaction failed: the model said no"),
    ],
)
def test_a_compaction_says_what_became_of_it(state: CompactionState, said: str):
    """With the sizes before and after, or why there are none."""
    found = Compacted(
        state=state, before_tokens=118_000, after_tokens=117_000, limit_tokens=100_000, error="the model said no"
    )
    assert compaction_words(found) == said


def test_the_meter_takes_the_best_figures_that_there_are():
    """The agent's while it runs, those of its last run, else our estimate; without a limit there is no bar."""
    usage = Usage(context_tokens=64_000, context_limit=128_000)
    running = session("ana", run=run(usage=usage), context_tokens=5)
    assert meter(running, use_ascii=True) == ("####.... 64k/128k 50%, as the agent says", "plain")
    idle = session("ana", last_outcome=outcome(usage=usage), context_tokens=5)
    assert "as the last run ended" in meter(idle, use_ascii=True)[0]
    assert meter(session("ana", context_tokens=1_200), use_ascii=True) == ("1.2k tokens, estimate", "plain")
    forgot = session("ana", last_outcome=outcome(usage=usage), context_tokens=0)
    assert meter(forgot, use_ascii=True)[0] == "0 tokens, estimate"
    over = Compacted(state=CompactionState.INEFFECTIVE, limit_tokens=100)
    assert meter(session("ana", context_tokens=118, compaction=over), use_ascii=True)[1] == "failing"


def test_a_bar_is_as_wide_as_asked_and_honest_at_its_ends():
    """A little is seen, and only the whole is full."""
    assert bar(1, 1_000, 8, use_ascii=True) == "#......."
    assert bar(999, 1_000, 8, use_ascii=True) == "#######."
    assert bar(2_000, 1_000, 8, use_ascii=True) == "########"
    assert bar(0, 1_000, 8, use_ascii=True) == "........"
    assert bar(1, 0, 8) == ""


def test_a_run_that_may_not_begin_says_what_holds_it():
    """In the core's words."""
    held = run(phase=Phase.ADMITTING, waits_for="agent main is paused by raj: freeze")
    assert doing(session("ana", run=held), None, age) == "waits 9s: agent main is paused by raj: freeze"


def test_queued_messages_may_be_the_answer_to_a_question():
    """Whoever looks at the session is told so before they answer."""
    asked = approval(title="which branch?", action_kind=ActionKind.QUESTION)
    assert doing(session("ana"), asked, age) == "question: which branch?"
    words = doing(session("ana", queue_depth=2), asked, age)
    assert words == "waiting on question; 2 queued messages may be the answer: which branch?"


@pytest.mark.parametrize(
    ("outcome_word", "said"),
    [
        (Outcome.DIRECT, "taken up at once: interrupt"),
        (Outcome.INTERRUPTED, "the run was told to stop: interrupt, next"),
        (Outcome.QUEUED, "stored: interrupt, next"),
    ],
)
def test_a_receipt_says_what_became_of_a_message_at_once(outcome_word: Outcome, said: str):
    """Taken up, waiting, or that a run was stopped for it."""
    receipt = SendReceipt(
        session_id=SessionId("x"),
        message_id=MessageId("m"),
        position=0,
        mode=Mode.INTERRUPT,
        effective_mode=Mode.INTERRUPT,
        outcome=outcome_word,
    )
    assert sent(receipt)[0] == said


@pytest.mark.parametrize("mode", list(Mode))
def test_every_way_of_taking_a_message_is_explained(mode: Mode):
    """In the dialogs, and what it would do now."""
    assert MODE_WORDS[mode]
    assert effect_words(session("ana"), mode, can_steer=True)
    assert effect_words(session("ana", phase=Phase.MODEL), mode, can_steer=False)
