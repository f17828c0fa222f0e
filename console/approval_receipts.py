"""The core's answers about decisions and permissions in words and their tone (pure)."""

from console import text
from core.api.approvals import ApprovalView, BulkDenial, GrantScope, GrantView


def decided(view: ApprovalView) -> tuple[str, str]:
    """What was decided, how far it reaches, and whether the agent knows."""
    told = {
        "sent": "the agent was told",
        "refused_late": "but the agent did not listen any more",
        "failed": "but telling the agent failed",
    }
    words = told.get(view.delivery, f"telling the agent: {view.delivery or 'on its way'}")
    reach = "" if view.scope is GrantScope.ONCE else f" for this {view.scope.value}"
    if view.scope is GrantScope.ALWAYS:
        reach = " always"
    tone = "well" if view.delivery == "sent" else "needs"
    return f"{view.state.value}{reach}: {text.clean(view.title)}; {words}", tone


def denied_many(receipt: BulkDenial) -> tuple[str, str]:
    """How many were denied, and how many were decided by others meanwhile."""
    late = f"; {len(receipt.too_late)} were no longer open" if receipt.too_late else ""
    return f"denied {text.counted(len(receipt.denied), 'request')}{late}", "needs" if late else "well"


def asked_again(view: ApprovalView) -> tuple[str, str]:
    """What happens to an orphaned one."""
    return f"its session goes on: {text.clean(view.title)} comes back under a new id if the agent asks", "well"


def nothing_said(view: ApprovalView) -> tuple[str, str]:
    """Where it was shown."""
    shown = ", ".join(text.clean(surface.name) for surface in view.surfaces)
    return f"shown on {shown or 'no surface'}", "well"


def revoked(view: GrantView) -> tuple[str, str]:
    """What does not hold any more."""
    return f"revoked: {text.clean(view.agent)} {text.clean(view.pattern)}", "well"
