"""What happens to a task as events of a run: each decision asked and ended once, whatever order it is looked up in."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.approvals import ApprovalState, ApprovalView, GrantOffer, GrantScope
from core.api.base import ApprovalId, Mark, RunId, SessionId, TaskId
from core.api.runs import ActionKind, ActionOption, OptionKind
from core.api.sessions import ChatKind
from core.api.streams import StreamItem, StreamKind
from core.api.tasks import DropReason, RunState, TaskDetail, TaskState
from core.rest.v1_events import RunTeller
from core.rest.v1_status import choices, run_status
from core.rest.v1_words import RunEvent, name_of, session_of
from tests.support.fake_work import task, task_run
from tests.support.views import approval

RUN = "run_task-1"


def asked(name: str, at: float, **more: object) -> ApprovalView:
    """An open decision of the task's run."""
    values = {
        "run_id": RunId("run-1"),
        "task_id": TaskId("task-1"),
        "title": "remove it",
        "tool": "exec",
        "asked": Mark(at, at),
        "decided": None,
        "state": ApprovalState.OPEN,
    }
    return msgspec.structs.replace(approval(name), **(values | more))


def decided(view: ApprovalView, at: float, state: ApprovalState = ApprovalState.APPROVED) -> ApprovalView:
    """The same, over."""
    return msgspec.structs.replace(view, state=state, decided=Mark(at, at), decided_by="ana")


def note(
    number: int, at: float, what: str, kind: StreamKind = StreamKind.APPROVAL, text: str = "remove it"
) -> StreamItem:
    """An item of the task's stream."""
    return StreamItem(
        number=number,
        at=at,
        kind=kind,
        session_id=SessionId("tasks:dm:task-1"),
        text=text,
        run_id=RunId("run-1"),
        task_id=TaskId("task-1"),
        what=what,
    )


def names(events: list[RunEvent]) -> list[str]:
    """What they are."""
    return [event.event for event in events]


def test_a_decision_is_asked_with_its_tool_and_ended_once() -> None:
    """With the tool that it is about, and who ended it."""
    teller, view = RunTeller(RUN), asked("a-1", 10.0)
    first = teller.tell(note(1, 10.0, "open"), view)
    assert names(first) == ["tool.started", "approval.request"]
    assert (first[1].approval_id, first[1].tool, first[1].timestamp) == ("a-1", "exec", 10.0)
    over = decided(view, 20.0)
    (answer,) = teller.tell(note(2, 20.0, "approved"), over)
    assert (answer.event, answer.choice, answer.resolved, answer.by) == ("approval.responded", "once", 1, "ana")


@pytest.mark.parametrize("state", [ApprovalState.EXPIRED, ApprovalState.WITHDRAWN, ApprovalState.ORPHANED])
def test_an_end_without_an_answer_never_reads_as_a_yes(state: ApprovalState) -> None:
    """The state tells it from an operator's no."""
    teller, view = RunTeller(RUN), asked("a-1", 10.0)
    teller.tell(note(1, 10.0, "open"), view)
    (event,) = teller.tell(note(2, 20.0, state.value), decided(view, 20.0, state))
    assert (event.choice, event.state) == ("deny", state.value)


def test_a_decision_that_is_no_longer_known_is_left_out() -> None:
    """Nothing is made up about it."""
    teller = RunTeller(RUN)
    assert teller.tell(note(1, 10.0, "open")) == []
    assert teller.tell(note(2, 20.0, "approved")) == []


def test_the_tool_that_was_asked_for_ends_under_the_name_it_began_with() -> None:
    """One that nobody was asked about begins and ends at once."""
    teller, view = RunTeller(RUN), asked("a-1", 10.0)
    teller.tell(note(1, 10.0, "open"), view)
    beside = teller.tell(note(2, 11.0, "completed", StreamKind.TOOL, "look\nseen"))
    assert [(event.event, event.tool, event.result) for event in beside] == [
        ("tool.started", "look", ""),
        ("tool.completed", "look", "seen"),
    ]
    teller.tell(note(3, 20.0, "approved"), decided(view, 20.0))
    (own,) = teller.tell(note(4, 21.0, "failed", StreamKind.TOOL, "rm\nno such file"))
    assert (own.event, own.tool, own.error) == ("tool.completed", "exec", True)


def test_words_and_thoughts_go_through_and_the_rest_is_left_out() -> None:
    """State and inputs are no events of a run."""
    teller = RunTeller(RUN)
    assert teller.tell(note(1, 1.0, "", StreamKind.TEXT, "hi"))[0].delta == "hi"
    assert teller.tell(note(2, 1.0, "", StreamKind.THOUGHT, "hm"))[0].text == "hm"
    for kind in (StreamKind.STATE, StreamKind.INPUT, StreamKind.LOG):
        assert teller.tell(note(3, 1.0, "queued", kind)) == []


def test_only_choices_that_are_offered_are_named() -> None:
    """A wider yes needs a pattern; one that may only be refused offers no yes."""
    view = asked("a-1", 10.0, offers=(GrantOffer(scope=GrantScope.SESSION, pattern="exec:ls"),))
    assert choices(view) == ("once", "session", "deny")
    no = (ActionOption(id="n", label="No", kind=OptionKind.REJECT_ONCE),)
    assert choices(asked("a-2", 10.0, options=no)) == ("deny",)
    assert choices(asked("a-3", 10.0, options=no, action_kind=ActionKind.QUESTION)) == ("once", "deny")


@pytest.mark.parametrize(
    ("state", "run_state", "has_question", "word"),
    [
        (TaskState.QUEUED, RunState.ERROR, False, "queued"),
        (TaskState.RUNNING, RunState.RUNNING, False, "running"),
        (TaskState.RUNNING, RunState.RUNNING, True, "waiting_for_approval"),
        (TaskState.WAITING, RunState.RUNNING, True, "waiting_for_approval"),
        (TaskState.WAITING, RunState.RUNNING, False, "running"),
        (TaskState.DONE, RunState.OK, False, "completed"),
        (TaskState.IDLE, RunState.OK, False, "completed"),
        (TaskState.ERROR, RunState.TIMEOUT, False, "failed"),
        (TaskState.DROPPED, RunState.ERROR, False, "failed"),
        (TaskState.CANCELLED, RunState.RUNNING, True, "stopping"),
        (TaskState.CANCELLED, RunState.CANCELLED, False, "cancelled"),
    ],
)
def test_each_state_has_one_word(state: TaskState, run_state: RunState, has_question: bool, word: str) -> None:
    """An error is never shown as completed, and a stop that goes on is no end."""
    view = task(state=state, answer="text", dropped_reason=DropReason.AGENT_GONE if state == "dropped" else None)
    detail = TaskDetail(task=view, runs=(task_run(state=run_state),), attempts=(), children=(), seq=0)
    status = run_status(detail, [asked("a-1", 10.0)] if has_question else [])
    assert status.status == word
    assert status.output == ("text" if word == "completed" else "")
    assert bool(status.last_event) is (word not in {"queued", "running", "stopping"})
    if state is TaskState.DROPPED:
        assert (status.error, status.code) == ("agent_gone", "agent_gone")


@given(st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable()))
def test_a_callers_name_of_a_session_comes_back_as_it_was(name: str) -> None:
    """Whatever it is; an id of a session is left as it is."""
    assert name_of(SessionId(session_of(name))) == name


@pytest.mark.parametrize("kind", list(ChatKind))
def test_a_sessions_own_id_is_taken_as_it_is(kind: ChatKind) -> None:
    """So that a run can be begun in a chat of a platform."""
    assert session_of(f"telegram:{kind.value}:8841") == f"telegram:{kind.value}:8841"
    assert session_of("telegram:8841") == "http:dm:telegram%3A8841"
    assert session_of("") == ""
    assert ApprovalId("x") not in session_of("")
