"""The directory of chats: learnt, asked for, kept, and found by name without guessing."""

import asyncio
from collections.abc import Sequence

import pytest

from core.api.base import SYSTEM, PlatformName
from core.api.chats import ChatsLearnt, ListChats, RefreshChats
from core.api.errors import InvalidInput, NotFound
from core.api.platforms import PlatformConnected, PlatformState, PlatformView
from core.api.sessions import ChatKind, Source
from core.clock import mark
from core.gateway.abilities import Chat
from core.gateway.directory import Directory
from core.gateway.platform import Limits, PlatformError, PlatformErrorKind
from core.gateway.target import Place
from core.journal import Journal
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock
from tests.support.outbox import FullStore

LOCAL, OTHER, MUTE = PlatformName("local"), PlatformName("other"), PlatformName("mute")


class Lister:
    """A platform that names these chats, or fails."""

    limits = Limits()

    def __init__(self, name: PlatformName, *names: str) -> None:
        self.name = name
        self.names = list(names)
        self.fault: BaseException | None = None

    async def chats(self) -> Sequence[Chat]:
        """As the test says."""
        if self.fault is not None:
            raise self.fault
        return [Chat(source=a_chat(f"-{number}", self.name), name=name) for number, name in enumerate(self.names)]


def a_chat(chat: str, platform: PlatformName = LOCAL, **more: str) -> Source:
    """A group."""
    return Source(platform=platform, kind=ChatKind.GROUP, chat=chat, **more)


class Rig:
    """A directory over a store in memory."""

    def __init__(self, store: MemoryStore | None = None, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.store = store or MemoryStore()
        self.journal = Journal(self.store, self.clock)
        self.errors: list[Exception] = []
        self.supervisor = Supervisor(self.clock, lambda *_: None, lambda _, error: self.errors.append(error))
        self.platforms = {LOCAL: Lister(LOCAL, "Ops", "Ops night", "Sales"), OTHER: Lister(OTHER, "Else"), MUTE: None}
        self.directory = Directory(
            store=self.store,
            journal=self.journal,
            clock=self.clock,
            supervisor=self.supervisor,
            platforms=lambda: list(self.platforms),
            platform_of=self.platforms.get,  # type: ignore[arg-type]
            refresh_s=300.0,
        )

    async def names(self, **query: object) -> list[str]:
        """What is listed."""
        return [view.name for view in (await self.directory.list_chats(ListChats(**query))).chats]  # type: ignore[arg-type]

    async def settle(self) -> None:
        """Let jobs end."""
        await self.clock.advance(0)
        assert self.errors == []


async def test_chats_are_learnt_from_messages_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one, or one with another name, is written once; a restart knows it."""
    rig = Rig()
    for name in ("Ana", "Ana", "Ana B."):
        rig.directory.saw(a_chat("8841", chat_name=name))
        await rig.settle()
    assert await rig.names() == ["Ana B."]
    told = [record.event for record in await rig.journal.read(limit=10)]
    assert told == [ChatsLearnt(platform=LOCAL, count=1)] * 2
    rig.directory.saw(a_chat("8841"))
    later = Rig(rig.store, FakeClock(now=rig.clock.now() + 60.0, monotonic=5.0))
    await later.directory.recover()
    (view,) = (await later.directory.list_chats(ListChats())).chats
    assert (view.name, view.is_listed, view.seen.mono) == ("Ana B.", False, pytest.approx(-55.0))


async def test_who_waits_for_an_answer_at_the_door_is_no_chat() -> None:
    """A caller of the HTTP API cannot be written to later."""
    rig = Rig()
    rig.platforms[OTHER].limits = Limits(sends_answers=False)
    rig.directory.saw(a_chat("request-1", OTHER))
    rig.directory.saw(a_chat("1", PlatformName("gone")))
    await rig.settle()
    assert await rig.names() == []


async def test_platforms_that_can_are_asked_and_one_that_fails_is_named() -> None:
    """The others are asked all the same; one that cannot list is not asked."""
    rig = Rig()
    rig.platforms[OTHER].fault = PlatformError(PlatformErrorKind.UNAUTHORISED, "bad token")
    receipt = await rig.directory.refresh_chats(RefreshChats(), SYSTEM)
    assert (receipt.asked, receipt.chat_count, receipt.problems) == ((LOCAL, OTHER), 3, ("other: bad token",))
    assert await rig.names(platform=LOCAL) == ["Ops", "Ops night", "Sales"]
    assert await rig.names(text="night") == ["Ops night"]
    with pytest.raises(NotFound, match="did you mean local"):
        await rig.directory.refresh_chats(RefreshChats(platform=PlatformName("locl")), SYSTEM)


async def test_a_connection_is_asked_when_it_stands_and_then_again_and_again() -> None:
    """So that new chats are known without anybody writing there."""
    rig = Rig()
    rig.journal.on_record(rig.directory.observe)
    now = mark(rig.clock)
    view = PlatformView(name=LOCAL, kind="x", version=1, state=PlatformState.CONNECTED, since=now)
    rig.journal.publish("local", PlatformConnected(platform=view))
    await rig.settle()
    assert len(await rig.names()) == 3
    rig.supervisor.start("directory", rig.directory.run)
    await rig.settle()
    rig.platforms[OTHER].names.append("New")
    await rig.clock.advance(300.0)
    assert await rig.names(platform=OTHER) == ["Else", "New"]
    await rig.supervisor.stop(deadline_s=1)


async def test_a_chat_is_found_by_id_then_name_then_the_begin_of_one_name() -> None:
    """Case and a sign in front do not matter; the kind is that of the chat."""
    rig = Rig()
    await rig.directory.refresh_chats(RefreshChats(), SYSTEM)
    for text in ("-1", "Ops night", "ops NIGHT", "#ops night", "Ops n"):
        found = rig.directory.source(Place(LOCAL, text))
        assert (found.chat, found.kind) == ("-1", ChatKind.GROUP)
    assert rig.directory.source(Place(LOCAL, "Ops")).chat == "-0"
    assert rig.directory.source(Place(LOCAL, "sal", "17")).thread == "17"


async def test_a_name_that_could_be_two_chats_is_refused_with_their_ids() -> None:
    """Nobody gets what was meant for another."""
    rig = Rig()
    rig.platforms[LOCAL].names += ["Sales", "Saleroom"]
    await rig.directory.refresh_chats(RefreshChats(), SYSTEM)
    for text in ("Sales", "sal"):
        with pytest.raises(InvalidInput, match="chats of local are called") as caught:
            rig.directory.source(Place(LOCAL, text))
        assert "local:-2 (Sales)" in str(caught.value.facts["fix"])


async def test_an_unknown_id_is_taken_as_it_is_and_an_unknown_name_is_not() -> None:
    """An id of the platform's own may never have been seen; a name with blanks is none."""
    rig = Rig()
    await rig.directory.refresh_chats(RefreshChats(), SYSTEM)
    assert rig.directory.source(Place(LOCAL, "9000")).kind is ChatKind.DM
    assert rig.directory.source(Place(LOCAL, "-9000")).kind is ChatKind.GROUP
    with pytest.raises(NotFound, match="did you mean Ops night"):
        rig.directory.source(Place(LOCAL, "Ops nigt"))


async def test_a_chat_that_a_full_disk_did_not_take_is_kept_with_its_next_message() -> None:
    """It is known meanwhile, but a restart would have lost it."""
    store = FullStore()
    rig = Rig(store)
    store.is_full = True
    rig.directory.saw(a_chat("77"))
    await rig.settle()
    store.is_full = False
    for _ in range(2):
        rig.directory.saw(a_chat("77"))
        await rig.settle()
    assert [row.key for row in await store.scan("chat/", after="", limit=10)] == ["chat/local/77"]
    assert [record.event for record in await rig.journal.read(limit=10)] == [ChatsLearnt(platform=LOCAL, count=1)]


async def test_a_list_has_a_bound() -> None:
    """The error names field and value."""
    with pytest.raises(InvalidInput):
        await Rig().directory.list_chats(ListChats(limit=0))
    await asyncio.sleep(0)
