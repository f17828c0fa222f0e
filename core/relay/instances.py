"""The name by which paths of messages know this core: no other has it, also when nobody gave it a name of its own."""

import contextlib

import msgspec

from core.ids import IdSource
from core.journal import Journal
from core.relay_settings import RelaySettings
from core.store.base import Put, Store

_ROW = "relay_instance"
_LETTERS = 6


class _Row(msgspec.Struct, frozen=True):
    """What was drawn once for this store."""

    instance: str


async def own_name(settings: RelaySettings, *, store: Store, journal: Journal, ids: IdSource) -> str:
    """The name of the configuration; with letters that are drawn once when it is the one that all have.

    Two cores of one name would each take the other's messages for their own that came back. Raises StoreError.
    """
    if settings.name != RelaySettings().name:
        return settings.name
    stored = await store.get(_ROW)
    row = None
    if stored is not None:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            row = _rows.decode(stored.body)
    if row is None:
        row = _Row(ids.new_id()[-_LETTERS:])
        await journal.commit([Put(_ROW, msgspec.json.encode(row))], [])
    return f"{settings.name}~{row.instance}"


_rows = msgspec.json.Decoder(_Row)
