"""What chat commands say, in words for a chat (pure)."""

from collections.abc import Sequence

from core.api.access import Verdict
from core.api.errors import HermesError
from core.api.platforms import PlatformView
from core.api.profiles import ProfileView
from core.api.sessions import SessionState, SessionView
from core.api.tasks import TaskView
from core.gateway.branch import Epoch, beginning
from core.gateway.command import Command, Topic
from core.gateway.platform import Inbound

PAGE_COMMANDS = 12
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_UNITS = ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min"))
_LONG = 2
_ERROR_LIMIT = 500


def error_text(error: HermesError) -> str:
    """What went wrong and what to do."""
    fix = error.facts.get("fix")
    # It may hold what was typed, of any length.
    what = error.message if len(error.message) <= _ERROR_LIMIT else error.message[: _ERROR_LIMIT - 1] + "…"
    return f"{_sentence(what)} {_sentence(str(fix))}" if fix else _sentence(what)


def unknown_text(name: str, near: Sequence[str]) -> str:
    """No such command."""
    guess = f" Did you mean {' or '.join(f'/{item}' for item in near)}?" if near else " /help shows what there is."
    return f"There is no command /{beginning(name)}.{guess} Nothing was done, and the agent was not told."


def ambiguous_text(name: str, names: Sequence[str]) -> str:
    """The beginning of several."""
    return f"/{name} can be {', '.join(f'/{item}' for item in names)}. Nothing was done. Write more of it."


def hello_text(agent: str) -> str:
    """The first words."""
    who = f"{agent} answers" if agent else "an agent answers"
    return f"Hello. What you write here, {who}. /help shows what you can order."


def help_text(commands: Sequence[Command]) -> str:
    """What somebody can use, by topic."""
    parts: list[str] = []
    for topic in Topic:
        rows = [f"`{item.usage}` {item.text}" for item in commands if item.topic is topic]
        if rows:
            parts.append("\n".join([f"**{topic.value}**", *rows]))
    parts.append("The beginning of a name is enough where only one command begins so.")
    return "\n\n".join(parts)


def command_text(command: Command) -> str:
    """One command."""
    others = f"\nAlso: {', '.join(f'/{item}' for item in command.aliases)}" if command.aliases else ""
    when = "at once, also while the agent works" if command.bypass else "once no turn goes on"
    return f"`{command.usage}`\n{_sentence(command.text)}{others}\nIt is done {when}."


def page_text(commands: Sequence[Command], page: int) -> str:
    """One page of all commands. page: from 1; beyond the last it is the last."""
    pages = max(1, -(-len(commands) // PAGE_COMMANDS))
    page = min(max(1, page), pages)
    shown = commands[(page - 1) * PAGE_COMMANDS : page * PAGE_COMMANDS]
    rows = [f"`{item.usage}` {item.text}{_aliases(item)}" for item in shown]
    more = f"/commands {page + 1} shows more." if page < pages else ""
    return "\n".join([f"**Commands, page {page} of {pages}**", *rows, *([more] if more else [])])


def whoami_text(inbound: Inbound, verdict: Verdict, commands: Sequence[Command]) -> str:
    """Who somebody is to this gateway."""
    name = f"{inbound.sender_name} " if inbound.sender_name else ""
    rows = [f"You are {name}(`{inbound.sender_id}`) at {inbound.platform}, as {verdict.tier.value}."]
    rows.append(f"Let in by: {verdict.text}" + (f" ({verdict.origin})" if verdict.tier.value == "admin" else ""))
    rows.append("You may use: " + ", ".join(f"/{item.name}" for item in commands))
    return "\n".join(rows)


def status_text(view: SessionView, now: float) -> str:
    """What a session is busy with. now: monotonic seconds. Looking changes nothing."""
    rows = [f"**{view.title or view.id}** · {view.agent} · conversation {view.epoch + 1}", _doing(view, now)]
    if view.queue_depth:
        rows.append(f"{view.queue_depth} of at most {view.queue_limit} messages wait.")
    if view.open_approvals:
        rows.append(f"{_count(view.open_approvals, 'decision')} wanted: /approve, /deny or /answer.")
    if view.unsent:
        rows.append(f"{_count(view.unsent, 'message')} on the way to you.")
    if view.inbound is not None:
        rows.append(f"Last message {age(now - view.inbound.mono)} ago. About {view.context_tokens} tokens are kept.")
    outcome = view.last_outcome
    if outcome is not None and outcome.error and view.state is SessionState.FAILED:
        rows.append(f"The last turn failed: {beginning(outcome.error, 200)}")
    return "\n".join(rows)


def usage_text(view: SessionView) -> str:
    """Tokens of the present conversation."""
    rows = [
        f"This conversation: {view.input_tokens} tokens in, {view.output_tokens} out.",
        f"About {view.context_tokens} tokens go to the agent with your next message.",
    ]
    usage = None if view.last_outcome is None else view.last_outcome.usage
    if usage is not None and (usage.input_tokens or usage.output_tokens):
        cost = f", {usage.cost_usd:.4f} USD" if usage.cost_usd else ""
        rows.append(f"The last turn: {usage.input_tokens} in, {usage.output_tokens} out{cost}.")
    return "\n".join(rows)


def epochs_text(epochs: Sequence[Epoch], present: int, now_at: float) -> str:
    """The conversations of a chat. now_at: UTC seconds."""
    rows: list[str] = []
    for epoch in reversed(epochs):
        here = " (this one)" if epoch.number == present else ""
        words = f": {epoch.words}" if epoch.words else ""
        count = _count(epoch.said_count, "message")
        rows.append(f"{epoch.number + 1}. {count}, {age(now_at - epoch.last)} ago{here}{words}")
    return "\n".join(["**Conversations of this chat**", *rows, "/resume and a number takes one up again."])


def sessions_text(views: Sequence[SessionView], now: float, total: int | None = None) -> str:
    """Sessions, one on each line. total: of all, where there may be more."""
    if not views:
        return "There is no conversation yet."
    rows = [f"- `{view.id}` {view.state.value}, {view.agent}{_title(view)}{_last(view, now)}" for view in views]
    more = [f"{total} in all; the console shows every one."] if total is not None and total > len(views) else []
    return "\n".join([*rows, *more])


def runs_text(views: Sequence[SessionView], tasks: Sequence[TaskView], now: float) -> str:
    """What runs."""
    rows = [f"- `{view.id}` {view.agent}: {_doing(view, now)}" for view in views]
    rows += [f"- task `{task.id[-6:]}` {task.agent}: {task.state.value}, {beginning(task.text)}" for task in tasks]
    return "\n".join(rows) or "Nothing runs."


def profile_text(view: ProfileView) -> str:
    """An agent."""
    rows = [f"**{view.name}** · {view.runner}", f"Model: {view.model or 'its own'}", f"Isolation: {view.isolation}"]
    rows.append(f"{view.busy} of {view.limit} turns go on, {view.waiting} wait.")
    if view.problem:
        rows.append(f"It cannot be used: {view.problem}")
    return "\n".join(rows)


def platforms_text(views: Sequence[PlatformView], now: float) -> str:
    """The connections."""
    rows = [
        f"- {view.name} ({view.kind}): {view.state.value} for {age(now - view.since.mono)}"
        + (f", {view.last_error}" if view.last_error else "")
        + (f", by {view.pause.by}{f': {view.pause.reason}' if view.pause.reason else ''}" if view.pause else "")
        + (f", tried again in {age(view.next_try.mono - now)}" if view.next_try else "")
        for view in views
    ]
    return "\n".join(rows) or "There are no connections."


def age(seconds: float) -> str:
    """How long, in one unit."""
    whole = max(0, int(seconds))
    for size, unit in _UNITS:
        if whole >= _LONG * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def _doing(view: SessionView, now: float) -> str:
    run = view.run
    if run is None:
        return "Nothing runs." if not view.queue_depth else "A turn is about to begin."
    tool = f" ({run.tool})" if run.tool else ""
    return f"{view.state.value} for {age(now - run.started.mono)}, {run.phase.value.replace('_', ' ')}{tool}"


def _title(view: SessionView) -> str:
    return f", {beginning(view.title)}" if view.title else ""


def _last(view: SessionView, now: float) -> str:
    return "" if view.inbound is None else f", {age(now - view.inbound.mono)} ago"


def _aliases(command: Command) -> str:
    return f" (also {', '.join(f'/{item}' for item in command.aliases)})" if command.aliases else ""


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
