"""Mailboxes of a FakeHermes: views and messages in the open, the questions about them and the orders to them."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from core.api import mailboxes
from core.api.base import Actor, Event, MailboxName, MailId, Mark, Seq
from core.api.errors import ConflictError, InvalidInput, NotFound
from core.api.mail import (
    BrowseMail,
    BulkReceipt,
    DeadGroup,
    DeadGroups,
    DeadReason,
    GetMail,
    ListDead,
    MailAttempt,
    MailboxPurged,
    MailFilter,
    MailKind,
    MailPage,
    MailRedriven,
    MailState,
    MailView,
    PostMail,
    PostReceipt,
    Priority,
    PurgeMailbox,
    RedriveMail,
    TraceMail,
)
from core.api.mailboxes import MailboxState, MailboxTally, MailboxView
from tests.support.views import NOW, ago

LIVE = (MailState.QUEUED, MailState.DELAYED, MailState.IN_FLIGHT)
_PARTS = ("accepted", "done", "queued", "delayed", "in_flight", "dead", "expired", "dropped", "difference")

Emit = Callable[..., Any]


def mailbox(name: str = "relay.out", **changes: Any) -> MailboxView:
    """An open mailbox in which nothing waits. Fields of its tally are taken too; what is accepted follows from them."""
    parts = {key: changes.pop(key) for key in list(changes) if key in MailboxTally.__struct_fields__}
    accepted = sum(parts.get(key, 0) for key in _PARTS[1:])
    values: dict[str, Any] = {
        "name": MailboxName(name),
        "version": 1,
        "state": MailboxState.OPEN,
        "policy": mailboxes.MailboxPolicy(),
        "tally": MailboxTally(**{"accepted": accepted, **parts}),
        "created": ago(3600),
    }
    return MailboxView(**{**values, **changes})


def mail(number: int = 1, name: str = "relay.out", **changes: Any) -> MailView:
    """A message that waits."""
    values: dict[str, Any] = {
        "id": MailId(number),
        "mailbox": MailboxName(name),
        "state": MailState.QUEUED,
        "kind": MailKind.CAST,
        "sender": "main",
        "message_type": "notify",
        "payload": '{"text":"deploy failed"}',
        "size_bytes": 24,
        "priority": Priority.NORMAL,
        "created": ago(60),
    }
    return MailView(**{**values, **changes})


def dead_mail(number: int = 1, name: str = "relay.out", **changes: Any) -> MailView:
    """A dead letter whose tries are used up."""
    values: dict[str, Any] = {
        "state": MailState.DEAD,
        "attempt": 5,
        "reason": DeadReason.MAX_DELIVERIES,
        "error": "403 Missing Access",
        "died": ago(30),
        "attempts": tuple(
            MailAttempt(number=nth, at=NOW.at - 60 + nth, error="403 Missing Access") for nth in range(1, 6)
        ),
    }
    return mail(number, name, **{**values, **changes})


def total_of(views: Iterable[MailboxView]) -> MailboxTally:
    """All tallies added up."""
    found = list(views)
    return MailboxTally(**{part: sum(getattr(view.tally, part) for view in found) for part in _PARTS})


class FakeMail:
    """What a core knows of its mailboxes. mails: live and dead, in the order of their ids."""

    def __init__(self, views: Iterable[MailboxView] = (), mails: Iterable[MailView] = ()) -> None:
        self.views = {str(view.name): view for view in views}
        self.mails = sorted(mails, key=lambda view: view.id)
        self.is_indexing = False
        self._next = 1 + max((int(view.id) for view in self.mails), default=0)

    @property
    def total(self) -> MailboxTally:
        """All tallies added up."""
        return total_of(self.views.values())

    def keep(self, event: Event) -> None:
        """Take in the views that an event carries."""
        carried = getattr(event, "mailbox", None)
        if isinstance(carried, MailboxView):
            self.views[str(carried.name)] = carried
        if isinstance(event, mailboxes.MailboxesMeasured):
            self.views |= {str(view.name): view for view in event.mailboxes}
        if isinstance(event, mailboxes.MailboxDeleted):
            self.views.pop(str(event.name), None)

    # ── questions ───────────────────────────────────────────────────────────────────────

    def answer(self, query: Any, seq: Seq) -> Any:  # noqa: PLR0911 - one line for each query
        """The answer to a question about mailboxes; None when it is about something else."""
        match query:
            case mailboxes.ListMailboxes():
                views = tuple(self.views[name] for name in sorted(self.views))
                return mailboxes.MailboxList(mailboxes=views, total=self.total, seq=seq, is_indexing=self.is_indexing)
            case mailboxes.GetMailbox():
                return self.view(query.mailbox)
            case BrowseMail():
                return self._browse(query)
            case GetMail():
                found = next((view for view in self.mails if view.id == query.mail_id), None)
                if found is None:
                    raise NotFound(f"no message m-{query.mail_id}", noun="message", id=query.mail_id)
                return found
            case TraceMail():
                fits = tuple(view for view in self.mails if view.correlation == query.correlation)
                return MailPage(mails=fits[:500])
            case ListDead():
                return self._dead(query.mailbox, seq)
            case _:
                return None

    def view(self, name: str) -> MailboxView:
        """The mailbox. Raises NotFound."""
        if name not in self.views:
            raise NotFound(f"no mailbox {name}", noun="mailbox", id=name, fix="mailbox list shows all")
        return self.views[name]

    def _browse(self, query: BrowseMail) -> MailPage:
        if not 1 <= query.limit <= 500:
            raise InvalidInput("limit must be 1 to 500", field="limit", value=query.limit)
        self.view(query.mailbox)
        found = [
            view
            for view in self._held(query.mailbox, dead=query.dead)
            if view.id > query.after and fits(view, query.where)
        ]
        page = tuple(found[: query.limit])
        return MailPage(mails=page, next_after=page[-1].id if len(found) > len(page) else None)

    def _held(self, name: str, *, dead: bool) -> list[MailView]:
        return [view for view in self.mails if name in {"", view.mailbox} and (view.state is MailState.DEAD) is dead]

    def _dead(self, name: str, seq: Seq) -> DeadGroups:
        groups: dict[tuple[Any, ...], list[MailView]] = {}
        for view in self._held(name, dead=True):
            groups.setdefault((view.mailbox, view.reason, cause_of(view)), []).append(view)
        found = [_group(key, views) for key, views in groups.items()]
        found.sort(key=lambda group: (-group.count, group.mailbox, group.cause))
        return DeadGroups(groups=tuple(found), total=sum(group.count for group in found), seq=seq)

    # ── orders ──────────────────────────────────────────────────────────────────────────

    def carry_out(self, command: Any, actor: Actor, emit: Emit) -> Any:  # noqa: PLR0911 - one line for each command
        """The receipt of an order to a mailbox; None when it is about something else."""
        match command:
            case mailboxes.CreateMailbox():
                if command.mailbox in self.views:
                    raise ConflictError(f"{command.mailbox} is there already", key=command.mailbox)
                made = mailbox(command.mailbox, policy=command.policy, created=NOW)
                emit(mailboxes.MailboxCreated(mailbox=made), subject=made.name, actor=actor)
                return made
            case mailboxes.SetMailboxPolicy():
                return self._changed(command.mailbox, mailboxes.MailboxChanged, actor, emit, policy=command.policy)
            case mailboxes.DeleteMailbox():
                held = [view for view in self.mails if view.mailbox == command.mailbox]
                self.view(command.mailbox)
                if held:
                    raise ConflictError(f"{command.mailbox} holds {len(held)} messages", key=command.mailbox)
                emit(mailboxes.MailboxDeleted(name=command.mailbox), subject=command.mailbox, actor=actor)
                return BulkReceipt(matched=0, changed=0, is_dry_run=False)
            case mailboxes.PauseMailbox():
                until = Mark(NOW.at + command.for_s, NOW.mono + command.for_s) if command.for_s else None
                return self._changed(
                    command.mailbox,
                    mailboxes.MailboxPaused,
                    actor,
                    emit,
                    state=MailboxState.PAUSED,
                    paused_by=actor.name,
                    paused_reason=command.reason,
                    paused_until=until,
                )
            case mailboxes.ResumeMailbox():
                return self._changed(
                    command.mailbox, mailboxes.MailboxResumed, actor, emit, state=MailboxState.OPEN, paused_reason=""
                )
            case PostMail():
                return self._post(command, actor, emit)
            case PurgeMailbox():
                return self._purge(command, actor, emit)
            case RedriveMail():
                return self._redrive(command, actor, emit)
            case _:
                return None

    def _changed(self, name: str, event: Any, actor: Actor, emit: Emit, **values: Any) -> MailboxView:
        view = self.view(name)
        changed = msgspec.structs.replace(view, version=view.version + 1, **values)
        emit(event(mailbox=changed), subject=name, actor=actor)
        return changed

    def _measure(self, emit: Emit, **moved: dict[str, int]) -> None:
        """The books of some mailboxes are others; the part that fell goes where the mover says."""
        views: list[MailboxView] = []
        for name, parts in moved.items():
            view = self.views[name]
            tally = msgspec.structs.replace(
                view.tally, **{part: getattr(view.tally, part) + by for part, by in parts.items()}
            )
            views.append(msgspec.structs.replace(view, version=view.version + 1, tally=tally))
        self.views |= {str(view.name): view for view in views}
        measured = mailboxes.MailboxesMeasured(mailboxes=tuple(views), total=self.total)
        emit(measured, subject="core", durable=False)

    def _post(self, command: PostMail, actor: Actor, emit: Emit) -> PostReceipt:
        self.view(command.mailbox)
        body = msgspec.json.encode(command.payload)
        posted = mail(
            self._next,
            command.mailbox,
            state=MailState.DELAYED if command.delay_s else MailState.QUEUED,
            sender=actor.name,
            message_type=command.message_type,
            payload=body.decode(),
            size_bytes=len(body),
            priority=command.priority,
            key=command.key,
            correlation=command.correlation,
            created=NOW,
            headers=command.headers,
        )
        self._next += 1
        self.mails.append(posted)
        part = "delayed" if command.delay_s else "queued"
        self._measure(emit, **{command.mailbox: {"accepted": 1, part: 1}})
        return PostReceipt(mail_id=posted.id, mailbox=command.mailbox)

    def _purge(self, command: PurgeMailbox, actor: Actor, emit: Emit) -> BulkReceipt:
        chosen = [
            view
            for view in self._held(command.mailbox, dead=command.dead or not command.mailbox)
            if fits(view, command.where) and view.state is not MailState.IN_FLIGHT
        ]
        names = _by_mailbox(chosen)
        if command.dry_run:
            return BulkReceipt(matched=len(chosen), changed=0, is_dry_run=True, by_mailbox=names)
        self.mails = [view for view in self.mails if view not in chosen]
        moved: dict[str, dict[str, int]] = {}
        for view in chosen:
            parts = moved.setdefault(view.mailbox, {"dropped": 0})
            parts[view.state.value] = parts.get(view.state.value, 0) - 1
            parts["dropped"] += 1
        for name, count in names.items():
            event = MailboxPurged(mailbox=MailboxName(name), count=count, dead=command.dead, reason=command.reason)
            emit(event, subject=name, actor=actor)
        self._measure(emit, **moved)
        return BulkReceipt(matched=len(chosen), changed=len(chosen), is_dry_run=False, by_mailbox=names)

    def _redrive(self, command: RedriveMail, actor: Actor, emit: Emit) -> BulkReceipt:
        if command.target:
            self.view(command.target)
        fitting = [view for view in self._held(command.mailbox, dead=True) if fits(view, command.where)]
        if command.dry_run:
            return BulkReceipt(matched=len(fitting), changed=0, is_dry_run=True, by_mailbox=_by_mailbox(fitting))
        chosen = fitting[: command.limit or None]
        names = _by_mailbox(chosen)
        moved: dict[str, dict[str, int]] = {}
        ids: list[MailId] = []
        self.mails = [view for view in self.mails if view not in chosen]
        for view in chosen:
            target = command.target or view.mailbox
            again = mail(self._next, target, payload=view.payload, replays=view.replays + 1, redriven_from=int(view.id))
            self._next += 1
            self.mails.append(again)
            ids.append(again.id)
            parts = moved.setdefault(view.mailbox, {})
            parts["dead"] = parts.get("dead", 0) - 1
            parts["dropped"] = parts.get("dropped", 0) + 1
            parts = moved.setdefault(target, {})
            parts["accepted"] = parts.get("accepted", 0) + 1
            parts["queued"] = parts.get("queued", 0) + 1
        for name, count in names.items():
            event = MailRedriven(
                mailbox=MailboxName(name),
                target=MailboxName(command.target or name),
                count=count,
                reason=command.reason,
            )
            emit(event, subject=name, actor=actor)
        self._measure(emit, **moved)
        return BulkReceipt(
            matched=len(fitting),
            changed=len(chosen),
            is_dry_run=False,
            by_mailbox=_by_mailbox(fitting),
            mail_ids=tuple(ids[:100]),
        )


def cause_of(view: MailView) -> str:
    """The reason, and the error with its numbers taken out."""
    reason = view.reason.value if view.reason else "dead"
    return f"{reason}: {re.sub(r'[0-9]+', '#', view.error)}"


def fits(view: MailView, where: MailFilter) -> bool:
    """Whether a message is meant."""
    age_s = NOW.mono - (view.died or view.created).mono
    return all(
        (
            not where.ids or view.id in where.ids,
            not where.states or view.state in where.states,
            where.sender in {"", view.sender},
            where.message_type in {"", view.message_type},
            where.correlation in {"", view.correlation},
            where.reason in {None, view.reason},
            where.cause in {"", cause_of(view)},
            where.text in f"{view.payload}\n{view.message_type}\n{view.error}",
            age_s >= where.older_than_s,
        )
    )


def _by_mailbox(views: Sequence[MailView]) -> dict[str, int]:
    found: dict[str, int] = {}
    for view in views:
        found[str(view.mailbox)] = found.get(str(view.mailbox), 0) + 1
    return found


def _group(key: tuple[Any, ...], views: list[MailView]) -> DeadGroup:
    name, reason, cause = key
    died = [view.died or view.created for view in views]
    return DeadGroup(
        mailbox=name,
        reason=reason,
        cause=cause,
        count=len(views),
        first=min(died, key=lambda mark: mark.at),
        last=max(died, key=lambda mark: mark.at),
        example=views[-1],
        advice="send one again first; the rest when it arrives",
    )
