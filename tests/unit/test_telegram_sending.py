"""How our side of Telegram deals with answers: refusals, doubts, floods, hostile ones."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.api.base import DeliveryId, PlatformName, SessionId
from core.api.sessions import ChatKind, Source
from core.clock import SystemClock
from core.gateway.adapters.telegram_api import BotApi
from core.gateway.adapters.telegram_errors import CONFLICT_WAIT_S, BotError
from core.gateway.adapters.telegram_sending import Sending
from core.gateway.adapters.web import WebClient
from core.gateway.platform import FileKind, Outbound, OutboundFile, PlatformError, PlatformErrorKind
from core.secrets import Secret

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
TG = PlatformName("tg")
Kind = PlatformErrorKind


def refused(status: int, description: str, **parameters: Any) -> httpx.Response:
    """A refusal of the Bot API."""
    value: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    return httpx.Response(status, json={**value, "parameters": parameters} if parameters else value)


def taken(number: int = 9) -> httpx.Response:
    """A message that was sent."""
    return httpx.Response(200, json={"ok": True, "result": {"message_id": number, "date": 1}})


class Far:
    """A far side that answers as told, the last answer for ever."""

    def __init__(self, *answers: httpx.Response | BaseException) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        clock = SystemClock()
        secret = Secret(TOKEN)
        web = WebClient("tg.example.org", clock, secrets=(secret,), transport=httpx.MockTransport(self._answer))
        self.api = BotApi("https://tg.example.org/", secret, clock, web)
        self.sending = Sending(self.api, clock)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        # One that was not read before, as on a real line.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))

    @property
    def methods(self) -> list[str]:
        """What was called."""
        return [request.url.path.rpartition("/")[2] for request in self.requests]

    def body(self, place: int = -1) -> dict[str, Any]:
        """The parameters of a call."""
        found: dict[str, Any] = json.loads(self.requests[place].content)
        return found


def outbound(text: str = "hi", *, chat: str = "8841", number: int = 1, **more: Any) -> Outbound:
    """A message to Ann."""
    source = Source(platform=TG, kind=ChatKind.DM, chat=chat)
    return Outbound(delivery_id=DeliveryId(f"d{number}"), session_id=SessionId("s"), source=source, text=text, **more)


async def failure(far: Far, message: Outbound | None = None) -> PlatformError:
    """How sending a message fails."""
    with pytest.raises(PlatformError) as caught:
        await far.sending.send(message or outbound())
    assert TOKEN not in str(caught.value)
    assert TOKEN.partition(":")[2] not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


MEANINGS = [
    (400, "Bad Request: chat not found", Kind.GONE),
    (400, "Bad Request: message thread not found", Kind.GONE),
    (400, "Bad Request: TOPIC_CLOSED", Kind.GONE),
    (400, "Bad Request: message is too long", Kind.REFUSED),
    (400, "Bad Request: BUTTON_DATA_INVALID", Kind.REFUSED),
    (401, "Unauthorized", Kind.UNAUTHORISED),
    (404, "Not Found", Kind.UNAUTHORISED),
    (403, "Forbidden: bot was blocked by the user", Kind.REFUSED),
    (403, "Forbidden: user is deactivated", Kind.GONE),
    (403, "Forbidden: bot was kicked from the supergroup chat", Kind.GONE),
    (403, "Forbidden: bot can't initiate conversation with a user", Kind.REFUSED),
    (413, "Request Entity Too Large", Kind.REFUSED),
    (409, "Conflict: terminated by other getUpdates request", Kind.RETRY_AFTER),
    (500, "Internal Server Error", Kind.RETRY_AFTER),
    (502, "Bad Gateway", Kind.RETRY_AFTER),
]


@pytest.mark.parametrize(("status", "description", "kind"), MEANINGS)
async def test_a_refusal_has_a_meaning(status: int, description: str, kind: Kind) -> None:
    """From its number, and where that says too little from its words."""
    assert (await failure(Far(refused(status, description)))).kind is kind


async def test_somebody_else_who_reads_is_named_and_waited_for() -> None:
    """Trying again at once would only cut the other one off."""
    error = await failure(Far(refused(409, "Conflict: terminated by other getUpdates request")))
    assert "another program reads" in error.message
    assert error.retry_after_s == CONFLICT_WAIT_S


async def test_a_wish_to_wait_concerns_the_chat_until_a_second_chat_is_told_the_same() -> None:
    """Telegram does not say whom it means; two chats at once are the account."""
    far = Far(refused(429, "Too Many Requests: retry after 7", retry_after=7))
    first = await failure(far, outbound(chat="1", number=1))
    again = await failure(far, outbound(chat="1", number=1))
    other = await failure(far, outbound(chat="2", number=2))
    assert [error.retry_after_s for error in (first, again, other)] == [7, 7, 7]
    assert [error.is_for_chat for error in (first, again, other)] == [True, True, False]


async def test_html_that_cannot_be_read_is_sent_as_it_was_written() -> None:
    """Nothing is lost because of a mark."""
    far = Far(refused(400, "Bad Request: can't parse entities: Unsupported start tag"), taken())
    assert await far.sending.send(outbound("**x**")) == "8841/9"
    assert far.body(0)["parse_mode"] == "HTML"
    assert (far.body(1)["text"], "parse_mode" in far.body(1)) == ("**x**", False)


async def test_an_edit_that_changes_nothing_has_succeeded() -> None:
    """An edit that was carried out and not answered for is answered so when it is tried again."""
    far = Far(refused(400, "Bad Request: message is not modified: specified new message content and so on"))
    assert await far.sending.send(outbound(edits="8841/3")) == "8841/3"


async def test_the_text_of_a_file_is_edited_as_its_caption() -> None:
    """The core need not know what kind of message it was."""
    far = Far(refused(400, "Bad Request: there is no text in the message to edit"), taken(3))
    assert await far.sending.send(outbound("new", edits="8841/3")) == "8841/3"
    assert far.methods == ["editMessageText", "editMessageCaption"]
    assert far.body()["caption"] == "new"
    assert "link_preview_options" not in far.body()


async def test_a_group_that_moved_is_followed() -> None:
    """At once, and from then on; an edit of a message of the old one keeps its chat."""
    moved = refused(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-100777)
    far = Far(moved, taken(1), taken(2), taken(3))
    assert await far.sending.send(outbound(chat="-5", reply_to="-5/4")) == "-100777/1"
    assert await far.sending.send(outbound(chat="-5", number=2)) == "-100777/2"
    assert [far.body(place)["chat_id"] for place in range(3)] == [-5, -100777, -100777]
    assert "reply_parameters" not in far.body(1)
    await far.sending.send(outbound(chat="-5", number=3, edits="-100777/2"))
    assert far.body()["chat_id"] == -100777


DOUBTS: list[httpx.Response | Exception] = [
    httpx.ReadTimeout("x"),
    httpx.ReadError("x"),
    httpx.RemoteProtocolError(f"https://tg.example.org/bot{TOKEN}/sendMessage"),
    refused(502, "Bad Gateway"),
    httpx.Response(200, text="<html>no answer of a bot"),
]


@pytest.mark.parametrize("doubt", DOUBTS)
async def test_a_try_without_an_answer_is_tried_again_and_the_doubt_is_said(doubt: httpx.Response | Exception) -> None:
    """Losing an answer is worse than showing it twice."""
    far = Far(doubt, refused(429, "Too Many Requests: retry after 1", retry_after=1), taken())
    assert "nobody knows whether it was sent" in (await failure(far)).message
    assert "an earlier try may have been sent" in (await failure(far)).message
    assert await far.sending.send(outbound()) == "8841/9"


@pytest.mark.parametrize("certain", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), refused(403, "Forbidden: x")])
async def test_a_try_that_never_left_or_was_refused_leaves_no_doubt(certain: httpx.Response | Exception) -> None:
    """Then nothing can appear twice."""
    far = Far(certain)
    assert "sent" not in (await failure(far)).message


async def test_a_wait_that_was_cut_off_leaves_a_doubt_too() -> None:
    """The core has a deadline of its own."""
    far = Far(asyncio.CancelledError(), httpx.ConnectError("x"))
    with pytest.raises(asyncio.CancelledError):
        await far.sending.send(outbound())
    assert "an earlier try may have been sent" in (await failure(far)).message


async def test_an_edit_leaves_no_doubt() -> None:
    """Done twice it is the same as once."""
    assert "twice" not in (await failure(Far(httpx.ReadError("x")), outbound(edits="8841/3"))).message


async def test_what_is_sent_is_not_sent_again() -> None:
    """Neither a whole message nor the part of one whose second call failed."""
    far = Far(taken(1))
    files = (document("/nowhere"), document("/nowhere"))
    for _ in range(2):
        with pytest.raises(PlatformError, match="cannot be read") as caught:
            await far.sending.send(outbound(files=files))
        assert "may have been sent" not in caught.value.message
    assert far.methods.count("sendMessage") == 1
    assert await far.sending.send(outbound(number=2)) == await far.sending.send(outbound(number=2))


def document(path: str, size: int = 10, **more: Any) -> OutboundFile:
    """A file to send."""
    made = {"kind": FileKind.DOCUMENT, "name": "f.bin", "mime": "application/x", "path": path, "size_bytes": size}
    return OutboundFile(**{**made, **more})


async def test_a_picture_that_telegram_cannot_take_goes_as_a_document(tmp_path: Path) -> None:
    """Its contents matter more than how it is shown."""
    path = tmp_path / "p"
    path.write_bytes(b"0123456789")
    far = Far(refused(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"), taken())
    await far.sending.send(outbound("", files=(document(str(path), kind=FileKind.PHOTO, mime="image/png"),)))
    assert far.methods == ["sendPhoto", "sendDocument"]
    assert b"0123456789" in far.requests[1].content


async def test_a_file_cannot_end_its_own_part(tmp_path: Path) -> None:
    """Neither its contents nor its name nor a text can add a parameter."""
    path = tmp_path / "p"
    path.write_bytes(b'--x\r\ncontent-disposition: form-data; name="chat_id"\r\n\r\n666\r\n')
    size = path.stat().st_size
    far = Far(taken())
    name = 'a"\r\ncontent-disposition: form-data; name="chat_id'
    await far.sending.send(outbound('x\r\n--x\r\nname="chat_id"', files=(document(str(path), size, name=name),)))
    request = far.requests[0]
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    parts = request.content.split(b"--" + boundary)
    assert sum(part.startswith(b'\r\ncontent-disposition: form-data; name="chat_id"\r\n') for part in parts) == 1
    assert int(request.headers["content-length"]) == len(request.content)


@pytest.mark.parametrize("size", [5, 20])
async def test_a_file_that_has_changed_is_not_sent(tmp_path: Path, size: int) -> None:
    """Half of something else would be worse."""
    path = tmp_path / "p"
    path.write_bytes(b"0123456789")
    error = await failure(Far(taken()), outbound("", files=(document(str(path), size),)))
    assert (error.kind, "changed its size" in error.message) == (Kind.REFUSED, True)


HOSTILE = [
    httpx.Response(200, content=b"\xff\xfe"),
    httpx.Response(200, json=[]),
    httpx.Response(200, json={"ok": True}),
    httpx.Response(200, json={"ok": "true", "result": {}}),
    httpx.Response(200, content=b"[" * 100_000),
    httpx.Response(302, headers={"location": "https://evil.example.org/"}),
    httpx.Response(400, json={"description": {"a": 1}, "parameters": [], "error_code": "x"}),
    httpx.Response(429, json={"ok": False, "error_code": 429, "parameters": {"retry_after": -5}}),
    httpx.Response(429, json={"ok": False, "error_code": 429, "parameters": {"retry_after": 1e300}}),
    httpx.Response(400, json={"ok": False, "error_code": 400, "description": f"you sent {TOKEN}\x1b[2J"}),
]


@pytest.mark.parametrize("answer", HOSTILE)
async def test_a_hostile_answer_is_an_error_of_ours_or_an_id(answer: httpx.Response) -> None:
    """It leads nowhere, shows no token, and makes nobody wait for ever."""
    far = Far(answer)
    native, error = "8841/", None
    try:
        native = await far.sending.send(outbound())
    except PlatformError as caught:
        error = caught
    assert native.startswith("8841/")
    assert error is None or TOKEN not in error.message
    assert error is None or error.retry_after_s is None or 0 <= error.retry_after_s <= 86_400
    assert len(far.requests) == 1


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", 5, None])
async def test_a_file_is_fetched_from_nowhere_else(path: object) -> None:
    """Where the server names a place outside of its own files."""
    far = Far(httpx.Response(200, json={"ok": True, "result": {"file_path": path}}))
    with pytest.raises(PlatformError, match="no place"):
        [piece async for piece in far.api.download("F1")]
    assert len(far.requests) == 1


async def test_a_file_that_grows_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever size was announced."""
    monkeypatch.setattr("core.gateway.adapters.telegram_api.FETCH_LIMIT_BYTES", 100)
    place = httpx.Response(200, json={"ok": True, "result": {"file_path": "a?b#c/d e"}})
    far = Far(place, httpx.Response(200, content=b"x" * 101))
    with pytest.raises(PlatformError, match="more than 100 bytes"):
        [piece async for piece in far.api.download("F1")]
    assert far.requests[1].url.raw_path.endswith(b"/a%3Fb%23c/d%20e")


async def test_the_token_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Not even where everything is."""
    caplog.set_level("DEBUG")
    far = Far(taken())
    await far.sending.send(outbound())
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(far.api.__dict__)


def test_a_refusal_says_what_it_was_about() -> None:
    """For those who look closer."""
    error = BotError(Kind.REFUSED, "x", description="Message Is Not Modified", status=400)
    assert error.is_unchanged
    assert not error.has_left_doubt
