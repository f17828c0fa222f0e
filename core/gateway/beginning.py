"""The beginning of a turn: which messages it takes up, under which lease, and what is written about it."""

from collections.abc import Sequence

import msgspec

from core.api.base import EntryId, MessageId, RunId
from core.api.platforms import GROUP_OWNER
from core.api.runs import Phase, RunView
from core.api.sessions import ChatKind, MessageState, SessionView, Voice
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock, mark
from core.gateway.lane import Live, Waiting
from core.gateway.ports import Agents, RunBegun, RunBook
from core.gateway.session import Guard, begun
from core.gateway.unanswered import MAILBOX
from core.ids import IdSource
from core.lease import acquired
from core.letters import MailTransaction
from core.pages import Pages


class Begin(msgspec.Struct, frozen=True):
    """A run that begins with the commit it is part of. base: the session with its lease."""

    base: SessionView
    guard: Guard
    waiting: dict[MessageId, Waiting]
    live: Live
    entries: tuple[EntryView, ...]
    pages: Pages


class Beginning:
    """Makes beginnings. boot: number of this start of the core."""

    def __init__(self, *, agents: Agents, books: RunBook, clock: Clock, ids: IdSource, boot: int) -> None:
        self._agents = agents
        self._books = books
        self._clock = clock
        self._ids = ids
        self._boot = boot

    def of(
        self, base: SessionView, guard: Guard, waiting: dict[MessageId, Waiting], count: int, mail: MailTransaction
    ) -> Begin:
        """What to commit so that the first `count` of the queue are answered."""
        run_id = RunId(self._ids.new_id())
        following = begun(guard, run_id, count)
        taken: dict[MessageId, Waiting] = {}
        entries: list[EntryView] = []
        for message_id in following.running:
            item = waiting[message_id]
            mail.take(MAILBOX, item.mail_id)
            message = msgspec.structs.replace(
                item.message, state=MessageState.RUNNING, attempt=item.message.attempt + 1, run_id=run_id
            )
            taken[message_id] = msgspec.structs.replace(item, message=message, is_said=True)
            if not item.is_said:
                entries.append(self._said(base, taken[message_id], run_id))
        run = self._run(base, run_id, list(taken.values()))
        lease = acquired(base.lease_token, boot=self._boot, run_id=run_id, now=run.started)
        begin = RunBegun(
            run_id=run_id,
            session_id=base.id,
            agent=base.agent,
            boot=self._boot,
            token=lease.token,
            attempt=run.attempt,
            messages=[item.message for item in taken.values()],
            began=run.started,
        )
        return Begin(
            msgspec.structs.replace(base, lease=lease, lease_token=lease.token),
            following,
            {**waiting, **taken},
            Live(run, lease.token),
            tuple(entries),
            self._books.begun(begin),
        )

    def _run(self, base: SessionView, run_id: RunId, taken: Sequence[Waiting]) -> RunView:
        now = mark(self._clock)
        first = taken[0].message
        stall_s, total_s = self._agents.limits_s(base.agent, first.task_id or first.terms_of)
        return RunView(
            id=run_id,
            attempt=first.attempt,
            started=now,
            phase=Phase.ADMITTING,
            phase_since=now,
            message_ids=tuple(item.message.id for item in taken),
            stall_limit_s=stall_s,
            total_limit_s=total_s,
            task_id=first.task_id,
            model=first.model,
        )

    def _said(self, view: SessionView, waiting: Waiting, run_id: RunId) -> EntryView:
        message = waiting.message
        return EntryView(
            id=EntryId(self._ids.new_id()),
            at=self._clock.now(),
            kind=EntryKind.NOTE if message.voice is Voice.NOTE else EntryKind.USER,
            author=message.sender,
            text=message.text,
            epoch=view.epoch,
            run_id=run_id,
            message_id=message.id,
        )


def user_of(view: SessionView, first: Waiting) -> str:
    """Whose session it is, as platform:id; of sessions that an older version made, who sent what is answered."""
    return view.user or owner(view, first.sender_id)


def owner(view: SessionView, sender_id: str) -> str:
    """Whom a session that this sender began belongs to: all in the chat where they share it; "" is nobody known."""
    source = view.source
    if source.user is None and source.kind is not ChatKind.DM:
        return f"{GROUP_OWNER}:{source.platform}:{source.chat}"
    person = source.user or sender_id
    return f"{source.platform}:{person}" if person else ""
