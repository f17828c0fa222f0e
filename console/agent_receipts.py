"""The core's answers about agents and runners in words and their tone (pure)."""

from console import text
from core.api.profiles import DeleteReceipt, PoolState, ProfileView, ResetReport


def agent_words(view: ProfileView) -> tuple[str, str]:
    """How an agent stands now."""
    if view.problem:
        return f"{text.clean(view.name)} cannot be used: {text.clean(view.problem)}", "failing"
    if not view.is_enabled:
        return f"{text.clean(view.name)} is disabled: its runs end, and it takes no message", "needs"
    pool = view.pool
    if pool is None:
        return f"{text.clean(view.name)} is kept", "well"
    if pool.state is PoolState.PAUSED:
        return f"{text.clean(view.name)} is paused: {pool.busy} runs go on, {pool.waiting} wait", "needs"
    return f"{text.clean(view.name)} is {pool.state.value}: {pool.busy} of {pool.limit} running", "well"


def kept_words(view: ProfileView) -> tuple[str, str]:
    """What became of settings."""
    words, tone = agent_words(view)
    return (words, tone) if tone != "well" else (f"kept: {text.clean(view.name)}, {view.fingerprint}", "well")


def removed_words(receipt: DeleteReceipt) -> tuple[str, str]:
    """What went with an agent."""
    stopped = f", {text.counted(receipt.stopped, 'run')} told to stop" if receipt.stopped else ""
    return f"removed: {text.clean(receipt.name)}{stopped}", "well"


def reset_words(report: ResetReport) -> tuple[str, str]:
    """Which runners went."""
    later = f", {report.marked} go after their turn" if report.marked else ""
    stopped = f", {text.counted(report.stopped, 'run')} told to stop" if report.stopped else ""
    return f"{text.counted(report.replaced, 'runner')} gone{later}{stopped}", "well"
