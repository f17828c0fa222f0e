"""Mail under the contract: our adapter against fake servers of ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr

from tests.support.email_rig import AUTHSERV, EmailRig
from tests.support.fake_imap import FakeImap, fake_imap
from tests.support.fake_smtp import FakeSmtp, fake_smtp
from tests.support.platform_rig import PlatformRig
from tests.support.tcp_line import tcp_line


class FakeOffice:
    """Both servers over one folder of the bot, and boxes of all others."""

    def __init__(self, imap: FakeImap) -> None:
        self.imap = imap
        self.smtp: FakeSmtp | None = None
        self._loop = asyncio.get_running_loop()
        self._boxes: dict[str, list[bytes]] = {}

    def deliver(self, envelope: str, to: str, raw: bytes) -> None:
        """Somebody sends a mail, from another thread."""
        asyncio.run_coroutine_threadsafe(self._taken(envelope, to, raw), self._loop).result(10)

    async def _taken(self, envelope: str, to: str, raw: bytes) -> None:
        self.take(envelope, to, raw)

    def take(self, envelope: str, to: str, raw: bytes) -> None:
        """Keep a mail, stamped as a receiving server does."""
        domain = parseaddr(str(message_from_bytes(raw)["From"]))[1].rpartition("@")[2]
        verdict = "pass" if envelope.endswith(f"@{domain}") else "fail"
        stamp = f"Authentication-Results: {AUTHSERV}; dmarc={verdict} header.from={domain}\r\n".encode()
        local = to.partition("@")[0]
        if local == "bot":
            self.imap.store(stamp + raw)
        else:
            self._boxes.setdefault(local, []).append(stamp + raw)

    def mails(self, local: str) -> list[EmailMessage]:
        """What somebody got."""
        return [message_from_bytes(raw, _class=EmailMessage, policy=default) for raw in self._boxes.get(local, [])]

    def set_password(self, user: str, password: str) -> None:
        """At both servers."""
        self.imap.users[user] = password


class FakeRig(EmailRig):
    """A mailbox on fake servers."""

    office: FakeOffice


@asynccontextmanager
async def rig() -> AsyncIterator[PlatformRig]:
    """Mail for a test."""
    async with fake_rig() as found:
        yield found


@asynccontextmanager
async def fake_rig() -> AsyncIterator[FakeRig]:
    """The same, with what is fake at hand."""
    async with fake_imap() as imap:
        office = FakeOffice(imap)
        async with (
            fake_smtp(imap.users, office.take) as smtp,
            tcp_line(imap.port) as imap_line,
            tcp_line(smtp.port) as smtp_line,
        ):
            office.smtp = smtp
            yield FakeRig(office, imap_line, smtp_line)
