"""The fake servers of mail speak IMAP and SMTP: clients of other people, written without us, get along with them."""

import asyncio
import imaplib
import smtplib

from tests.support.email_rig import ANA, BOT, post
from tests.support.rig_email import FakeOffice, fake_rig


def talk(office: FakeOffice) -> tuple[list[object], bytes]:
    """Log in, search and fetch, as any reader of mail does."""
    client = imaplib.IMAP4("127.0.0.1", office.imap.port, timeout=10)
    client.login("bot", "right")
    client.select("INBOX")
    found = client.uid("SEARCH", "UID", "1:*")[1]
    _, facts = client.uid("FETCH", "1", "(UID RFC822.SIZE INTERNALDATE BODY.PEEK[])")
    client.uid("STORE", "1", "+FLAGS", "(\\Seen)")
    client.logout()
    return found, facts[0][1]


async def test_the_standard_library_reads_and_sends() -> None:
    """With its own parsers on both sides."""
    async with fake_rig() as rig:
        office = rig.office
        await asyncio.to_thread(lambda: post(office, "one"))
        found, raw = await asyncio.to_thread(talk, office)
        assert (found, office.imap.mails[0].flags) == ([b"1"], {"\\Seen"})
        assert raw == office.imap.mails[0].raw
        smtp = office.smtp
        assert smtp is not None

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", smtp.port, timeout=10) as client:
                client.login("bot", "right")
                client.sendmail(BOT, [ANA], b"From: bot@example.org\r\n\r\n.one\r\n..\r\n")

        await asyncio.to_thread(send)
        assert office.mails("ana")[0].get_payload() == ".one\r\n..\r\n"
        assert smtp.logged_in == ["bot"]
