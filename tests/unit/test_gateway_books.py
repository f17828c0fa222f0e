"""Who keeps books about runs writes them in the commits of the gateway, so that both always say the same."""

import asyncio
from collections.abc import Sequence

from core.api.base import Event
from core.api.errors import StoreError
from core.api.platforms import PlatformConnected
from core.api.session_orders import ReleaseLease
from core.api.session_queue import DropMessage
from core.api.sessions import MessageView, ResetSession, RunEnded, SendMessage
from core.api.system import AlarmRaised
from core.gateway.ports import RunBegun, RunClosed
from core.pages import Pages
from core.store.base import Batch, Committed, Put
from core.store.memory import MemoryStore
from tests.support.gateway import SESSION, Gateway, gateway, inbound
from tests.support.outbox import OPERATOR


class FakeBooks:
    """A RunBook that writes a row and an event for everything, and notes what was stored."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.begins: list[RunBegun] = []
        self.ends: list[RunClosed] = []

    def begun(self, run: RunBegun) -> Pages:
        """Note it once it is stored."""
        return self._page(f"begun {_texts(run.messages)}", lambda: self.begins.append(run))

    def closed(self, run: RunClosed) -> Pages:
        """Note it once it is stored."""
        again = " again" if run.is_requeued else ""
        return self._page(f"closed {_texts(run.messages)} {run.answer!r}{again}", lambda: self.ends.append(run))

    def let_go(self, messages: Sequence[MessageView], reason: str) -> Pages:
        """Note it once it is stored."""
        return self._page(f"let go {_texts(messages)}: {reason}", lambda: None)

    def _page(self, line: str, noted: object) -> Pages:
        def done() -> None:
            self.lines.append(line)
            assert callable(noted)
            noted()

        event = AlarmRaised(what="books", error=line)
        return Pages(puts=[Put(f"books/{line}", b"{}")], events=[("books", event)], done=done)


def _texts(messages: Sequence[MessageView]) -> str:
    return "+".join(message.text for message in messages)


class FailingStore(MemoryStore):
    """A store that refuses the next commits."""

    failures = 0

    def submit(self, batch: Batch) -> "asyncio.Future[Committed]":
        """Refuse while there are failures left."""
        if self.failures:
            self.failures -= 1
            refused: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
            refused.set_exception(StoreError("the disk is full", path="x", cause="full", fix="make room"))
            return refused
        return super().submit(batch)


async def written(built: Gateway) -> list[str]:
    """The lines that were journaled."""
    events: list[Event] = await built.events()
    return [event.error for event in events if isinstance(event, AlarmRaised) and event.what == "books"]


async def test_the_books_tell_of_every_beginning_and_end_in_the_same_commit() -> None:
    """The session's own event and theirs follow each other, and they hear once it is stored."""
    books = FakeBooks()
    async with gateway(books=books) as built:
        await built.sessions.receive(inbound("one"))
        (await built.agents.begun(1)).answer("yes")
        await built.until(RunEnded)
        await built.settled()
        assert books.lines == await written(built) == ["begun one", "closed one 'yes'"]
        (began,) = books.begins
        (ended,) = books.ends
        assert (began.boot, began.token, began.attempt, began.agent) == (1, 1, 1, "main")
        assert (ended.run_id, ended.outcome.answered, ended.is_requeued) == (began.run_id, True, False)
        assert await built.store.count("books/") == 2


async def test_the_next_run_begins_in_the_commit_that_ends_the_one_before() -> None:
    """Both are in the books, the end first."""
    books = FakeBooks()
    async with gateway(books=books) as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        run.answer("1")
        (await built.agents.begun(2)).answer("2")
        await built.until(RunEnded, 2)
        await built.settled()
        assert books.lines == ["begun one", "closed one '1'", "begun two", "closed two '2'"]


async def test_what_is_not_stored_is_not_in_the_books() -> None:
    """They are asked again for the next try."""
    books, store = FakeBooks(), FailingStore()
    async with gateway(store, books=books) as built:
        await built.until(PlatformConnected)
        store.failures = 1
        try:
            await built.sessions.receive(inbound("lost"))
        except StoreError:
            assert books.lines == []
        await built.sessions.receive(inbound("kept"))
        (await built.agents.begun(1)).answer("ok")
        await built.until(RunEnded)
        await built.settled()
        assert books.lines == ["begun kept", "closed kept 'ok'"]


async def test_messages_that_are_let_go_are_in_the_books_with_the_reason() -> None:
    """Dropped alone, or by a reset with all others."""
    books = FakeBooks()
    async with gateway(books=books) as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        two = await built.sessions.receive(inbound("two"))
        for text in ("three", "four"):
            await built.sessions.send_message(SendMessage(session_id=SESSION, text=text), OPERATOR)
        drop = DropMessage(session_id=SESSION, message_id=two.message_id, reason="no")
        await built.operations.drop_message(drop, OPERATOR)
        await built.operations.reset_session(ResetSession(session_id=SESSION, drop_queue=True), OPERATOR)
        assert [line for line in books.lines if line.startswith("let go")] == [
            "let go two: no",
            "let go three+four: reset",
        ]


async def test_a_stop_and_a_crash_are_in_the_books_as_what_will_be_tried_again() -> None:
    """A stop when it puts the message back, a crash at the next start, a given-up message as its end."""
    books, store = FakeBooks(), MemoryStore()
    async with gateway(store, books=books, max_attempts=1) as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.restart.drain(0)
        assert books.lines == ["begun one", "closed one '' again"]
    for boot, last in ((2, "closed one '' again"), (3, "closed one ''")):
        limit = 2 if boot == 2 else 1
        async with gateway(store, books=books, boot=boot, max_attempts=limit) as built:
            await built.restart.recover()
            await built.restart.resume()
            if boot == 2:
                await built.agents.begun(1)
            assert books.lines[-1] == ("begun one" if boot == 2 else last)
    assert books.ends[-1].outcome.code == "orphaned"


async def test_a_released_lease_is_an_end_in_the_books() -> None:
    """With what the run had written by then."""
    books = FakeBooks()
    async with gateway(books=books) as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.order(ReleaseLease(session_id=SESSION, is_forced=True))
        assert books.ends[-1].outcome.code == "lease_released"
