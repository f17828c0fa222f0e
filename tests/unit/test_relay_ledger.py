"""The books of the relay: what is under way is in memory, what is over is found again, and old books are let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.api.base import Mark, SessionId
from core.api.errors import ConflictError, InvalidInput, NotFound
from core.api.relay_tasks import (
    GetRelayTask,
    ListRelayTasks,
    RelayDirection,
    RelayEnded,
    RelayQueued,
    RelayReason,
    RelayState,
    RelayTaskFilter,
    RelayTaskId,
    RelayTaskPage,
    RelayTaskView,
)
from core.clock import mark
from core.ids import IdSource
from core.journal import Journal
from core.relay.ledger import Change, Ledger
from core.relay.ledger_keeping import LedgerKeeping
from core.relay.ledger_rows import puts_of
from core.relay.targets import Tally
from core.relay.task import RelayTask, began, died, replayed, told
from core.relay.wire import Trail
from core.relay_settings import RelaySettings
from core.store.base import Batch, Put, Row, Store
from tests.support.clocks import FakeClock
from tests.support.stores import opened

_HERE, _THERE = "http://10.0.0.7:8080", "http://10.0.0.8:8080"


class Books:
    """A ledger over a store."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.journal = Journal(store, clock)
        self.ids = IdSource(clock)
        self.ledger = Ledger(store=store, journal=self.journal, clock=clock, ids=self.ids)
        self.keeping = LedgerKeeping(
            self.ledger, store=store, clock=clock, settings=RelaySettings(keep_s=3600.0), on_counts=lambda _: None
        )

    def made(self, state: RelayState = RelayState.QUEUED, **fields: Any) -> RelayTask:
        """A message that goes out."""
        now = mark(self.clock)
        task_id = self.ids.new_uuid()
        defaults: dict[str, Any] = {
            "id": RelayTaskId(task_id),
            "wire_id": task_id,
            "direction": RelayDirection.OUT,
            "state": state,
            "text": "hello",
            "created": now,
            "trail": Trail(conversation=task_id),
            "name": "bot",
            "origin": _HERE,
            "changed": now,
            "ended": now if state.is_over else None,
        }
        return RelayTask(**(defaults | fields))

    async def keep(self, state: RelayState = RelayState.QUEUED, **fields: Any) -> RelayTask:
        """One that is stored."""
        return await self.ledger.keep(self.made(state, **fields), None)

    async def page(self, limit: int = 100, cursor: str = "", **only: Any) -> RelayTaskPage:
        """What a list shows."""
        handler = self.ledger.queries[ListRelayTasks]
        page: RelayTaskPage = await handler(ListRelayTasks(only=RelayTaskFilter(**only), limit=limit, cursor=cursor))
        return page

    async def again(self) -> "Books":
        """The same store after a start."""
        fresh = Books(self.store, self.clock)
        await fresh.ledger.open()
        return fresh


@asynccontextmanager
async def _books(kind: str = "memory", home: Path = Path()) -> AsyncIterator[Books]:
    store = await opened(kind, home)
    books = Books(store, FakeClock())
    await books.ledger.open()
    try:
        yield books
    finally:
        await store.close()


def _queued(view: RelayTaskView) -> RelayQueued:
    return RelayQueued(task=view)


def _ended(view: RelayTaskView) -> RelayEnded:
    return RelayEnded(task=view)


async def test_a_message_moves_from_memory_to_a_row_when_it_is_over() -> None:
    """It is found in both places, and its versions grow."""
    async with _books() as books:
        task = await books.ledger.keep(books.made(), _queued)
        assert books.ledger.find_live(task.id) == task
        after = await books.ledger.keep(died(task, mark(books.clock), RelayReason.REFUSED, "no"), _ended)
        assert books.ledger.find_live(task.id) is None
        assert await books.ledger.find(task.id) == after
        assert (task.version, after.version) == (1, 2)
        back = await books.ledger.keep(replayed(after, mark(books.clock)), _queued)
        assert books.ledger.find_live(task.id) == back
        kinds = [type(record.event) for record in await books.journal.read()]
        assert kinds == [RelayQueued, RelayEnded, RelayQueued]


async def test_a_change_of_what_was_changed_meanwhile_is_refused() -> None:
    """Whoever decided on an old value decides again."""
    async with _books() as books:
        task = await books.keep()
        await books.ledger.keep(msgspec.structs.replace(task, error="one"), None)
        with pytest.raises(ConflictError):
            await books.ledger.keep(msgspec.structs.replace(task, error="two"), None)
        with pytest.raises(ConflictError):
            await books.ledger.keep(msgspec.structs.replace(task, version=0), None)
        assert (await books.ledger.find(task.id) or task).error == "one"


async def test_changes_of_one_message_come_one_after_the_other() -> None:
    """Each sees what the one before it stored."""
    async with _books() as books:
        task = await books.keep()

        def more(current: RelayTask) -> Change:
            return Change(msgspec.structs.replace(current, repeats=current.repeats + 1))

        await asyncio.gather(*(books.ledger.change(task.id, more) for _ in range(20)))
        assert (await books.ledger.find(task.id) or task).repeats == 20
        with pytest.raises(NotFound):
            await books.ledger.change("nothing", more)


async def test_two_messages_of_one_name_are_never_kept() -> None:
    """An id that a peer or a caller chose is taken once, also when the first one is over."""
    async with _books() as books:
        named = books.made(RelayState.DEAD, id=RelayTaskId("far/7"), wire_id="7", direction=RelayDirection.IN)
        await books.ledger.keep(named, None)
        with pytest.raises(ConflictError):
            await books.ledger.keep(named, None)
        found = await books.ledger.find("far/7")
        assert found is not None
        assert found.place


async def test_lists_show_the_latest_first_page_by_page() -> None:
    """What is under way and what is over stand in one order, and every one is there once."""
    async with _books() as books:
        states = [RelayState.QUEUED, RelayState.COMPLETED, RelayState.DEAD, RelayState.FAILED, RelayState.WORKING]
        ids: list[str] = []
        for number in range(53):
            books.clock.step(0.5)
            fields = {"id": RelayTaskId(f"far/{number}"), "direction": RelayDirection.IN} if number % 7 == 0 else {}
            ids.append((await books.keep(states[number % 5], **fields)).id)
        seen: list[str] = []
        cursor = ""
        while True:
            page = await books.page(limit=10, cursor=cursor)
            seen += [view.id for view in page.tasks]
            cursor = page.cursor
            if not cursor:
                break
        assert seen == ids[::-1]
        assert sum(page.counts.values()) == 53
        with pytest.raises(InvalidInput):
            await books.page(cursor="nonsense")
        with pytest.raises(InvalidInput):
            await books.page(limit=0)


async def test_lists_show_what_fits() -> None:
    """By state, direction, bot, origin, peer, reason, conversation, time and text."""
    async with _books() as books:
        await books.keep(RelayState.DEAD, reason=RelayReason.LOOP, text="Around")
        books.clock.step(60.0)
        later = mark(books.clock).at
        await books.keep(RelayState.COMPLETED, name="other", origin=_THERE, answer="Forty-two")
        await books.keep(RelayState.WORKING, id=RelayTaskId("far/1"), direction=RelayDirection.IN, peer="far", name="a")
        await books.keep(trail=Trail(conversation="c-9"))

        async def count(**only: Any) -> int:
            return len((await books.page(**only)).tasks)

        assert await count(states=(RelayState.DEAD, RelayState.WORKING)) == 2
        assert await count(direction=RelayDirection.IN) == 1
        assert await count(bot="other") == await count(origin=_THERE) == await count(text="forty") == 1
        assert await count(peer="far") == await count(bot="far") == 1
        assert await count(reason=RelayReason.LOOP) == await count(text="around") == 1
        assert await count(conversation="c-9") == 1
        assert await count(since=later) == 3


async def test_a_message_is_found_by_the_first_letters_of_its_id() -> None:
    """When no other begins so; with its text whole and the others of its fan-out."""
    async with _books() as books:
        long = "x" * 5_000
        first = books.made(text=long, context="talk-7")
        group = first.id
        for task in (first, books.made(RelayState.COMPLETED), books.made()):
            await books.ledger.keep(msgspec.structs.replace(task, group=group), None)
        books.clock.step(1_000.0)
        alone = await books.keep(RelayState.DEAD)
        get = books.ledger.queries[GetRelayTask]
        assert (await get(GetRelayTask(id=alone.id[:13]))).task.id == alone.id
        detail = await get(GetRelayTask(id=first.id))
        assert len(detail.task.text) == 2_000
        assert detail.text == long
        assert detail.context == "talk-7"
        assert len(detail.group) == 2
        with pytest.raises(ConflictError):
            await get(GetRelayTask(id=first.id[:13]))
        for letters in ("ffff", "x"):
            with pytest.raises(NotFound):
                await get(GetRelayTask(id=letters))


async def test_counts_of_an_origin_keep_up_with_each_change() -> None:
    """Waiting, being sent, delivered, dead; the oldest is the first that waits."""
    async with _books() as books:
        first = await books.keep()
        books.clock.step(5.0)
        second = await books.keep()
        assert books.ledger.tally(_HERE) == Tally(waiting=2, oldest=first.created)
        shown = books.ledger.show(began(first, mark(books.clock)), _queued)
        assert books.ledger.tally(_HERE) == Tally(waiting=2, in_flight=1, oldest=second.created)
        assert books.ledger.counts_under_way() == (1, 0, 0, 1)
        await books.ledger.keep(died(shown, mark(books.clock), RelayReason.REFUSED, "no"), None)
        assert books.ledger.tally(_HERE) == Tally(waiting=1, dead=1, oldest=second.created)
        assert books.ledger.tally(_THERE) == Tally()


async def test_the_dead_of_earlier_starts_are_counted_while_others_die_and_come_back() -> None:
    """The count is right in the end, whatever happened meanwhile."""
    async with _books() as books:
        dead = [await books.keep(RelayState.DEAD, origin=(_HERE, _THERE)[number % 2]) for number in range(1_200)]
        fresh = await books.again()
        await fresh.keep(RelayState.DEAD, origin=_THERE)
        counting = asyncio.ensure_future(fresh.keeping.count_dead())
        await asyncio.sleep(0)
        for task in (dead[0], dead[-2]):
            current = await fresh.ledger.find(task.id)
            assert current is not None
            await fresh.ledger.keep(replayed(current, mark(fresh.clock)), None)
        await fresh.keep(RelayState.DEAD)
        await counting
        assert (fresh.ledger.tally(_HERE).dead, fresh.ledger.tally(_THERE).dead) == (599, 601)
        assert fresh.ledger.counts.states["dead"] == 1_200


async def test_a_start_finds_what_was_under_way_and_what_is_still_to_be_told() -> None:
    """What is shown after it is newer than what was shown before; times are those of this start's clock."""
    async with _books() as books:
        waiting = await books.keep()
        untold = await books.keep(RelayState.COMPLETED, session_id=SessionId("s"), is_untold=True)
        await books.keep(RelayState.COMPLETED)
        books.clock.step(100.0)
        fresh = await books.again()
        assert {task.id for task in fresh.ledger.live()} == {waiting.id, untold.id}
        again = fresh.ledger.find_live(waiting.id)
        assert again is not None
        assert again.version > waiting.version
        assert fresh.clock.monotonic() - again.created.mono == pytest.approx(100.0)
        assert fresh.ledger.counts.states["completed"] == 2
        current = fresh.ledger.find_live(untold.id)
        assert current is not None
        await fresh.ledger.keep(told(current, mark(fresh.clock)), None)
        assert [task.id for task in fresh.ledger.live()] == [waiting.id]
        assert fresh.ledger.counts.states["completed"] == 2


async def test_what_has_been_over_for_long_is_let_go() -> None:
    """With all that belongs to it; what is young or under way stays."""
    async with _books() as books:
        for number in range(30):
            await books.keep(RelayState.DEAD, id=RelayTaskId(f"far/{number}"), direction=RelayDirection.IN)
        await books.keep()
        books.clock.step(3_601.0)
        young = await books.keep(RelayState.DEAD)
        assert await books.keeping.prune() == 30
        assert [view.id for view in (await books.page(states=(RelayState.DEAD,))).tasks] == [young.id]
        assert await books.ledger.find("far/3") is None
        assert await books.store.count("relay-id/") == 0
        assert books.ledger.counts.states["dead"] == 1
        assert len(books.ledger.live()) == 1


async def test_what_came_in_is_kept_for_as_long_as_its_signature_counts() -> None:
    """Let go any earlier, a request that somebody sends again would be taken for a new one."""
    async with _books() as books:
        rules = RelaySettings(keep_s=3600.0, tolerance_s=7200.0)
        keeping = LedgerKeeping(
            books.ledger, store=books.store, clock=books.clock, settings=rules, on_counts=lambda _: None
        )
        await books.keep(RelayState.COMPLETED, id=RelayTaskId("far/1"), direction=RelayDirection.IN)
        books.clock.step(14_000.0)
        assert await keeping.prune() == 0
        books.clock.step(500.0)
        assert await keeping.prune() == 1


async def test_what_was_made_long_ago_and_is_young_holds_up_nothing_behind_it() -> None:
    """Dead ones that were sent again late stand first, a page of them; what is old behind them goes all the same."""
    async with _books() as books:
        late = Mark(books.clock.now() + 3_000.0, books.clock.monotonic() + 3_000.0)
        for _ in range(501):
            await books.keep(RelayState.COMPLETED, changed=late, ended=late)
        for _ in range(10):
            await books.keep(RelayState.COMPLETED)
        books.clock.step(3_601.0)
        assert await books.keeping.prune() == 10
        assert books.ledger.counts.states["completed"] == 501


async def test_a_caller_that_goes_away_leaves_the_books_as_they_were_written() -> None:
    """A cancelled caller takes nothing back, and memory agrees with the store."""
    async with _books() as books:
        job = asyncio.ensure_future(books.ledger.keep(books.made(), _queued))
        await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        fresh = await books.again()
        assert [task.id for task in fresh.ledger.live()] == [task.id for task in books.ledger.live()]
        assert len(books.ledger.live()) == 1


async def test_a_start_reads_no_more_for_a_hundred_thousand_that_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is under way is read; the others are counted where they lie."""
    async with _books("sqlite", tmp_path) as books:
        task = books.made(RelayState.COMPLETED)
        puts: list[Put] = []
        for _ in range(100_000):
            task_id = books.ids.new_uuid()
            puts += puts_of(None, msgspec.structs.replace(task, id=RelayTaskId(task_id), wire_id=task_id, version=1))
        for first in range(0, len(puts), 10_000):
            await books.store.commit(Batch(puts[first : first + 10_000]))
        read: list[str] = []
        scan = books.store.scan

        async def noted(prefix: str, **rules: Any) -> list[Row]:
            rows = await scan(prefix, **rules)
            read.extend(row.key for row in rows)
            return rows

        monkeypatch.setattr(books.store, "scan", noted)
        fresh = Books(books.store, books.clock)
        await fresh.ledger.open()
        assert fresh.ledger.counts.states["completed"] == 100_000
        assert len(read) == 0
        assert len(fresh.ledger.live()) == 0
        page = await fresh.page(limit=50)
        assert len(page.tasks) == 50
        assert len(read) < 1_000
