"""Following a message until the run that took it up has ended, and printing the answer."""

import asyncio
from collections.abc import AsyncIterator

from console.event_line import outcome_words
from console.exit_codes import Exit
from console.shell.call import Call
from console.text import clean
from core.api.base import MessageId, Record, RunId, Seq
from core.api.codec import encode
from core.api.errors import ConflictError, DeadlineExceeded, Lagged
from core.api.session_queue import MessageDropped
from core.api.sessions import GetSession, MessageSteered, RunEnded, RunStarted, SendReceipt, SessionReset
from core.api.system import ListEvents
from core.api.transcripts import EntryKind

_HISTORY = 5000


class Trail:
    """What the records say about one message: which run took it up, and that run's end (pure)."""

    def __init__(self, message_id: MessageId) -> None:
        self.run_id: RunId | None = None
        self._message_id = message_id

    def take(self, record: Record) -> RunEnded | None:
        """The end of the message's run, when this record is it. Raises ConflictError when the message was dropped."""
        event = record.event
        if isinstance(event, RunStarted) and event.session.run is not None:
            if self._message_id in event.session.run.message_ids:
                self.run_id = event.session.run.id
        elif isinstance(event, MessageSteered) and event.message.id == self._message_id:
            self.run_id = event.message.run_id or (event.session.run.id if event.session.run else None)
        elif isinstance(event, MessageDropped) and event.message.id == self._message_id:
            raise dropped(self._message_id, record.actor.name)
        elif isinstance(event, RunEnded) and event.outcome.run_id == self.run_id:
            return event
        return None


def dropped(message_id: MessageId, by: str) -> ConflictError:
    """The error for a message that nobody will answer."""
    return ConflictError(f"{message_id} was dropped by {by} before it was answered", key=message_id)


async def wait_for_answer(call: Call, receipt: SendReceipt, *, after: Seq, limit_s: float | None) -> int:
    """Print the answer to a message. Returns the exit code: a run that ends without an answer is a failure.

    after: place in the journal before the message was sent. limit_s: None waits for as long as it takes.
    """
    try:
        async with asyncio.timeout(limit_s):
            record, end = await _end_of(call, receipt, after)
    except TimeoutError:
        raise DeadlineExceeded(
            f"no answer within {limit_s:g} s; the message stays where it is", what="answer", limit_s=limit_s
        ) from None
    if call.is_json:
        call.streams.write(encode(record).decode())
    elif end.outcome.answered:
        for entry in end.entries:
            if entry.kind is EntryKind.AGENT:
                call.streams.write(clean(entry.text, keep_newlines=True))
    call.streams.stdout.flush()
    if end.outcome.answered:
        return Exit.OK
    call.narrate(f"the run ended without an answer: {outcome_words(end.outcome)}")
    return Exit.INTERNAL


async def _end_of(call: Call, receipt: SendReceipt, after: Seq) -> tuple[Record, RunEnded]:
    trail = Trail(receipt.message_id)
    is_behind = receipt.is_duplicate
    while True:
        if is_behind:
            page = await call.query(ListEvents(subject=receipt.session_id, limit=_HISTORY))
            after = page.head
            if (found := await _found(call, receipt, trail, _each(page.records))) is not None:
                return found
        try:
            if (found := await _found(call, receipt, trail, call.hermes.subscribe(after=after))) is not None:
                return found
        except Lagged:
            is_behind = True


async def _found(
    call: Call, receipt: SendReceipt, trail: Trail, records: AsyncIterator[Record]
) -> tuple[Record, RunEnded] | None:
    async for record in records:
        if record.subject != receipt.session_id:
            continue
        end = trail.take(record)
        is_reset = isinstance(record.event, SessionReset) and record.event.dropped and trail.run_id is None
        if end is not None and (end.outcome.answered or not await _is_held(call, receipt)):
            return record, end
        if is_reset and not await _is_held(call, receipt):
            raise dropped(receipt.message_id, record.actor.name)
    return None


async def _is_held(call: Call, receipt: SendReceipt) -> bool:
    """Whether the message still waits or runs, as after a run that died and is tried again."""
    detail = await call.query(GetSession(session_id=receipt.session_id))
    running = detail.session.run.message_ids if detail.session.run else ()
    return receipt.message_id in running or any(item.id == receipt.message_id for item in detail.messages)


async def _each(records: tuple[Record, ...]) -> AsyncIterator[Record]:
    for record in records:
        yield record
