"""Deliveries as versions before 0.2 stored them, in rows of their own: read once, to be moved into the outboxes."""

import msgspec

from core.api.base import MessageId
from core.api.deliveries import DeliveryView
from core.api.sessions import Source
from core.gateway.platform import Outbound

OLD_ROWS = "outbound/"
"""Keys of such rows begin so."""


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    view: DeliveryView
    source: Source
    message_id: MessageId | None = None
    reply_to: str = ""


_rows = msgspec.json.Decoder(_Row)


def old_outbound(body: bytes) -> Outbound | None:
    """The message of such a row, None when it cannot be read."""
    try:
        row = _rows.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Outbound(
        delivery_id=row.view.id,
        session_id=row.view.session_id,
        source=row.source,
        text=row.view.text,
        message_id=row.message_id,
        reply_to=row.reply_to,
    )
