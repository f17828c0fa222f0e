"""Mail under the contract of platforms, over whatever servers a test has, on lines that can be cut."""

import asyncio
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from pathlib import Path
from typing import Any, Protocol

from core.api.sessions import ChatKind, Source
from core.clock import SystemClock
from core.gateway.adapters.email import EmailPlatform, create
from core.gateway.platform import PlatformContext
from core.ids import IdSource
from core.platform_settings import EmailSettings, MailServer, SmtpServer
from core.secrets import Secret
from tests.support.platform_rig import NAME, Can, PlatformRig, Told
from tests.support.tcp_line import TcpLine

ANA = "ana@example.org"
BOT = "bot@example.org"
AUTHSERV = "mx.example.org"


class PostOffice(Protocol):
    """Servers of mail. deliver() and mails() may block."""

    def deliver(self, envelope: str, to: str, raw: bytes) -> None:
        """Somebody sends a mail."""
        ...

    def mails(self, local: str) -> list[EmailMessage]:
        """What somebody got so far, oldest first."""
        ...

    def set_password(self, user: str, password: str) -> None:
        """A user's password from now on."""
        ...


class NoHttp:
    """An HttpHost that nobody calls: mail has no way in there."""

    url = ""

    def mount(self, prefix: str, app: object) -> None:
        """Nothing is served."""

    def unmount(self, prefix: str) -> None:
        """Nothing was served."""


def post(
    office: PostOffice,
    text: str,
    *,
    sender: str = ANA,
    to: str = BOT,
    envelope: str = "",
    files: Sequence[tuple[str, bytes]] = (),
    html: str = "",
    **headers: str,
) -> str:
    """Somebody sends a mail; its Message-ID without brackets. Blocks."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = sender, to
    mail["Message-ID"] = headers.pop("message_id", "") or make_msgid(domain="home.example.org")
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    for name, content in files:
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    office.deliver(envelope or sender.rpartition("<")[2].rstrip(">"), to, mail.as_bytes())
    return str(mail["Message-ID"]).strip("<>")


def text_of(mail: EmailMessage) -> str:
    """What a reader of plain text sees."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n").rstrip("\n")


def told(mail: EmailMessage) -> Told:
    """The mail as the contract wants to see it."""
    files = [(str(part.get_filename()), part.get_payload(decode=True)) for part in mail.iter_attachments()]
    return Told(
        native_id=str(mail["Message-ID"]).strip("<>"),
        text=text_of(mail),
        reply_to=str(mail["In-Reply-To"] or "").strip("<>"),
        files=tuple((name, content) for name, content in files if isinstance(content, bytes)),
    )


class EmailRig(PlatformRig):
    """A mailbox that Ana writes to. imap, smtp: lines to the servers of the office."""

    kind = "email"
    can = frozenset({Can.SAY, Can.MISS, Can.REPLIES, Can.FILES_IN, Can.FILES_OUT, Can.CUT, Can.DEAFEN, Can.REVOKE})
    source = Source(platform=NAME, kind=ChatKind.DM, chat=ANA)
    gone = Source(platform=NAME, kind=ChatKind.DM, chat="gone@example.org")
    person_id = ANA

    def __init__(self, office: PostOffice, imap: TcpLine, smtp: TcpLine, home: Path = Path("/")) -> None:
        self.office = office
        self._home = home
        self._lines = (imap, smtp)
        self.platform = self.made()

    def made(self, **settings: Any) -> EmailPlatform:
        """Our adapter, with settings beside those that all have."""
        clock = SystemClock()
        given: dict[str, Any] = {
            "address": BOT,
            "user": "bot",
            "password": "env:PASSWORD",
            "imap": MailServer(host="127.0.0.1", port=self._lines[0].port, security="none"),
            "smtp": SmtpServer(host="127.0.0.1", port=self._lines[1].port, security="none"),
            "authserv_id": AUTHSERV,
            "poll_s": 1.0,
            "deadline_s": 2.0,
            **settings,
        }
        context = PlatformContext(
            clock=clock, ids=IdSource(clock), http=NoHttp(), secret=lambda _: Secret("right"), home=self._home
        )
        return create(NAME, EmailSettings(**given), context)

    def restarted(self) -> EmailPlatform:
        """Another object of the same mailbox."""
        self.platform = self.made()
        return self.platform

    async def say(
        self, text: str, *, reply_to: str = "", thread: str | None = None, files: Sequence[tuple[str, bytes]] = ()
    ) -> str:
        """Ana writes."""
        headers = {"In_Reply_To": f"<{reply_to}>"} if reply_to else {}
        return await asyncio.to_thread(lambda: post(self.office, text, files=files, **headers))

    async def told(self) -> Sequence[Told]:
        """What Ana got."""
        return [told(mail) for mail in await asyncio.to_thread(self.office.mails, "ana")]

    async def cut(self) -> None:
        """Both servers are out of reach."""
        for line in self._lines:
            line.cut()

    async def deafen(self) -> None:
        """Both servers say nothing any more."""
        for line in self._lines:
            line.deafen()

    async def mend(self) -> None:
        """Both are there again."""
        for line in self._lines:
            line.mend()

    async def revoke(self) -> None:
        """Another password."""
        self.office.set_password("bot", "something else")
