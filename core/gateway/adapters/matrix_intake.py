"""Hands in what syncs of a Matrix account brought: each room in order, all rooms side by side.

What cannot be taken now waits in the lane of its room and is tried again, while other rooms and later syncs go on. A
command and the use of a button go before what waits: stopping what is stuck must not have to wait for it.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any

from core.api.base import PlatformName
from core.api.errors import HermesError
from core.backoff import ceiling_s
from core.clock import Clock
from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.matrix_calls import MatrixCalls
from core.gateway.adapters.matrix_content import notice_content
from core.gateway.adapters.matrix_events import (
    ENCRYPTED,
    ENCRYPTION,
    MESSAGE,
    Changed,
    Said,
    Signed,
    read,
)
from core.gateway.adapters.matrix_gap import read_back
from core.gateway.adapters.matrix_invitations import Invitations
from core.gateway.adapters.matrix_known import Known
from core.gateway.adapters.matrix_lane import KEPT, Batch, Due, Lane, batch_of, own_begin
from core.gateway.adapters.matrix_outgoing import Outgoing
from core.gateway.adapters.matrix_rooms import Room, Target, inbound_of, source_of, without_address
from core.gateway.platform import InboundEdit, Inbox, PlatformError, PlatformErrorKind, Press
from core.platform_settings import MatrixSettings
from core.waits import CutShort

_ROOMS_AT_ONCE = 16
_RETRY_BASE_S = 1.0
_RETRY_CAP_S = 30.0
_RETRY_LIMIT_S = 300.0
_FAULT_LIMIT = 3
_MISS_LIMIT = 6
_SHOWN_FAILURES = 3
_GRACE_S = 1.0
_COURTESY_S = 5.0
_PROBLEMS_KEPT = 3
_ENCRYPTED_WORDS = "This room is encrypted, and I cannot read it. Please write to me in a room without encryption."
_FOR_GOOD = frozenset({PlatformErrorKind.GONE, PlatformErrorKind.REFUSED})


class MatrixIntake:
    """What comes in for one account, while one run of it goes on.

    encrypted: rooms that were told that we read nothing there. group: of the run; what waits is tried again in it.
    """

    def __init__(
        self,
        platform: PlatformName,
        settings: MatrixSettings,
        inbox: Inbox,
        *,
        calls: MatrixCalls,
        known: Known,
        outgoing: Outgoing,
        clock: Clock,
        group: asyncio.TaskGroup,
        encrypted: tuple[str, ...] = (),
    ) -> None:
        self._platform = platform
        self._settings = settings
        self._inbox = inbox
        self._calls = calls
        self._known = known
        self._outgoing = outgoing
        self._clock = clock
        self._group = group
        self._me = calls.user_id
        self._lanes: dict[str, Lane] = {}
        self._gate = asyncio.Semaphore(_ROOMS_AT_ONCE)
        self._rested = asyncio.Event()
        self._sync_count = 0
        self.encrypted = list(encrypted)
        self.invitations = Invitations(settings, calls, known, clock=clock, group=group)
        self.problems: deque[str] = deque(maxlen=_PROBLEMS_KEPT)

    async def take(self, batch: Json, since: str, after: str) -> bool:
        """Take a sync in; returns when it was dealt with, or waits, or takes long: later ones may follow in any case.
        Whether it brought anything.

        since: where it begins; "" for the first one ever, whose messages are all of before our time. after: where
        the next one does.
        """
        self._sync_count += 1
        rooms = loose.below(batch, "rooms")
        is_owed = any(loose.below(rooms, kind) for kind in ("invite", "leave")) or not since
        for event in loose.objects(loose.below(batch, "account_data"), "events"):
            if loose.text(event, "type") == "m.direct":
                self._known.set_direct(loose.below(event, "content"))
                is_owed = True
        for room_id in map(loose.valid, loose.below(rooms, "leave")):
            self._known.forget(room_id)
            if room_id in self.encrypted:
                self.encrypted.remove(room_id)
        for room_id, invitation in loose.below(rooms, "invite").items():
            self.invitations.offer(loose.valid(room_id), loose.mapping(invitation))
        for room_id, found in loose.below(rooms, "join").items() if since else ():
            part = batch_of(loose.mapping(found), self._sync_count, since, self._me)
            if part is not None:
                self._add(loose.valid(room_id), part, after)
                is_owed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                while any(lane.is_busy for lane in self._lanes.values()):
                    self._rested.clear()
                    await self._rested.wait()
        return is_owed

    def place(self, after: str) -> str:
        """Where to go on after a restart: at the oldest of what waits, else at `after`."""
        oldest = [lane.oldest for lane in self._lanes.values()]
        return min((found for found in oldest if found is not None), default=(0, after))[1]

    @property
    def problem(self) -> str:
        """What an operator should know of, in one line."""
        found = list(self.problems)
        if self.invitations.problem:
            found.append(self.invitations.problem)
        stuck = [lane for lane in self._lanes.values() if lane.failures >= _SHOWN_FAILURES]
        if stuck:
            more = f" and {len(stuck) - 1} more" if len(stuck) > 1 else ""
            found.append(f"what was said in {stuck[0].room_id}{more} waits: {stuck[0].reason}")
        if self.encrypted:
            count, more = len(self.encrypted), "" if len(self.encrypted) == 1 else ", ..."
            found.append(f"{count} encrypted room{'s' * (count > 1)} cannot be read: {self.encrypted[0]}{more}")
        return "; ".join(found)

    # -- the lane of a room

    def _add(self, room_id: str, part: Batch, after: str) -> None:
        lane = self._lanes.get(room_id)
        if lane is None:
            lane = self._lanes[room_id] = Lane(room_id)
            self._group.create_task(self._work(lane))
        lane.add(part, after, partial(self._overtakes, room_id))
        lane.rest.cut()

    async def _work(self, lane: Lane) -> None:
        """Hand in what a room's lane has, until nothing is left. Raises PlatformError when our token is refused."""
        while lane.oldest:
            lane.is_fresh = False
            async with self._gate:
                await self._pass(lane)
            if lane.is_fresh:
                continue
            lane.is_busy = False
            self._rested.set()
            if lane.oldest:
                with suppress(CutShort):
                    await lane.rest.wait(self._clock.sleep(max(0.0, lane.next_try - self._clock.monotonic())))
        del self._lanes[lane.room_id]
        self._rested.set()

    async def _pass(self, lane: Lane) -> None:
        """Hand in what can be."""
        is_due = lane.is_due(self._clock.monotonic())
        if lane.is_shut and not is_due:
            return
        try:
            while lane.batches and len(lane.events) < KEPT:
                await self._open(lane, lane.batches[0])
            await self._drain(lane, await self._known.room(lane.room_id), is_due=is_due)
        except PlatformError as error:
            if error.kind is PlatformErrorKind.UNAUTHORISED:
                raise
            if error.kind in _FOR_GOOD:
                # We are not in it any more.
                lane.clear()
                return
            self._hold(lane, error.message, error.retry_after_s, is_shut=True)

    def _hold(self, lane: Lane, reason: str, asked: object, *, is_shut: bool = False) -> None:
        wait_s = ceiling_s(lane.failures + 1, base_s=_RETRY_BASE_S, cap_s=_RETRY_CAP_S)
        if isinstance(asked, int | float) and asked > 0:
            wait_s = min(float(asked), _RETRY_LIMIT_S)
        lane.hold(reason, wait_s, self._clock.monotonic(), is_shut=is_shut)

    async def _open(self, lane: Lane, batch: Batch) -> None:
        """Make the events of a batch due. Raises PlatformError; what was read back until then is kept."""
        if batch.is_limited and not batch.is_opening:
            # Members may have changed in the gap without being told of here.
            self._known.forget(lane.room_id)
        batch.is_opening = True
        if batch.is_limited and not await read_back(self._calls, lane.room_id, batch):
            self.problems.append(
                f"more was missed in {lane.room_id} than can be read at once, and the oldest of it is left out"
            )
        was_known = self._known.find_room(lane.room_id) is not None
        room = await self._known.room(lane.room_id)
        if was_known:
            for event in batch.state:
                room.apply(event)
        events = [*batch.gap[::-1], *batch.events]
        if batch.is_new:
            events = events[own_begin(events, self._me) :]
            if room.is_encrypted:
                await self._refuse_encrypted(room)
        lane.events += [
            Due(
                number=batch.number,
                since=batch.since,
                event=event,
                must_apply=was_known,
                may_overtake=self._overtakes(lane.room_id, event),
            )
            for event in events
            if loose.text(event, "event_id") not in lane.ahead
        ]
        lane.batches.popleft()

    async def _drain(self, lane: Lane, room: Room, *, is_due: bool) -> None:
        """Hand in what is due; what cannot be taken stays, and lets by what may overtake. Raises PlatformError."""
        at, taken = 0, ""
        while at < len(lane.events):
            due = lane.events[at]
            is_first = is_due and not at
            if not (is_first or due.may_overtake) or not await self._is_done(lane, room, due):
                at += 1
                continue
            del lane.events[at]
            event_id = loose.text(due.event, "event_id")
            if is_first:
                lane.is_over()
                taken = event_id
            else:
                lane.ahead.add(event_id)
        if taken and self._settings.read_receipts:
            path = ("rooms", room.room_id, "receipt", "m.read", taken)
            await _quietly(self._calls.post(*path, body={}, deadline_s=_COURTESY_S))

    async def _is_done(self, lane: Lane, room: Room, due: Due) -> bool:
        """Hand one in; False when it is wanted again later. Raises PlatformError when our token is refused."""
        try:
            await self._event(room, due)
        except HermesError as error:
            if error.retryable:
                self._hold(lane, error.message, error.facts.get("retry_after_s"))
            return not error.retryable
        except PlatformError as error:
            if error.kind is PlatformErrorKind.UNAUTHORISED:
                raise
            self._hold(lane, error.message, error.retry_after_s)
            return False
        except Exception as error:  # noqa: BLE001 - one message must not make the account deaf for ever
            due.fault_count += 1
            words = f"handling it failed with {type(error).__name__}"
            if due.fault_count < _FAULT_LIMIT:
                self._hold(lane, words, None)
                return False
            self.problems.append(f"a message was let go: {words}")
        return True

    def _overtakes(self, room_id: str, event: Json) -> bool:
        """Whether it may go before an earlier one of its room."""
        found = read(event)
        if not isinstance(found, Said):
            return isinstance(found, Signed)
        room = self._known.find_room(room_id)
        own_name = "" if room is None else room.names.get(self._me, "")
        return without_address(found.text, self._me, own_name).startswith("/")

    # -- one event

    async def _event(self, room: Room, due: Due) -> None:
        """Hand in what an event says."""
        event = due.event
        if due.must_apply:
            room.apply(event)
        if loose.text(event, "type") in {ENCRYPTED, ENCRYPTION}:
            await self._refuse_encrypted(room)
            return
        found = read(event)
        if isinstance(found, Said):
            self._known.note(room.room_id, found.event_id, Target(found.sender, found.text, found.thread))
        if found is None or found.sender == self._me:
            return
        if room.is_encrypted:
            await self._refuse_encrypted(room)
            return
        if isinstance(found, Said):
            # In a thread that began with a message of ours people talk to us.
            target_id = found.reply_to or found.thread
            answered = await self._target(room, target_id, due) if target_id else None
            await self._inbox.receive(inbound_of(self._platform, room, found, answered, self._me))
            return
        target = await self._target(room, found.target, due)
        if target is not None and isinstance(found, Changed):
            await self._changed(room, found, target)
        elif target is not None and isinstance(found, Signed):
            await self._signed(room, found, target)

    async def _target(self, room: Room, event_id: str, due: Due) -> Target | None:
        """What an event refers to; None when it cannot be had, or not for long. Raises PlatformError."""
        try:
            return await self._known.target(room.room_id, event_id)
        except PlatformError as error:
            due.miss_count += 1
            if due.miss_count < _MISS_LIMIT or error.kind is PlatformErrorKind.UNAUTHORISED:
                raise
            return None

    async def _changed(self, room: Room, changed: Changed, target: Target) -> None:
        if target.sender != changed.sender:
            # Nobody can change what another one said.
            return
        self._known.note(room.room_id, changed.target, Target(target.sender, changed.text, target.thread))
        edit = InboundEdit(
            platform=self._platform,
            source=source_of(self._platform, room, target.thread, self._me),
            sender_id=changed.sender,
            native_id=changed.target,
            text=changed.text,
            edit_id=changed.event_id,
        )
        await self._inbox.edited(edit)

    async def _signed(self, room: Room, signed: Signed, target: Target) -> None:
        if target.sender != self._me:
            return
        press = Press(
            platform=self._platform,
            source=source_of(self._platform, room, target.thread, self._me),
            sender_id=signed.sender,
            sender_name=room.name_of(signed.sender),
            answers=signed.target,
            sign=signed.sign,
            native_id=signed.event_id,
        )
        words = await self._inbox.pressed(press)
        if words:
            notice = notice_content(words, signed.target)
            transaction_id = _transaction("press", signed.event_id)
            await _quietly(self._outgoing.event(room.room_id, MESSAGE, transaction_id, notice))

    async def _refuse_encrypted(self, room: Room) -> None:
        room.is_encrypted = True
        if room.room_id in self.encrypted:
            return
        notice = notice_content(_ENCRYPTED_WORDS)
        await _quietly(self._outgoing.event(room.room_id, MESSAGE, _transaction("encrypted", room.room_id), notice))
        self.encrypted.append(room.room_id)


async def _quietly(call: Awaitable[Any]) -> None:
    """Do what is a courtesy: when it fails, nothing is lost."""
    with suppress(PlatformError):
        await call


def _transaction(what: str, of: str) -> str:
    return f"{what}-{hashlib.sha256(of.encode(errors='replace')).hexdigest()[:24]}"
