"""However many messages the core cannot take yet, none is lost or repeated, none overtakes another of its chat."""

import asyncio
import re
from collections import Counter
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from core.api.base import PlatformName
from core.api.errors import Overloaded, Refused
from core.gateway.adapters import telegram_reading
from core.gateway.adapters.telegram_inbound import Account
from core.gateway.adapters.telegram_reading import Reading
from core.gateway.platform import Accepted, Inbound
from core.waits import task_group
from tests.support.fake_inbox import FakeInbox
from tests.support.fake_telegram.markup import found_entities

US = Account(platform=PlatformName("tg"), id=77, username="our_bot")
FIRST = 700
# For each update its chat, whether it is a command, how often it cannot be taken yet, and whether it is refused then.
SAYINGS = st.lists(
    st.tuples(st.integers(1, 3), st.booleans(), st.sampled_from([0, 0, 0, 1, 3]), st.booleans()), max_size=12
)


class Picky(FakeInbox):
    """An inbox that takes some messages only after a while. settled: numbers of those that are done with, in order."""

    def __init__(self, waits: dict[int, int], refused: set[int]) -> None:
        super().__init__()
        self._waits = waits
        self._refused = refused
        self.settled: list[int] = []

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take it, when it is time."""
        number = int(inbound.native_id.partition("/")[2])
        await asyncio.sleep(0)
        if self._waits.get(number, 0) > 0:
            self._waits[number] -= 1
            raise Overloaded("full", bound="queue", limit=1)
        self.settled.append(number)
        if number in self._refused:
            raise Refused("no", rule="test")
        return await super().receive(inbound, follow=follow)


def update(number: int, chat: int, *, is_command: bool) -> dict[str, object]:
    """Somebody writes."""
    text = f"/stop {number}" if is_command else f"word {number}"
    who = {"id": chat, "type": "private", "first_name": "A", "is_bot": False}
    message = {"message_id": number, "chat": who, "from": who, "text": text, "entities": found_entities(text)}
    return {"update_id": number, "message": message}


@given(SAYINGS, st.integers(1, 12))
def test_every_update_is_done_with_once(sayings: list[tuple[int, bool, int, bool]], batch: int) -> None:
    """Telegram is told to forget only what is; plain messages of one chat keep their order."""
    asyncio.run(read_all(sayings, batch))


async def read_all(sayings: list[tuple[int, bool, int, bool]], batch: int) -> None:
    """Poll until nothing is left, as the adapter does, and look at it after each poll."""
    numbered = list(enumerate(sayings, FIRST))
    updates = [update(number, chat, is_command=is_command) for number, (chat, is_command, _, _) in numbered]
    inbox = Picky({n: waits for n, (_, _, waits, _) in numbered}, {n for n, (_, _, _, is_no) in numbered if is_no})

    async def answer(press_id: str, words: str) -> None:
        """Nobody presses."""

    async with asyncio.timeout(30), task_group() as group:
        reading = Reading(inbox, lambda: US, answer, "", group)
        await polled(reading, inbox, updates, batch)
    assert Counter(inbox.settled) == Counter(number for number, _ in numbered)
    for chat in (1, 2, 3):
        plain = [n for n, (where, is_command, _, _) in numbered if where == chat and not is_command]
        assert [number for number in inbox.settled if number in plain] == plain
    assert reading.next_id == (FIRST + len(updates) if updates else None)


async def polled(reading: Reading, inbox: Picky, updates: list[dict[str, object]], batch: int) -> None:
    """Until nothing is left."""
    for _ in range(4 * len(updates) + 1):
        from_id = reading.next_id or FIRST
        left = [
            item for number, item in zip(range(FIRST, FIRST + len(updates)), updates, strict=True) if number >= from_id
        ]
        if not left:
            break
        wait_s = await reading.take(left[:batch])
        settled = set(inbox.settled)
        next_id = reading.next_id or FIRST
        assert settled.issuperset(range(FIRST, next_id)), "forgotten before it was done with"
        assert wait_s > 0 or next_id > from_id, "it would ask for the same at once"
        kept = int(inbox.kept_cursor.partition(":")[2] or FIRST)
        assert kept <= next_id


@given(SAYINGS, st.integers(1, 12), st.integers(1, 4))
def test_what_telegram_forgets_is_done_with_or_kept_by_us(
    sayings: list[tuple[int, bool, int, bool]], batch: int, restart_every: int
) -> None:
    """When few may wait at Telegram, and the core begins anew in the middle: nothing is lost, plain order is kept."""
    with patch.object(telegram_reading, "CROWD", 1):
        asyncio.run(read_with_restarts(sayings, batch, restart_every))


async def read_with_restarts(sayings: list[tuple[int, bool, int, bool]], batch: int, restart_every: int) -> None:
    """Poll until nothing is left, each few polls by somebody who knows only what was kept."""
    numbered = list(enumerate(sayings, FIRST))
    updates = [update(number, chat, is_command=is_command) for number, (chat, is_command, _, _) in numbered]
    inbox = Picky({n: waits for n, (_, _, waits, _) in numbered}, {n for n, (_, _, _, is_no) in numbered if is_no})

    async def answer(press_id: str, words: str) -> None:
        """Nobody presses."""

    async with asyncio.timeout(30):
        for _ in range(4 * len(updates) + 1):
            async with task_group() as group:
                reading = Reading(inbox, lambda: US, answer, inbox.kept_cursor, group)
                for _ in range(restart_every):
                    from_id = reading.next_id or FIRST
                    await reading.take(updates[from_id - FIRST :][:batch])
                    kept = {int(number) for number in re.findall(r'"id":(\d+)', inbox.kept_cursor)}
                    forgotten = set(range(FIRST, reading.next_id or FIRST))
                    assert forgotten <= set(inbox.settled) | kept
    assert set(inbox.settled) == {number for number, _ in numbered}
    for chat in (1, 2, 3):
        plain = [n for n, (where, is_command, _, _) in numbered if where == chat and not is_command]
        assert list(dict.fromkeys(number for number in inbox.settled if number in plain)) == plain
