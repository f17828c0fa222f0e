"""An SMTP server of our own for tests: keeps what it is given, and refuses by the name of the recipient.

It shares no code with the adapter; `smtplib` proves that it speaks SMTP.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.support.fake_imap import serving

ANSWERS = {
    "gone": "550 5.1.1 nobody of that name",
    "full": "452 4.2.2 mailbox full",
    "never": "550 5.7.1 not from you",
}


class FakeSmtp:
    """A server of one domain. on_mail: told of each mail that it took, with its sender and recipient."""

    def __init__(self, users: dict[str, str], on_mail: Callable[[str, str, bytes], None]) -> None:
        self.users = users
        self.on_mail = on_mail
        self.logged_in: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        sender, to = "", ""

        def say(*lines: str) -> None:
            writer.write("".join(f"{line}\r\n" for line in lines).encode())

        say("220 mail.example.org ESMTP")
        try:
            while line := (await reader.readline()).decode().strip():
                word, _, rest = line.partition(" ")
                match word.upper():
                    case "EHLO":
                        say("250-mail.example.org", "250-AUTH PLAIN", "250-8BITMIME", "250 SIZE 30000000")
                    case "AUTH":
                        _, user, password = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
                        is_good = self.users.get(user) == password
                        self.logged_in += [user] if is_good else []
                        say("235 2.7.0 welcome" if is_good else "535 5.7.8 wrong")
                    case "MAIL":
                        sender = _address(rest)
                        say("250 2.1.0 go on")
                    case "RCPT":
                        to = _address(rest)
                        say(ANSWERS.get(to.partition("@")[0], "250 2.1.5 go on"))
                    case "DATA":
                        say("354 go on")
                        raw = await reader.readuntil(b"\r\n.\r\n")
                        self.on_mail(sender, to, raw[:-3].replace(b"\r\n..", b"\r\n."))
                        say("250 2.0.0 taken")
                    case "QUIT":
                        say("221 2.0.0 bye")
                        return
                    case "RSET" | "NOOP":
                        say("250 2.0.0 fine")
                    case _:
                        say("502 5.5.1 what?")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def _address(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]


@asynccontextmanager
async def fake_smtp(users: dict[str, str], on_mail: Callable[[str, str, bytes], None]) -> AsyncIterator[FakeSmtp]:
    """A server for as long as the block lasts."""
    host = FakeSmtp(users, on_mail)
    async with serving(host.serve) as port:
        host.port = port
        yield host
