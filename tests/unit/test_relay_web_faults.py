"""Calls of the relay that fail: what is known of the request then."""

import asyncio
import errno
import os
import socket

import pytest

from core.api.relay_tasks import AttemptResult
from core.breaker import Outcome
from core.relay.outcome import outcome_of, reply_of
from core.relay.web import CallError
from tests.support.far_side import Heard, far_side, raw, says, silent
from tests.support.relay_web import LIMIT_S, LOOPBACK, SHORT_S, Names, failed, web_of


async def test_a_port_without_a_listener_was_not_reached() -> None:
    """Nothing of the request left, and it is no rule of ours."""
    async with far_side(says(200)) as far:
        port = far.port
    async with web_of() as web:
        error = await failed(web, f"http://127.0.0.1:{port}/")
        assert (error.result, error.is_ours) == (AttemptResult.UNDELIVERED, False)
        assert "connection refused" in str(error)


async def test_a_name_that_nobody_knows_was_not_reached() -> None:
    """The reason names it."""
    async with web_of(Names()) as web:
        error = await failed(web, "http://bot.example/")
        assert (error.result, error.is_ours) == (AttemptResult.UNDELIVERED, False)
        assert "bot.example cannot be resolved" in str(error)


async def test_a_name_server_that_hangs_costs_the_deadline_and_no_more() -> None:
    """Nothing left."""
    names = Names()
    names.hangs = True
    async with web_of(names) as web:
        error = await failed(web, "http://bot.example/", limit_s=SHORT_S)
        assert error.result is AttemptResult.UNDELIVERED


async def test_a_far_side_that_never_answers_may_have_seen_the_request() -> None:
    """Nobody can tell."""
    async with far_side(silent) as far, web_of() as web:
        error = await failed(web, far.url, limit_s=SHORT_S)
        assert error.result is AttemptResult.UNKNOWN
        assert "no answer within 0.2 s" in str(error)
        await asyncio.wait_for(far.ended.wait(), LIMIT_S)


async def test_a_listener_that_never_reads_ends_at_the_deadline() -> None:
    """The connection stands, and nothing comes of it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        async with web_of() as web:
            error = await failed(web, f"http://127.0.0.1:{port}/", limit_s=SHORT_S)
            assert error.result is AttemptResult.UNKNOWN


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"\x00\xff" * 1000,
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
)
async def test_what_is_no_answer_leaves_the_outcome_unknown(answer: bytes) -> None:
    """The request left; what came back says nothing."""
    async with far_side(raw(answer)) as far, web_of() as web:
        error = await failed(web, far.url)
        assert error.result is AttemptResult.UNKNOWN
        assert not error.is_ours


async def test_a_connection_that_is_reset_leaves_the_outcome_unknown() -> None:
    """The request had left."""

    async def reset(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with far_side(reset) as far, web_of() as web:
        assert (await failed(web, far.url)).result is AttemptResult.UNKNOWN


async def test_an_answer_that_drips_is_taken_as_far_as_it_came() -> None:
    """The status alone says that the far side has the request; the deadline counts for all of it."""

    async def drip(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with far_side(drip) as far, web_of() as web:
        answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=SHORT_S)
        assert (answer.status, answer.is_cut) == (200, True)
        assert 0 < len(answer.body) < 1000


async def test_a_body_is_cut_at_its_limit() -> None:
    """That of an error much earlier; what follows is not read."""
    async with far_side(says(200, b"x" * 5000)) as far, web_of() as web:
        answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S, limit_bytes=1000)
        assert (len(answer.body), answer.is_cut) == (1000, True)
        far.answer = says(500, b"x" * 5000)
        answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert (answer.status, len(answer.body), answer.is_cut) == (500, 2048, True)
        far.answer = says(200, b"x" * 1000)
        answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S, limit_bytes=1000)
        assert (len(answer.body), answer.is_cut) == (1000, False)


async def test_a_packed_body_is_not_unpacked() -> None:
    """Nobody asked for it, and it may be much larger inside."""
    async with far_side(says(200, b"\x1f\x8b" + b"x" * 100, Content_Encoding="gzip")) as far, web_of() as web:
        answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert (answer.status, answer.body, answer.is_cut) == (200, b"", True)
        assert far.heard[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(("asked", "seconds"), [("120", 120.0), ("999999999", 86_400.0), ("soon", None), ("-5", None)])
async def test_how_long_to_wait_is_read_and_capped(asked: str, seconds: float | None) -> None:
    """Seconds, at most a day; what is neither seconds nor a date says nothing."""
    async with far_side(says(503, Retry_After=asked)) as far, web_of() as web:
        answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert answer.retry_after_s == seconds


async def test_a_header_that_cannot_be_written_sends_nothing() -> None:
    """A line break in it would begin another header."""
    async with far_side(says(200)) as far, web_of() as web:
        for value in ("a\r\nX-Other: b", "a\nb", "\u20ac"):
            with pytest.raises(CallError) as caught:
                await web.call("GET", far.url, headers={"x": value}, networks=LOOPBACK, limit_s=LIMIT_S)
            assert caught.value.result is AttemptResult.UNDELIVERED
            # It is no failure of the far side: its breaker learns nothing of it.
            assert caught.value.is_ours
        assert bytes(far.seen) == b""


async def test_a_cancelled_call_is_cancelled() -> None:
    """It is not turned into a failure, and its connection is closed."""
    async with far_side(silent) as far, web_of() as web:
        task = asyncio.ensure_future(web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S))
        await asyncio.wait_for(far.came.wait(), LIMIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(far.ended.wait(), LIMIT_S)


async def test_when_all_is_closed_a_call_is_cut_off() -> None:
    """Those under way, and those that come later."""
    async with far_side(silent) as far, web_of() as web:
        task = asyncio.ensure_future(failed(web, far.url))
        await asyncio.wait_for(far.came.wait(), LIMIT_S)
        await web.close()
        assert (await asyncio.wait_for(task, LIMIT_S)).result is AttemptResult.CUT_OFF
        assert (await failed(web, far.url)).result is AttemptResult.CUT_OFF


async def test_one_far_side_that_hangs_holds_up_no_other() -> None:
    """A hundred calls wait for nothing while others are answered."""
    async with far_side(silent) as hole, far_side(says(200)) as far, web_of() as web:
        waiting = [asyncio.ensure_future(failed(web, hole.url)) for _ in range(100)]
        await asyncio.wait_for(hole.came.wait(), LIMIT_S)
        for _ in range(20):
            answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
            assert answer.status == 200
        assert not any(task.done() for task in waiting)
        await web.close()
        await asyncio.wait_for(asyncio.gather(*waiting), LIMIT_S)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_a_machine_that_has_no_connection_left_says_nothing_about_the_far_side(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its breaker nor the plan of the message count it: it is made again as one that was cut off."""

    def none_left(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    async with web_of(Names(bot_example=["127.0.0.1", "127.0.0.2"])) as web:
        await failed(web, "http://127.0.0.1:1/")
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "create_connection", none_left)
            for host in ("127.0.0.1", "bot.example"):
                error = await failed(web, f"http://{host}:1/")
                assert (error.result, error.is_ours) == (AttemptResult.CUT_OFF, False)
                assert os.strerror(number).lower() in str(error)
                reply = reply_of(str(error), error.result, is_ours=error.is_ours)
                assert outcome_of(reply) is Outcome.NEUTRAL


async def test_a_machine_that_cannot_load_what_calls_says_nothing_about_the_far_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A later call tries again."""

    def none_left(name: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async with far_side(says(200)) as far, web_of() as web:
        with monkeypatch.context() as patch:
            patch.setattr("core.relay.web.importlib.import_module", none_left)
            assert (await failed(web, far.url)).result is AttemptResult.CUT_OFF
        assert (await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)).status == 200


async def test_what_announces_an_answer_without_end_is_no_answer() -> None:
    """Each piece of it would cost the core more than the far side."""

    async def announce(heard: Heard, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 300)
            await writer.drain()

    async with far_side(announce) as far, web_of() as web:
        error = await failed(web, far.url)
        assert error.result is AttemptResult.UNKNOWN
        assert "not HTTP" in str(error)
        await asyncio.wait_for(far.ended.wait(), LIMIT_S)


async def test_a_body_in_a_great_many_tiny_pieces_is_cut() -> None:
    """Long before its limit; one in pieces of the usual size is not."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with far_side(raw(head + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")) as far, web_of() as web:
        answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert (answer.status, answer.is_cut) == (200, True)
        assert len(answer.body) < 20_000
        with pytest.raises(CallError, match="pieces of a few bytes"):
            [line async for line in web.lines("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)]
        far.answer = raw(head + (b"10\r\n" + b"x" * 16 + b"\r\n") * 20_000 + b"0\r\n\r\n")
        answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert (len(answer.body), answer.is_cut) == (320_000, False)
