"""Reads back what a sync left out of a Matrix room."""

import msgspec

from core.gateway.adapters import loose
from core.gateway.adapters.matrix_calls import MatrixCalls
from core.gateway.adapters.matrix_events import is_membership
from core.gateway.adapters.matrix_lane import Batch
from core.gateway.adapters.web import TooLargeError
from core.gateway.platform import PlatformError, PlatformErrorKind

EVENT_LIMIT = 20_000
"""Most events of one gap."""

BYTES_LIMIT = 32 * 1024 * 1024
"""Most that they may have together: they are read newest first, and all are held before the oldest is handed in."""

_BEFORE_JOIN_LIMIT = 500


async def read_back(calls: MatrixCalls, room_id: str, batch: Batch) -> bool:
    """Fill the gap of a batch: all since the last sync; in a room that we have just joined, since we were invited.

    False when that is too much, and its oldest part is left out. Raises PlatformError; called again it goes on.
    """
    limit = _BEFORE_JOIN_LIMIT if batch.is_new else EVENT_LIMIT
    while batch.begin and len(batch.gap) < limit and batch.gap_bytes < BYTES_LIMIT:
        params = {"dir": "b", "from": batch.begin, "limit": str(batch.page)}
        if not batch.is_new:
            params["to"] = batch.since
        try:
            found = await calls.get("rooms", room_id, "messages", params=params)
        except TooLargeError:
            if batch.page == 1:
                raise
            batch.page = max(1, batch.page // 4)
            continue
        except PlatformError as error:
            if error.kind in {PlatformErrorKind.GONE, PlatformErrorKind.REFUSED}:
                return True
            raise
        chunk = list(loose.objects(found, "chunk"))
        batch.gap += chunk
        batch.gap_bytes += len(msgspec.json.encode(chunk))
        if batch.is_new and any(is_membership(event, calls.user_id, "invite") for event in chunk):
            return True
        end = loose.text(found, "end")
        batch.begin = "" if end == batch.begin else end
    return not batch.begin or batch.is_new
