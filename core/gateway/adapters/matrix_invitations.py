"""Follows invitations to Matrix rooms, beside everything else: a room of a server that is away takes long to fail."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from core.backoff import ceiling_s
from core.clock import Clock
from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.matrix_calls import MatrixCalls
from core.gateway.adapters.matrix_known import Known
from core.gateway.adapters.matrix_rooms import joins
from core.gateway.platform import PlatformError, PlatformErrorKind
from core.platform_settings import MatrixSettings

KEPT = 20
"""Invitations that are kept over restarts, while they are tried."""

_LIMIT = 200
_AT_ONCE = 4
_TRIES = 16
_BASE_S = 1.0
_CAP_S = 300.0
_DEADLINE_S = 60.0
_FOR_GOOD = frozenset({PlatformErrorKind.GONE, PlatformErrorKind.REFUSED})


class Invitation(msgspec.Struct, frozen=True):
    """To a room. inviter: "" when nobody said. is_direct: as the inviter says, to a conversation of two."""

    room_id: str
    inviter: str = ""
    is_direct: bool = False


class Invitations:
    """Those of one account that are being followed. problem: of one that was given up, "" for none."""

    def __init__(
        self,
        settings: MatrixSettings,
        calls: MatrixCalls,
        known: Known,
        *,
        clock: Clock,
        group: asyncio.TaskGroup,
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._known = known
        self._clock = clock
        self._group = group
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._pending: dict[str, Invitation] = {}
        self.problem = ""

    @property
    def pending(self) -> tuple[Invitation, ...]:
        """The first few that are not followed yet."""
        return tuple(self._pending.values())[:KEPT]

    def resume(self, kept: Iterable[Invitation]) -> None:
        """Go on with those of an earlier time."""
        for invitation in kept:
            self._follow(invitation)

    def offer(self, room_id: str, found: Json) -> None:
        """Follow an invitation that a sync told of, if that is what the configuration says."""
        events = loose.objects(loose.below(found, "invite_state"), "events")
        own = next(
            (event for event in events if loose.text(event, "state_key") == self._calls.user_id), loose.mapping(None)
        )
        inviter = loose.text(own, "sender")
        is_direct = loose.flag(loose.below(own, "content"), "is_direct")
        if joins(self._settings, inviter, is_direct=is_direct):
            self._follow(Invitation(room_id, inviter, is_direct))

    def _follow(self, invitation: Invitation) -> None:
        if invitation.room_id in self._pending:
            return
        if len(self._pending) >= _LIMIT:
            self.problem = "more invitations came at once than are followed: ask for another one"
            return
        self._pending[invitation.room_id] = invitation
        self._group.create_task(self._tried(invitation))

    async def _tried(self, invitation: Invitation) -> None:
        """Join, in the end; raises PlatformError when our token is refused."""
        for failures in range(1, _TRIES + 1):
            try:
                async with self._gate:
                    await self._join(invitation)
            except PlatformError as error:
                if error.kind is PlatformErrorKind.UNAUTHORISED:
                    raise
                if error.kind in _FOR_GOOD:
                    break
                if failures == _TRIES:
                    self.problem = f"an invitation to {invitation.room_id} cannot be followed: {error.message}"
                    break
                wait_s = max(ceiling_s(failures, base_s=_BASE_S, cap_s=_CAP_S), error.retry_after_s or 0.0)
            else:
                break
            await self._clock.sleep(wait_s)
        del self._pending[invitation.room_id]

    async def _join(self, invitation: Invitation) -> None:
        server = invitation.inviter.partition(":")[2]
        params = {"server_name": server, "via": server} if server else {}
        await self._calls.post("join", invitation.room_id, params=params, body={}, deadline_s=_DEADLINE_S)
        if invitation.is_direct and invitation.inviter:
            with suppress(PlatformError):
                await self._known.add_direct(invitation.room_id, invitation.inviter)
