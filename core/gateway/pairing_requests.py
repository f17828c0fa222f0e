"""What a stranger's message leads to: a request for an operator, another try, or an invitation that is used."""

import asyncio
from collections import OrderedDict

import msgspec

from core.api.access import Rule, Verdict
from core.api.base import Actor, ActorKind, Event, Mark, PlatformName, SessionId
from core.api.errors import HermesError, Refused
from core.api.pairings import (
    InviteEnded,
    InviteState,
    PairingApproved,
    PairingAsked,
    PairingChanged,
    PairingExpired,
    PairingId,
    PairingState,
    SenderLocked,
)
from core.api.sessions import ChatKind, MessageRefused
from core.clock import Clock, mark
from core.gateway import pairing, pairing_words
from core.gateway.access import Access, Sender
from core.gateway.pairing import InviteRow, InviteStep, PairingRow, Step
from core.gateway.pairing_notices import PairingNotices
from core.gateway.pairing_rows import PairingRows
from core.gateway.platform import Inbound
from core.gateway.source import PART_LIMIT
from core.journal import Journal
from core.supervisor import Supervisor
from core.waits import Waits

_SHOW_EVERY_S = 5.0
_REFUSAL_EVERY_S = 60.0
_REMEMBERED = 4_096

Events = list[tuple[str, Event]]


class PairingRequests:
    """Deals with those who are not let in. wakes: cut when there is something to do earlier than was known.

    dirty: rows with tries that are not stored yet.
    """

    def __init__(
        self,
        *,
        rows: PairingRows,
        notices: PairingNotices,
        access: Access,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        wakes: Waits,
    ) -> None:
        self._rows = rows
        self._notices = notices
        self._access = access
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._wakes = wakes
        self.dirty: dict[str, float] = {}
        self._refused: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def turned_away(self, inbound: Inbound, sender: Sender, verdict: Verdict) -> HermesError:
        """Do what is due for a sender who is not let in; returns what to raise. Nothing of it reaches an agent."""
        self._tell(inbound, verdict)
        refusal = Refused(verdict.text, rule=verdict.rule.value, origin=verdict.origin)
        is_asking = verdict.rule is Rule.DENY and inbound.source.kind is ChatKind.DM
        if not is_asking or self._rows.problem or not _can_be_known(inbound):
            return refusal
        inbound = msgspec.structs.replace(inbound, text=_plain(inbound.text), quoted=_plain(inbound.quoted))
        row = self._find(sender)
        is_repeated = row is not None and row.view.state is PairingState.ASKED
        # While a decision is being stored, its version must not be given to a count.
        if row is not None and is_repeated and not self._rows.lock.locked() and not pairing.find_code(inbound.text):
            self._count_try(row)
            return refusal
        # In a job of its own, so that an adapter that gives up cannot leave it half done.
        job = self._supervisor.spawn("pairing:request", self._handled(inbound, sender))
        try:
            await asyncio.shield(job)
        except HermesError as error:
            # What could not be stored now is asked for again: nobody else would know that somebody asked.
            return error if error.retryable else refusal
        return refusal

    def _find(self, sender: Sender) -> PairingRow | None:
        """The row of a sender, under whichever of its ids it is known."""
        found = (self._rows.find(sender.platform, one) for one in self._access.ids(sender))
        return next((row for row in found if row is not None), None)

    def _tell(self, inbound: Inbound, verdict: Verdict) -> None:
        """Say that somebody was refused, once in a while for each."""
        key, now = (str(inbound.platform), inbound.sender_id[:PART_LIMIT]), self._clock.monotonic()
        if now - self._refused.get(key, now - _REFUSAL_EVERY_S) < _REFUSAL_EVERY_S:
            return
        self._refused[key] = now
        self._refused.move_to_end(key)
        if len(self._refused) > _REMEMBERED:
            self._refused.popitem(last=False)
        event = MessageRefused(
            platform=inbound.platform,
            session_id=SessionId(""),
            code=verdict.rule.value,
            reason=_plain(f"{inbound.platform}:{inbound.sender_id[:PART_LIMIT]}: {verdict.text[: 2 * PART_LIMIT]}"),
        )
        self._journal.publish(str(inbound.platform), event, actor=_actor(inbound))

    def _count_try(self, row: PairingRow) -> None:
        after = pairing.changed(row, tries=row.view.tries + 1)
        self._rows.take(after)
        key, now = str(row.view.id), self._clock.monotonic()
        if key not in self.dirty:
            self.dirty[key] = now
            self._journal.publish(key, PairingChanged(pairing=after.view))
            self._wakes.cut()

    async def store_tries(self) -> None:
        """Store and show what was counted, once it is some seconds old. Raises StoreError; it is tried again then."""
        now = self._clock.monotonic()
        due = [key for key, since in self.dirty.items() if now - since >= _SHOW_EVERY_S]
        if not due:
            return
        async with self._rows.lock:
            found = [row for key in due if (row := self._rows.rows.get(PairingId(key))) is not None]
            await self._rows.store_only(found)
            for key in due:
                self.dirty.pop(key, None)
        for row in found:
            self._journal.publish(str(row.view.id), PairingChanged(pairing=row.view))

    def tries_due(self) -> float | None:
        """Monotonic time at which tries are to be stored; None when there are none."""
        return min(self.dirty.values()) + _SHOW_EVERY_S if self.dirty else None

    async def _handled(self, inbound: Inbound, sender: Sender) -> None:
        rules = self._access.rules(inbound.platform)
        async with self._rows.lock:
            now, row = mark(self._clock), self._find(sender)
            code = pairing.find_code(inbound.text)
            invites = [invite for invite in self._rows.invites.values() if _is_for(invite, inbound)]
            if row is None:
                own = self._access.ids(sender)[0]
                row = pairing.new_row(inbound.platform, own, inbound.sender_name, inbound.source.chat, now)
                row = msgspec.structs.replace(row, source=inbound.source)
            if row.view.state in {PairingState.BLOCKED, PairingState.APPROVED}:
                return  # Decided since the message was looked at.
            if code is not None and invites:
                await self._try_code(row, code, invites, inbound, now, is_told=rules.asks)
            elif rules.asks and pairing.may_ask(row, now):
                await self._ask(row, inbound, now)
            elif row.view.version:
                self._count_try(row)

    # -- requests ----------------------------------------------------------------

    async def _ask(self, row: PairingRow, inbound: Inbound, now: Mark) -> None:
        others = [other for other in self._rows.asked(inbound.platform) if other.view.id != row.view.id]
        in_line = [other for other in others if other.view.is_in_line]
        is_in_line = len(others) - len(in_line) >= pairing.ANNOUNCED_LIMIT
        is_code = pairing.find_code(inbound.text) is not None
        after = pairing.asked(row, inbound, now, is_in_line=is_in_line, is_kept=not is_code)
        alike = [other for other in self._rows.looking_like(inbound.sender_name) if self._is_other(other, row)]
        found = pairing_words.warnings(inbound.sender_name, [other.view for other in alike])
        after = msgspec.structs.replace(after, view=msgspec.structs.replace(after.view, warnings=found))
        changes, events = self._warned(after, alike)
        if is_in_line and len(in_line) >= pairing.LINE_LIMIT:
            over = pairing.decided(in_line[0], Step.EXPIRE, now, by="core", reason="too many wait in line")
            changes = [*(item for item in changes if item.view.id != over.view.id), over]
            events = [item for item in events if item[0] != over.view.id]
            events.append((str(over.view.id), PairingExpired(pairing=over.view)))
        notice = None
        if not is_in_line and (row.told is None or now.mono - row.told.mono >= pairing.NOTICE_S):
            after = msgspec.structs.replace(after, told=now)
            after, notice = await self._notices.prepared(after, pairing_words.asked_words(row.view.sender_id))
        event = PairingChanged(pairing=after.view) if is_in_line else PairingAsked(pairing=after.view)
        await self._rows.commit(
            [*changes, after], [*events, (str(after.view.id), event)], actor=_actor(inbound), notice=notice
        )
        self.dirty.pop(str(after.view.id), None)
        self._wakes.cut()

    async def announce_next(self, platform: PlatformName, now: Mark) -> None:
        """Ring for those in line as far as there is room. The lock is held. Raises StoreError."""
        asked = self._rows.asked(platform)
        in_line = [row for row in asked if row.view.is_in_line]
        room = pairing.ANNOUNCED_LIMIT - (len(asked) - len(in_line))
        for row in in_line[: max(0, room)]:
            after, notice = pairing.announced(row, now), None
            if row.told is None or now.mono - row.told.mono >= pairing.NOTICE_S:
                after = msgspec.structs.replace(after, told=now)
                after, notice = await self._notices.prepared(after, pairing_words.asked_words(row.view.sender_id))
            event = PairingAsked(pairing=after.view)
            await self._rows.commit([after], [(str(after.view.id), event)], notice=notice)

    def _is_other(self, other: PairingRow, row: PairingRow) -> bool:
        mine, theirs = row.view, other.view
        person = self._access.people.get((mine.platform, mine.sender_id), ())
        return theirs.id != mine.id and (theirs.platform, theirs.sender_id) not in person

    def _warned(self, row: PairingRow, alike: list[PairingRow]) -> tuple[list[PairingRow], Events]:
        """Earlier requests under a name that looks the same: whoever looks at them must hear of this one."""
        changes: list[PairingRow] = []
        events: Events = []
        foremost = pairing_words.foremost([row.view, *(item.view for item in alike)])
        for other in alike:
            if other.view.state is not PairingState.ASKED:
                continue
            rest = [view for view in foremost if view.id != other.view.id]
            found = pairing_words.warnings(other.view.sender_name, rest)
            if found != other.view.warnings:
                after = pairing.material(other, warnings=found)
                changes.append(after)
                events.append((str(after.view.id), PairingChanged(pairing=after.view)))
        return changes, events

    # -- codes -------------------------------------------------------------------

    async def _try_code(
        self, row: PairingRow, code: str, invites: list[InviteRow], inbound: Inbound, now: Mark, *, is_told: bool
    ) -> None:
        if pairing.is_locked(row, now):
            return
        # All are compared, so that the time tells nobody which one was nearly right.
        matches = [invite for invite in invites if pairing.is_code_of(invite, code)]
        match = matches[0] if matches else None
        if match is None:
            await self._wrong(row, pairing_words.CODE_WRONG, inbound, now, is_told=is_told)
        elif why := pairing.why_not(match, row.codes_before, now):
            await self._wrong(row, why, inbound, now, is_told=True)
        else:
            await self._redeem(row, match, inbound, now)

    async def _wrong(self, row: PairingRow, words: str, inbound: Inbound, now: Mark, *, is_told: bool) -> None:
        after = pairing.wrong_code(row, now)
        is_locked = after.view.locked_until is not None
        notice = None
        if is_told:
            after, notice = await self._notices.prepared(after, pairing_words.CODE_LOCKED if is_locked else words)
        event = SenderLocked(pairing=after.view) if is_locked else PairingChanged(pairing=after.view)
        await self._rows.commit([after], [(str(after.view.id), event)], actor=_actor(inbound), notice=notice)
        self._wakes.cut()

    async def _redeem(self, row: PairingRow, invite: InviteRow, inbound: Inbound, now: Mark) -> None:
        after = pairing.decided(row, Step.REDEEM, now, by=f"invitation of {invite.view.created_by}")
        name = inbound.sender_name[: pairing.NAME_LIMIT]
        view = msgspec.structs.replace(after.view, invite_id=invite.view.id, sender_name=name)
        after = msgspec.structs.replace(after, view=view, source=inbound.source)
        used = pairing.ended(invite, InviteStep.USE, used_by=view.id)
        after, notice = await self._notices.prepared(after, pairing_words.CODE_TAKEN)
        await self._rows.commit(
            [after],
            [
                (str(view.id), PairingApproved(pairing=after.view)),
                (str(used.view.id), InviteEnded(invite=used.view)),
            ],
            invites=[used],
            actor=_actor(inbound),
            notice=notice,
        )
        self._wakes.cut()


def _is_for(invite: InviteRow, inbound: Inbound) -> bool:
    """Whether a code of this sender could be this one: also one that is over, to say so."""
    view = invite.view
    return view.platform in {None, inbound.platform} or view.state is not InviteState.OPEN


def _can_be_known(inbound: Inbound) -> bool:
    """Whether the ids of a message can be stored: neither too long nor with half a character."""
    ids = (inbound.sender_id, inbound.source.chat, inbound.source.thread or "", *inbound.aliases)
    return all(len(one) <= PART_LIMIT and _plain(one) == one for one in ids)


def _plain(text: str) -> str:
    """Text that can be stored, with a mark for half a character."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _actor(inbound: Inbound) -> Actor:
    return Actor(ActorKind.SENDER, f"{inbound.platform}:{_plain(inbound.sender_id[:PART_LIMIT])}")
