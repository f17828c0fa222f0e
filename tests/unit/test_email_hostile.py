"""Mail and servers that mean harm: who a mail is from, what it costs to read it, and what a server may say."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import closing
from email.errors import MissingHeaderBodySeparatorDefect, MultipartInvariantViolationDefect
from email.parser import BytesHeaderParser
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.errors import ConfigError
from core.gateway.adapters.email_headers import Headers, decoded, small, text_of
from core.gateway.adapters.email_html import text_of_html
from core.gateway.adapters.email_imap import Imap, ImapLost, ImapRefused
from core.gateway.adapters.email_reading import file_of, headers_of, read_mail
from core.gateway.adapters.email_smtp import sending_s
from core.gateway.adapters.email_trust import doubt, results, sender_of
from core.gateway.platform import PlatformError, PlatformErrorKind
from core.platform_settings import MailServer
from core.secrets import Secret
from tests.support.email_rig import post
from tests.support.fake_imap import fake_imap, serving
from tests.support.platform_rig import RigInbox, outbound, running
from tests.support.rig_email import fake_rig

MX = "mx.example.org"
PROOF = f"Authentication-Results: {MX}; dmarc=pass header.from=example.org"


def headers(*lines: str) -> Headers:
    """Of a mail with these lines."""
    return headers_of("\r\n".join([*lines, "", "text", ""]).encode())


def text(raw: bytes) -> str:
    """What a session is given of a mail."""
    return read_mail(raw, headers_of(raw), place="1/1").text


def doubts(*lines: str) -> str:
    """Why the sender of a mail is not proved."""
    found = headers(*lines)
    return doubt(found, sender_of(found), MX)


@pytest.mark.parametrize("blank", ["\u00a0", "\u2028", "\u0085", "\u3000", "\x1f", "\u200b"])
def test_a_blank_that_is_not_ascii_separates_nothing(blank: str) -> None:
    """The sender wrote it into his own address, and the server quotes it as it came."""
    said = f"Authentication-Results: {MX}; spf=pass smtp.mailfrom=example.org{blank}@evil.example"
    assert doubts("From: ana@example.org", said)
    assert sender_of(headers(f"From: ana{blank}@example.org")) == ""
    assert sender_of(headers(f"From: ana@example.org{blank}<eve@evil.example>")) == ""


ATOMS = st.text(st.sampled_from("abcorg.=+-_/{}|~!#$%&'*?^`@") | st.characters(codec="utf-8"), max_size=30)


@given(
    ATOMS.filter(lambda text: not set(text) & set('\r\n \t;()"\\')),
    st.sampled_from(["", "example.org", "x@example.org"]),
)
def test_no_address_of_a_stranger_proves_another_domain(local: str, begin: str) -> None:
    """Whatever stands before the last sign of his address, quoted by the server as it came."""
    address = f"{begin}{local}@evil.example"
    for said in (
        f"spf=pass smtp.mailfrom={address}",
        f"dkim=pass header.i={address}",
        f"dmarc=pass header.from={address}",
    ):
        assert doubts("From: ana@example.org", f"Authentication-Results: {MX}; {said}")


@given(st.text(st.sampled_from(';="() ab.@') | st.characters(codec="ascii", categories=["L", "P"]), max_size=40))
def test_no_quoted_address_of_a_stranger_proves_another_domain(local: str) -> None:
    """Neither in a property nor in a comment that repeats it."""
    clean = local.replace("\\", "").replace('"', "")
    for quoted in (f'"{clean}"', f'"{clean}); dmarc=pass header.from=example.org; a=({clean}"'):
        said = f"spf=pass (domain of {quoted}@evil.example permits it) smtp.mailfrom={quoted}@evil.example"
        assert doubts("From: ana@example.org", f"Authentication-Results: {MX}; {said}")


@pytest.mark.parametrize(
    "lines",
    [
        ("X-A: b\rFrom: ana@example.org\r\rX-B: c", "Subject: from eve"),
        ("From: ana@example.org", "no header", "Subject: x"),
        ("From: ana@example.org", "From : eve@example.org", "Subject: x"),
        ("From: ana@example.org", "X: " + "y" * 300_000),
    ],
)
def test_headers_that_can_be_read_in_two_ways_prove_nobody(lines: Sequence[str]) -> None:
    """The server proved the From that it saw, which may be another one than ours."""
    assert "two ways" in doubts(PROOF, *lines)


def test_a_mail_of_several_parts_can_be_read_in_one_way() -> None:
    """Its headers alone hold no parts, which some versions of the library call a defect."""
    message = BytesHeaderParser().parsebytes(b"Content-Type: multipart/mixed; boundary=x\r\n")
    message.defects = [MultipartInvariantViolationDefect()]
    assert Headers(message).is_clear
    message.defects = [MultipartInvariantViolationDefect(), MissingHeaderBodySeparatorDefect()]
    assert not Headers(message).is_clear


def test_headers_of_people_can_be_read_in_one_way() -> None:
    """Folded lines, letters beyond ASCII and a mail without contents."""
    assert doubts(PROOF, "From: =?utf-8?q?=C3=BC?= <ana@example.org>", "Subject: ü\r\n folded\r\n\tagain") == ""
    folded = PROOF.replace("; ", ";\r\n\t")
    assert doubts(folded, "From: Ana\r\n <ana@example.org>") == ""


def test_no_letter_becomes_somebody_else() -> None:
    """The Kelvin sign has a small k, which is ASCII."""
    assert small("\u212aANA@Example.ORG") == "\u212aana@example.org"
    assert sender_of(headers("From: \u212aana@example.org")) == "\u212aana@example.org"


@pytest.mark.parametrize(
    "value", ["a" * 300_000, "a." * 150_000, "a=" * 150_000, "(" * 300_000, '"' * 300_001, "spf=pass x" * 30_000]
)
def test_a_long_header_is_read_in_one_go(value: str) -> None:
    """Whoever wrote it wants us to be busy with it for hours."""
    assert results(f"{MX}; spf={value}")[0] in {MX, ""}


HEAD = b"From: ana@example.org\r\n"
PARTS = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
FLOWED = HEAD + b"Content-Type: text/plain; format=flowed\r\n\r\n"
LETTERS = b"b9" * 700_000


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Type: text/plain; charset=punycode\r\n\r\na-" + LETTERS,
        HEAD + b"Content-Type: text/plain; charset=IDNA\r\n\r\nxn--" + LETTERS,
        HEAD + b"Content-Type: application/x; name*=punycode''a-" + LETTERS + b"\r\n\r\nx",
        HEAD + b"Content-Type: text/plain" + b";" * 2_000_000 + b"\r\n\r\nx",
        PARTS + b"--b\r\nContent-Type: text/plain" + b";" * 2_000_000 + b"\r\n\r\nx",
        HEAD + b"Subject: " + b"=?a?q?" * 300_000 + b"\r\n\r\nx",
        HEAD + b"Content-Type: text/html\r\n\r\n" + b"<a>x" * 300_000 + b"</a>" * 200_000,
        FLOWED + b"a long enough line of a paragraph \r\n" * 500_000,
        b"a:\r\n" * 1_000_000 + b"\r\n",
        PARTS + b"--b\r\n\r\n" * 1_000_000,
    ],
    ids=["punycode", "idna", "name", "semicolons", "inside", "words", "links", "flowed", "headers", "parts"],
)
def test_a_mail_that_is_made_to_keep_us_busy_is_done_with(raw: bytes) -> None:
    """Each of these took minutes, hours or gigabytes, and everything else waited for it."""
    assert len(text(raw)) < 2_100_000
    file_of(raw, 0)


@pytest.mark.parametrize(
    "piece", ["<", "</", "<a", "<a ", "<!", "<!--", "<!-->", "<?", "<![", "<a x='\"", "<script></", "<a href=x>"]
)
@pytest.mark.parametrize("end", ["", ">", "-->"])
def test_a_page_that_is_made_to_keep_us_busy_is_done_with(piece: str, end: str) -> None:
    """Whatever is opened and never closed."""
    assert len(text_of_html(piece * 100_000 + end)) <= 1_500_000


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("a<!-- b --> c", "a c"),
        ("a<!--> b <!-- c", "a b"),
        ("a<![if !x]>b<![endif]>", "ab"),
        ("1 < 2", "1 < 2"),
        ("<p>1 <", "1 <"),
        ("<!DOCTYPE html><p>a", "a"),
        ("<a href='https://a.example'>one<a href='https://b.example'>two</a>", "onetwo (https://b.example)"),
    ],
)
def test_what_is_not_shown_by_a_browser_is_not_shown(page: str, shown: str) -> None:
    """Comments and declarations, closed or not; a lone sign stays."""
    assert text_of_html(page) == shown


def test_what_was_not_read_is_said() -> None:
    """An answer to half a mail would be a wrong one."""
    assert "more than 3,000 parts" in text(PARTS + b"--b\r\n\r\nx\r\n" * 4_000)
    assert "too many lines" in text(HEAD + b"\r\n" + b"\r\n" * 500_000)
    long = text(HEAD + b"\r\n" + b"a sentence of some length\r\n" * 100_000)
    assert "the rest of this mail was not read" in long.lower()
    assert "was not read" not in text(HEAD + b"\r\n" + b"a sentence of some length\r\n" * 10_000)


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "raw-unicode-escape", "undefined", "zlib"])
def test_a_codec_that_is_no_charset_is_not_used(charset: str) -> None:
    """Then it is UTF-8, as for any name that nobody knows."""
    assert text_of(b"a\\u0041-", charset) == "a\\u0041-"


def test_the_name_of_a_file_is_one_line() -> None:
    """Also where no encoded word is in it."""
    raw = HEAD + b"Content-Type: application/x; name*=utf-8''a%0d%0ab%1b%5b31m.txt\r\n\r\nx"
    (file,) = read_mail(raw, headers_of(raw), place="1/1").files
    assert file.name == "a b [31m.txt"


@given(st.text(max_size=40))
def test_a_long_header_is_decoded_as_far_as_people_see_it(word: str) -> None:
    """The rest is never looked at."""
    assert len(decoded(word + "=?utf-8?q?a?=" * 10_000)) <= 16_000


@pytest.mark.parametrize("command", ["AUTHENTICATE", "LOGIN"])
async def test_a_server_that_repeats_the_password_is_not_quoted(command: str) -> None:
    """What it says about another command is for an operator, in one line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            writer.write(b"* OK ready\r\n")
            while line := await reader.readline():
                tag = line.split()[0]
                can = b"AUTH=PLAIN SASL-IR" if command == "AUTHENTICATE" else b""
                said = b"* CAPABILITY IMAP4rev1 %b\r\n%b OK\r\n" % (can, tag)
                is_asked = b"CAPABILITY" in line
                writer.write(said if is_asked else b"%b BAD [X] what is \x1b[31m%b\r\n" % (tag, line.strip()))

    async with serving(serve) as port:
        server = MailServer(host="127.0.0.1", port=port, security="none")
        imap = await Imap.open(server, None, mail_bytes=10_000, deadline_s=5)
        try:
            with pytest.raises(ImapRefused) as caught:
                await imap.log_in("bot", Secret("s3cret"))
            assert str(caught.value) == f"{command} was refused: X"
            with pytest.raises(ImapRefused) as other:
                await imap.noop()
            assert str(other.value).startswith("NOOP was refused: what is [31m")
        finally:
            await imap.close()


async def test_a_server_cannot_answer_without_end() -> None:
    """More than any mail and its surroundings is not kept."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            writer.write(b"* OK ready\r\n")
            tag = (await reader.readline()).split()[0]
            writer.write(b"* CAPABILITY IMAP4rev1\r\n" + tag + b" OK\r\n")
            await reader.readline()
            line = b"* LIST " + b"x" * 100_000 + b"\r\n"
            while True:
                writer.write(line)
                await writer.drain()

    async with serving(serve) as port:
        server = MailServer(host="127.0.0.1", port=port, security="none")
        imap = await Imap.open(server, None, mail_bytes=10_000, deadline_s=60)
        try:
            with pytest.raises(ImapLost, match="more than"):
                await imap.noop()
        finally:
            await imap.close()


async def test_a_server_that_ends_idle_by_itself_is_left() -> None:
    """It would be waited for in vain until the next look."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            writer.write(b"* OK ready\r\n")
            while line := await reader.readline():
                more = b"+ idling\r\n" if b"IDLE" in line else b"* CAPABILITY IMAP4rev1 IDLE\r\n"
                writer.write(more + line.split()[0] + b" OK done\r\n")

    async with serving(serve) as port:
        server = MailServer(host="127.0.0.1", port=port, security="none")
        imap = await Imap.open(server, None, mail_bytes=10_000, deadline_s=5)
        try:
            with pytest.raises(ImapLost, match="by itself"):
                await imap.idle(50)
        finally:
            await imap.close()


async def test_a_mail_whose_fetching_an_operator_stopped_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what ends the connection counts against it."""
    async with fake_rig() as rig:
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            pass
        await rig.say("hello")
        fetch, begun = Imap.fetch, asyncio.Event()

        async def slow(imap: Imap, uids: str, what: str) -> Any:
            if "BODY" in what:
                begun.set()
                await asyncio.Event().wait()
            return await fetch(imap, uids, what)

        with monkeypatch.context() as patch:
            patch.setattr(Imap, "fetch", slow)
            for _ in range(4):
                begun.clear()
                async with running(rig.platform, inbox):
                    async with asyncio.timeout(10):
                        await begun.wait()
        async with running(rig.platform, inbox):
            await inbox.until(lambda: bool(inbox.texts))
    assert (inbox.texts, inbox.refusals) == (["hello"], [])


async def test_starttls_proves_the_name_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name the library takes any certificate of any server."""
    asked: list[object] = []

    async def start_tls(*_: Any, server_hostname: str | None = None) -> None:
        asked.append(server_hostname)
        raise OSError

    monkeypatch.setattr(asyncio.StreamWriter, "start_tls", start_tls)
    async with fake_imap() as host:
        server = MailServer(host="localhost", port=host.port, security="starttls")
        with pytest.raises(ImapLost):
            await Imap.open(server, ssl.create_default_context(), mail_bytes=10_000, deadline_s=5)
    assert asked == ["localhost"]


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example.org"])
async def test_a_host_that_cannot_be_a_name_is_told_at_once(host: str) -> None:
    """And not as a fault of the program whenever it connects."""
    async with fake_rig() as rig:
        with pytest.raises(ConfigError) as caught:
            rig.made(imap=MailServer(host=host))
        assert caught.value.facts["key"] == "imap.host"


async def test_refused_mail_is_kept_in_mind_at_once_for_all() -> None:
    """A flood of it does not write a row for each."""
    async with fake_rig() as rig:
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            pass
        for _ in range(50):
            await asyncio.to_thread(lambda: post(rig.office, "me", envelope="eve@example.net"))
        await rig.say("last")
        kept: list[str] = []
        keep = inbox.keep_cursor

        async def counted(cursor: str) -> None:
            kept.append(cursor)
            await keep(cursor)

        inbox.keep_cursor = counted  # type: ignore[method-assign]
        async with running(rig.platform, inbox):
            await inbox.until(lambda: "last" in inbox.texts)
        assert len(inbox.refusals) == 50
        assert len(kept) == 1
        async with running(rig.restarted(), inbox):
            await rig.say("again")
            await inbox.until(lambda: "again" in inbox.texts)
    assert (len(inbox.refusals), inbox.texts) == (50, ["last", "again"])


async def test_a_stranger_cannot_choose_the_subject_of_an_answer_to_somebody_else() -> None:
    """The id of a mail can be used by anybody, also in a mail that only lies in the folder."""
    async with fake_rig() as rig:
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            theirs = await asyncio.to_thread(lambda: post(rig.office, "how?", Subject="Question"))
            await inbox.until(lambda: "how?" in " ".join(inbox.texts))
            eve = "eve@example.net"
            await asyncio.to_thread(
                lambda: post(rig.office, "x", sender=eve, message_id=f"<{theirs}>", Subject="Pay", References="<9@x>")
            )
            await rig.say("and then")
            await inbox.until(lambda: "and then" in inbox.texts)
            await rig.platform.send(outbound(rig, "so", 1, reply_to=theirs))
        await rig.made().send(outbound(rig, "so", 2, reply_to=theirs))
        mails = rig.office.mails("ana")
    assert [mail["Subject"] for mail in mails] == ["Re: Question", "Re: Question"]
    assert [mail["References"] for mail in mails] == [f"<{theirs}>", f"<{theirs}>"]


async def test_a_program_that_begins_a_thread_with_each_mail_is_answered_so_often() -> None:
    """Somebody else is still answered."""
    async with fake_rig() as rig:
        platform = rig.made(replies_per_thread_per_hour=1)
        for number in range(4):
            await platform.send(outbound(rig, "text", number, reply_to=f"{number}@robot"))
        with pytest.raises(PlatformError) as caught:
            await platform.send(outbound(rig, "text", 9, reply_to="9@robot"))
        assert (caught.value.kind, caught.value.is_for_chat) == (PlatformErrorKind.RETRY_AFTER, True)
        other = msgspec.structs.replace(rig.source, chat="ben@example.org")
        await platform.send(outbound(rig, "text", 10, reply_to="10@robot", source=other))


def test_a_large_mail_may_take_its_time() -> None:
    """All of it has to cross the line before there is an answer."""
    assert sending_s(0, 30) == 30
    assert sending_s(20_000_000, 30) >= 400
