"""The one registry of what an operator can do: keys, palette, help and shell commands are made from it."""

from console.action import Action, Level, Where
from console.automation_actions import AUTOMATION_ACTIONS
from console.gateway_actions import GATEWAY_ACTIONS
from console.relay_actions import RELAY_ACTIONS
from console.work_actions import WORK_ACTIONS
from core.api import deliveries, mailboxes, session_queue, sessions, system
from core.api.mail import PostMail, PurgeMailbox, RedriveMail

_EVERYWHERE = Where(("*",))
_SESSION = Where(("sessions", "session"))
_IN_SESSION = Where(("session",))
_LISTS = Where(
    (
        "overview",
        "sessions",
        "approvals",
        "pairing",
        "access",
        "why",
        "grants",
        "agents",
        "tasks",
        "events",
        "audit",
        "config",
        "platforms",
        "deliveries",
        "outboxes",
        "hooks",
        "cron",
        "mailboxes",
        "mailbox",
        "dead",
        "relay",
    )
)
_OPENED = Where((*_LISTS.places, "mail"))
_MAILBOXES = Where(("mailboxes", "mailbox"))
_IN_MAILBOX = Where(("mailbox",))
_IN_MAIL = Where(("mail",))
_LETTERS = Where(("mailboxes", "mailbox", "mail", "dead"))

ACTIONS: tuple[Action, ...] = (
    Action(id="nav.open", title="open", key="enter", level=Level.VIEW, where=_OPENED, group="move"),
    Action(id="nav.back", title="back", key="escape", level=Level.VIEW, where=_EVERYWHERE, group="move"),
    Action(id="nav.pane", title="next pane", key="tab", level=Level.VIEW, where=_EVERYWHERE, group="move"),
    Action(id="nav.last", title="previous view", key="minus", level=Level.VIEW, where=_EVERYWHERE, group="move"),
    Action(id="view.overview", title="overview", key="1", level=Level.VIEW, where=_EVERYWHERE, group="views"),
    Action(id="view.sessions", title="sessions", key="2", level=Level.VIEW, where=_EVERYWHERE, group="views"),
    Action(id="view.approvals", title="approvals", key="3", level=Level.VIEW, where=_EVERYWHERE, group="views"),
    Action(id="view.mailboxes", title="mailboxes", key="4", level=Level.VIEW, where=_EVERYWHERE, group="views"),
    Action(id="view.platforms", title="platforms", key="7", level=Level.VIEW, where=_EVERYWHERE, group="views"),
    Action(id="view.deliveries", title="deliveries", key="8", level=Level.VIEW, where=_EVERYWHERE, group="views"),
    Action(id="view.dead", title="dead letters", key="d", level=Level.VIEW, where=_MAILBOXES, group="views"),
    Action(id="session.tab_transcript", title="transcript", key="1", level=Level.VIEW, where=_IN_SESSION, group="view"),
    Action(id="session.tab_timeline", title="timeline", key="2", level=Level.VIEW, where=_IN_SESSION, group="view"),
    Action(id="session.tab_inputs", title="inputs", key="3", level=Level.VIEW, where=_IN_SESSION, group="view"),
    Action(id="session.tab_state", title="state", key="4", level=Level.VIEW, where=_IN_SESSION, group="view"),
    Action(id="session.tab_raw", title="raw view", key="5", level=Level.VIEW, where=_IN_SESSION, group="view"),
    Action(id="mailbox.tab_waiting", title="waiting", key="1", level=Level.VIEW, where=_IN_MAILBOX, group="view"),
    Action(
        id="mailbox.tab_dead", title="dead letters here", key="2", level=Level.VIEW, where=_IN_MAILBOX, group="view"
    ),
    Action(
        id="mailbox.tab_figures", title="figures and rules", key="3", level=Level.VIEW, where=_IN_MAILBOX, group="view"
    ),
    Action(id="mail.tab_message", title="message", key="1", level=Level.VIEW, where=_IN_MAIL, group="view"),
    Action(id="mail.tab_trace", title="trace", key="2", level=Level.VIEW, where=_IN_MAIL, group="view"),
    Action(
        id="obj.trace",
        title="trace",
        key="T",
        level=Level.VIEW,
        where=Where(("mailbox", "mail", "relay", "relayed")),
        group="view",
    ),
    Action(id="view.events", title="events", key="9", level=Level.VIEW, where=_EVERYWHERE, group="views"),
    Action(id="app.command", title="go to", key="colon", level=Level.VIEW, where=_EVERYWHERE, group="app"),
    Action(id="app.palette", title="palette", key="ctrl+p", level=Level.VIEW, where=_EVERYWHERE, group="app"),
    Action(id="app.help", title="help", key="question_mark", level=Level.VIEW, where=_EVERYWHERE, group="app"),
    Action(id="view.filter", title="filter", key="slash", level=Level.VIEW, where=_LISTS, group="view"),
    Action(
        id="view.sort",
        title="sort",
        key="o",
        level=Level.VIEW,
        where=Where(("sessions", "mailboxes", "tasks")),
        group="view",
    ),
    Action(id="view.pause", title="pause the view", key="p", level=Level.VIEW, where=_EVERYWHERE, group="view"),
    Action(id="view.idle", title="show idle", key="i", level=Level.VIEW, where=Where(("sessions",)), group="view"),
    Action(
        id="log.follow",
        title="follow",
        key="f",
        level=Level.VIEW,
        where=Where(("events", "session", "task")),
        group="view",
    ),
    Action(id="log.older", title="older", key="b", level=Level.VIEW, where=Where(("events", "audit")), group="view"),
    Action(id="obj.raw", title="raw JSON", key="y", level=Level.VIEW, where=_EVERYWHERE, group="view"),
    Action(id="obj.copy", title="copy id", key="c", level=Level.VIEW, where=_EVERYWHERE, group="view"),
    Action(id="app.vitals", title="vitals", key="", level=Level.VIEW, where=_EVERYWHERE, group="app"),
    Action(id="app.redraw", title="redraw", key="ctrl+r", level=Level.VIEW, where=_EVERYWHERE, group="app"),
    Action(id="app.detach", title="quit", key="q", level=Level.VIEW, where=_EVERYWHERE, group="app"),
    Action(
        id="session.inject",
        title="inject message",
        key="I",
        level=Level.OUTSIDE,
        where=_SESSION,
        group="act",
        command=sessions.SendMessage,
        verb=("sessions", "send"),
    ),
    Action(
        id="session.open",
        title="new chat",
        key="N",
        level=Level.OUTSIDE,
        where=Where(("overview", "sessions")),
        group="act",
        command=sessions.OpenSession,
        verb=("sessions", "open"),
    ),
    Action(
        id="session.interrupt",
        title="interrupt run",
        key="X",
        level=Level.FINAL,
        where=_SESSION,
        group="act",
        command=sessions.InterruptSession,
        verb=("sessions", "stop"),
        loses="the rest of the answer that is being written; what is written and what is queued stays",
    ),
    Action(
        id="session.reset",
        title="reset session",
        key="R",
        level=Level.FINAL,
        where=_SESSION,
        group="act",
        command=sessions.ResetSession,
        verb=("sessions", "reset"),
        loses="the agent's memory of this conversation and the run that goes on; the transcript stays on record",
    ),
    Action(
        id="message.drop",
        title="drop queued message",
        key="D",
        level=Level.FINAL,
        where=_IN_SESSION,
        group="act",
        command=session_queue.DropMessage,
        verb=("sessions", "drop"),
        loses="the queued message: the agent will never see it",
    ),
    Action(
        id="delivery.retry",
        title="try delivery again",
        key="R",
        level=Level.OUTSIDE,
        where=Where(("deliveries",)),
        group="act",
        command=deliveries.RetryDelivery,
        verb=("deliveries", "retry"),
    ),
    Action(
        id="delivery.drop",
        title="drop delivery",
        key="X",
        level=Level.FINAL,
        where=Where(("deliveries",)),
        group="act",
        command=deliveries.DropDelivery,
        verb=("deliveries", "drop"),
        loses="this delivery: the chat will not get the answer; its text stays in the transcript",
    ),
    Action(
        id="mailbox.pause",
        title="pause or resume mailbox",
        key="P",
        level=Level.REVERSIBLE,
        where=_MAILBOXES,
        group="act",
        command=mailboxes.PauseMailbox,
        verb=("mailbox", "pause"),
    ),
    Action(
        id="mailbox.resume",
        title="resume mailbox",
        key="",
        level=Level.REVERSIBLE,
        where=_MAILBOXES,
        group="act",
        command=mailboxes.ResumeMailbox,
        verb=("mailbox", "resume"),
    ),
    Action(
        id="mail.post",
        title="post a message",
        key="I",
        level=Level.OUTSIDE,
        where=_MAILBOXES,
        group="act",
        command=PostMail,
        verb=("mailbox", "send"),
    ),
    Action(
        id="mail.redrive",
        title="send dead letters again",
        key="R",
        level=Level.OUTSIDE,
        where=_LETTERS,
        group="act",
        command=RedriveMail,
        verb=("mailbox", "redrive"),
    ),
    Action(
        id="mail.purge",
        title="drop messages",
        key="X",
        level=Level.FINAL,
        where=_LETTERS,
        group="act",
        command=PurgeMailbox,
        verb=("mailbox", "purge"),
        loses="the messages that are dropped: nobody will ever get them; the journal keeps how many and why",
    ),
    Action(
        id="mailbox.create",
        title="new mailbox",
        key="N",
        level=Level.REVERSIBLE,
        where=Where(("mailboxes",)),
        group="act",
        command=mailboxes.CreateMailbox,
        verb=("mailbox", "create"),
    ),
    Action(
        id="mailbox.policy",
        title="change its rules",
        key="E",
        level=Level.REVERSIBLE,
        where=_MAILBOXES,
        group="act",
        command=mailboxes.SetMailboxPolicy,
        verb=("mailbox", "policy"),
    ),
    Action(
        id="mailbox.delete",
        title="remove mailbox",
        key="D",
        level=Level.FINAL,
        where=_MAILBOXES,
        group="act",
        command=mailboxes.DeleteMailbox,
        verb=("mailbox", "delete"),
        loses="the mailbox and its rules; senders that name it are refused from then on",
    ),
    Action(
        id="app.shutdown",
        title="stop the core",
        key="",
        level=Level.FINAL,
        where=_EVERYWHERE,
        group="app",
        command=system.Shutdown,
        verb=("core", "stop"),
        loses="runs that do not end within the drain time; queued messages wait for the next start",
    ),
    *WORK_ACTIONS,
    *GATEWAY_ACTIONS,
    *AUTOMATION_ACTIONS,
    *RELAY_ACTIONS,
)


def find_action(action_id: str) -> Action | None:
    """The action of that id."""
    return next((action for action in ACTIONS if action.id == action_id), None)


def actions_for(place: str) -> tuple[Action, ...]:
    """What can be done in a place, in the order of the registry."""
    return tuple(action for action in ACTIONS if action.where.covers(place))
