"""Senders that another gateway had let in: let in here, unless somebody here decided otherwise."""

from core.api.base import Actor, ActorKind
from core.api.errors import AlreadyDecided, InvalidInput, Refused
from core.api.pairings import ImportPairing, PairingApproved, PairingReceipt
from core.clock import Clock, mark
from core.gateway import pairing
from core.gateway.access import EVERYBODY, Access, same_id
from core.gateway.pairing import Step
from core.gateway.pairing_rows import PairingRows
from core.gateway.source import PART_LIMIT
from core.handlers import CommandHandlers
from core.waits import Waits

_REASON_LIMIT = 200


class PairingImports:
    """Takes them over one by one; nobody is told about it. wakes: cut when there is something to do."""

    def __init__(self, *, rows: PairingRows, access: Access, clock: Clock, wakes: Waits) -> None:
        self._rows = rows
        self._access = access
        self._clock = clock
        self._wakes = wakes

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {ImportPairing: self.import_pairing}

    async def import_pairing(self, command: ImportPairing, actor: Actor) -> PairingReceipt:
        """Let a sender in whom nobody here has decided about."""
        if actor.kind is not ActorKind.OPERATOR:
            raise Refused("only an operator takes senders over", rule="operator")
        sender_id = self._checked(command)
        async with self._rows.lock:
            self._rows.check()
            now = mark(self._clock)
            row = self._rows.find(command.platform, sender_id)
            if row is not None and row.view.decided is not None:
                raise AlreadyDecided(
                    f"{command.platform}:{sender_id} is {row.view.state.value} here, by {row.view.decided_by}",
                    by=row.view.decided_by,
                    at=row.view.decided.at,
                    outcome=row.view.state.value,
                )
            if row is None:
                row = pairing.new_row(command.platform, sender_id, command.sender_name, "", now)
            reason = f"taken over from {command.source}"[:_REASON_LIMIT] if command.source else "taken over"
            after = pairing.decided(row, Step.APPROVE, now, by=actor.name, reason=reason)
            event = PairingApproved(pairing=after.view)
            await self._rows.commit([after], [(str(after.view.id), event)], actor=actor)
            # Whoever asked leaves room for somebody in line.
            self._wakes.cut()
        return PairingReceipt(pairing=after.view)

    def _checked(self, command: ImportPairing) -> str:
        is_id = command.sender_id.strip() and command.sender_id != EVERYBODY
        if not is_id or len(command.sender_id) > PART_LIMIT:
            raise InvalidInput(
                f"sender_id must be one id of 1 to {PART_LIMIT} characters",
                field="sender_id",
                value=command.sender_id[:40],
                fix="take it from the files of the other gateway",
            )
        # A connection that is configured only with the next start is named as its kind is.
        kind = self._access.rules(command.platform).kind or str(command.platform)
        return same_id(kind, command.sender_id)
