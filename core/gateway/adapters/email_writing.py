"""An answer as a mail (pure).

Plain text comes first, for it is what everybody can read; the HTML beside it is made from the same Markdown, and holds
no script, no picture and nothing that loads by itself. Nothing that came from outside reaches a header unchecked.
"""

import mimetypes
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import msgspec

from core.gateway.adapters.email_headers import ID_LIMIT, message_ids, one_line
from core.gateway.adapters.email_reading import FINGERPRINT, reply_subject
from core.gateway.adapters.email_trust import is_address
from core.gateway.platform import Outbound

# A folded Message-ID is not one any more, so lines are broken between ids only, and never within one.
POLICY = SMTP.clone(max_line_length=998, cte_type="7bit")
_CHAIN_LIMIT = 20
_SUBJECT_LIMIT = 200
_MIME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")
_NEVER_WHOLE = frozenset({"message", "multipart"})
_MARKS = re.compile(r"^[#>*\-+\s`_]+|[*`_]{1,3}")
_PAGE = '<!DOCTYPE html><html><head><meta charset="utf-8"></head><body>{}</body></html>'


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The mail that an answer answers. native_id: its Message-ID; references: those before it, oldest first."""

    native_id: str
    references: Sequence[str] = ()
    subject: str = ""

    @property
    def has_id(self) -> bool:
        """Whether it is a Message-ID, and not the fingerprint of a mail that has none."""
        return not self.native_id.startswith(FINGERPRINT)

    @property
    def thread(self) -> str:
        """What all mails of this thread have in common."""
        return self.references[0] if self.references else self.native_id


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on the envelope and in the headers. at: UTC seconds. answers: None when it begins a thread."""

    message_id: str
    sender: str
    sender_name: str
    to: str
    at: float
    answers: Answered | None
    has_html: bool


def message_id_of(message: Outbound, address: str) -> str:
    """The Message-ID of a delivery, the same on every attempt, without brackets."""
    local = re.sub(r"[^A-Za-z0-9._-]", "-", message.delivery_id)
    return f"{local[: ID_LIMIT // 2]}@{address.rpartition('@')[2]}"


def compose(letter: Letter, message: Outbound, files: Sequence[bytes]) -> EmailMessage:
    """The mail. files: contents of message.files, in that order. Raises ValueError when an address is none."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = _mailbox(letter.sender, letter.sender_name)
    mail["To"] = _mailbox(letter.to)
    mail["Subject"] = subject_of(letter.answers, message.text)
    mail["Date"] = format_datetime(datetime.fromtimestamp(letter.at, tz=UTC))
    mail["Message-ID"] = f"<{letter.message_id}>"
    for name, ids in _thread_headers(letter.answers):
        mail[name] = " ".join(f"<{item}>" for item in ids)
    mail["Auto-Submitted"] = "auto-generated" if letter.answers is None else "auto-replied"
    # Exchange answers with an absence note otherwise.
    mail["X-Auto-Response-Suppress"] = "All"
    text = sound(message.text)
    mail.set_content(text, charset="utf-8")
    if letter.has_html and text.strip():
        mail.add_alternative(_PAGE.format(html_of(text)), subtype="html", charset="utf-8")
    for file, contents in zip(message.files, files, strict=True):
        main, sub = _kind(file.mime, file.name)
        mail.add_attachment(contents, maintype=main, subtype=sub, filename=one_line(file.name)[:200] or "file")
    return mail


def html_of(text: str) -> str:
    """Markdown as HTML. HTML in it is shown as text, links go to the web and to mail only, and pictures are words."""
    from markdown_it import MarkdownIt

    rendered = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("image").render(text)
    return str(rendered)


def sound(text: str) -> str:
    """Text that can be encoded, without what no mail may hold."""
    clean = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    return "".join(letter for letter in clean if letter in "\n\t" or letter >= " ")


def _thread_headers(answers: Answered | None) -> Sequence[tuple[str, Sequence[str]]]:
    if answers is None or not answers.has_id or not message_ids(f"<{answers.native_id}>"):
        return ()
    known = message_ids("".join(f"<{item}>" for item in answers.references))
    ids = [*(item for item in known if item != answers.native_id), answers.native_id]
    if len(ids) > _CHAIN_LIMIT:  # The first and the latest are what readers sort by.
        ids = [ids[0], *ids[1 - _CHAIN_LIMIT :]]
    return (("In-Reply-To", [answers.native_id]), ("References", ids))


def subject_of(answers: Answered | None, text: str) -> str:
    """The subject of a mail: that of the mail that it answers, else its first line."""
    if answers is not None:
        return reply_subject(sound(answers.subject))[: _SUBJECT_LIMIT * 4] if answers.subject else "Re: your message"
    first = next((line for line in (_MARKS.sub("", line) for line in sound(text).split("\n")) if line.strip()), "")
    line = one_line(first)
    return line if len(line) <= _SUBJECT_LIMIT // 2 else f"{line[: _SUBJECT_LIMIT // 2 - 1]}…"


def _mailbox(address: str, name: str = "") -> Address:
    if not is_address(address):
        raise ValueError("it goes to no mail address")
    local, _, domain = address.rpartition("@")
    try:
        spelt = domain.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError("the domain of the address cannot be spelt in ASCII") from error
    if not local.isascii():
        raise ValueError("the address has letters beyond ASCII, which our mail cannot carry")
    return Address(display_name=one_line(name)[:200], username=local, domain=spelt)


def _kind(mime: str, name: str) -> tuple[str, str]:
    said = mime.lower()
    if _MIME.fullmatch(said) is None:
        said = mimetypes.guess_type(name)[0] or "application/octet-stream"
    main, _, sub = said.partition("/")
    return ("application", "octet-stream") if main in _NEVER_WHOLE else (main, sub)
