"""The Matrix adapter when one room, one message or one call is in trouble: all else goes on, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.api.errors import HermesError, Overloaded
from core.gateway.adapters import matrix_gap, matrix_intake, matrix_known
from core.gateway.adapters.matrix_lane import KEPT, Lane
from core.gateway.platform import (
    Accepted,
    FileKind,
    Inbound,
    OutboundFile,
    PlatformError,
    PlatformErrorKind,
)
from tests.support.platform_rig import LIMIT_S, RigInbox, outbound, running
from tests.support.rig_matrix import ANA, BOT, FakeMatrixRig, matrix_rig


@pytest.fixture
async def rig() -> AsyncIterator[FakeMatrixRig]:
    """The bot and Ana at the fake homeserver."""
    async with matrix_rig() as found:
        yield found


class Picky(RigInbox):
    """Raises what is told for messages of a text. tried: texts that were handed in. cursors: all that were kept."""

    def __init__(self) -> None:
        super().__init__()
        self.refusing: dict[str, Exception] = {}
        self.tried: list[str] = []
        self.cursors: list[str] = []

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Keep it, or fail as told."""
        self.tried.append(inbound.text)
        self._changed.set()
        if inbound.text in self.refusing:
            raise self.refusing[inbound.text]
        return await super().receive(inbound, follow=follow)

    async def keep_cursor(self, cursor: str) -> None:
        """Keep it."""
        self.cursors.append(cursor)
        await super().keep_cursor(cursor)


def full() -> HermesError:
    """A session whose queue is full."""
    return Overloaded("the queue is full", bound="queue", limit=1, retry_after_s=0.05)


async def soon(is_so: Any) -> None:
    """Wait until the server shows something."""
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110 - what the server did has no event here
            await asyncio.sleep(0.01)


async def test_a_full_session_holds_up_no_other_room_and_no_order_of_its_own(rig: FakeMatrixRig) -> None:
    """Its message comes again until it is taken; its room stays in order, but a command and a sign may overtake."""
    inbox = Picky()
    inbox.refusing["stuck"] = full()
    other = await rig.human.create_room(BOT)
    async with running(rig.platform, inbox):
        ours = await rig.platform.send(outbound(rig, "may it?", 1))
        await rig.say("stuck")
        await inbox.until(lambda: inbox.tried.count("stuck") >= 2)
        before = inbox.kept_cursor
        await rig.say("behind it")
        await rig.say("/stop")
        await rig.human.react(rig.room_id, ours, "✅")
        await rig.human.say(other, "elsewhere")
        await inbox.until(lambda: len(inbox.received) >= 2 and bool(inbox.presses))
        assert sorted(inbox.texts) == ["/stop", "elsewhere"]
        assert inbox.kept_cursor == before, "what is stuck is still to come after a restart"
        inbox.refusing.clear()
        await inbox.until(lambda: inbox.kept_cursor != before)
    assert inbox.texts[2:] == ["stuck", "behind it"]
    assert inbox.twice == []


async def test_what_was_stuck_comes_again_after_a_restart(rig: FakeMatrixRig) -> None:
    """Reading begins at the oldest thing that was not dealt with."""
    inbox = Picky()
    inbox.refusing["stuck"] = full()
    async with running(rig.platform, inbox):
        await rig.say("before")
        await inbox.until(lambda: bool(inbox.received))
        await rig.say("stuck")
        await inbox.until(lambda: inbox.tried.count("stuck") >= 2)
        await rig.say("/stop")
        await inbox.until(lambda: "/stop" in inbox.texts)
    inbox.refusing.clear()
    async with running(rig.restarted(), inbox):
        await inbox.until(lambda: "stuck" in inbox.texts)
    assert inbox.texts == ["before", "/stop", "stuck"]


async def test_a_flood_behind_a_full_session_is_bounded_and_nothing_of_it_is_lost(
    rig: FakeMatrixRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much to remember is read back; a command in the middle of it is heard at once."""
    lanes: list[Lane] = []

    class Seen(Lane):
        """One that can be looked at."""

        def __init__(self, room_id: str) -> None:
            super().__init__(room_id)
            lanes.append(self)

    monkeypatch.setattr(matrix_intake, "Lane", Seen)
    inbox = Picky()
    inbox.refusing["stuck"] = full()
    rig.server.page_size = 100
    texts = [f"word {number}" for number in range(700)]
    async with running(rig.platform, inbox) as run:
        await rig.say("stuck")
        await inbox.until(lambda: inbox.tried.count("stuck") >= 1)
        for begin in range(0, 700, 20):
            for text in texts[begin : begin + 20]:
                await rig.say(text)
            await rig.say(f"/stop {begin}")
            await inbox.until(lambda begin=begin: f"/stop {begin}" in inbox.texts)  # type: ignore[misc]
        assert 0 < lanes[-1].size <= KEPT
        assert not run.task.done()
        inbox.refusing.clear()
        await inbox.until(lambda: "word 699" in inbox.texts)
    assert [text for text in inbox.texts if not text.startswith("/")] == ["stuck", *texts]


async def test_a_message_that_cannot_be_handled_is_let_go_and_said(rig: FakeMatrixRig) -> None:
    """One fault of the core must not make the account deaf for ever."""
    inbox = Picky()
    inbox.refusing["poison"] = TypeError("a fault of the core")
    async with running(rig.platform, inbox):
        await rig.say("poison")
        await rig.say("after")
        await inbox.until(lambda: "after" in inbox.texts)
        await inbox.until(lambda: "TypeError" in inbox.problem)
    assert inbox.tried.count("poison") == 3


async def test_a_server_in_trouble_has_not_forgotten_our_place(rig: FakeMatrixRig) -> None:
    """Its M_UNKNOWN with a status of 500 says nothing about where reading stopped."""
    inbox = Picky()
    async with running(rig.platform, inbox):
        await rig.say("one")
        await inbox.until(lambda: bool(inbox.received))
        await inbox.until(lambda: bool(inbox.cursors))
    await rig.say("two")
    rig.server.sync_answers.append(httpx.Response(500, json={"errcode": "M_UNKNOWN", "error": "Internal server error"}))
    async with running(rig.platform, inbox, must_stand=False) as run:
        error = await run.failure()
    assert error.kind is PlatformErrorKind.RETRY_AFTER
    async with running(rig.platform, inbox):
        await inbox.until(lambda: len(inbox.received) >= 2)
    assert inbox.texts == ["one", "two"]


@pytest.mark.parametrize("fault", [(502, "M_UNKNOWN"), (429, "M_LIMIT_EXCEEDED"), (504, "")])
async def test_an_invitation_that_cannot_be_followed_holds_nothing_up(
    rig: FakeMatrixRig, fault: tuple[int, str]
) -> None:
    """A room of a server that is away is tried again beside everything else, over a restart too."""
    inbox = Picky()
    async with running(rig.platform, inbox):
        rig.server.broken["/join/"] = fault
        invited = await rig.human.create_room(BOT)
        await soon(lambda: any("/join/" in path for _, path in rig.server.calls))
        await rig.say("one")
        await inbox.until(lambda: inbox.texts == ["one"])
        await inbox.until(lambda: invited in inbox.kept_cursor)
    del rig.server.broken["/join/"]
    async with running(rig.restarted(), inbox):
        await rig.human.say(invited, "hello")
        await inbox.until(lambda: "hello" in inbox.texts)
        await inbox.until(lambda: invited not in inbox.kept_cursor)


async def test_a_room_that_the_server_cannot_tell_of_holds_no_other_up(rig: FakeMatrixRig) -> None:
    """It is asked again; what was said there comes in then."""
    inbox = Picky()
    broken = await rig.human.create_room(BOT)
    async with running(rig.platform, inbox):
        await soon(lambda: rig.server.rooms[broken].membership(BOT) == "join")
        await rig.human.say(broken, "before")
        await inbox.until(lambda: inbox.texts == ["before"])
    async with running(rig.restarted(), inbox):
        rig.server.broken[f"{broken.removeprefix('!')}/joined_members"] = (500, "M_UNKNOWN")
        await rig.human.say(broken, "first")
        await rig.say("one")
        await rig.say("two")
        await inbox.until(lambda: {"one", "two"} <= set(inbox.texts))
        rig.server.broken.clear()
        await inbox.until(lambda: "first" in inbox.texts)
    assert inbox.texts[-1] == "first"


async def test_a_page_with_too_many_bytes_is_read_in_smaller_ones(rig: FakeMatrixRig) -> None:
    """A hundred of the largest messages are more than one answer may have."""
    inbox = Picky()
    rig.server.page_size = 100
    async with running(rig.platform, inbox):
        await rig.say("first")
        await inbox.until(lambda: bool(inbox.cursors))
    texts = [f"{number} " + "x" * 60_000 for number in range(160)]
    for text in texts:
        await rig.say(text)
    async with running(rig.platform, inbox):
        await inbox.until(lambda: len(inbox.received) > len(texts))
    assert inbox.texts == ["first", *texts]


async def test_a_room_with_too_many_members_is_a_group_all_the_same(
    rig: FakeMatrixRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes is named by what they say of themselves, or by their id."""
    monkeypatch.setattr(matrix_known, "_MEMBERS_BYTES", 20)
    rig.server.account.clear()
    inbox = Picky()
    async with running(rig.platform, inbox):
        await rig.say("hello")
        await inbox.until(lambda: bool(inbox.received))
    (inbound,) = inbox.received
    assert (inbound.source.kind.value, inbound.sender_id) == ("group", ANA)


async def test_a_poll_that_brings_nothing_writes_nothing(rig: FakeMatrixRig) -> None:
    """Though the server names another place each time."""
    inbox = Picky()
    async with running(rig.platform, inbox):
        await rig.say("one")
        await inbox.until(lambda: bool(inbox.received))
        count = len(inbox.cursors)
        for number in range(5):
            answer = {"next_batch": f"s{'0' * number}{len(rig.server.log)}", "rooms": {}}
            rig.server.sync_answers.append(httpx.Response(200, json=answer))
        await soon(lambda: not rig.server.sync_answers)
        await rig.say("two")
        await inbox.until(lambda: inbox.texts == ["one", "two"])
        assert len(inbox.cursors) <= count + 2


async def test_what_is_said_of_a_message_counts_in_its_own_room_only(rig: FakeMatrixRig) -> None:
    """A sign in another room, under an id that stands here, is the use of no button."""
    inbox = Picky()
    other = await rig.human.create_room(BOT)
    async with running(rig.platform, inbox):
        ours = await rig.platform.send(outbound(rig, "may it?", 1))
        await rig.human.react(other, ours, "✅")
        await rig.human.say(other, "an answer to it", reply_to=ours)
        await inbox.until(lambda: bool(inbox.received))
        await rig.human.react(rig.room_id, ours, "✅")
        await inbox.until(lambda: bool(inbox.presses))
    assert [press.source.chat for press in inbox.presses] == [rig.room_id]
    assert inbox.received[0].quoted == ""


async def test_many_rooms_are_listed_side_by_side(rig: FakeMatrixRig) -> None:
    """A bounded number at once; one that is gone meanwhile is left out."""
    bot_rooms = [await rig.human.create_room(BOT) for _ in range(60)]
    async with running(rig.platform, RigInbox()):
        await soon(lambda: all(rig.server.rooms[room].membership(BOT) == "join" for room in bot_rooms))
    adapter = rig.restarted()
    rig.server.broken[f"{bot_rooms[0].removeprefix('!')}/joined_members"] = (403, "M_FORBIDDEN")
    rig.server.busiest = 0
    found = await adapter.chats()  # type: ignore[attr-defined]
    assert {chat.source.chat for chat in found} == {rig.room_id, *bot_rooms[1:]}
    assert 4 <= rig.server.busiest <= 20


def test_what_is_known_of_rooms_is_bounded(rig: FakeMatrixRig) -> None:
    """The ones that were not looked at for longest are asked for anew when they are needed."""
    known = rig.platform._known  # type: ignore[attr-defined]
    for number in range(matrix_known._ROOMS_KEPT + 50):
        known._keep(matrix_known.Room(f"!{number}"))
    assert len(known._rooms) == matrix_known._ROOMS_KEPT
    assert known.find_room("!0") is None
    assert known.find_room(f"!{matrix_known._ROOMS_KEPT}") is not None


async def test_a_file_that_has_changed_its_size_is_refused(rig: FakeMatrixRig, tmp_path: Path) -> None:
    """Trying again cannot help."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345678")
    for size in (4, 12):
        file = OutboundFile(kind=FileKind.DOCUMENT, name="a.bin", mime="application/x", path=str(path), size_bytes=size)
        with pytest.raises(PlatformError) as caught:
            await rig.platform.send(outbound(rig, "", size, files=(file,)))
        assert caught.value.kind is PlatformErrorKind.REFUSED
        assert "changed its size" in caught.value.message


async def test_a_gap_that_is_too_large_loses_its_oldest_part_and_says_so(
    rig: FakeMatrixRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is held at once, so its bytes are bounded as well as its number."""
    monkeypatch.setattr(matrix_gap, "BYTES_LIMIT", 20_000)
    inbox = Picky()
    async with running(rig.platform, inbox):
        await inbox.until(lambda: bool(inbox.cursors))
    texts = [f"{number} " + "x" * 1000 for number in range(80)]
    for text in texts:
        await rig.say(text)
    async with running(rig.platform, inbox):
        await inbox.until(lambda: "is left out" in inbox.problem)
        await inbox.until(lambda: bool(inbox.texts) and inbox.texts[-1] == texts[-1])
    assert inbox.texts == texts[-len(inbox.texts) :]
    assert 50 < len(inbox.texts) < 80


@pytest.mark.parametrize("name", ["", "Bot: "])
async def test_what_a_room_waits_for_is_told_to_the_operator(rig: FakeMatrixRig, name: str) -> None:
    """Once it has been tried a few times; an order under our name may overtake as well."""
    inbox = Picky()
    inbox.refusing["stuck"] = full()
    async with running(rig.platform, inbox):
        await rig.say("stuck")
        await inbox.until(lambda: inbox.tried.count("stuck") >= 3)
        await rig.say(f"{name}/stop")
        await inbox.until(lambda: "waits: the queue is full" in inbox.problem)
        assert rig.room_id in inbox.problem
        assert inbox.texts == [f"{name}/stop"]
        inbox.refusing.clear()
        await inbox.until(lambda: "stuck" in inbox.texts)
        await rig.say("after")
        await inbox.until(lambda: inbox.problem == "")
