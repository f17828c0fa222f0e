"""What became of orders about the relay, in words and their tone (pure)."""

from console import text
from core.api.bindings import ANY_CHAT, BindingImportReport, BindingReceipt, ChangeKind
from core.api.relay_targets import RelayPause, TargetReport
from core.api.relay_tasks import RelayReceipt, RelayState, RelayTaskView, ReplayReceipt

Said = tuple[str, str]
# Ids begin with their time, and of those that were made in one millisecond only the last letters differ.
_SHORT_ID = 12
_NAMES_LIMIT = 5


def short_task_id(task_id: str) -> str:
    """The end of an id, which tells it from all others and is enough to find it by."""
    peer, slash, name = text.clean(task_id).rpartition("/")
    return peer + slash + name[-_SHORT_ID:]


def chat_words(platform: str, chat: str) -> str:
    """Which chats a binding is for."""
    if platform == ANY_CHAT:
        return "any chat"
    return text.clean(platform) + (", any chat" if chat == ANY_CHAT else f" {text.clean(chat)}")


def bound(receipt: BindingReceipt) -> Said:
    """What a chat is bound to now."""
    change = receipt.change
    where = chat_words(change.platform, change.chat)
    before = {bot.name: bot for bot in change.before or ()}
    after = {bot.name: bot for bot in change.after or ()}
    parts = [f"bound {text.clean(name)}" for name in after if name not in before]
    parts += [f"unbound {text.clean(name)}" for name in before if name not in after]
    parts += [f"changed {text.clean(name)}" for name, bot in after.items() if name in before and before[name] != bot]
    undone = "taken back: " if change.kind is ChangeKind.UNDONE else ""
    more = f" and {len(parts) - _NAMES_LIMIT} more" if len(parts) > _NAMES_LIMIT else ""
    words = ", ".join(parts[:_NAMES_LIMIT]) + more or "nothing changed"
    return f"{undone}{words} in {where}", "well"


def imported(report: BindingImportReport) -> Said:
    """How much of a file was taken."""
    counts = {name: sum(item.outcome == name for item in report.items) for name in ("added", "changed", "same")}
    refused = sum(item.outcome == "refused" for item in report.items)
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"
    verb = "would be" if report.is_dry_run else "taken over:"
    left = f"; {refused} refused" if refused else ""
    return f"{verb} {words}{left}", "needs" if refused else "well"


def sent(receipt: RelayReceipt) -> Said:
    """Where messages are."""
    if receipt.is_duplicate:
        return "it was sent before: nothing is sent again", "needs"
    names = ", ".join(text.clean(task.bot) for task in receipt.tasks[:_NAMES_LIMIT])
    return f"stored and on its way to {names}", "well"


def _one(receipt: RelayReceipt) -> RelayTaskView | None:
    return receipt.tasks[0] if receipt.tasks else None


def canceled(receipt: RelayReceipt) -> Said:
    """What the message is now."""
    task = _one(receipt)
    if task is None:
        return "nothing was canceled", "needs"
    if task.state is RelayState.CANCELED:
        return f"{short_task_id(task.id)} to {text.clean(task.bot)} is canceled", "well"
    return f"{text.clean(task.bot)} was told to stop; the message is {task.state.value} until it says so", "needs"


def retargeted(receipt: RelayReceipt) -> Said:
    """Where the message goes now."""
    task = _one(receipt)
    if task is None:
        return "nothing was changed", "needs"
    rest = ": it is dead until it is sent again" if task.state is RelayState.DEAD else ""
    return f"{short_task_id(task.id)} goes to {text.clean(task.bot)} at {text.clean(task.url)}{rest}", "well"


def replayed(receipt: ReplayReceipt) -> Said:
    """How many go out again."""
    skipped = f"; {len(receipt.skipped)} not: {text.clean(receipt.skipped[0])}" if receipt.skipped else ""
    if receipt.is_dry_run:
        return f"{text.counted(len(receipt.tasks), 'message')} would be sent again{skipped}", "plain"
    tone = "needs" if receipt.skipped else "well"
    return f"{text.counted(len(receipt.tasks), 'message')} on the way again{skipped}", tone


def checked(report: TargetReport) -> Said:
    """Whether a bot could be reached."""
    if report.is_ok:
        who = f" as {text.clean(report.identity)}" if report.identity else ""
        name = text.clean(report.bot.name)
        return f"{name} answers{who} in {report.latency_s * 1000:.0f} ms; nothing was sent", "well"
    failed = next((found for found in report.findings if found.is_ok is False), None)
    why = f"{failed.step.value}: {text.clean(failed.detail)}" if failed else "no step went through"
    return f"{text.clean(report.bot.name)} cannot be reached: {why}", "failing"


def pause_is(pause: RelayPause) -> Said:
    """Whether the relay is stopped, and what still goes on."""
    if not pause.is_paused:
        return f"the relay goes on: {text.counted(pause.waiting, 'message')} waiting", "well"
    return f"the relay is paused: {still_running(pause)}", "needs"


def still_running(pause: RelayPause) -> str:
    """What a pause does not stop."""
    counts = (
        (pause.sending, "sending"),
        (pause.working, "over there"),
        (pause.running, "here"),
    )
    words = ", ".join(f"{count} {name}" for count, name in counts if count)
    return f"still {words}; {pause.waiting} wait" if words else f"nothing runs on; {pause.waiting} wait"
