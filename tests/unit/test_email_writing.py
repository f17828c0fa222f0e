"""An answer becomes a mail: headers that nobody injects into, threads, HTML that is safe, files, errors of SMTP."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import DeliveryId, PlatformName, SessionId
from core.api.sessions import ChatKind, Source
from core.gateway.adapters.email_headers import message_ids
from core.gateway.adapters.email_smtp import failure
from core.gateway.adapters.email_writing import Answered, Letter, compose, html_of, message_id_of
from core.gateway.parts import parts_of
from core.gateway.platform import FileKind, Limits, Outbound, OutboundFile, PlatformErrorKind

NAME = PlatformName("post")
TEXT = st.text(max_size=60)


def outbound(text: str, *, delivery: str = "d1", files: tuple[OutboundFile, ...] = ()) -> Outbound:
    """A message of ours."""
    return Outbound(
        delivery_id=DeliveryId(delivery),
        session_id=SessionId("post:dm:ana"),
        source=Source(platform=NAME, kind=ChatKind.DM, chat="ana@example.org"),
        text=text,
        files=files,
    )


def written(
    text: str = "hello",
    *,
    answers: Answered | None = None,
    to: str = "ana@example.org",
    name: str = "",
    html: bool = True,
    files: tuple[tuple[OutboundFile, bytes], ...] = (),
) -> EmailMessage:
    """The mail as it arrives."""
    message = outbound(text, files=tuple(file for file, _ in files))
    letter = Letter(
        message_id=message_id_of(message, "bot@example.org"),
        sender="bot@example.org",
        sender_name=name,
        to=to,
        at=1_780_000_000.0,
        answers=answers,
        has_html=html,
    )
    raw = compose(letter, message, [contents for _, contents in files]).as_bytes()
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    return message_from_bytes(raw, _class=EmailMessage, policy=default)


def plain(mail: EmailMessage) -> str:
    """Its plain text."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n").rstrip("\n")


def test_a_delivery_has_one_message_id() -> None:
    """On every attempt; each part of a long answer has its own."""
    assert message_id_of(outbound("a"), "bot@example.org") == message_id_of(outbound("b"), "bot@example.org")
    ids = {message_id_of(outbound("a", delivery=name), "bot@example.org") for name in ("d1", "d1.2", "d1.3")}
    assert len(ids) == 3
    assert all(item.endswith("@example.org") for item in ids)


def test_an_answer_is_in_its_thread() -> None:
    """It names the mail that it answers and all before it, under the same subject."""
    mail = written(answers=Answered(native_id="3@x", references=["1@x", "2@x"], subject="AW: Größe"))
    assert mail["Subject"] == "Re: Größe"
    assert (mail["In-Reply-To"], mail["References"]) == ("<3@x>", "<1@x> <2@x> <3@x>")
    assert mail["Auto-Submitted"] == "auto-replied"


def test_news_begin_a_thread() -> None:
    """Their first line is the subject."""
    mail = written("## The **build** is broken\n\nmore")
    assert mail["Subject"] == "The build is broken"
    assert mail["In-Reply-To"] is None
    assert mail["Auto-Submitted"] == "auto-generated"


@given(
    st.lists(
        st.text(st.characters(codec="ascii", exclude_characters="<>", categories=["L", "N", "P"]), min_size=1),
        max_size=40,
    )
)
def test_ids_arrive_as_they_were(ids: list[str]) -> None:
    """However many and long they are: one that is folded or encoded is another one."""
    long = ["x" * 240 + f"{number}@home" for number in range(30)]
    for given_ids in (ids, [*ids, *long]):
        known = message_ids("".join(f"<{item}>" for item in given_ids))
        mail = written(answers=Answered(native_id="last@x", references=known, subject="s"))
        sent = message_ids(str(mail["References"]))
        assert sent[-1] == "last@x"
        assert list(sent[1:-1]) == list(known[len(known) - len(sent) + 2 :])
        assert sent[0] == [*known, "last@x"][0]


@given(TEXT, TEXT, TEXT, TEXT)
def test_nothing_is_injected(subject: str, name: str, text: str, file_name: str) -> None:
    """Headers are the ones that we write, each once, whatever the words hold."""
    file = OutboundFile(kind=FileKind.DOCUMENT, name=file_name, mime=text, path="/x", size_bytes=1)
    mail = written(
        f"{text}\r\n.\r\nx", answers=Answered(native_id="1@x", subject=subject), name=name, files=((file, b"x"),)
    )
    wanted = "From To Subject Date Message-ID In-Reply-To References Auto-Submitted X-Auto-Response-Suppress"
    assert sorted(mail.keys()) == sorted([*wanted.split(), "MIME-Version", "Content-Type"])
    assert [item.get_payload(decode=True) for item in mail.iter_attachments()] == [b"x"]
    assert mail["To"].addresses[0].addr_spec == "ana@example.org"


@pytest.mark.parametrize("to", ["ana", "a\r\nBcc: eve@example.net@example.org", "ünal@example.org", "a@" + "ü" * 80])
def test_what_is_no_address_is_refused(to: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError):
        written(to=to)


def test_a_domain_is_spelt_in_ascii() -> None:
    """As DNS has it."""
    assert written(to="ana@bücher.example")["To"] == "ana@xn--bcher-kva.example"


@given(TEXT)
def test_text_arrives_as_it_was(text: str) -> None:
    """Apart from control characters and ends of lines."""
    clean = "".join(
        letter for letter in text.replace("\r\n", "\n").replace("\r", "\n") if letter in "\n\t" or letter >= " "
    )
    assert plain(written(text)).rstrip("\n") == clean.rstrip("\n")


@pytest.mark.parametrize(
    "text",
    [
        "<script>x</script>",
        "![x](https://example.net/?leak)",
        "[x](javascript:alert)",
        "[x](data:text/html,x)",
        '<img src="https://example.net/x">',
        "![x][y]\n\n[y]: https://example.net/x",
    ],
)
def test_html_loads_and_runs_nothing(text: str) -> None:
    """An agent may be made to write such things; opening the mail must tell nobody."""
    page = html_of(text)
    assert all(word not in page for word in ("<script", "<img", 'href="javascript', 'href="data'))


def test_markdown_is_shown() -> None:
    """Bold, code, tables, links."""
    page = html_of("**b** `c` [l](https://example.org)\n\n|a|\n|-|\n|1|")
    assert all(
        part in page for part in ("<strong>b</strong>", "<code>c</code>", 'href="https://example.org"', "<td>1</td>")
    )


def test_html_can_be_left_out() -> None:
    """Then there is one part."""
    assert written(html=False).get_content_type() == "text/plain"


@pytest.mark.parametrize("mime", ["message/rfc822", "multipart/mixed", "", "x\r\ny: z", "text/plain", "image/png"])
def test_files_of_any_kind_arrive_whole(mime: str) -> None:
    """Byte for byte, under their names; what a reader would take apart is sent as bytes."""
    contents = bytes(range(256))
    file = OutboundFile(kind=FileKind.DOCUMENT, name="Bild ä.bin", mime=mime, path="/x", size_bytes=256)
    (part,) = written(files=((file, contents),)).iter_attachments()
    assert (part.get_filename(), part.get_payload(decode=True)) == ("Bild ä.bin", contents)


@pytest.mark.parametrize(
    ("code", "text", "is_about_address", "kind"),
    [
        (421, "4.3.0 later", False, PlatformErrorKind.RETRY_AFTER),
        (450, "greylisted", True, PlatformErrorKind.RETRY_AFTER),
        (550, "5.1.1 unknown", True, PlatformErrorKind.GONE),
        (550, "no such user", True, PlatformErrorKind.GONE),
        (550, "spam", False, PlatformErrorKind.REFUSED),
        (550, "5.7.1 not from you", True, PlatformErrorKind.REFUSED),
        (552, "5.2.2 over quota", True, PlatformErrorKind.RETRY_AFTER),
        (552, "5.3.4 too big", False, PlatformErrorKind.REFUSED),
        (530, "5.7.0 log in first", False, PlatformErrorKind.UNAUTHORISED),
        (550, "5.7.57 not authenticated", False, PlatformErrorKind.UNAUTHORISED),
        (554, "5.2.1 disabled", True, PlatformErrorKind.GONE),
    ],
)
def test_an_answer_of_a_server_says_what_comes_next(
    code: int, text: str, is_about_address: bool, kind: PlatformErrorKind
) -> None:
    """By its enhanced code, and by the code itself where there is none. Its words, which may be anything, stay out."""
    error = failure(code, text, is_about_address=is_about_address)
    assert error.kind is kind
    assert text.rpartition(" ")[2] not in error.message.replace("there is no such address", "")
    assert error.is_for_chat == (kind is PlatformErrorKind.RETRY_AFTER and is_about_address)


def test_files_go_with_the_last_part_of_the_text() -> None:
    """One mail carries both; a text alone and files alone are one mail too."""
    limits = Limits(text_limit=100, files_with_text=True)
    files = tuple(OutboundFile(kind=FileKind.PHOTO, name=name, mime="", path="/x", size_bytes=1) for name in "ab")
    cut = parts_of(outbound("word " * 40, files=files), limits)
    assert [len(part.files) for part in cut] == [0] * (len(cut) - 1) + [2]
    assert (len(cut) > 1, {part.part_count for part in cut}) == (True, {len(cut)})
    for text in ("short", ""):
        (whole,) = parts_of(outbound(text, files=files), limits)
        assert (whole.text, whole.files, whole.part_count) == (text, files, 1)
    apart = parts_of(outbound("short", files=files), Limits(text_limit=100))
    assert [len(part.files) for part in apart] == [0, 1, 1]
