"""Messages to senders about their access: put into the outbox with the decision, and their fate shown on the row."""

from collections.abc import Callable

import msgspec

from core.api.base import DeliveryId, PlatformName, Record
from core.api.deliveries import (
    DeliveryDied,
    DeliveryDropped,
    DeliveryQueued,
    DeliveryRetrying,
    DeliverySent,
    DeliveryState,
    DeliveryView,
)
from core.api.errors import HermesError, InvalidInput
from core.api.pairings import PairingChanged, PairingId
from core.gateway.pairing import PairingRow, noticed
from core.gateway.pairing_rows import PairingRows
from core.gateway.platform import Limits, Outbound
from core.gateway.source import session_id
from core.supervisor import Supervisor

_ABOUT_DELIVERIES = (DeliveryQueued, DeliverySent, DeliveryRetrying, DeliveryDied, DeliveryDropped)
_FINAL = frozenset({DeliveryState.SENT, DeliveryState.DEAD})


class PairingNotices:
    """Writes them, and listens to what becomes of them. limits: of a connection, None when it is not set up.

    is_waiting: whether a message is still on its way or dead, for those of an earlier start.
    """

    def __init__(
        self,
        *,
        rows: PairingRows,
        supervisor: Supervisor,
        limits: Callable[[PlatformName], Limits | None],
        is_waiting: Callable[[DeliveryId], bool],
    ) -> None:
        self._rows = rows
        self._supervisor = supervisor
        self._limits = limits
        self._is_waiting = is_waiting

    async def prepared(self, row: PairingRow, text: str) -> tuple[PairingRow, Outbound | None]:
        """The row with the message to its sender; none, and why, where nothing can be sent."""
        platform, source = row.view.platform, row.source
        limits = self._limits(platform)
        if source is None or (limits is not None and not limits.sends_answers):
            view = msgspec.structs.replace(row.view, notice=None, notice_error="")
            return msgspec.structs.replace(row, view=view, notice_id=None), None
        if why := await self._rows.can_tell(platform):
            return noticed(row, DeliveryState.DEAD, why), None
        try:
            outbound = Outbound(
                delivery_id=self._rows.new_notice_id(), session_id=session_id(source), source=source, text=text
            )
        except InvalidInput as error:
            return noticed(row, DeliveryState.DEAD, error.message), None
        view = msgspec.structs.replace(row.view, notice=DeliveryState.QUEUED, notice_error="")
        return msgspec.structs.replace(row, view=view, notice_id=outbound.delivery_id), outbound

    def recover(self) -> None:
        """Take up what became of messages while nobody listened."""
        for notice_id, key in list(self._rows.notices.items()):
            row = self._rows.rows[key]
            if row.view.notice not in {None, *_FINAL} and not self._is_waiting(notice_id):
                self._supervisor.spawn(f"pairing:{key}", self._note(key, notice_id, DeliveryState.SENT, ""))

    def observe(self, record: Record) -> None:
        """Look at a record of the journal; quick, as observers must be."""
        event = record.event
        if isinstance(event, _ABOUT_DELIVERIES):
            key = self._rows.notices.get(event.delivery.id)
            if key is not None:
                state, error = _fate(event.delivery, is_dropped=isinstance(event, DeliveryDropped))
                self._supervisor.spawn(f"pairing:{key}", self._note(key, event.delivery.id, state, error))

    async def _note(self, key: PairingId, notice_id: DeliveryId, state: DeliveryState, error: str) -> None:
        async with self._rows.lock:
            row = self._rows.rows.get(key)
            if row is None or row.notice_id != notice_id or self._rows.problem:
                return
            # Jobs may overtake one another: what is over does not begin again, unless somebody sent it again.
            if (row.view.notice, row.view.notice_error) == (state, error) or row.view.notice is DeliveryState.SENT:
                return
            after = noticed(row, state, error)
            try:
                await self._rows.commit([after], [(str(key), PairingChanged(pairing=after.view))])
            except HermesError:
                return  # Only a remark: the message itself is in its outbox.


def _fate(view: DeliveryView, *, is_dropped: bool) -> tuple[DeliveryState, str]:
    return (DeliveryState.DEAD, "an operator let it go") if is_dropped else (view.state, view.error)
