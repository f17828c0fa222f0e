"""An SMTP server on aiosmtpd that keeps mail in Maildirs, run by the environment of the mail programs.

Arguments: a folder with `users` (NAME:{PLAIN}PASSWORD lines), a port for plain text and STARTTLS, a port for TLS, and
a folder with cert.pem and key.pem or "". Mail for a local part goes to mail/LOCAL, stamped as a receiving server does.
gone@ does not exist, full@ has no room, later@ is put off, big@ refuses the data.
"""

import asyncio
import email.policy
import mailbox
import os
import ssl
import sys
from email import message_from_bytes
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

FOLDER = Path(sys.argv[1])
ANSWERS = {
    "gone": "550 5.1.1 nobody of that name",
    "full": "452 4.2.2 mailbox full",
    "later": "450 4.7.1 greylisted, come back",
    "never": "550 5.7.1 not from you",
}


class Keep:
    """What is taken is in a Maildir before the client is told."""

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take or refuse a recipient."""
        answer = ANSWERS.get(address.partition("@")[0])
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail."""
        raw = bytes(envelope.content or b"")
        message = message_from_bytes(raw, policy=email.policy.compat32)
        from_domain = parseaddr(str(message.get("From", "")))[1].rpartition("@")[2].lower()
        mail_domain = str(envelope.mail_from).rpartition("@")[2].lower()
        verdict = "pass" if from_domain == mail_domain else "fail"
        stamp = (
            f"Return-Path: <{envelope.mail_from}>\r\n"
            f"Authentication-Results: mx.example.org; spf=pass smtp.mailfrom={envelope.mail_from};\r\n"
            f"\tdmarc={verdict} (p=none) header.from={from_domain}\r\n"
            f"Received: from {session.host_name} by mx.example.org; authenticated={session.authenticated}\r\n"
        )
        for address in envelope.rcpt_tos:
            if address.startswith("big@"):
                return "552 5.3.4 message too big"
            box = mailbox.Maildir(FOLDER / "mail" / address.partition("@")[0], create=True)
            box.add(stamp.encode() + raw)
        return "250 OK"


def authenticated(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    """Whether the password is the one in the file now."""
    users = dict(line.split(":{PLAIN}", 1) for line in (FOLDER / "users").read_text().splitlines())
    is_good = users.get(data.login.decode()) == data.password.decode()
    return AuthResult(success=is_good, handled=is_good)


async def main() -> None:
    """Serve until killed."""
    tls = None
    if sys.argv[4]:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(Path(sys.argv[4]) / "cert.pem", Path(sys.argv[4]) / "key.pem")

    def served(context: ssl.SSLContext | None) -> SMTP:
        return SMTP(
            Keep(), authenticator=authenticated, auth_require_tls=False, tls_context=context, enable_SMTPUTF8=True
        )

    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: served(tls), "127.0.0.1", int(sys.argv[2]))
    if tls is not None:
        await loop.create_server(lambda: served(None), "127.0.0.1", int(sys.argv[3]), ssl=tls)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - the end of a parent has no event
        await asyncio.sleep(1)


asyncio.run(main())
