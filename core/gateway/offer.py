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
from core.gateway.merging import ALBUM_S
from core.gateway.platform import Inbound
from core.gateway.queue_editor import due_of
from core.gateway.session import Arrival
from core.pages import Pages

_TITLE_LIMIT = 80
_QUOTE_LIMIT = 1000
_FINGERPRINT_LETTERS = 32
_GAP = "\n\n"
_KINDS = {"user": EntryKind.USER, "assistant": EntryKind.AGENT}


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way in.

    dedupe_keys: each is taken in once. fingerprint: of what a key stands for; "" where that is not looked at.
    must_exist: it begins no session. task_id: the task that it carries; terms_of: see MessageView;
    pages: what its maker writes with it;
    deliver, deliver_to: where the answer goes besides, and what it replies to there. native_id: at its platform.
    group_id: of the album that it is a part of. is_typed: by a person, so that lines in a burst are one message.
    around: see Waiting.
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
    native_id: str = ""
    group_id: str = ""
    is_typed: bool = False
    around: tuple[str, str] | None = None


class Taken(msgspec.Struct, frozen=True):
    """What became of an offer."""

    receipt: SendReceipt
    follower: Follower | None = None


def dedupe_keys(inbound: Inbound) -> tuple[str, ...]:
    """Where it is remembered that a platform's message was taken in."""
    keys = [rows.message_key(inbound.source, inbound.native_id)] if inbound.native_id else []
    if inbound.proof_id:
        keys.append(rows.dedupe_key(inbound.platform, inbound.proof_id))
    return tuple(keys)


def said(inbound: Inbound) -> str:
    """What the agent reads: the message, with what it answers quoted above it."""
    quoted = inbound.quoted.strip()
    if not quoted:
        return inbound.text
    short = quoted if len(quoted) <= _QUOTE_LIMIT else quoted[:_QUOTE_LIMIT] + "…"
    return "\n".join(f"> {line}" for line in short.splitlines()) + f"\n\n{inbound.text}"


def surroundings(inbound: Inbound, typed: str) -> tuple[str, str] | None:
    """What the agent reads before and behind the sender's own words: what they answer, the names of files.

    typed: those words, with which the text of the message begins; None when the agent reads nothing else.
    """
    whole = said(inbound)
    before = whole[: len(whole) - len(inbound.text)]
    behind = inbound.text[len(typed) :]
    return (before, behind) if before or behind else None


def edited_text(waiting: Waiting, typed: str) -> str:
    """What the agent reads once the sender has changed the own words."""
    if waiting.around is None:
        return typed
    before, behind = waiting.around
    gap = _GAP if behind and not behind.startswith(_GAP) else ""
    return f"{before}{typed}{gap}{behind}"


def check_text(text: str, limit: int) -> None:
    """Raises InvalidInput for what cannot be said: nothing, too much, or no text at all. limit: characters."""
    if not text.strip():
        raise InvalidInput("the message is empty", field="text", value="", fix="send some text")
    if len(text) > limit:
        raise InvalidInput(
            f"the message has {len(text)} characters; at most {limit} are taken in",
            field="text",
            fix="send less, or raise sessions.text_limit",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("the message is not valid Unicode", field="text", fix="send valid text") from error


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
    part_of: MessageId | None = None,
) -> Waiting:
    """The message as it waits. part_of: the first part of the message that it belongs to."""
    due = due_of(now, placed.effective_mode, collect_s)
    if offer.group_id and due is None:
        due = Mark(now.at + ALBUM_S, now.mono + ALBUM_S)
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
        due=due,
        model=offer.model,
        native_id=offer.native_id,
        part_of=part_of,
    )
    return Waiting(
        message,
        offer.sender_id,
        offer.reply_to,
        deliver=offer.deliver,
        deliver_to=offer.deliver_to,
        group_id=offer.group_id,
        around=offer.around,
    )


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
