"""What a Hermes agent tells of a run, without a connection: no answer may meet a request that nobody saw."""

import json
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.agents.enforcements import CHILD, REMOTE
from core.agents.hermes.wire import RemoteRun, remainder
from core.agents.runner import Decision
from core.api.approvals import ApprovalState
from core.api.policies import ExecutionPolicy
from core.api.runs import (
    ActionRequested,
    ActionSettled,
    OptionKind,
    RunReport,
    Stop,
    TextDelta,
    ToolReported,
    ToolStatus,
)

LISTENS_S = 60.0
YES = Decision(allow=True, option_id="once")
NO = Decision(allow=False, option_id="deny")


def event(name: str, **more: Any) -> str:
    """Data of an event."""
    return json.dumps({"event": name, "timestamp": 5.0, **more})


class Remote:
    """The agent: requests wait in a row, each for a while, and an answer meets the oldest. met: what was approved."""

    def __init__(self, run: RemoteRun, listens_s: float) -> None:
        self.run = run
        self.listens_s = listens_s
        self.now = 0.0
        self.waiting: deque[tuple[str, str, float]] = deque()
        self.tools: list[str] = []
        self.reports: list[RunReport] = []
        self.met: list[str] = []
        self.count = 0

    def tell(self, name: str, **more: Any) -> None:
        """An event arrives, and what must be denied is denied."""
        self.reports += self.run.take(event(name, **more), self.now)
        self.deny()

    def deny(self) -> None:
        """As the runner does."""
        if self.run.must_deny:
            self.waiting.clear()
            self.reports += self.run.denied()

    def start(self, name: str) -> None:
        """A tool begins and asks."""
        self.count += 1
        self.tools.append(name)
        self.tell("tool.started", tool=name, preview="")
        command = f"command {self.count}"
        self.waiting.append((command, name, self.now))
        self.tell("approval.request", command=command, choices=["once", "session", "always", "deny"])

    def other(self) -> None:
        """A tool that asks nothing comes and goes."""
        self.lasting("web_extract")
        self.tell("tool.completed", tool="web_extract")

    def lasting(self, name: str = "web_search") -> None:
        """A tool that asks nothing begins, and takes its time."""
        self.tell("tool.started", tool=name, preview="")

    def end_tool(self, name: str) -> None:
        """A tool ends."""
        if name in self.tools:
            self.tools.remove(name)
            self.tell("tool.completed", tool=name)

    def pass_time(self, delay_s: float) -> None:
        """Time goes by; requests that nobody answered are denied without a word."""
        self.now += delay_s
        while self.waiting and self.now - self.waiting[0][2] >= self.listens_s:
            _, name, _ = self.waiting.popleft()
            self.end_tool(name)

    def decide(self, allow: bool) -> None:
        """The operator decides what is shown last."""
        shown = [item for item in self.reports if isinstance(item, ActionRequested)]
        if not shown:
            return
        body = self.run.choice(shown[-1].action_id, YES if allow else NO, self.now)
        if body is None:
            return
        if not self.waiting:
            self.run.nothing_waits()
            self.reports += self.run.shown(self.now)
            self.deny()
            return
        command, name, _ = self.waiting.popleft()
        assert command == shown[-1].target
        self.met += [command] if allow else []
        self.run.answered(shown[-1].action_id, body["choice"])
        self.tell("approval.responded", choice=body["choice"], resolved=1)
        self.end_tool(name)


steps = st.one_of(
    st.tuples(st.just("start"), st.sampled_from(["terminal", "execute_code"])),
    st.tuples(st.just("pass_time"), st.sampled_from([1.0, 20.0, 50.0])),
    st.tuples(st.just("decide"), st.booleans()),
    st.just(("other",)),
    st.just(("lasting",)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(steps, max_size=25), st.sampled_from([20.0, LISTENS_S]))
def test_an_answer_meets_what_was_shown(plan: list[tuple[Any, ...]], listens_s: float) -> None:
    """Whatever times out in between, also sooner than our profile says. One request is shown at a time, and each is
    settled exactly once.
    """
    run = RemoteRun("r", LISTENS_S)
    remote = Remote(run, listens_s)
    for name, *given_ in plan:
        getattr(remote, name)(*given_)
    remote.reports += run.close()
    shown: list[str] = []
    for report in remote.reports:
        if isinstance(report, ActionRequested):
            assert shown == []
            shown.append(report.action_id)
        elif isinstance(report, ActionSettled):
            assert shown == [report.action_id]
            shown.clear()
    assert shown == []
    calls = {item.call.id: item.call for item in remote.reports if isinstance(item, ToolReported)}
    assert all(call.status.is_final for call in calls.values())


def test_an_id_that_a_request_has_goes_back_with_the_answer() -> None:
    """And what is said to be answered by its id is that one, wherever it stands in the row."""
    run = RemoteRun("run_1", None)
    told = [
        report
        for name in ("a-1", "a-2")
        for report in run.take(event("approval.request", command=name, choices=["once", "deny"], approval_id=name), 0.0)
    ]
    (first,) = (item for item in told if isinstance(item, ActionRequested))
    assert list(run.take(event("approval.responded", choice="deny", resolved=1, approval_id="a-2"), 0.0)) == []
    body = run.choice(first.action_id, YES, 0.0)
    assert body == {"choice": "once", "approval_id": "a-1"}
    run.answered(first.action_id, "once")
    assert list(run.take(event("approval.responded", choice="once", resolved=1, approval_id="a-1"), 0.0)) == [
        ActionSettled(action_id=first.action_id, outcome=ApprovalState.APPROVED.value)
    ]


@pytest.mark.parametrize(
    ("segment", "output", "has_text", "rest"),
    [
        ("", "Hello", False, "Hello"),
        ("", "Hello", True, "\n\nHello"),
        ("Good", "Good bye", True, " bye"),
        ("\nHello ", "Hello", True, ""),
        ("Hello", "Good bye", True, "\n\nGood bye"),
        ("Hello", "  ", True, ""),
    ],
)
def test_the_rest_of_an_answer_is_what_was_not_said(segment: str, output: str, has_text: bool, rest: str) -> None:
    """Never twice, never cut."""
    assert remainder(segment, output, has_text=has_text) == rest


def test_a_tool_is_ended_by_its_name() -> None:
    """They have no ids: the oldest of that name; what never ends is closed with the turn."""
    run = RemoteRun("r", None)
    reports = [*run.take(event("tool.started", tool="terminal", preview="a"), 0.0)]
    reports += run.take(event("tool.started", tool="terminal", preview="b"), 0.0)
    reports += run.take(event("tool.completed", tool="terminal", error=True), 0.0)
    reports += run.take(event("tool.completed", tool="unheard"), 0.0)
    reports += run.close()
    assert [(item.call.input, item.call.status) for item in reports if isinstance(item, ToolReported)] == [
        ("a", ToolStatus.IN_PROGRESS),
        ("b", ToolStatus.IN_PROGRESS),
        ("a", ToolStatus.FAILED),
        ("b", ToolStatus.ENDED),
    ]


def test_only_choices_that_the_agent_takes_are_offered() -> None:
    """And a no always is."""
    run = RemoteRun("r", None)
    reports = [*run.take(event("approval.request", command="x", choices=["once", "once", 7, "often"]), 0.0)]
    (action,) = [item for item in reports if isinstance(item, ActionRequested)]
    assert [option.kind for option in action.options] == [OptionKind.ALLOW_ONCE, OptionKind.REJECT_ONCE]
    assert action.deadline_s is None


@pytest.mark.parametrize("data", ["", "no json", "[]", "{}", '{"event": 7}', '{"event": "message.delta", "delta": 3}'])
def test_nonsense_harms_nothing(data: str) -> None:
    """It is a remark at most."""
    run = RemoteRun("r", None)
    assert not any(isinstance(item, TextDelta) for item in run.take(data, 0.0))
    assert run.end is None


def test_a_run_that_somebody_else_stopped_says_so() -> None:
    """It was not cancelled from here."""
    run = RemoteRun("r", None)
    list(run.take(event("run.cancelled"), 0.0))
    assert run.end is not None
    assert (run.end.stop, run.end.code) == (Stop.CANCELLED, "stopped")


@pytest.mark.parametrize("table", [CHILD, REMOTE])
def test_each_field_of_the_policy_has_its_keeper(table: tuple[Any, ...]) -> None:
    """Once, with a reason; what is not there is the core's own affair."""
    names = [item.field for item in table]
    assert len(set(names)) == len(names)
    assert set(ExecutionPolicy.__struct_fields__) - set(names) == {"interactive", "retry"}
    assert all(item.why for item in table)
