"""What tests of runs share: a question, the approval it became, and short ways to read a run."""

from core.api.approvals import ApprovalView, ListApprovals
from core.api.base import Actor, ActorKind, RunId
from core.api.runs import ActionOption, ActionRequested, OptionKind, PhaseChanged, RunReport, ToolKind
from tests.support.agent_parts import Reading, Runtime

ANA = Actor(ActorKind.OPERATOR, "ana")
R1, R2 = RunId("r-1"), RunId("r-2")


def asked_action(detail: str = "d") -> ActionRequested:
    """A question with a yes and a no."""
    options = (
        ActionOption(id="yes", label="Yes", kind=OptionKind.ALLOW_ONCE),
        ActionOption(id="no", label="No", kind=OptionKind.REJECT_ONCE),
    )
    return ActionRequested(action_id="a-1", title="t", detail=detail, kind=ToolKind.EDIT, options=options)


async def the_approval(here: Runtime) -> ApprovalView:
    """The only approval there is."""
    found = await here.approvals.list_approvals(ListApprovals())
    [view] = found.approvals
    return view


async def read(here: Runtime, text: str, **more: str) -> list[RunReport]:
    """All reports of a run that needs no time."""
    return await Reading(here.run(text, **more)).whole()


def phases(reports: list[RunReport]) -> list[str]:
    """Phases in order, with the tool where there is one."""
    return [
        f"{report.phase.value}:{report.tool}" if report.tool else report.phase.value
        for report in reports
        if isinstance(report, PhaseChanged)
    ]


async def settle(here: Runtime) -> None:
    """Let everything that can happen without time happen."""
    for _ in range(5):
        await here.clock.advance(0.0)
