"""What every Hermes keeps to, near or far. A new implementation is one line in FACTORIES.

A factory opens a Hermes with a platform `local` on which an operator may open sessions.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from core.agent_settings import AgentSettings, ScriptedSettings
from core.api.base import Actor, ActorKind, PlatformName, Record, RunId, Seq, SessionId
from core.api.errors import ConflictError, InvalidInput, NotFound, Unavailable
from core.api.port import Hermes
from core.api.sessions import (
    GetSession,
    InterruptSession,
    ListSessions,
    MessageQueued,
    OpenSession,
    SendMessage,
    SendReceipt,
    SessionOpened,
)
from core.api.system import GetHealth, ListEvents
from core.api.transcripts import ReadTranscript
from core.config import Config
from core.kernel import Kernel
from core.platform_settings import LoopbackSettings, PlatformSettings
from core.settings import CoreSettings, HttpSettings, Settings, StoreSettings
from core.threaded import ThreadedHermes
from tests.support.attached import attached
from tests.support.fake_hermes import FakeHermes

ANA = Actor(ActorKind.OPERATOR, "ana")


@asynccontextmanager
async def fake() -> AsyncIterator[Hermes]:
    """The scripted fake itself."""
    yield FakeHermes()


@asynccontextmanager
async def fake_over_socket() -> AsyncIterator[Hermes]:
    """The scripted fake behind a socket."""
    async with attached(FakeHermes()) as remote:
        yield remote


def _settings() -> Config:
    agents: dict[str, AgentSettings] = {"main": ScriptedSettings()}
    platforms: dict[str, PlatformSettings] = {"local": LoopbackSettings()}
    settings = Settings(
        http=HttpSettings(enabled=False),
        store=StoreSettings(url="memory:"),
        core=CoreSettings(drain_s=0),
        agents=agents,
        platforms=platforms,
    )
    return Config(settings, defaultdict(lambda: "default"), Path("config.yaml"))


@asynccontextmanager
async def kernel() -> AsyncIterator[Hermes]:
    """The core itself."""
    with TemporaryDirectory() as home:
        opened = await Kernel.open(Path(home), _settings())
        try:
            yield opened
        finally:
            await opened.close()


@asynccontextmanager
async def kernel_on_its_thread() -> AsyncIterator[Hermes]:
    """The core on a thread of its own, as the console embeds it."""
    with TemporaryDirectory() as home:
        opened = await asyncio.to_thread(ThreadedHermes.start, lambda: Kernel.open(Path(home), _settings()))
        try:
            yield opened
        finally:
            await opened.close()


@asynccontextmanager
async def kernel_over_socket() -> AsyncIterator[Hermes]:
    """The core behind a socket."""
    async with kernel() as inner, attached(inner) as remote:
        yield remote


FACTORIES: dict[str, Callable[[], AbstractAsyncContextManager[Hermes]]] = {
    "fake": fake,
    "attached": fake_over_socket,
    "kernel": kernel,
    "threaded": kernel_on_its_thread,
    "attached kernel": kernel_over_socket,
}


@pytest.fixture(params=FACTORIES)
async def hermes(request: pytest.FixtureRequest) -> AsyncIterator[Hermes]:
    """Each implementation in turn."""
    async with FACTORIES[request.param]() as opened:
        yield opened


async def open_session(hermes: Hermes, chat: str = "lobby", text: str = "hello") -> SendReceipt:
    """A session with one message."""
    return await hermes.execute(OpenSession(platform=PlatformName("local"), chat=chat, text=text), actor=ANA)


async def read_until(stream: AsyncIterator[Record], is_last: Callable[[Record], bool]) -> list[Record]:
    """Records up to the first that fits."""
    records: list[Record] = []
    async with asyncio.timeout(10):
        async for record in stream:
            records.append(record)
            if is_last(record):
                return records
    raise AssertionError("the stream ended early")


def is_queued(receipt: SendReceipt) -> Callable[[Record], bool]:
    """Whether a record says that this very message was stored."""
    return lambda record: isinstance(record.event, MessageQueued) and record.event.message.id == receipt.message_id


async def end(stream: AsyncIterator[Record]) -> None:
    """Leave a subscription."""
    aclose: Callable[[], Awaitable[None]] = getattr(stream, "aclose")  # noqa: B009 - not part of the protocol
    await aclose()


async def test_what_was_ordered_can_be_asked_for(hermes: Hermes) -> None:
    """A receipt means that the change is stored: queries show it at once."""
    receipt = await open_session(hermes)
    detail = await hermes.query(GetSession(session_id=receipt.session_id))
    page = await hermes.query(ListSessions())
    assert detail.session.source.chat == "lobby"
    assert receipt.session_id in [view.id for view in page.sessions]


async def test_what_was_ordered_comes_as_events_with_its_actor(hermes: Hermes) -> None:
    """A subscriber from before sees the change, in order, about the right entity, by whom it was."""
    stream = hermes.subscribe(after=(await hermes.query(GetHealth())).seq)
    receipt = await open_session(hermes)
    records = [
        record for record in await read_until(stream, is_queued(receipt)) if record.subject == receipt.session_id
    ]
    kinds = [type(record.event) for record in records]
    assert kinds.index(SessionOpened) < kinds.index(MessageQueued)
    assert records[-1].actor == ANA
    await end(stream)


async def test_records_have_growing_places_and_begin_after_the_one_named(hermes: Hermes) -> None:
    """`after` is exclusive, and stored records grow in seq."""
    first = await open_session(hermes, "a")
    middle = (await hermes.query(ListEvents())).head
    second = await open_session(hermes, "b")
    stream = hermes.subscribe(after=middle)
    records = [record for record in await read_until(stream, is_queued(second)) if record.durable]
    await end(stream)
    places = [record.seq for record in records]
    assert places == sorted(set(places))
    assert places[0] > middle
    assert not any(is_queued(first)(record) for record in records)


async def test_a_late_reader_gets_the_same_records_as_an_early_one(hermes: Hermes) -> None:
    """Replay and live are one stream: what is stored is told once to each."""
    early = hermes.subscribe(after=Seq(0))
    receipt = await open_session(hermes)
    seen_early = await read_until(early, is_queued(receipt))
    late = hermes.subscribe(after=Seq(0))
    seen_late = await read_until(late, is_queued(receipt))
    await end(early)
    await end(late)
    assert [record for record in seen_early if record.durable] == [record for record in seen_late if record.durable]


async def test_the_journal_can_be_read_in_pages(hermes: Hermes) -> None:
    """ListEvents knows the same records as a subscription."""
    receipt = await open_session(hermes)
    page = await hermes.query(ListEvents(after=Seq(0), subject=receipt.session_id))
    assert any(is_queued(receipt)(record) for record in page.records)
    assert all(record.subject == receipt.session_id for record in page.records)


async def test_an_unknown_entity_is_named(hermes: Hermes) -> None:
    """NotFound says what was looked for, on either side of a socket."""
    with pytest.raises(NotFound) as caught:
        await hermes.query(GetSession(session_id=SessionId("local:dm:nobody")))
    assert caught.value.facts["id"] == "local:dm:nobody"
    assert caught.value.exit_code == 4


async def test_a_limit_that_cannot_be_is_refused(hermes: Hermes) -> None:
    """InvalidInput names the field."""
    receipt = await open_session(hermes)
    with pytest.raises(InvalidInput) as caught:
        await hermes.query(ReadTranscript(session_id=receipt.session_id, limit=0))
    assert caught.value.facts["field"] == "limit"


async def test_an_error_leaves_the_port_as_it_was(hermes: Hermes) -> None:
    """After a refusal the next order is carried out."""
    with pytest.raises(NotFound):
        await hermes.execute(SendMessage(session_id=SessionId("local:dm:nobody"), text="x"), actor=ANA)
    receipt = await open_session(hermes)
    assert receipt.position == 0


async def test_a_run_that_is_not_there_is_not_interrupted(hermes: Hermes) -> None:
    """Naming a run that does not run is a conflict, and nothing happens."""
    receipt = await open_session(hermes)
    with pytest.raises(ConflictError):
        await hermes.execute(InterruptSession(session_id=receipt.session_id, run_id=RunId("another")), actor=ANA)


async def test_the_same_key_is_taken_once(hermes: Hermes) -> None:
    """A repeated order with an idempotency key gives the first message again."""
    session_id = (await open_session(hermes)).session_id
    order = SendMessage(session_id=session_id, text="again", idempotency_key="k1")
    first = await hermes.execute(order, actor=ANA)
    second = await hermes.execute(order, actor=ANA)
    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert first.message_id == second.message_id


async def test_each_of_many_questions_gets_its_own_answer(hermes: Hermes) -> None:
    """Requests go on side by side and are never mixed up."""
    opened = [await open_session(hermes, f"chat{number}") for number in range(20)]
    details = await asyncio.gather(*(hermes.query(GetSession(session_id=each.session_id)) for each in opened))
    assert [detail.session.id for detail in details] == [each.session_id for each in opened]


async def test_a_reader_who_leaves_disturbs_nobody(hermes: Hermes) -> None:
    """One subscription ends, the other goes on."""
    leaving, staying = hermes.subscribe(after=Seq(0)), hermes.subscribe(after=Seq(0))
    first = await open_session(hermes, "a")
    await read_until(leaving, is_queued(first))
    await end(leaving)
    second = await open_session(hermes, "b")
    records = await read_until(staying, is_queued(second))
    assert any(is_queued(first)(record) for record in records)
    await end(staying)


async def test_orders_go_on_while_nobody_reads(hermes: Hermes) -> None:
    """A subscription that is not read holds nothing up."""
    idle = hermes.subscribe(after=Seq(0))
    await read_until(idle, is_queued(await open_session(hermes)))
    for number in range(50):
        await open_session(hermes, f"chat{number}")
    assert (await hermes.query(ListSessions())).total == 51
    await end(idle)


async def test_after_close_nothing_is_answered(hermes: Hermes) -> None:
    """Orders, questions and subscriptions raise Unavailable; to close twice is fine."""
    stream = hermes.subscribe(after=Seq(0))
    await read_until(stream, is_queued(await open_session(hermes)))
    await hermes.close()
    await hermes.close()
    with pytest.raises(Unavailable):
        await read_until(stream, lambda _: False)
    with pytest.raises(Unavailable):
        await hermes.query(GetHealth())
    with pytest.raises(Unavailable):
        await open_session(hermes)
    with pytest.raises(Unavailable):
        await read_until(hermes.subscribe(after=Seq(0)), lambda _: False)
