"""Invitations: codes that operators make beforehand, each of which lets one sender in."""

import secrets
from collections.abc import Callable, Collection

from core.api.base import SYSTEM, Actor, Mark, PlatformName
from core.api.errors import ConflictError, InvalidInput, NotFound, Overloaded
from core.api.pairings import (
    CreateInvite,
    InviteCreated,
    InviteEnded,
    InviteId,
    InviteReceipt,
    InviteState,
    InviteView,
    VoidInvite,
)
from core.clock import Clock, mark
from core.gateway import pairing
from core.gateway.pairing import InviteRow, InviteStep
from core.gateway.pairing_rows import PairingRows
from core.handlers import CommandHandlers
from core.ids import IdSource
from core.waits import Waits

OPEN_LIMIT = 100
LEAST_TTL_S, LONGEST_TTL_S = 60.0, 604_800.0
_NOTE_LIMIT = 200
_KEPT_S = 7 * 86_400.0


class Invites:
    """Makes and ends them. pick: gives a number from 0 to n-1 that nobody can guess."""

    def __init__(
        self,
        *,
        rows: PairingRows,
        accounts: Collection[PlatformName],
        clock: Clock,
        ids: IdSource,
        wakes: Waits,
        pick: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._rows = rows
        self._accounts = accounts
        self._clock = clock
        self._ids = ids
        self._wakes = wakes
        self._pick = pick

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {CreateInvite: self.create_invite, VoidInvite: self.void_invite}

    async def create_invite(self, command: CreateInvite, actor: Actor) -> InviteReceipt:
        """Make a code. It is in the receipt and nowhere else."""
        self._check(command)
        async with self._rows.lock:
            self._rows.check()
            now = mark(self._clock)
            self._check_room(now)
            code = pairing.new_code(self._pick)
            while any(pairing.is_code_of(row, code) for row in self._rows.invites.values()):
                code = pairing.new_code(self._pick)
            salt = secrets.token_hex(pairing.SALT_BYTES)
            view = InviteView(
                id=pairing.invite_id(self._ids.new_id()),
                version=1,
                platform=command.platform,
                state=InviteState.OPEN,
                created=now,
                expires=pairing.after_s(now, command.ttl_s),
                created_by=actor.name,
                note=command.note,
            )
            row = InviteRow(view=view, salt=salt, digest=pairing.code_digest(code, salt))
            await self._rows.commit([], [(str(view.id), InviteCreated(invite=view))], invites=[row], actor=actor)
            self._wakes.cut()
        return InviteReceipt(invite=view, code=code)

    async def void_invite(self, command: VoidInvite, actor: Actor) -> InviteView:
        """Make an open one worthless."""
        async with self._rows.lock:
            self._rows.check()
            row = self._rows.invites.get(command.invite_id)
            if row is None:
                raise NotFound(
                    f"no invitation {command.invite_id}",
                    noun="invite",
                    id=command.invite_id,
                    fix="see `pairing invites`",
                )
            if row.view.state is not InviteState.OPEN:
                raise ConflictError(
                    f"the invitation is {row.view.state.value} already", key="state", found=row.view.state.value
                )
            return await self._end(row, InviteStep.VOID, actor)

    async def expire(self, now: Mark) -> None:
        """End what is too old. The lock is held. Raises StoreError."""
        for row in list(self._rows.invites.values()):
            if row.view.state is InviteState.OPEN and pairing.is_due(row.view.expires, now):
                await self._end(row, InviteStep.EXPIRE, SYSTEM)

    def due(self) -> list[float]:
        """Monotonic times at which open ones end."""
        return [row.view.expires.mono for row in self._rows.invites.values() if row.view.state is InviteState.OPEN]

    def forgotten(self, now: Mark) -> list[InviteId]:
        """Those that have been over for so long that nobody is told about them any more."""
        return [
            row.view.id
            for row in self._rows.invites.values()
            if row.view.state is not InviteState.OPEN and now.at - row.view.expires.at > _KEPT_S
        ]

    async def _end(self, row: InviteRow, step: InviteStep, actor: Actor) -> InviteView:
        after = pairing.ended(row, step)
        event = InviteEnded(invite=after.view)
        await self._rows.commit([], [(str(after.view.id), event)], invites=[after], actor=actor)
        return after.view

    def _check(self, command: CreateInvite) -> None:
        if not LEAST_TTL_S <= command.ttl_s <= LONGEST_TTL_S:
            raise InvalidInput(
                f"ttl_s must be {LEAST_TTL_S:.0f} to {LONGEST_TTL_S:.0f}, not {command.ttl_s:g}",
                field="ttl_s",
                value=command.ttl_s,
                fix="3600 is an hour",
            )
        if len(command.note) > _NOTE_LIMIT:
            raise InvalidInput(
                f"the note has {len(command.note)} characters; at most {_NOTE_LIMIT} are possible",
                field="note",
                value=command.note[:40],
                fix="write less",
            )
        if command.platform is not None and command.platform not in self._accounts:
            known = ", ".join(self._accounts) or "none"
            raise NotFound(
                f"no platform {command.platform}", noun="platform", id=command.platform, fix=f"one of {known}"
            )

    def _check_room(self, now: Mark) -> None:
        open_rows = [row.view for row in self._rows.invites.values() if row.view.state is InviteState.OPEN]
        if len(open_rows) >= OPEN_LIMIT:
            first = min(view.expires.mono for view in open_rows)
            raise Overloaded(
                f"there are {len(open_rows)} open invitations already",
                bound="invites",
                limit=OPEN_LIMIT,
                retry_after_s=max(0.0, first - now.mono),
                fix="void some with `pairing void`",
            )
