"""What an answer needs to know of the mail that it answers, and the files of mails: from memory, else from the folder.

The folder itself is the memory that outlives a restart: what is not known any more is searched there by Message-ID.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from core.api.base import DeliveryId
from core.gateway.adapters.email_account import Account
from core.gateway.adapters.email_headers import ID_LIMIT, message_ids
from core.gateway.adapters.email_imap import Imap
from core.gateway.adapters.email_reading import FINGERPRINT, HEADER_BYTES, Mail, chain, file_of, headers_of
from core.gateway.adapters.email_trust import sender_of
from core.gateway.adapters.email_wire import quoted
from core.gateway.adapters.email_writing import Answered, message_id_of, subject_of
from core.gateway.adapters.recent import Recent
from core.gateway.platform import Outbound, PlatformError, PlatformErrorKind

_KEPT = 2_000
_KEEP_S = 7 * 86_400.0
_AT_ONCE = 2
_LOOKED_AT = 10


class Threads:
    """Mails of one folder, each of one chat: anybody can use an id again. monotonic: the present, in seconds."""

    def __init__(self, account: Account, monotonic: Callable[[], float]) -> None:
        self._account = account
        self._monotonic = monotonic
        self._known: Recent[tuple[str, str], Answered] = Recent(limit=_KEPT, keep_s=_KEEP_S)
        self._gate = asyncio.Semaphore(_AT_ONCE)

    def learn(self, chat: str, mail: Mail) -> None:
        """Remember a mail that came in."""
        self._put(chat, Answered(native_id=mail.native_id, references=mail.references, subject=mail.subject))

    async def answered(self, message: Outbound) -> Answered | None:
        """The mail that a message answers; None when it begins a thread. Raises nothing."""
        if message.part > 1 and not message.reply_to:
            return await self._before(message)
        native_id = message.reply_to or message.source.thread or ""
        if not native_id:
            return None
        chat = message.source.chat
        known = self._known.find((chat, native_id), self._monotonic())
        if known is not None:
            return known
        thread = message.source.thread
        poor = Answered(native_id=native_id, references=(thread,) if thread and thread != native_id else ())
        # An answer without a good subject is better than none while the folder cannot be read.
        with contextlib.suppress(PlatformError):
            found = await self._looked_up(chat, native_id)
            if found is not None:
                self._put(chat, found)
                return found
        return poor

    def sent(self, message: Outbound, message_id: str, answers: Answered | None) -> None:
        """Remember a mail of ours: what follows it in parts is in its thread."""
        references = () if answers is None else (*answers.references, answers.native_id)
        subject = subject_of(answers, message.text)
        self._put(message.source.chat, Answered(native_id=message_id, references=references, subject=subject))

    async def _before(self, message: Outbound) -> Answered | None:
        """The first part of the same message, as the mail that this part follows."""
        whole = message.delivery_id.rpartition(".")[0] or message.delivery_id
        first = message_id_of(msgspec.structs.replace(message, delivery_id=DeliveryId(whole)), self._account.address)
        return self._known.find((message.source.chat, first), self._monotonic()) or Answered(native_id=first)

    async def contents(self, place: str, number: int) -> bytes:
        """A file of a mail, by where the mail is and the number of the part. Raises PlatformError."""
        validity, _, uid = place.partition("/")
        async with self._gate, self._account.opened(read_only=True) as (imap, folder):
            if str(folder.validity) != validity:
                raise PlatformError(PlatformErrorKind.GONE, "the folder was numbered anew: the file cannot be found")
            limit = self._account.settings.mail_bytes
            raw = (await imap.fetch(uid, f"BODY.PEEK[]<0.{limit}>")).get(int(uid), {}).get("BODY")
        data = await asyncio.to_thread(file_of, raw, number) if isinstance(raw, bytes) else None
        if data is None:
            raise PlatformError(PlatformErrorKind.GONE, "the mail with this file is gone")
        return data

    async def _looked_up(self, chat: str, native_id: str) -> Answered | None:
        if native_id.startswith(FINGERPRINT) or len(native_id) > ID_LIMIT or not message_ids(f"<{native_id}>"):
            return None
        async with self._gate, self._account.opened(read_only=True) as (imap, _):
            return await _found(imap, {chat, self._account.address}, native_id)

    def _put(self, chat: str, answered: Answered) -> None:
        self._known.put((chat, answered.native_id), answered, self._monotonic())


async def _found(imap: Imap, senders: "set[str]", native_id: str) -> Answered | None:
    uids = await imap.search(f"HEADER Message-ID {quoted(f'<{native_id}>')}")
    for uid in uids[-1 : -1 - _LOOKED_AT : -1]:
        facts = await imap.fetch(str(uid), f"BODY.PEEK[HEADER]<0.{HEADER_BYTES}>")
        raw = facts.get(uid, {}).get("BODY")
        headers = await asyncio.to_thread(headers_of, raw) if isinstance(raw, bytes) else None
        if headers is not None and sender_of(headers) in senders:
            return Answered(native_id=native_id, references=chain(headers), subject=headers.shown("subject"))
    return None
