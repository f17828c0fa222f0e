"""An IMAP server of our own for tests: one folder in memory, strict, and with faults that a test orders.

It shares no code with the adapter; `imaplib` proves that it speaks IMAP.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_WANTED = re.compile(r"UID|RFC822\.SIZE|INTERNALDATE|BODY\.PEEK\[(HEADER)?\](?:<0\.(\d+)>)?")


class Stored:
    """A mail in the folder."""

    def __init__(self, uid: int, raw: bytes, at: float) -> None:
        self.uid = uid
        self.raw = raw
        self.at = at
        self.flags: set[str] = set()


class FakeImap:
    """One account. capabilities: what it says that it can. poison: UIDs at whose fetching it hangs up.

    before_tls: sent together with the answer to STARTTLS, as by somebody in between.
    """

    def __init__(self) -> None:
        self.users = {"bot": "right"}
        self.capabilities = ["IMAP4rev1", "AUTH=PLAIN", "SASL-IR", "IDLE", "ID"]
        self.validity = 41
        self.uid_next = 1
        self.mails: list[Stored] = []
        self.poison: set[int] = set()
        self.said: list[str] = []
        self.has_uid_next = True
        self.before_tls = b""
        self.idle_ends_with = b""
        self.connection_count = 0
        self.port = 0
        self._changed: set[asyncio.Event] = set()

    def store(self, raw: bytes, *, at: float | None = None) -> Stored:
        """A mail arrives."""
        stored = Stored(self.uid_next, raw, datetime.now(tz=UTC).timestamp() if at is None else at)
        self.uid_next += 1
        self.mails.append(stored)
        for event in self._changed:
            event.set()
        return stored

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connection_count += 1
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            await _Talk(self, reader, writer, changed).run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._changed.discard(changed)
            writer.close()


class _Talk:
    """One connection."""

    def __init__(
        self, host: FakeImap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, changed: asyncio.Event
    ) -> None:
        self.host = host
        self.reader = reader
        self.writer = writer
        self.changed = changed
        self.is_in = False
        self.is_selected = False
        self.shown_count = 0

    async def run(self) -> None:
        """Until LOGOUT."""
        self.say("* OK ready")
        while line := (await self.reader.readline()).decode():
            tag, _, rest = line.strip().partition(" ")
            word = rest.partition(" ")[0].upper()
            self.host.said.append(rest if word not in {"LOGIN", "AUTHENTICATE"} else word)
            if word == "LOGOUT":
                self.say("* BYE bye", f"{tag} OK done")
                return
            do: Callable[[str, str], object] | None = getattr(self, f"do_{word.lower()}", None)
            if do is None or (word in {"UID", "IDLE"} and not self.is_selected):
                self.say(f"{tag} BAD what is {word}?")
                continue
            done = do(tag, rest.partition(" ")[2])
            if asyncio.iscoroutine(done):
                await done
            await self.writer.drain()

    def say(self, *lines: str) -> None:
        """Lines of ASCII."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    def do_capability(self, tag: str, _: str) -> None:
        """CAPABILITY."""
        self.say("* CAPABILITY " + " ".join(self.host.capabilities), f"{tag} OK done")

    def do_noop(self, tag: str, _: str) -> None:
        """NOOP."""
        self.show_news()
        self.say(f"{tag} OK done")

    def do_id(self, tag: str, _: str) -> None:
        """ID."""
        self.say("* ID NIL", f"{tag} OK done")

    def do_starttls(self, tag: str, _: str) -> None:
        """STARTTLS, of which nothing follows here."""
        self.writer.write(f"{tag} OK go\r\n".encode() + self.host.before_tls)

    def do_login(self, tag: str, rest: str) -> None:
        """LOGIN."""
        words = [quoted or plain for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', rest)]
        self.let_in(tag, *[re.sub(r"\\(.)", r"\1", word) for word in words])

    async def do_authenticate(self, tag: str, rest: str) -> None:
        """AUTHENTICATE PLAIN."""
        _, _, proof = rest.partition(" ")
        if not proof:
            self.say("+ ")
            proof = (await self.reader.readline()).decode().strip()
        _, user, password = base64.b64decode(proof).decode().split("\0")
        self.let_in(tag, user, password)

    def let_in(self, tag: str, user: str, password: str) -> None:
        """Whether the password is right."""
        self.is_in = self.host.users.get(user) == password
        self.say(f"{tag} OK hello" if self.is_in else f"{tag} NO [AUTHENTICATIONFAILED] no")

    def do_select(self, tag: str, rest: str) -> None:
        """SELECT."""
        if not self.is_in or rest.strip('"') != "INBOX":
            self.say(f"{tag} NO [NONEXISTENT] no such folder")
            return
        self.is_selected = True
        self.changed.clear()
        self.shown_count = len(self.host.mails)
        self.say(f"* {self.shown_count} EXISTS", "* 0 RECENT", "* FLAGS (\\Seen)")
        self.say(f"* OK [UIDVALIDITY {self.host.validity}] valid")
        if self.host.has_uid_next:
            self.say(f"* OK [UIDNEXT {self.host.uid_next}] next")
        self.say(f"{tag} OK [READ-WRITE] selected")

    do_examine = do_select

    def do_uid(self, tag: str, rest: str) -> None:
        """UID SEARCH, FETCH, STORE."""
        word, _, arguments = rest.partition(" ")
        if word == "SEARCH":
            self.show_news()
            found = [str(mail.uid) for mail in self.host.mails if self.fits(mail, arguments)]
            self.say(f"* SEARCH {' '.join(found)}".rstrip())
        elif word == "FETCH":
            self.fetch(*arguments.split(" ", 1))
        elif word == "STORE":
            uid, _, flags = arguments.partition(" ")
            for mail in self.chosen(uid):
                mail.flags |= set(re.findall(r"\\\w+", flags))
        else:
            self.say(f"{tag} BAD what?")
            return
        self.say(f"{tag} OK done")

    def fits(self, mail: Stored, criteria: str) -> bool:
        """Whether a mail is searched for."""
        if criteria == "ALL":
            return True
        if header := re.fullmatch(r'HEADER Message-ID "(.*)"', criteria):
            return f"message-id: {header[1]}".lower().encode() in mail.raw.lower()
        found = re.fullmatch(r"UID (\S+)(?: SINCE (\d+)-(\w+)-(\d+))?", criteria)
        assert found, criteria
        is_late = True
        if found[2]:
            day = datetime(int(found[4]), MONTHS.index(found[3]) + 1, int(found[2]), tzinfo=UTC)
            is_late = mail.at >= day.timestamp()
        return is_late and mail in self.chosen(found[1])

    def chosen(self, uids: str) -> list[Stored]:
        """Those of a set. A range with a star holds the last one, as the standard wants."""
        found: list[Stored] = []
        last = max((mail.uid for mail in self.host.mails), default=0)
        for piece in uids.split(","):
            ends = [last if end == "*" else int(end) for end in piece.split(":")]
            found += [mail for mail in self.host.mails if min(ends) <= mail.uid <= max(ends)]
        return found

    def fetch(self, uids: str, wanted: str) -> None:
        """The answers to a FETCH."""
        for mail in self.chosen(uids):
            said: list[bytes] = []
            for item in _WANTED.finditer(wanted):
                if item[0] == "UID":
                    said.append(f"UID {mail.uid}".encode())
                elif item[0] == "RFC822.SIZE":
                    said.append(f"RFC822.SIZE {len(mail.raw)}".encode())
                elif item[0] == "INTERNALDATE":
                    day = datetime.fromtimestamp(mail.at, tz=UTC)
                    date = f"{day.day:2}-{MONTHS[day.month - 1]}-{day.year} {day:%H:%M:%S} +0000"
                    said.append(f'INTERNALDATE "{date}"'.encode())
                else:
                    if mail.uid in self.host.poison:
                        raise ConnectionResetError("it hangs up")
                    raw = mail.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if item[1] else mail.raw
                    raw = raw[: int(item[2])] if item[2] else raw
                    said.append(f"BODY[{item[1] or ''}]<0> {{{len(raw)}}}\r\n".encode() + raw)
            self.writer.write(f"* {self.host.mails.index(mail) + 1} FETCH (".encode() + b" ".join(said) + b")\r\n")

    async def do_idle(self, tag: str, _: str) -> None:
        """IDLE, until DONE."""
        if "IDLE" not in self.host.capabilities:
            self.say(f"{tag} NO not here")
            return
        self.say("+ idling")
        self.show_news()
        end = asyncio.ensure_future(self.reader.readline())
        try:
            while not end.done():
                if self.host.idle_ends_with:
                    self.writer.write(self.host.idle_ends_with)
                    await self.writer.drain()
                    raise ConnectionResetError("it hangs up")
                self.changed.clear()
                news = asyncio.ensure_future(self.changed.wait())
                await asyncio.wait([end, news], return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                self.show_news()
        finally:
            end.cancel()
        if end.result().strip() != b"DONE":
            raise ConnectionResetError("only DONE may follow")
        self.say(f"{tag} OK done")

    def show_news(self) -> None:
        """Say how many mails there are, when that changed."""
        if self.is_selected and self.shown_count != len(self.host.mails):
            self.shown_count = len(self.host.mails)
            self.say(f"* {self.shown_count} EXISTS")


@asynccontextmanager
async def fake_imap() -> AsyncIterator[FakeImap]:
    """A server for as long as the block lasts."""
    host = FakeImap()
    async with serving(host.serve) as port:
        host.port = port
        yield host


@asynccontextmanager
async def serving(
    serve: "Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]",
) -> AsyncIterator[int]:
    """A server of this machine that ends with its connections; its port."""
    tasks: set[asyncio.Task[object]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(serve(reader, writer))  # type: ignore[arg-type]
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
