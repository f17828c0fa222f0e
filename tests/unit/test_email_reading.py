"""A mail becomes a message: text of any kind, files, what it quotes, and whatever is broken in it."""

import re
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gateway.adapters.email_headers import decoded, message_ids
from core.gateway.adapters.email_html import text_of_html
from core.gateway.adapters.email_reading import Mail, file_of, headers_of, read_mail, reply_subject, without_quotes
from core.gateway.platform import FileKind


def read(raw: bytes) -> Mail:
    """The mail."""
    return read_mail(raw, headers_of(raw), place="1/2")


def plain(body: bytes, *headers: str) -> Mail:
    """A mail with this body."""
    return read("\r\n".join(["From: a@example.org", *headers, "", ""]).encode() + body)


def test_a_mail_with_everything() -> None:
    """Plain text before HTML, files with their names and kinds, ids without brackets, names decoded."""
    made = EmailMessage()
    made["From"] = "Ünal <u@example.org>"
    made["Subject"] = "Grüße"
    made["Message-ID"], made["In-Reply-To"], made["References"] = "<3@x>", "<2@x>", "<1@x> <2@x>"
    made.set_content("Hello\n\nOn Mon, 1 June 2026, the bot wrote:\n> before\n> that\n")
    made.add_alternative("<p>Hello <b>you</b></p>", subtype="html")
    made.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="Bild ä.png")
    made.add_attachment(EmailMessage(), filename="inner.eml")
    mail = read(made.as_bytes())
    assert (mail.native_id, mail.references, mail.root_id, mail.reply_to) == ("3@x", ["1@x", "2@x"], "1@x", "2@x")
    assert (mail.text, mail.subject, mail.sender_name) == ("Hello", "Grüße", "Ünal")
    assert mail.quoted.endswith("before\nthat")
    photo, inner = mail.files
    assert (photo.kind, photo.name, photo.mime, photo.size_bytes) == (FileKind.PHOTO, "Bild ä.png", "image/png", 4)
    assert (inner.mime, inner.kind) == ("message/rfc822", FileKind.DOCUMENT)
    assert file_of(made.as_bytes(), int(photo.ref.rpartition("/")[2])) == b"\x89PNG"
    assert file_of(made.as_bytes(), 99) is None


def test_the_subject_begins_a_thread() -> None:
    """It may be all that somebody wrote; a command stays a command, and an answer needs no subject again."""
    assert plain(b"please", "Subject: do it").text == "Subject: do it\n\nplease"
    assert plain(b"", "Subject: do it").text == "Subject: do it"
    assert plain(b"/status", "Subject: do it").text == "/status"
    assert plain(b"yes", "Subject: Re: do it", "In-Reply-To: <1@x>").text == "yes"


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain; charset=iso-8859-1", b"gr\xfc\xdfe", "grüße"),
        ("text/plain; charset=nonsense", b"gr\xc3\xbc", "grü"),
        ("text/plain", b"\xff\xfe", "ÿþ"),
        ("text/plain; charset=utf-7", b"a+2AA-b", "a?b"),
        ("text/html; charset=utf-8", "<p>gr&uuml;ß</p>".encode(), "grüß"),
        ("text/plain; format=flowed", b"one \r\ntwo\r\nthree", "one two\nthree"),
        ("text/plain", b"a\x00b\x1b[31mc", "ab[31mc"),
    ],
)
def test_text_of_any_charset_is_text(kind: str, body: bytes, text: str) -> None:
    """What cannot be decoded is shown as well as can be."""
    assert plain(body, f"Content-Type: {kind}").text == text


def test_html_alone_is_shown_as_text() -> None:
    """Blocks are lines, links keep their targets, and what nobody would see is left out."""
    page = (
        "<head><title>x</title><style>p{}</style></head><body><p>Hi&nbsp;<b>you</b></p>"
        "<div style='display: none'>obey<br>me</div><span hidden>me too</span>"
        "<ul><li>one<li>two</ul><a href='https://example.org/a'>click</a> <a href='javascript:x'>no</a>"
        "<img alt='a cat'><pre>a\n  b</pre>"
    )
    assert text_of_html(page) == ("Hi you\n\n- one\n- two\nclick (https://example.org/a) no[a cat]\n\na\nb")


def test_a_mail_without_an_id_has_one_all_the_same() -> None:
    """The same for the same bytes, another for others."""
    assert plain(b"x").native_id == plain(b"x").native_id != plain(b"y").native_id
    assert plain(b"x", "Message-ID: garbage").native_id.startswith("sha256.")


def test_multiparts_that_are_broken_are_read_as_far_as_they_go() -> None:
    """Missing boundaries, missing ends, a thousand levels."""
    assert plain(b"text", "Content-Type: multipart/mixed").files is not None
    assert plain(b"--b\r\n\r\nhalf", "Content-Type: multipart/mixed; boundary=b").text == "half"
    levels = b"".join(
        b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (number, number + 1) for number in range(1500)
    )
    assert plain(levels, "Content-Type: multipart/mixed; boundary=0").text == ""


@given(st.binary(max_size=400))
def test_any_bytes_are_a_mail(raw: bytes) -> None:
    """With text that can be stored."""
    mail = read(raw)
    "".join([mail.text, mail.subject, mail.sender_name, mail.quoted, mail.native_id, *mail.references]).encode()


@given(
    st.lists(
        st.sampled_from(
            [
                "Content-Type: multipart/mixed; boundary=b",
                "Content-Type: text/html",
                "Content-Type: message/rfc822",
                "Content-Type: text/plain; charset*=a'b'c",
                "Content-Transfer-Encoding: base64",
                "Content-Disposition: attachment; filename*=x'y",
                "Message-ID: <",
                "Subject: =?x?b?!?=",
                "--b",
                "--b--",
                "",
                "> q",
                "x",
                "wrote:",
            ]
        ),
        max_size=25,
    )
)
def test_any_order_of_lines_is_a_mail(lines: list[str]) -> None:
    """Headers without bodies, bodies without headers, encodings of nothing."""
    assert read("\r\n".join(lines).encode()).native_id


def test_quotes_below_are_apart() -> None:
    """A quote between the lines belongs to the text, and a mail that is only a quote is the message."""
    assert without_quotes("yes\n\n> really?\n> sure?\n") == ("yes", "really?\nsure?")
    assert without_quotes("> one?\nyes\n> two?\nno") == ("> one?\nyes\n> two?\nno", "")
    assert without_quotes("> only this") == ("> only this", "")
    assert without_quotes("yes\n\n-- \nAna Lee\nBoss") == ("yes", "")
    assert without_quotes("yes\n-----Original Message-----\nFrom: x")[0] == "yes"
    assert without_quotes("Note:\n\nOn 1 June ana@example.org\nwrote:\n> x")[0] == "Note:"


@given(st.text(st.sampled_from(">ab:\n @1"), max_size=80))
def test_quotes_are_apart_and_nothing_is_lost(text: str) -> None:
    """Every letter is in one of the two, in its order, and what was written is never empty for a quote alone."""
    own, quoted = without_quotes(text)
    assert re.sub(r"[>\s]", "", own + quoted) == re.sub(r"[>\s]", "", text)
    assert own or not text.strip()


@pytest.mark.parametrize("subject", ["hello", "Re: hello", "RE: re: AW: Re[2]: hello"])
def test_a_subject_has_one_re(subject: str) -> None:
    """However many there were."""
    assert reply_subject(subject) == "Re: hello"


def test_ids_are_bounded() -> None:
    """Too many are cut in the middle, too long ones are none."""
    ids = message_ids("".join(f"<{number}@x>" for number in range(1000)))
    assert (len(ids), ids[0], ids[-1]) == (200, "0@x", "999@x")
    assert message_ids(f"<{'x' * 300}@x> <a b@x> <ok@x>") == ["ok@x"]


@given(st.text(max_size=60))
def test_any_header_is_decoded_to_one_line(text: str) -> None:
    """Also one with words of a charset that nobody knows."""
    assert "\n" not in decoded(f"=?{text}?q?x?= =?utf-8?b?{text}?=").replace(text, "")
