"""Sends answers to Matrix rooms. Every event has an id of ours that the homeserver knows again: one effect each."""

from collections import OrderedDict
from contextlib import aclosing
from typing import TypeVar

from core.gateway.adapters import loose
from core.gateway.adapters.matrix_calls import MatrixCalls, MatrixError
from core.gateway.adapters.matrix_content import Content, file_content, sign_content, text_content
from core.gateway.adapters.matrix_events import MESSAGE, REACTION, Signed, read
from core.gateway.adapters.matrix_known import Known
from core.gateway.adapters.matrix_rooms import Target
from core.gateway.adapters.web import file_pieces
from core.gateway.platform import Outbound, OutboundFile, PlatformError, PlatformErrorKind

V = TypeVar("V")

BUTTONS_LIMIT = 8
_KEPT = 2000


class Outgoing:
    """What one account sends."""

    def __init__(self, calls: MatrixCalls, known: Known) -> None:
        self._calls = calls
        self._known = known
        # Our signs under messages of ours, as sign and event id; what is not in it is asked for.
        self._signs: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._uploads: OrderedDict[str, str] = OrderedDict()

    async def send(self, message: Outbound) -> str:
        """Send a message, its files and its buttons; the id of the first event. Raises PlatformError."""
        room_id = message.source.chat
        if (await self._known.room(room_id)).is_encrypted:
            raise PlatformError(PlatformErrorKind.REFUSED, "the room is encrypted: nothing is sent there in the clear")
        sent: list[str] = []
        if message.text.strip() or not message.files:
            event_id = await self.event(room_id, MESSAGE, message.delivery_id, text_content(message))
            sent.append(message.edits or event_id)
        for number, file in enumerate(message.files):
            content = file_content(message, file, await self._uploaded(message, number, file))
            sent.append(await self.event(room_id, MESSAGE, f"{message.delivery_id}.f{number}", content))
        for event_id in sent:
            if event_id != message.edits:
                self._known.note(room_id, event_id, Target(self._calls.user_id, message.text, message.source.thread))
        await self._set_signs(message, sent[0])
        return sent[0]

    async def event(self, room_id: str, kind: str, transaction_id: str, content: Content) -> str:
        """Send one event; its id. Raises PlatformError."""
        answer = await self._calls.put("rooms", room_id, "send", kind, transaction_id, body=content)
        event_id = loose.text(answer, "event_id")
        if not event_id:
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, f"{self._calls.where} gave a message no id")
        return event_id

    async def _uploaded(self, message: Outbound, number: int, file: OutboundFile) -> str:
        key = f"{message.delivery_id}.f{number}"
        address = self._uploads.get(key)
        if address is None:
            mime = file.mime or "application/octet-stream"
            async with aclosing(file_pieces(file.path, file.size_bytes)) as pieces:
                address = await self._calls.upload(pieces, name=file.name, mime=mime, size_bytes=file.size_bytes)
            _remember(self._uploads, key, address)
        return address

    async def _set_signs(self, message: Outbound, event_id: str) -> None:
        """Put our signs under a message as its buttons say, and take others of ours away."""
        room_id = message.source.chat
        wanted = [button.sign for button in message.buttons[:BUTTONS_LIMIT]]
        present = await self._present(room_id, event_id, is_new=not message.edits)
        for number, sign in enumerate(wanted):
            if sign in present:
                continue
            try:
                present[sign] = await self.event(
                    room_id, REACTION, f"{message.delivery_id}.b{number}", sign_content(event_id, sign)
                )
            except MatrixError as error:
                if error.errcode != "M_DUPLICATE_ANNOTATION":
                    raise
        for number, sign in enumerate([sign for sign in present if sign not in wanted]):
            await self._redact(room_id, present[sign], f"{message.delivery_id}.r{number}")
            del present[sign]

    async def _present(self, room_id: str, event_id: str, *, is_new: bool) -> dict[str, str]:
        present = self._signs.get(event_id)
        if present is None:
            present = {} if is_new else await self._asked(room_id, event_id)
            _remember(self._signs, event_id, present)
        return present

    async def _asked(self, room_id: str, event_id: str) -> dict[str, str]:
        try:
            found = await self._calls.relations(room_id, event_id, "m.annotation", REACTION)
        except PlatformError as error:
            if error.kind not in {PlatformErrorKind.GONE, PlatformErrorKind.REFUSED}:
                raise
            return {}
        signs = [read(event) for event in loose.objects(found, "chunk")]
        own = [item for item in signs if isinstance(item, Signed) and item.sender == self._calls.user_id]
        return {item.sign: item.event_id for item in own}

    async def _redact(self, room_id: str, event_id: str, transaction_id: str) -> None:
        try:
            await self._calls.put("rooms", room_id, "redact", event_id, transaction_id, body={})
        except PlatformError as error:
            if error.kind not in {PlatformErrorKind.GONE, PlatformErrorKind.REFUSED}:
                raise


def _remember(kept: OrderedDict[str, V], key: str, value: V) -> None:
    kept[key] = value
    if len(kept) > _KEPT:
        kept.popitem(last=False)
