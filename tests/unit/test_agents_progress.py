"""What a run is busy with, and what its reader gets to see."""

import asyncio

from core.agents.progress import Progress
from core.agents.reports import Reports
from core.api.runs import (
    ActionOption,
    ActionRequested,
    ActionSettled,
    OptionKind,
    Phase,
    PhaseChanged,
    PlanReported,
    PlanStep,
    RunLogged,
    RunReport,
    Stop,
    TextDelta,
    ToolCall,
    ToolKind,
    ToolReported,
    ToolStatus,
    TurnEnded,
    Usage,
    UsageReported,
)

END = TurnEnded(stop=Stop.END_TURN)


def tool(call_id: str, status: ToolStatus, title: str = "look") -> ToolReported:
    """A report about one call."""
    return ToolReported(call=ToolCall(id=call_id, title=title, status=status))


def action(action_id: str) -> ActionRequested:
    """A question."""
    yes = ActionOption(id="y", label="yes", kind=OptionKind.ALLOW_ONCE)
    return ActionRequested(action_id=action_id, title="t", detail="d", kind=ToolKind.EDIT, options=(yes,))


def phases(reports: list[RunReport]) -> list[tuple[Phase, str]]:
    """Changes of phase in the reports."""
    return [(report.phase, report.tool) for report in reports if isinstance(report, PhaseChanged)]


def taken(progress: Progress, *reports: RunReport) -> list[RunReport]:
    """What is shown of the reports."""
    return [item for report in reports for item in progress.take(report)]


def test_phases_follow_from_what_is_reported() -> None:
    """Text is the model, a call is its tool until it ends, a question is an approval until it is settled."""
    shown = taken(
        Progress(),
        TextDelta(text="a"),
        TextDelta(text="b"),
        tool("1", ToolStatus.PENDING),
        action("x"),
        ActionSettled(action_id="x", outcome="approved"),
        tool("1", ToolStatus.IN_PROGRESS),
        tool("1", ToolStatus.COMPLETED),
        TextDelta(text="c"),
    )
    model, look = (Phase.MODEL, ""), (Phase.TOOL, "look")
    assert phases(shown) == [model, look, (Phase.APPROVAL, ""), look, model]


def test_a_waiting_retry_ends_with_the_next_word() -> None:
    """A phase that the runner told itself stays until something else happens; token counts are nothing."""
    progress = Progress()
    shown = taken(progress, PhaseChanged(phase=Phase.RETRY_BACKOFF), UsageReported(usage=Usage(input_tokens=2)))
    assert phases(shown) == [(Phase.RETRY_BACKOFF, "")]
    assert phases(taken(progress, TextDelta(text="a"))) == [(Phase.MODEL, "")]
    assert progress.usage == Usage(input_tokens=2)


def test_a_decision_is_settled_once() -> None:
    """The core and the runner may both say so; it is shown once. One that nobody asked for is not shown."""
    progress = Progress()
    settled = ActionSettled(action_id="x", outcome="denied")
    assert settled not in taken(progress, settled)
    assert taken(progress, action("x"), settled, settled).count(settled) == 1


def test_closing_ends_what_is_unfinished_and_nothing_else() -> None:
    """Open decisions get the outcome of the run, open calls the status `ended`."""
    progress = Progress()
    taken(progress, tool("1", ToolStatus.IN_PROGRESS), tool("2", ToolStatus.FAILED), action("x"))
    assert list(progress.closing("withdrawn")) == [
        ActionSettled(action_id="x", outcome="withdrawn"),
        tool("1", ToolStatus.ENDED),
    ]
    assert list(progress.closing("withdrawn")) == []


async def test_a_slow_reader_gets_all_text_in_fewer_pieces() -> None:
    """Nothing of the answer is lost, and the buffer stays small."""
    reports = Reports()
    for number in range(10_000):
        reports.push(TextDelta(text=f"{number} "))
    assert len(reports) < 50
    reports.push(END)
    found = [report async for report in reports.read()]
    text = "".join(report.text for report in found if isinstance(report, TextDelta))
    assert text == "".join(f"{number} " for number in range(10_000))
    assert found[-1] is END


async def test_unread_states_give_way_to_newer_ones_and_remarks_are_let_go() -> None:
    """A flood of reports that nobody reads stays within bounds; the last state of each call is kept."""
    reports = Reports()
    for number in range(20_000):
        reports.push(tool(str(number % 7), ToolStatus.IN_PROGRESS, f"step {number}"))
        reports.push(PlanReported(steps=(PlanStep(text=str(number)),)))
        reports.push(RunLogged(level="info", text=str(number)))
    assert len(reports) <= 4096
    reports.push(END)
    found = [report async for report in reports.read()]
    newest = {report.call.id: report.call.title for report in found if isinstance(report, ToolReported)}
    assert newest == {str(number % 7): f"step {number}" for number in range(19_993, 20_000)}
    plans = [report for report in found if isinstance(report, PlanReported)]
    assert plans[-1] == PlanReported(steps=(PlanStep(text="19999"),))


async def test_nothing_comes_after_the_end() -> None:
    """The reader of a run stops at its end, and later reports are not taken."""
    reports = Reports()

    async def read() -> list[RunReport]:
        return [report async for report in reports.read()]

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        await asyncio.sleep(0)
        reports.push(END)
        reports.push(TextDelta(text="late"))
        reports.push(END)
    assert reading.result() == [END]
