"""One record of the journal as one short line for people: kind, subject, words, and how loud it is (pure)."""

from collections.abc import Callable
from typing import Any

import msgspec

from console.automation_lines import AUTOMATION_WORDS
from console.gateway_lines import GATEWAY_WORDS
from console.outbox_lines import OUTBOX_WORDS
from console.relay_lines import RELAY_WORDS
from console.text import clipped, counted
from console.work_lines import WORK_WORDS
from core.api import approvals, deliveries, mailboxes, platforms, session_queue, sessions, system
from core.api.base import Event, Record
from core.api.mail import MailboxPurged, MailDied, MailRedriven
from core.api.runs import RunOutcome


class EventLine(msgspec.Struct, frozen=True, gc=False):
    """A record, made light enough to keep a hundred thousand of, and of no interest to the collector.

    at: UTC seconds. level: info, good, warn or fail. text: from outside, not cleaned yet.
    """

    seq: int
    at: float
    level: str
    kind: str
    subject: str
    actor: str
    text: str


def _said(event: Any) -> tuple[str, str, str]:
    message = event.message
    return "info", "message in", f"{message.sender}: {clipped(message.text)}"


def _refused(event: sessions.MessageRefused) -> tuple[str, str, str]:
    return "warn", "message refused", f"{event.code}: {clipped(event.reason)}"


def _steered(event: sessions.MessageSteered) -> tuple[str, str, str]:
    return "info", "message steered", f"{event.message.sender}: {clipped(event.message.text)}"


def _dropped(event: session_queue.MessageDropped) -> tuple[str, str, str]:
    why = f" ({clipped(event.reason)})" if event.reason else ""
    return "warn", "message dropped", f"{clipped(event.message.text)}{why}"


def _opened(event: sessions.SessionOpened) -> tuple[str, str, str]:
    source = event.session.source
    return "good", "session opened", f"{source.platform} {source.kind.value} {clipped(source.chat_name or source.chat)}"


def _run_started(event: sessions.RunStarted) -> tuple[str, str, str]:
    run = event.session.run
    if run is None:
        return "info", "run started", event.session.agent
    again = f", attempt {run.attempt}" if run.attempt > 1 else ""
    return "info", "run started", f"{event.session.agent}, {len(run.message_ids)} message(s){again}"


def outcome_words(outcome: RunOutcome) -> str:
    """How a run ended, in one line."""
    words = f"{outcome.stop.value.replace('_', ' ')} after {outcome.duration_s:.1f} s"
    return f"{words}: {clipped(outcome.error)}" if outcome.error else words


def _run_ended(event: sessions.RunEnded) -> tuple[str, str, str]:
    level = "good" if event.outcome.stop.is_answer else "warn" if event.outcome.stop.value == "cancelled" else "fail"
    return level, "run ended", outcome_words(event.outcome)


def _interrupted(event: sessions.SessionInterrupted) -> tuple[str, str, str]:
    return "warn", "interrupt asked", clipped(event.reason) or "no reason given"


def _reset(event: sessions.SessionReset) -> tuple[str, str, str]:
    dropped = f", {event.dropped} queued dropped" if event.dropped else ""
    return "warn", "session reset", f"epoch {event.session.epoch}{dropped} {clipped(event.reason)}".rstrip()


def _active(event: sessions.SessionActive) -> tuple[str, str, str]:
    return "info", "session active", event.session.state.value


def _output(event: sessions.RunOutput) -> tuple[str, str, str]:
    return "info", "run output", clipped(event.text)


def _entry(event: sessions.EntryAdded) -> tuple[str, str, str]:
    entry = event.entry
    if entry.tool is not None:
        level = "fail" if entry.tool.status.value == "failed" else "info"
        return level, "tool " + entry.tool.status.value, clipped(entry.tool.title)
    return "info", entry.kind.value, clipped(entry.text)


def _asked(event: approvals.ApprovalAsked) -> tuple[str, str, str]:
    return "warn", "approval asked", clipped(event.approval.title)


def _decided(event: approvals.ApprovalDecided) -> tuple[str, str, str]:
    approval = event.approval
    why = f" ({clipped(approval.reason)})" if approval.reason else ""
    return "good", "approval " + approval.state.value, f"by {approval.decided_by}: {clipped(approval.title)}{why}"


def _expired(event: approvals.ApprovalExpired) -> tuple[str, str, str]:
    return "warn", "approval expired", clipped(event.approval.title)


def _withdrawn(event: approvals.ApprovalWithdrawn) -> tuple[str, str, str]:
    return "info", "approval withdrawn", clipped(event.approval.title)


def _delivery(level: str, kind: str) -> Callable[[Any], tuple[str, str, str]]:
    def words(event: Any) -> tuple[str, str, str]:
        delivery = event.delivery
        detail = f": {clipped(delivery.error)}" if delivery.error else ""
        return level, kind, f"{delivery.platform} attempt {delivery.attempt}{detail}"

    return words


def _platform(level: str, kind: str) -> Callable[[Any], tuple[str, str, str]]:
    def words(event: Any) -> tuple[str, str, str]:
        platform = event.platform
        return level, kind, clipped(platform.last_error or platform.address or platform.kind)

    return words


def _platform_gone(event: platforms.PlatformDisconnected) -> tuple[str, str, str]:
    state = event.platform.state
    level = "fail" if state in platforms.TROUBLED else "info"
    return level, f"platform {state.value}", clipped(event.platform.last_error or event.platform.kind)


def _platform_paused(event: platforms.PlatformPaused) -> tuple[str, str, str]:
    pause = event.platform.pause
    why = f": {clipped(pause.reason)}" if pause is not None and pause.reason else ""
    return "warn", "platform paused", f"{clipped(pause.by) if pause is not None else 'somebody'}{why}"


def _platform_probed(event: platforms.PlatformProbed) -> tuple[str, str, str]:
    probe = event.platform.probe
    if probe is None or probe.latency_s is None:
        return "fail", "platform probed", clipped(probe.error if probe is not None else "")
    return "good", "platform probed", f"answered in {probe.latency_s * 1000:.0f} ms"


def _mailbox(level: str, kind: str) -> Callable[[Any], tuple[str, str, str]]:
    def words(event: Any) -> tuple[str, str, str]:
        view = event.mailbox
        why = f": {clipped(view.paused_reason)}" if view.paused_reason else ""
        return level, kind, f"{view.name}{why}"

    return words


def _purged(event: MailboxPurged) -> tuple[str, str, str]:
    what = counted(event.count, "dead letter" if event.dead else "message")
    why = f" ({clipped(event.reason)})" if event.reason else ""
    return "warn", "mail dropped", f"{what} of {event.mailbox}{why}"


def _redriven(event: MailRedriven) -> tuple[str, str, str]:
    why = f" ({clipped(event.reason)})" if event.reason else ""
    where = f" to {event.target}" if event.target != event.mailbox else ""
    return "good", "mail sent again", f"{event.count} of {event.mailbox}{where}{why}"


def _died(event: MailDied) -> tuple[str, str, str]:
    reason = event.mail.reason.value.replace("_", " ") if event.mail.reason else "dead"
    return "fail", "mail dead", f"{event.count} in {event.mailbox}, {reason}: {clipped(event.mail.error)}"


def _measured(event: mailboxes.MailboxesMeasured) -> tuple[str, str, str]:
    return "info", "mailboxes measured", f"{len(event.mailboxes)} changed"


def _core_started(event: system.CoreStarted) -> tuple[str, str, str]:
    cut = f", {event.recovered_runs} run(s) of the last start were cut off" if event.recovered_runs else ""
    return "good", "core started", f"start {event.boot}, {event.queued} queued{cut}"


def _shutdown(event: system.ShutdownStarted) -> tuple[str, str, str]:
    return "warn", "shutdown started", clipped(event.reason) or "no reason given"


def _alarm(event: system.AlarmRaised) -> tuple[str, str, str]:
    return "fail", "alarm", f"{event.what}: {clipped(event.error)}"


def _unknown(event: system.UnknownEvent) -> tuple[str, str, str]:
    return "info", event.name or "unknown event", clipped(event.body)


_WORDS: dict[type[Event], Callable[[Any], tuple[str, str, str]]] = {
    sessions.SessionOpened: _opened,
    sessions.MessageQueued: _said,
    sessions.MessageRefused: _refused,
    sessions.MessageSteered: _steered,
    session_queue.MessageDropped: _dropped,
    sessions.RunStarted: _run_started,
    sessions.SessionActive: _active,
    sessions.RunOutput: _output,
    sessions.EntryAdded: _entry,
    sessions.RunEnded: _run_ended,
    sessions.SessionInterrupted: _interrupted,
    sessions.SessionReset: _reset,
    approvals.ApprovalAsked: _asked,
    approvals.ApprovalDecided: _decided,
    approvals.ApprovalExpired: _expired,
    approvals.ApprovalWithdrawn: _withdrawn,
    deliveries.DeliveryQueued: _delivery("info", "delivery queued"),
    deliveries.DeliverySent: _delivery("good", "delivery sent"),
    deliveries.DeliveryRetrying: _delivery("warn", "delivery retry"),
    deliveries.DeliveryDied: _delivery("fail", "delivery dead"),
    deliveries.DeliveryDropped: _delivery("warn", "delivery dropped"),
    platforms.PlatformConnected: _platform("good", "platform up"),
    platforms.PlatformDisconnected: _platform_gone,
    platforms.PlatformDeaf: _platform("fail", "platform deaf"),
    platforms.PlatformPaused: _platform_paused,
    platforms.PlatformResumed: _platform("good", "platform resumed"),
    platforms.PlatformReconnecting: _platform("info", "reconnect asked"),
    platforms.PlatformProbed: _platform_probed,
    platforms.PlatformActive: _platform("info", "platform active"),
    mailboxes.MailboxCreated: _mailbox("good", "mailbox made"),
    mailboxes.MailboxChanged: _mailbox("info", "mailbox rules"),
    mailboxes.MailboxDeleted: lambda event: ("warn", "mailbox removed", event.name),
    mailboxes.MailboxPaused: _mailbox("warn", "mailbox paused"),
    mailboxes.MailboxResumed: _mailbox("good", "mailbox resumed"),
    MailboxPurged: _purged,
    MailRedriven: _redriven,
    MailDied: _died,
    mailboxes.MailboxesMeasured: _measured,
    system.CoreStarted: _core_started,
    system.ShutdownStarted: _shutdown,
    system.AlarmRaised: _alarm,
    system.UnknownEvent: _unknown,
    **WORK_WORDS,
    **GATEWAY_WORDS,
    **OUTBOX_WORDS,
    **AUTOMATION_WORDS,
    **RELAY_WORDS,
}


def worded_events() -> frozenset[type[Event]]:
    """The events that have words of their own; any other is shown by its name."""
    return frozenset(_WORDS)


def event_line(record: Record) -> EventLine:
    """The line of a record. An event without words is shown by its name, never dropped."""
    words = _WORDS.get(type(record.event))
    level, kind, text = words(record.event) if words else ("info", type(record.event).__name__, "")
    return EventLine(record.seq, record.at, level, kind, record.subject, record.actor.name, text)
