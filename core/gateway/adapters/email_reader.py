"""Reads the folder: takes up where it stopped, hands in what is new, and waits for more."""

import asyncio
import contextlib
from collections.abc import Generator, Mapping

from core.api.base import PlatformName
from core.api.errors import HermesError, Overloaded
from core.backoff import ceiling_s
from core.clock import Clock
from core.gateway.adapters.email_account import Account
from core.gateway.adapters.email_cursor import Cursor, arrival, at_start, cursor_in, text_of_cursor, uid_set
from core.gateway.adapters.email_imap import Folder, Imap, ImapRefused
from core.gateway.adapters.email_intake import Judged, inbound_of, judged
from core.gateway.adapters.email_reading import HEADER_BYTES
from core.gateway.adapters.email_threads import Threads
from core.gateway.adapters.email_wire import Item, number_in
from core.gateway.platform import Inbox

_BATCH = 100
_TRIES = 3
_HOUR_S = 3_600.0
_OWED_LIMIT = 500
_OWED_WAIT_S = 5.0
_OWED_LEAST_S = 0.1
_WAIT_BASE_S = 1.0
_WAIT_CAP_S = 60.0


class Held:
    """The mail that is being handed in: its files are taken from here without asking the server again."""

    def __init__(self) -> None:
        self._place = ""
        self._raw = b""

    @contextlib.contextmanager
    def holding(self, place: str, raw: bytes) -> Generator[None]:
        """For as long as the block lasts."""
        self._place, self._raw = place, raw
        try:
            yield
        finally:
            self._place, self._raw = "", b""

    def find(self, place: str) -> bytes | None:
        """The mail, if it is the one."""
        return self._raw if place == self._place else None


class Reader:
    """One folder, over all its connections. held: what is handed in at the moment; threads: learns of every mail."""

    def __init__(self, name: PlatformName, account: Account, clock: Clock, held: Held, threads: Threads) -> None:
        self.name = name
        self.account = account
        self.settings = account.settings
        self.clock = clock
        self.held = held
        self.threads = threads
        self.tries: dict[tuple[int, int], int] = {}
        self.not_before: dict[tuple[int, int], float] = {}

    async def run(self, inbox: Inbox) -> None:
        """Read until cancelled. Raises PlatformError, StoreError."""
        async with self.account.opened() as (imap, folder):
            reading = _Reading(self, inbox, imap, await self._begin(inbox, imap, folder))
            inbox.connected(f"{self.account.address} at {self.settings.imap.host}")
            while True:
                await reading.catch_up()
                inbox.heard()
                await self._wait(imap, reading.wait_s)

    async def _begin(self, inbox: Inbox, imap: Imap, folder: Folder) -> Cursor:
        kept = cursor_in(await inbox.cursor())
        uid_next = folder.uid_next
        if uid_next is None:
            uid_next = max(await imap.search("ALL"), default=0) + 1
        cursor = at_start(kept, validity=folder.validity, uid_next=uid_next, now=self.clock.now())
        if cursor != kept:
            await inbox.keep_cursor(text_of_cursor(cursor))
        return cursor

    async def _wait(self, imap: Imap, limit_s: float) -> None:
        if imap.has_idle:
            await imap.idle(limit_s)
        else:
            await self.clock.sleep(limit_s)
            await imap.noop()


class _Reading:
    """What happens on one connection. A mail is done with when it was taken in, or refused for good."""

    def __init__(self, reader: Reader, inbox: Inbox, imap: Imap, cursor: Cursor) -> None:
        self.cursor = cursor
        self._kept = cursor
        self.owed_wait_s = _OWED_WAIT_S
        self._reader = reader
        self._inbox = inbox
        self._imap = imap
        self._senders: dict[int, str] = {}
        self._full: set[str] = set()

    async def catch_up(self) -> None:
        """Everything that is there now: first what was put off, then what is new."""
        self._full.clear()
        for uid, at in self.cursor.owed:
            if self._senders.get(uid) not in self._full and self._is_due(uid):
                await self._one(uid, None, at)
        await self._keep(self.cursor)
        self._full |= {self._senders[uid] for uid, _ in self.cursor.owed if uid in self._senders}
        while True:
            found = [uid for uid in await self._imap.search(self.cursor.criteria) if uid > self.cursor.uid]
            for begin in range(0, len(found), _BATCH):
                try:
                    await self._batch(found[begin : begin + _BATCH])
                finally:
                    # What was refused is kept at once for all: only after a crash is it refused again.
                    await self._keep(self.cursor)
            if not self.cursor.is_again:
                return
            await self._keep(self.cursor.at_end_of_again())

    @property
    def wait_s(self) -> float:
        """How long nothing is to be done, unless the server tells of something."""
        is_owing = any(self._is_due(uid) for uid, _ in self.cursor.owed)
        return min(self._reader.settings.poll_s, self.owed_wait_s) if is_owing else self._reader.settings.poll_s

    def _is_due(self, uid: int) -> bool:
        not_before = self._reader.not_before.get((self.cursor.validity, uid), 0.0)
        return not_before <= self._reader.clock.monotonic()

    async def _batch(self, uids: "list[int]") -> None:
        told: Mapping[int, Mapping[str, Item]]
        try:
            told = await self._imap.fetch(uid_set(uids), "RFC822.SIZE INTERNALDATE")
        except ImapRefused:
            # One that is damaged must not hide the others: each is tried alone.
            told = {uid: {} for uid in uids}
        for uid in uids:
            facts = told.get(uid)
            if facts is None:
                continue  # It was deleted in between.
            at = _arrived(facts)
            if self.cursor.is_wanted(uid, at):
                await self._one(uid, number_in(facts.get("RFC822.SIZE")), at)
            else:
                self.cursor = self.cursor.after(uid)

    async def _one(self, uid: int, size_bytes: int | None, at: float | None) -> None:
        place = f"{self.cursor.validity}/{uid}"
        key = (self.cursor.validity, uid)
        tries = self._reader.tries.pop(key, 0)
        if tries >= _TRIES:
            self._inbox.refused(f"a mail that could not be fetched in {_TRIES} attempts; it is tried again every hour")
            self._reader.not_before[key] = self._reader.clock.monotonic() + _HOUR_S
            await self._keep(self.cursor.owing(uid, at=at))
            return
        # A mail that ends the connection whenever it is fetched must not end it for ever.
        self._reader.tries[key] = tries + 1
        try:
            raw, note = await self._fetched(uid, size_bytes)
        except asyncio.CancelledError:
            self._reader.tries[key] = tries
            raise
        del self._reader.tries[key]
        self._reader.not_before.pop(key, None)
        if raw is None:
            self.cursor = self.cursor.after(uid, at=at)
            return
        found = await asyncio.to_thread(judged, raw, self._reader.settings, place=place, note=note)
        with self._reader.held.holding(place, raw):
            await self._settle(uid, at, found)

    async def _settle(self, uid: int, at: float | None, found: Judged) -> None:
        mail = found.mail
        if mail is None:
            self._inbox.refused(found.reason)
            self.cursor = self.cursor.after(uid, at=at)
            return
        # Of one sender: an id that somebody else has used before must not hide a mail.
        name = f"{found.sender} {mail.native_id}"
        if not self.cursor.knows(name):
            self._senders[uid] = found.sender
            if found.sender in self._full or not await self._handed_in(found, uid):
                self._full.add(found.sender)
                await self._keep(self.cursor.owing(uid, at=at))
                return
            self._senders.pop(uid, None)
        await self._keep(self.cursor.after(uid, name=name, at=at))

    async def _handed_in(self, found: Judged, uid: int) -> bool:
        """Whether it is done with; False when its sender has too much waiting."""
        reader, mail = self._reader, found.mail
        assert mail is not None
        reader.threads.learn(found.sender, mail)
        inbound = inbound_of(reader.name, reader.settings, found.sender, mail)
        failures = 0
        while True:
            try:
                await self._inbox.receive(inbound)
            except HermesError as error:
                if not error.retryable:
                    return True
                if isinstance(error, Overloaded) and len(self.cursor.owed) < _OWED_LIMIT:
                    self.owed_wait_s = _asked_s(error)
                    return False
                failures += 1
                await reader.clock.sleep(ceiling_s(failures, base_s=_WAIT_BASE_S, cap_s=_WAIT_CAP_S))
                await self._imap.noop()
            else:
                break
        if reader.settings.mark_seen:
            with contextlib.suppress(ImapRefused):  # The folder may be read-only.
                await self._imap.mark_seen(uid)
        return True

    async def _fetched(self, uid: int, size_bytes: int | None) -> tuple[bytes | None, str]:
        """The mail; of one that is too large its headers, and a note in place of the rest. None when it is gone."""
        limit = self._reader.settings.mail_bytes
        if size_bytes is None or size_bytes <= limit:
            # Not all servers count right, so they are not asked for more than we take.
            told = await self._imap.fetch(str(uid), f"BODY.PEEK[]<0.{limit + 1}>")
            raw = told.get(uid, {}).get("BODY")
            if not isinstance(raw, bytes):
                return None, ""
            if len(raw) <= limit:
                return raw, ""
            size_bytes = None
        told = await self._imap.fetch(str(uid), f"BODY.PEEK[HEADER]<0.{HEADER_BYTES}>")
        raw = told.get(uid, {}).get("BODY")
        size = "more" if size_bytes is None else f"{size_bytes:,}"
        note = f"[This mail was not read: it has {size} bytes, and more than {limit:,} are not fetched.]"
        return (raw, note) if isinstance(raw, bytes) else (None, "")

    async def _keep(self, cursor: Cursor) -> None:
        if cursor != self._kept:
            await self._inbox.keep_cursor(text_of_cursor(cursor))
        self.cursor = self._kept = cursor


def _asked_s(error: HermesError) -> float:
    """How long the sender's queue wants to be left alone, within reason."""
    asked = error.facts.get("retry_after_s")
    return min(max(float(asked), _OWED_LEAST_S), _WAIT_CAP_S) if isinstance(asked, int | float) else _OWED_WAIT_S


def _arrived(facts: Mapping[str, Item]) -> float | None:
    said = facts.get("INTERNALDATE")
    return arrival(said.decode("ascii", "replace")) if isinstance(said, bytes) else None
