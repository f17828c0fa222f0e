"""What needs a human now, worst first, one line for each cause (pure)."""

from collections.abc import Iterable

from console import text
from console.automation_needs import automation_needs
from console.mailbox_words import unexplained
from console.mirror import Mirror
from console.need import Need
from console.outbox_needs import outbox_needs
from console.relay_needs import relay_needs
from console.session_words import is_quiet, silent_s
from console.work_needs import agent_needs, orphan_needs, task_needs
from core.api.approvals import ApprovalView
from core.api.mailboxes import MailboxView
from core.api.platforms import TROUBLED
from core.api.runs import ActionKind, Phase
from core.api.sessions import SessionState, SessionView

_SINGLE_LIMIT = 4
_APPROVAL_LIMIT = 40
_SCAN_LIMIT = 500
_STOPPING_LIMIT_S = 10.0
_SOON_S = 600.0
_SHOWN_WITHIN_S = 10.0
_OUTBOX = "outbox."


def needs(mirror: Mirror, now: float) -> list[Need]:
    """Everything that waits for the operator or went wrong."""
    return [
        *_problems(mirror),
        *_platforms(mirror, now),
        *outbox_needs(mirror, now),
        *relay_needs(mirror, now),
        *_approvals(mirror, now),
        *_pairings(mirror, now),
        *orphan_needs(mirror, now),
        *agent_needs(mirror, now),
        *_waiting(mirror, now),
        *_stuck(mirror, now),
        *_failed(mirror, now),
        *task_needs(mirror, now),
        *automation_needs(mirror, now),
        *_dead(mirror, now),
        *_mail(mirror, now),
    ]


def _problems(mirror: Mirror) -> Iterable[Need]:
    health = mirror.health
    for place, problem in enumerate(health.problems if health else ()):
        yield Need(
            id=f"problem:{place}", kind="core", tone="failing", subject="core", text=text.clean(problem), place="vitals"
        )


def _platforms(mirror: Mirror, now: float) -> Iterable[Need]:
    for platform in sorted(mirror.platforms.values(), key=lambda item: item.name):
        if platform.state in TROUBLED:
            yield Need(
                id=f"platform:{platform.name}",
                place="platforms",
                argument=platform.name,
                kind=platform.state.value,
                tone="failing",
                subject=text.clean(platform.name),
                text=text.clean(platform.last_error) or f"{platform.kind} is {platform.state.value}",
                age_s=mirror.age_s(platform.since, now),
            )


def approval_words(mirror: Mirror, approval: ApprovalView, now: float) -> str:
    """What an approval asks, what waits behind it, and its end when that is near."""
    behind = mirror.queue_of(approval.session_id)
    words = [text.clean(approval.title)]
    if behind:
        words.append(f"{behind} behind")
    if approval.deadline is not None:
        left_s = approval.deadline.mono - mirror.core_mono(now)
        if left_s < _SOON_S:
            words.append(f"expires in {text.age(left_s)}" if left_s > 0 else "expired")
    return "  ".join(words)


def _approvals(mirror: Mirror, now: float) -> Iterable[Need]:
    waiting = mirror.open_approvals
    for approval in waiting[:_APPROVAL_LIMIT]:
        words = approval_words(mirror, approval, now)
        # A surface that is there says so within a moment; after that nobody but this page shows it.
        is_unseen = not approval.surfaces and mirror.age_s(approval.asked, now) > _SHOWN_WITHIN_S
        is_question = approval.action_kind is ActionKind.QUESTION
        yield Need(
            id=f"approval:{approval.id}",
            place="approvals",
            argument=approval.id,
            kind="unseen" if is_unseen else "question" if is_question else "approve",
            tone="failing" if is_unseen else "needs",
            subject=approval.session_id,
            text=f"no surface shows it: {words}" if is_unseen else words,
            age_s=mirror.age_s(approval.asked, now),
            key="A",
        )
    if len(waiting) > _APPROVAL_LIMIT:
        more = len(waiting) - _APPROVAL_LIMIT
        yield Need(
            id="approvals",
            kind="approve",
            tone="needs",
            subject=f"{more} more",
            text="approvals wait",
            place="approvals",
        )


def _pairings(mirror: Mirror, now: float) -> Iterable[Need]:
    waiting = mirror.work.gateway.open_pairings
    for view in waiting[:_SINGLE_LIMIT]:
        name = f' calls itself "{text.clean(view.sender_name)}"' if view.sender_name else ""
        warned = f": {text.clean(view.warnings[0])}" if view.warnings else ""
        yield Need(
            id=f"pairing:{view.id}",
            place="pairing",
            argument=view.id,
            kind="pair",
            tone="failing" if view.warnings else "needs",
            subject=text.clean(view.platform),
            text=f"{text.clean(view.sender_id)}{name} asks for access{warned}",
            age_s=mirror.age_s(view.asked, now),
        )
    if len(waiting) > _SINGLE_LIMIT:
        more = len(waiting) - _SINGLE_LIMIT
        yield Need(
            id="pairings", place="pairing", kind="pair", tone="needs", subject=f"{more} more", text="ask for access"
        )


def _views(mirror: Mirror, state: SessionState) -> list[SessionView]:
    return [mirror.sessions[key] for key in mirror.index.in_state(state, _SCAN_LIMIT)]


def _waiting(mirror: Mirror, now: float) -> Iterable[Need]:
    asking = [
        view
        for view in _views(mirror, SessionState.WAITING)
        if view.run is not None and view.run.phase is Phase.CLARIFY and mirror.approval_of(view.id) is None
    ]
    for view in asking[:_SINGLE_LIMIT]:
        yield _session(mirror, view, now, "asks", "needs", "the agent waits for an answer from the chat")
    yield from _rest(asking, "state:waiting", "asks", "needs", "more sessions wait for an answer from the chat")


def _stuck(mirror: Mirror, now: float) -> Iterable[Need]:
    stopping = [
        view
        for view in _views(mirror, SessionState.INTERRUPTING)
        if mirror.state_age_s(view, now) > _STOPPING_LIMIT_S and view.run is not None
    ]
    for view in stopping[:_SINGLE_LIMIT]:
        yield _session(mirror, view, now, "stopping", "failing", "was told to stop and has not")
    quiet: list[tuple[SessionView, float]] = []
    for view in _views(mirror, SessionState.RUNNING):
        run = view.run
        if run is not None and is_quiet(run, lambda mark: mirror.age_s(mark, now)):
            quiet.append((view, silent_s(run, lambda mark: mirror.age_s(mark, now))))
    for view, silence_s in quiet[:_SINGLE_LIMIT]:
        run = view.run
        limit_s = run.stall_limit_s if run else 0.0
        words = f"silent {text.age(silence_s)} of {text.age(limit_s)} allowed"
        yield _session(mirror, view, now, "silent", "needs", words)
    yield from _rest([view for view, _ in quiet], "state:running wait>1m", "silent", "needs", "more runs are silent")


def _failed(mirror: Mirror, now: float) -> Iterable[Need]:
    causes: dict[str, list[SessionView]] = {}
    for view in _views(mirror, SessionState.FAILED):
        if view.is_archived:
            continue
        outcome = view.last_outcome
        cause = text.clean(outcome.error or outcome.code or outcome.stop.value) if outcome else "unknown"
        causes.setdefault(cause, []).append(view)
    for cause, views in sorted(causes.items(), key=lambda item: -len(item[1])):
        if len(views) == 1:
            yield _session(mirror, views[0], now, "failed", "failing", cause)
            continue
        yield Need(
            id=f"failed:{cause}",
            place="sessions",
            argument="state:failed",
            kind="failed",
            tone="failing",
            subject=f"{len(views)} sessions",
            text=f"one cause: {cause}",
            age_s=min(mirror.state_age_s(view, now) for view in views),
        )


def _dead(mirror: Mirror, now: float) -> Iterable[Need]:
    causes: dict[tuple[str, str], list[float]] = {}
    for delivery in mirror.dead_deliveries:
        cause = (str(delivery.platform), text.clean(delivery.error) or "no reason given")
        causes.setdefault(cause, []).append(mirror.age_s(delivery.created, now))
    for (platform, error), ages in sorted(causes.items(), key=lambda item: -len(item[1])):
        yield Need(
            id=f"dead:{platform}:{error}",
            place="deliveries",
            kind="dead",
            tone="failing",
            subject=text.clean(platform),
            text=f"{text.counted(len(ages), 'answer')} not delivered: {error}",
            age_s=max(ages),
        )


def _mail(mirror: Mirror, now: float) -> Iterable[Need]:
    mail = mirror.mail
    if mail.difference:
        yield Need(
            id="mail:difference",
            kind="books",
            tone="failing",
            subject="mailboxes",
            text=unexplained(mail.difference),
            place="mailboxes",
        )
    # What died in an outbox is an answer, and `_dead` has it.
    views = (view for view in mail.views.values() if view.tally.dead and not view.name.startswith(_OUTBOX))
    held = sorted(views, key=lambda view: -view.tally.dead)
    for view in held[:_SINGLE_LIMIT]:
        died = mail.died.get(str(view.name))
        yield Need(
            id=f"mail:{view.name}",
            kind="dead",
            tone="failing",
            subject=text.clean(view.name),
            text=f"{text.counted(view.tally.dead, 'dead letter')}{_last_error(view)}",
            place="dead",
            argument=view.name,
            age_s=mirror.age_s(died, now) if died else None,
        )
    if len(held) > _SINGLE_LIMIT:
        more = sum(view.tally.dead for view in held[_SINGLE_LIMIT:])
        yield Need(
            id="mail:more",
            kind="dead",
            tone="failing",
            subject=text.counted(len(held) - _SINGLE_LIMIT, "mailbox", "mailboxes"),
            text=text.counted(more, "more dead letter"),
            place="dead",
        )


def _last_error(view: MailboxView) -> str:
    return f": {text.redact(text.clean(view.last_error))}" if view.last_error else ""


def _session(mirror: Mirror, view: SessionView, now: float, kind: str, tone: str, words: str) -> Need:
    return Need(
        id=f"session:{view.id}",
        place="session",
        argument=view.id,
        kind=kind,
        tone=tone,
        subject=view.id,
        text=words,
        age_s=mirror.state_age_s(view, now),
    )


def _rest(views: list[SessionView], where: str, kind: str, tone: str, words: str) -> Iterable[Need]:
    more = len(views) - _SINGLE_LIMIT
    if more > 0:
        yield Need(
            id=f"more:{kind}",
            kind=kind,
            tone=tone,
            subject=f"{more} more",
            text=words,
            place="sessions",
            argument=where,
        )
