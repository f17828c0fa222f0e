"""A message on its way in, whoever brings it, and what is made of it (pure: ids and time are handed in)."""

import hashlib
from collections.abc import Callable, Iterator

import msgspec

from core.api.base import Actor, AgentName, EntryId, Mark, MessageId, SessionId, TaskId
from core.api.errors import InvalidInput
from core.api.sessions import (
    MessageState,
    MessageView,
    Mode,
    Outcome,
    SendReceipt,
    SessionState,
    SessionView,
    Source,
    Voice,
)
from core.api.transcripts import EntryKind, EntryView
from core.gateway import rows
from core.gateway.beginning import owner
from core.gateway.follower import Follower
from core.gateway.lane import Waiting
from core.gateway.platform import Inbound
from core.gateway.queue_editor import due_of
from core.gateway.session import Arrival
from core.pages import Pages

_TITLE_LIMIT = 80
_FINGERPRINT_LETTERS = 32
_KINDS = {"user": EntryKind.USER, "assistant": EntryKind.AGENT}


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way in.

    dedupe_keys: each is taken in once. fingerprint: of what a key stands for; "" where that is not looked at.
    must_exist: it begins no session. task_id: the task that it carries; terms_of: see MessageView;
    pages: what its maker writes with it;
    deliver, deliver_to: where the answer goes besides, and what it replies to there.
    """

    source: Source
    agent: AgentName
    voice: Voice
    sender: str
    sender_id: str
    text: str
    mode: Mode | None
    actor: Actor
    dedupe_keys: tuple[str, ...] = ()
    fingerprint: str = ""
    reply_to: str = ""
    title: str = ""
    imported: tuple[tuple[str, str], ...] = ()
    must_exist: bool = False
    model: str = ""
    task_id: TaskId | None = None
    terms_of: TaskId | None = None
    pages: Callable[[SendReceipt], Pages] | None = None
    deliver: Source | None = None
    deliver_to: str = ""


class Taken(msgspec.Struct, frozen=True):
    """What became of an offer."""

    receipt: SendReceipt
    follower: Follower | None = None


def dedupe_keys(inbound: Inbound) -> tuple[str, ...]:
    """Where it is remembered that a platform's message was taken in."""
    known = dict.fromkeys(item for item in (inbound.native_id, inbound.proof_id) if item)
    return tuple(rows.dedupe_key(inbound.platform, item) for item in known)


def fingerprint(*parts: str) -> str:
    """What an idempotency key stands for: the same parts, the same fingerprint."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:_FINGERPRINT_LETTERS]


def check_agent(view: SessionView, agent: AgentName) -> None:
    """Whether what is for one agent may go into a session. Raises InvalidInput when that is another's."""
    if view.agent != agent:
        raise InvalidInput(
            f"session {view.id} is {view.agent}'s and not {agent}'s",
            field="session_id",
            value=view.id,
            fix=f"give the task to {view.agent}, or use another session",
        )


def new_session(offer: Offer, session_id: SessionId, *, boot: int, created: Mark, queue_limit: int) -> SessionView:
    """The session that begins with this message."""
    view = SessionView(
        id=session_id,
        version=0,
        boot=boot,
        source=offer.source,
        agent=offer.agent,
        state=SessionState.IDLE,
        created=created,
        title=(offer.title or " ".join(offer.text.split()))[:_TITLE_LIMIT],
        queue_limit=queue_limit,
    )
    return msgspec.structs.replace(view, user=owner(view, offer.sender_id))


def waiting_of(
    offer: Offer,
    session_id: SessionId,
    message_id: MessageId,
    mode: Mode,
    placed: Arrival,
    *,
    now: Mark,
    collect_s: float,
) -> Waiting:
    """The message as it waits."""
    message = MessageView(
        id=message_id,
        session_id=session_id,
        received=now,
        voice=offer.voice,
        sender=offer.sender,
        text=offer.text,
        state=MessageState.QUEUED,
        mode=mode,
        effective_mode=placed.effective_mode,
        mode_reason=placed.mode_reason,
        task_id=offer.task_id,
        terms_of=offer.terms_of,
        due=due_of(now, placed.effective_mode, collect_s),
        model=offer.model,
    )
    return Waiting(message, offer.sender_id, offer.reply_to, deliver=offer.deliver, deliver_to=offer.deliver_to)


def outcome_of(mode: Mode, *, is_begun: bool, is_restarted: bool) -> Outcome:
    """What became of a message at once. mode: the effective one."""
    if is_restarted:
        return Outcome.RESTARTED
    if is_begun:
        return Outcome.DIRECT
    return Outcome.INTERRUPTED if mode is Mode.INTERRUPT else Outcome.QUEUED


def imported_entries(offer: Offer, view: SessionView, *, at: float, new_id: Callable[[], str]) -> Iterator[EntryView]:
    """What the sender brought along, as it stands in the transcript."""
    for role, text in offer.imported:
        yield EntryView(
            id=EntryId(new_id()),
            at=at,
            kind=_KINDS.get(role, EntryKind.SYSTEM),
            author=offer.sender if role == "user" else role,
            text=text,
            epoch=view.epoch,
            is_imported=True,
        )
