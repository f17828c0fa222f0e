"""What operators decide about senders: let in, turn down, take back, block; and what time decides."""

import contextlib
import heapq
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from core.api.base import SYSTEM, Actor, ActorKind, Event, Mark, PlatformName
from core.api.errors import AlreadyDecided, ConflictError, HermesError, InvalidInput, NotFound, Refused
from core.api.pairings import (
    ApprovePairing,
    BlockSender,
    DenyPairing,
    GetPairing,
    ListPairings,
    PairingApproved,
    PairingChanged,
    PairingDenied,
    PairingExpired,
    PairingId,
    PairingList,
    PairingReceipt,
    PairingRevoked,
    PairingState,
    PairingView,
    RevokePairing,
    SenderBlocked,
    SenderUnblocked,
    UnblockSender,
)
from core.clock import Clock, mark
from core.gateway import pairing
from core.gateway.access import EVERYBODY, Access, Sender, same_id
from core.gateway.invites import LONGEST_TTL_S, Invites
from core.gateway.listing import check_limit
from core.gateway.pairing import PairingRow, Step
from core.gateway.pairing_notices import PairingNotices
from core.gateway.pairing_requests import PairingRequests
from core.gateway.pairing_rows import PairingRows
from core.gateway.pairing_words import decision_words
from core.gateway.platform import Inbound
from core.gateway.source import PART_LIMIT
from core.handlers import CommandHandlers, QueryHandlers
from core.journal import Journal
from core.machine import IllegalTransition
from core.supervisor import Supervisor
from core.waits import CutShort, Waits

_LIST_LIMIT = 1_000
_REASON_LIMIT = 1_000
_KEPT_S = 30 * 86_400.0
KEPT_LIMIT = 1_000
"""Senders that were never let in and whose request is over: of more than these the oldest are let go at once."""
_LONGEST_SLEEP_S = 3_600.0
_RETRY_S = 5.0

_EVENTS: dict[Step, Callable[[PairingView], Event]] = {
    Step.APPROVE: lambda view: PairingApproved(pairing=view),
    Step.DENY: lambda view: PairingDenied(pairing=view),
    Step.REVOKE: lambda view: PairingRevoked(pairing=view),
    Step.BLOCK: lambda view: SenderBlocked(pairing=view),
    Step.UNBLOCK: lambda view: SenderUnblocked(pairing=view),
}


class StopsRuns(Protocol):
    """Stops what a sender has running."""

    async def stop(self, platform: PlatformName, is_them: Callable[[str], bool], reason: str, actor: Actor) -> int:
        """How many runs were told to stop."""
        ...


class Pairings:
    """Carries out decisions one after the other. replay: gives a message that was held back to the agent."""

    def __init__(
        self,
        *,
        rows: PairingRows,
        notices: PairingNotices,
        requests: PairingRequests,
        invites: Invites,
        access: Access,
        runs: StopsRuns,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        wakes: Waits,
        replay: Callable[[Inbound], Awaitable[object]],
    ) -> None:
        self._rows = rows
        self._notices = notices
        self._requests = requests
        self._invites = invites
        self._access = access
        self._runs = runs
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._wakes = wakes
        self._replay = replay

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            ApprovePairing: self.approve_pairing,
            DenyPairing: self.deny_pairing,
            RevokePairing: self.revoke_pairing,
            BlockSender: self.block_sender,
            UnblockSender: self.unblock_sender,
            **self._invites.commands,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {ListPairings: self.list_pairings, GetPairing: self.get_pairing}

    @property
    def problem(self) -> str:
        """Why nothing can be changed, or ""."""
        return self._rows.problem

    # -- questions ---------------------------------------------------------------

    async def list_pairings(self, query: ListPairings) -> PairingList:
        """Requests first, then what was decided, the newest first."""
        check_limit(query.limit, _LIST_LIMIT)
        seq = await self._journal.head()
        wanted = query.states or tuple(PairingState)
        found = [row.view for row in self._rows.rows.values() if row.view.state in wanted]
        invites = sorted((row.view for row in self._rows.invites.values()), key=lambda view: -view.created.at)
        return PairingList(
            pairings=tuple(heapq.nsmallest(query.limit, found, key=_order)),
            invites=tuple(invites[:_LIST_LIMIT]),
            total=len(found),
            problem=self._rows.problem,
            seq=seq,
        )

    async def get_pairing(self, query: GetPairing) -> PairingView:
        """One sender."""
        return self._get(query.pairing_id).view

    # -- decisions ---------------------------------------------------------------

    async def approve_pairing(self, command: ApprovePairing, actor: Actor) -> PairingReceipt:
        """Let a sender in; the message that was held back goes to the agent when that is wished."""
        async with self._rows.lock:
            row = self._decidable(command.pairing_id, command.version, Step.APPROVE, actor)
            after = await self._decide(row, Step.APPROVE, actor, "", replays=command.replays)
        is_replayed = command.replays and await self._replayed(after)
        return PairingReceipt(pairing=self._rows.rows[after.view.id].view, is_replayed=is_replayed)

    async def deny_pairing(self, command: DenyPairing, actor: Actor) -> PairingReceipt:
        """Turn a request down."""
        _check_reason(command.reason)
        async with self._rows.lock:
            row = self._decidable(command.pairing_id, command.version, Step.DENY, actor)
            after = await self._decide(row, Step.DENY, actor, command.reason)
        return PairingReceipt(pairing=after.view)

    async def revoke_pairing(self, command: RevokePairing, actor: Actor) -> PairingReceipt:
        """Take access back; effective when this returns."""
        _check_reason(command.reason)
        async with self._rows.lock:
            row = self._decidable(command.pairing_id, command.version, Step.REVOKE, actor)
            after = await self._decide(row, Step.REVOKE, actor, command.reason)
        return await self._stopped(after, actor, is_wished=command.stops_runs)

    async def block_sender(self, command: BlockSender, actor: Actor) -> PairingReceipt:
        """Ignore a sender, known or not."""
        _check_reason(command.reason)
        sender_id = self._checked_sender(command)
        async with self._rows.lock:
            self._rows.check()
            now = mark(self._clock)
            row = self._rows.find(command.platform, sender_id)
            row = pairing.new_row(command.platform, sender_id, "", "", now) if row is None else row
            after = await self._decide(row, Step.BLOCK, actor, command.reason)
        return await self._stopped(after, actor, is_wished=command.stops_runs)

    async def unblock_sender(self, command: UnblockSender, actor: Actor) -> PairingReceipt:
        """End a block or a lockout."""
        async with self._rows.lock:
            self._rows.check()
            row, now = self._get(command.pairing_id), mark(self._clock)
            if row.view.state is PairingState.BLOCKED:
                after = await self._decide(row, Step.UNBLOCK, actor, "")
            elif row.view.failures or pairing.is_locked(row, now):
                after = pairing.unlocked(row)
                event = SenderUnblocked(pairing=after.view)
                await self._rows.commit([after], [(str(after.view.id), event)], actor=actor)
            else:
                raise Refused("the sender is neither blocked nor locked out", rule="state", fix="see `pairing list`")
        return PairingReceipt(pairing=after.view)

    def _get(self, key: PairingId) -> PairingRow:
        platform, colon, sender_id = key.partition(":")
        if colon:
            kind = self._access.rules(PlatformName(platform)).kind
            row = self._rows.find(PlatformName(platform), same_id(kind, sender_id))
        else:
            row = self._rows.rows.get(key)
        if row is None:
            raise NotFound(f"no sender {key} is known", noun="pairing", id=key, fix="see `pairing list`")
        return row

    def _checked_sender(self, command: BlockSender) -> str:
        if command.platform not in self._access.accounts:
            known = ", ".join(self._access.accounts) or "none"
            raise NotFound(
                f"no platform {command.platform}", noun="platform", id=command.platform, fix=f"one of {known}"
            )
        if not command.sender_id.strip() or command.sender_id == EVERYBODY or len(command.sender_id) > PART_LIMIT:
            raise InvalidInput(
                f"sender_id must be one id of 1 to {PART_LIMIT} characters",
                field="sender_id",
                value=command.sender_id[:40],
                fix="take it from `pairing list` or the events",
            )
        return same_id(self._access.rules(command.platform).kind, command.sender_id)

    def _decidable(self, key: PairingId, version: int | None, step: Step, actor: Actor) -> PairingRow:
        """The row as far as it may be decided about as it was looked at."""
        self._rows.check()
        row = self._get(key)
        view = row.view
        if actor.kind is ActorKind.SENDER and actor.name == f"{view.platform}:{view.sender_id}":
            raise Refused("nobody decides about themselves", rule="approver", fix="ask another operator")
        if step not in pairing.PAIRING.table[view.state]:
            raise self._undecidable(row, step)
        # One that is not there yet is of an earlier row of this identity, which was let go.
        if version is not None and not row.material <= version <= view.version:
            raise ConflictError(
                f"the sender changed since it was looked at; it is {view.state.value} now",
                key="version",
                expected=version,
                found=view.version,
                fix="look again",
            )
        return row

    def _undecidable(self, row: PairingRow, step: Step) -> HermesError:
        view = row.view
        if view.decided is None:
            return Refused(f"the sender is {view.state.value}: there is nothing to {step.value}", rule="state")
        ago_s = max(0.0, self._clock.monotonic() - view.decided.mono)
        return AlreadyDecided(
            f"{view.state.value} by {view.decided_by or 'somebody'} {ago_s:.0f} s ago already",
            by=view.decided_by,
            at=view.decided.at,
            outcome=view.state.value,
        )

    async def _decide(
        self, row: PairingRow, step: Step, actor: Actor, reason: str, *, replays: bool = False
    ) -> PairingRow:
        now = mark(self._clock)
        try:
            after = pairing.decided(row, step, now, by=actor.name, reason=reason)
        except IllegalTransition:
            raise self._undecidable(row, step) from None
        notice = None
        if step is not Step.UNBLOCK:
            after, notice = await self._notices.prepared(after, decision_words(after.view.state, reason))
        if replays and after.first is not None:
            after = msgspec.structs.replace(after, is_replaying=True)
        subject = str(after.view.id)
        await self._rows.commit([after], [(subject, _EVENTS[step](after.view))], actor=actor, notice=notice)
        self._requests.dirty.pop(subject, None)
        # Whoever asked may leave room for somebody in line.
        self._wakes.cut()
        return after

    async def _stopped(self, row: PairingRow, actor: Actor, *, is_wished: bool) -> PairingReceipt:
        if not is_wished:
            return PairingReceipt(pairing=row.view)
        view = row.view
        ids = frozenset(self._access.ids(Sender(platform=view.platform, sender_id=view.sender_id)))
        kind = self._access.rules(view.platform).kind

        def is_them(sender_id: str) -> bool:
            return same_id(kind, sender_id) in ids

        count = await self._runs.stop(view.platform, is_them, f"access was taken back: {view.state.value}", actor)
        return PairingReceipt(pairing=view, stopped_runs=count)

    # -- what was held back ------------------------------------------------------

    async def _replayed(self, row: PairingRow) -> bool:
        """Give the first message to the agent, once; whether it went."""
        first = row.first
        if first is None:
            return False
        native_id = first.native_id or f"held:{row.view.id}:{row.view.asked.at}"
        try:
            await self._replay(msgspec.structs.replace(first, native_id=native_id))
            is_done = True
        except HermesError:
            is_done = False
        async with self._rows.lock:
            now_row = self._rows.rows[row.view.id]
            after = pairing.changed(now_row, first_text="" if is_done else now_row.view.first_text)
            after = msgspec.structs.replace(after, first=None if is_done else now_row.first, is_replaying=False)
            with contextlib.suppress(HermesError):
                await self._rows.commit([after], [(str(row.view.id), PairingChanged(pairing=after.view))])
        return is_done

    # -- time --------------------------------------------------------------------

    async def recover(self) -> None:
        """Finish what an earlier start of the core began. Connections and sessions must be ready."""
        self._notices.recover()
        for row in list(self._rows.rows.values()):
            if row.is_replaying and row.view.state is PairingState.APPROVED:
                self._supervisor.spawn(f"pairing:{row.view.id}", self._replayed(row))

    async def run(self) -> None:
        """End requests and invitations in time, and store what was counted, until cancelled."""
        while True:
            try:
                delay_s = await self.tick()
            except HermesError:
                delay_s = _RETRY_S
            with contextlib.suppress(CutShort):
                await self._wakes.wait(self._clock.sleep(delay_s))

    async def tick(self) -> float:
        """End what is over; returns the seconds until there is something to do again. Raises StoreError."""
        if self._rows.problem:
            return _LONGEST_SLEEP_S
        await self._requests.store_tries()
        async with self._rows.lock:
            now = mark(self._clock)
            for row in self._rows.all_asked():
                if pairing.is_due(row.view.expires, now):
                    await self._expire(row, now)
            for platform in {row.view.platform for row in self._rows.all_asked() if row.view.is_in_line}:
                await self._requests.announce_next(platform, now)
            await self._invites.expire(now)
            await self._rows.forget(self._forgotten(now), self._invites.forgotten(now))
        return self._delay_s()

    async def _expire(self, row: PairingRow, now: Mark) -> None:
        after = pairing.decided(row, Step.EXPIRE, now, by="core")
        await self._rows.commit([after], [(str(after.view.id), PairingExpired(pairing=after.view))], actor=SYSTEM)

    def _forgotten(self, now: Mark) -> Sequence[PairingRow]:
        """Senders that were never let in and whose request is long over, or of whom there are too many."""
        states = {PairingState.EXPIRED, PairingState.DENIED}
        over = [row for row in self._rows.rows.values() if row.view.state in states and not _holds_codes(row, now)]
        if len(over) > KEPT_LIMIT:
            # Those locked out last: what is known of the others is worth less.
            over.sort(key=lambda row: (pairing.is_locked(row, now), _since(row)))
            return over[: len(over) - KEPT_LIMIT]
        return [row for row in over if not pairing.is_locked(row, now) and now.at - _since(row) > _KEPT_S]

    def _delay_s(self) -> float:
        due = [row.view.expires.mono for row in self._rows.all_asked() if row.view.expires is not None]
        due += self._invites.due()
        if (tries := self._requests.tries_due()) is not None:
            due.append(tries)
        wait_s = min(due) - self._clock.monotonic() if due else _LONGEST_SLEEP_S
        return min(max(0.0, wait_s), _LONGEST_SLEEP_S)


def _holds_codes(row: PairingRow, now: Mark) -> bool:
    """Whether a code may still be about that was made before access was taken back, and must not let the sender in."""
    return row.codes_before is not None and now.mono - row.codes_before.mono <= LONGEST_TTL_S


def _since(row: PairingRow) -> float:
    return (row.view.decided or row.view.asked).at


def _order(view: PairingView) -> tuple[bool, float, str]:
    if view.state is PairingState.ASKED:
        return False, view.asked.at, view.id
    return True, -(view.decided or view.asked).at, view.id


def _check_reason(reason: str) -> None:
    if len(reason) > _REASON_LIMIT:
        raise InvalidInput(
            f"the reason has {len(reason)} characters; at most {_REASON_LIMIT} are possible",
            field="reason",
            value=reason[:40],
            fix="write less",
        )
