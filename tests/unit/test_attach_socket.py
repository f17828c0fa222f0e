"""The attach socket as its two sides meet it: who may come in, what a slow or rude caller does, how it ends."""

import asyncio
import os
import stat
import struct
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.api.base import Actor, ActorKind, Command, R, Record, Seq, SessionId
from core.api.errors import (
    AlreadyDecided,
    ConfigError,
    DeadlineExceeded,
    HermesError,
    Lagged,
    NotFound,
    Overloaded,
    Refused,
    Unauthorised,
    Unavailable,
)
from core.api.sessions import GetSession, RunOutput, SessionOpened
from core.api.system import GetHealth, Shutdown
from core.attach import connection, server
from core.attach.client import RemoteHermes
from core.attach.failure import Failure, error_of, failure_of
from core.attach.frames import PROTOCOL, Execute, Hello, Ping, Subscribe, packed, raw
from core.attach.server import AttachServer
from core.clock import SystemClock
from tests.support.attached import attached, served
from tests.support.clocks import FakeClock
from tests.support.fake_hermes import FakeHermes, session

ANA = Actor(ActorKind.OPERATOR, "ana")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="hc-") as path:
        yield Path(path)


async def connect(path: Path, **options: Any) -> RemoteHermes:
    """Attach with the machine's clock."""
    return await RemoteHermes.connect(path, SystemClock(), version="0.1.0", **options)


async def rude(path: Path, sent: bytes) -> bytes:
    """Send bytes by hand and read until the other side closes."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def some(stream: AsyncIterator[Record], count: int) -> list[Record]:
    """The next records."""
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


async def until(condition: Any) -> None:
    """Let the loop turn until something holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)


def every_error(kind: type[HermesError] = HermesError) -> Iterator[type[HermesError]]:
    """All classes of the tree."""
    yield kind
    for below in kind.__subclasses__():
        yield from every_error(below)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_crosses_as_its_own_class(kind: type[HermesError]) -> None:
    """Code, message and facts survive."""
    there = error_of(failure_of(kind("no", field="x", limit=3, ratio=0.5, ok=True, none=None)))
    assert type(there) is kind
    assert (there.message, there.facts) == ("no", {"field": "x", "limit": 3, "ratio": 0.5, "ok": True, "none": None})


def test_an_error_from_a_newer_core_keeps_its_code() -> None:
    """A code that is not known here is shown, and the error is still one of ours."""
    assert str(error_of(Failure("weather", "it rains"))) == "it rains (weather)"


async def test_the_socket_belongs_to_its_owner_alone(folder: Path) -> None:
    """Mode 600 from the first moment, and gone when the server has stopped."""
    path = folder / "core.sock"
    async with served(FakeHermes(), path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_another_user_is_not_served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects is asked of the system, not of the caller."""
    async with served(FakeHermes(), folder / "core.sock"):
        monkeypatch.setattr(server, "_uid_of", lambda _: os.geteuid() + 1)
        with pytest.raises(Unauthorised):
            await connect(folder / "core.sock")


async def test_a_socket_that_a_killed_core_left_is_replaced(folder: Path) -> None:
    """A stale socket is removed; a file that is none of ours is not."""
    path = folder / "core.sock"
    async with served(FakeHermes(), path):
        os.link(path, folder / "kept")
    (folder / "kept").rename(path)
    async with served(FakeHermes(), path):
        remote = await connect(path)
        await remote.query(GetHealth())
        await remote.close()
    path.write_text("precious")
    with pytest.raises(ConfigError, match="something else than a socket"):
        await AttachServer(FakeHermes(), path, version="1").run()
    assert path.read_text() == "precious"


async def test_no_core_is_unavailable_with_the_way_to_start_one(folder: Path) -> None:
    """Whether there is no socket or nobody behind it."""
    with pytest.raises(Unavailable, match="hermes-console serve"):
        await connect(folder / "core.sock")


async def test_a_core_that_does_not_greet_is_given_up(folder: Path) -> None:
    """DeadlineExceeded names the limit."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_unix_server(silent, str(folder / "core.sock"))
    async with listener:
        with pytest.raises(DeadlineExceeded) as caught:
            await connect(folder / "core.sock", greeting_limit_s=0.05)
    assert caught.value.facts["limit_s"] == 0.05


async def test_another_protocol_is_named_on_both_sides(folder: Path) -> None:
    """Protocol and version of each, and what to do."""
    async with served(FakeHermes(), folder / "core.sock", version="0.9.0"):
        answer = await rude(folder / "core.sock", packed(Hello(PROTOCOL + 1, "7.0")))
    assert b"0.9.0" in answer
    assert b"7.0" in answer
    assert b"Rejected" in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        struct.pack(">I", 2**31) + b"x",
        packed(Ping(1)),
        packed(Hello(PROTOCOL, "1")) + struct.pack(">I", 5) + b"{nope",
        packed(Hello(PROTOCOL, "1")) * 2,
        packed(Hello(PROTOCOL, "1")) + packed(Subscribe(1, Seq(0), 10)) + packed(Subscribe(1, Seq(0), 2**40)),
    ],
    ids=["http", "too long", "no hello", "garbage", "two hellos", "greedy"],
)
async def test_a_rude_caller_is_hung_up_on_and_disturbs_nobody(folder: Path, sent: bytes) -> None:
    """Its connection closes or its request fails; the next caller is served."""
    async with served(FakeHermes(), folder / "core.sock") as listening:
        reader, writer = await asyncio.open_unix_connection(str(folder / "core.sock"))
        writer.write(sent)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 10)
        writer.close()
        remote = await connect(folder / "core.sock")
        assert (await remote.query(GetHealth())).pid == 4242
        await remote.close()
        await until(lambda: not listening.connection_count)


async def test_who_says_nothing_is_sent_away(folder: Path) -> None:
    """The greeting has a deadline."""
    async with served(FakeHermes(), folder / "core.sock", greeting_limit_s=0.02):
        assert b"in time" in await rude(folder / "core.sock", b"")


async def test_a_caller_acts_as_an_operator(folder: Path) -> None:
    """Nobody orders in the name of the core, of an agent or of a sender."""
    async with attached(FakeHermes()) as remote:
        for kind in (ActorKind.SYSTEM, ActorKind.AGENT, ActorKind.SENDER):
            with pytest.raises(Refused):
                await remote.execute(Shutdown(), actor=Actor(kind, "core"))


async def test_the_command_itself_is_checked(folder: Path) -> None:
    """What is no command is answered with an error, and the connection goes on."""
    async with served(FakeHermes(), folder / "core.sock"):
        reader, writer = await asyncio.open_unix_connection(str(folder / "core.sock"))
        writer.write(packed(Hello(PROTOCOL, "1")) + packed(Execute(1, ANA, raw(b'{"type":"Nonsense"}'))))
        await until(lambda: b"invalid" in bytes(reader._buffer))  # type: ignore[attr-defined]  # what has come so far
        writer.close()
        await writer.wait_closed()


async def test_errors_keep_their_class_and_facts_on_the_far_side() -> None:
    """AlreadyDecided there is AlreadyDecided here."""
    fake = FakeHermes()
    async with attached(fake) as remote:
        fake.fail_next(AlreadyDecided("too late", by="bo", at=3.5))
        with pytest.raises(AlreadyDecided) as caught:
            await remote.query(GetHealth())
        assert caught.value.facts == {"by": "bo", "at": 3.5}


async def test_a_fault_of_the_core_ends_one_request_only() -> None:
    """An exception that is none of ours is named without its words, and the next request is answered."""

    class Faulty(FakeHermes):
        async def execute(self, command: Command[R], *, actor: Actor) -> R:
            raise ZeroDivisionError("secret words")

    async with attached(Faulty()) as remote:
        with pytest.raises(HermesError, match="ZeroDivisionError") as caught:
            await remote.execute(Shutdown(), actor=ANA)
        assert "secret" not in str(caught.value)
        assert (await remote.query(GetHealth())).pid == 4242


async def test_an_order_that_is_not_answered_has_a_deadline() -> None:
    """DeadlineExceeded, and other requests go on."""
    fake = FakeHermes()
    async with attached(fake, request_limit_s=0.05) as remote:
        gate = fake.hold()
        with pytest.raises(DeadlineExceeded, match="GetHealth"):
            await remote.query(GetHealth())
        gate.set()
        assert (await remote.query(GetHealth())).pid == 4242


async def test_a_lost_core_ends_everything_that_waits() -> None:
    """Requests and subscriptions raise Unavailable, and so does all that comes later."""
    fake = FakeHermes()
    async with served(fake) as listening:
        remote = await connect(listening.path)
        fake.hold()
        stream = remote.subscribe(after=Seq(0))
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(failure(remote.query(GetHealth())))
            reading = tasks.create_task(failure(anext(stream)))
            await until(lambda: fake.subscriber_count == 1)
            for caller in listening._connections:
                caller._writer.transport.abort()
        assert type(asking.result()) is Unavailable
        assert type(reading.result()) is Unavailable
        assert type(await failure(remote.query(GetHealth()))) is Unavailable
        await remote.close()


async def failure(awaited: Any) -> HermesError:
    """The error that something ends with."""
    with pytest.raises(HermesError) as caught:
        await awaited
    return caught.value


async def test_a_core_that_stops_answers_what_was_asked_and_says_goodbye() -> None:
    """What runs is answered within the drain, then the connection is lost with that reason."""
    fake = FakeHermes()
    async with asyncio.TaskGroup() as tasks:
        async with served(fake) as listening:
            remote = await connect(listening.path)
            gate = fake.hold()
            asking = tasks.create_task(remote.query(GetHealth()))
            stream = remote.subscribe(after=Seq(0))
            reading = tasks.create_task(failure(anext(stream)))
            await until(lambda: fake.subscriber_count == 1 and next(iter(listening._connections))._requests)
            asyncio.get_running_loop().call_soon(gate.set)
        assert (await asking).pid == 4242
        assert "stopped" in (await reading).message
    assert "stopped" in (await failure(remote.query(GetHealth()))).message
    await remote.close()


async def test_a_reader_that_does_not_read_gets_lagged_and_grows_no_buffer() -> None:
    """The core's own bounded subscription falls behind; at the socket nothing piles up."""
    fake = FakeHermes(buffer_limit=3000)
    async with attached(fake) as remote:
        stream = remote.subscribe(after=Seq(0))
        fake.emit(SessionOpened(session=session("first")))
        await some(stream, 1)
        for number in range(20):
            for _ in range(500):
                fake.emit(SessionOpened(session=session(f"chat{number}")))
            await asyncio.sleep(0)
        held = remote._link.streams[1].bodies
        assert len(held) <= 1024
        with pytest.raises(Lagged):
            await some(stream, 10_001)
        await stream.aclose()


async def test_credit_is_granted_again_as_records_are_read() -> None:
    """Many more records than a window come through whole and in order."""
    fake = FakeHermes()
    for _ in range(5000):
        fake.emit(SessionOpened(session=session("ana")))
    async with attached(fake) as remote:
        stream = remote.subscribe(after=Seq(0))
        assert [record.seq for record in await some(stream, 5000)] == list(range(1, 5001))
        await stream.aclose()
        await until(lambda: not fake.subscriber_count)


async def test_live_records_come_with_their_mark() -> None:
    """What is never stored is told as such."""
    fake = FakeHermes()
    async with attached(fake) as remote:
        stream = remote.subscribe(after=Seq(0))
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(some(stream, 1))
            await until(lambda: fake.subscriber_count)
            output = RunOutput(session_id=SessionId("s"), run_id="r", offset=0, text="hé\x00")  # type: ignore[arg-type]  # plain text
            fake.emit(output, durable=False)
        assert reading.result()[0].event == output
        assert not reading.result()[0].durable
        await stream.aclose()


async def test_too_many_requests_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overloaded names the bound; the others are answered."""
    monkeypatch.setattr(connection, "_REQUEST_LIMIT", 2)
    fake = FakeHermes()
    async with attached(fake) as remote:
        gate = fake.hold()
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(remote.query(GetHealth())) for _ in range(2)]
            await until(lambda: len(remote._link.answers) == 2)
            refused = await failure(remote.query(GetHealth()))
            gate.set()
        assert isinstance(refused, Overloaded)
        assert refused.facts["bound"] == "requests"
        assert [task.result().pid for task in asking] == [4242, 4242]


async def test_too_many_callers_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is named, and a place that becomes free is taken."""
    monkeypatch.setattr(server, "_CONNECTION_LIMIT", 1)
    async with served(FakeHermes(), folder / "core.sock") as listening:
        first = await connect(folder / "core.sock")
        with pytest.raises(Overloaded):
            await connect(folder / "core.sock")
        await first.close()
        await until(lambda: not listening.connection_count)
        await (await connect(folder / "core.sock")).close()


async def test_an_answer_that_does_not_fit_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused with the advice to ask for less, not a broken connection."""
    monkeypatch.setattr("core.attach.frames.FRAME_LIMIT_BYTES", 1500)
    fake = FakeHermes(sessions=[session("ana", title="x" * 3000)])
    async with attached(fake) as remote:
        refused = await failure(remote.query(GetSession(session_id=SessionId("local:dm:ana"))))
        assert refused.facts["rule"] == "frame_limit"
        assert isinstance(await failure(remote.query(GetSession(session_id=SessionId("no")))), NotFound)


async def test_a_core_that_gives_no_sign_of_life_is_taken_for_lost() -> None:
    """A quiet subscription asks; three questions in vain are the end, by the monotonic clock."""
    clock, fake = FakeClock(), FakeHermes()
    async with served(fake) as listening:
        remote = await RemoteHermes.connect(listening.path, clock, ping_every_s=0.01)
        stream = remote.subscribe(after=Seq(0))
        heard = remote._link.heard
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(failure(anext(stream)))
            clock.step(0.02)
            await until(lambda: remote._link.heard > heard)
            for caller in listening._connections:
                caller._writer.transport.pause_reading()  # type: ignore[attr-defined]  # as a core that hangs
            clock.step(60)
        assert "not been heard" in reading.result().message
        await remote.close()


async def test_leaving_a_generator_early_ends_the_subscription_over_there() -> None:
    """aclose() tells the core."""
    fake = FakeHermes()
    fake.emit(SessionOpened(session=session("ana")))
    async with attached(fake) as remote:
        stream = remote.subscribe(after=Seq(0))
        assert isinstance(stream, AsyncGenerator)
        await some(stream, 1)
        assert fake.subscriber_count == 1
        await stream.aclose()
        await until(lambda: not fake.subscriber_count)
