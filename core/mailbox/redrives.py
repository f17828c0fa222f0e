"""Purge and redrive: many messages dropped or sent once more, a few hundred in one commit, so that nothing stalls."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from heapq import merge
from itertools import chain, islice

import msgspec

from core.api.base import Actor, Event, MailboxName, MailId
from core.api.errors import HermesError, InvalidInput, MailboxFull
from core.api.mail import BulkReceipt, MailboxPurged, MailRedriven, PurgeMailbox, RedriveMail
from core.clock import Clock
from core.mailbox.filter import Fits, check_filter, matcher
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Mail
from core.mailbox.owner import closed_to_posts, closed_to_purges
from core.mailbox.scans import fitting, portions
from core.mailbox.transaction import Transaction
from core.waits import breathe

STEP = 500
"""Messages in one commit."""

_IDS_SHOWN = 100
_REASON_LIMIT = 2_000
_Events = list[tuple[str, Event]]


class Redrives:
    """Acts on many messages at a time. Every step is one commit with its events and who asked for it.

    What fails half way has done its earlier steps: the error says how many messages that were.
    """

    def __init__(self, *, mailboxes: Mailboxes, clock: Clock) -> None:
        self._mailboxes = mailboxes
        self._clock = clock
        # A step looks and commits without another one between, so that nothing is sent twice.
        self._step = asyncio.Lock()

    async def purge_mailbox(self, command: PurgeMailbox, actor: Actor) -> BulkReceipt:
        """Drop what fits; what is in flight stays. Raises NotFound, InvalidInput, Refused, StoreError."""
        _check_reason(command.reason)
        check_filter(command.where, is_dead=command.dead)
        if not command.mailbox and not command.dead:
            raise InvalidInput(
                "only dead letters can be purged in all mailboxes at once",
                field="mailbox",
                value="",
                fix="name a mailbox, or purge dead letters",
            )
        owner = None if command.dead else self._mailboxes.owners.get(command.mailbox)
        if owner is not None:
            raise closed_to_purges(command.mailbox, owner)
        fits = matcher(command.where, self._clock.now())
        boxes = self._origins(command.mailbox)
        found = [await _dead(box, fits) if command.dead else await _waiting(box, fits) for box in boxes]
        receipt = _receipt(boxes, found, is_dry_run=command.dry_run)
        if command.dry_run:
            return receipt

        def add(step: Transaction, mails: Sequence[Mail]) -> _Events:
            for mail in mails:
                step.drop(mail)
            return [
                (name, MailboxPurged(mailbox=name, count=count, dead=command.dead, reason=command.reason))
                for name, count in Counter(mail.mailbox for mail in mails).items()
            ]

        changed = await self._steps(_moved(chain.from_iterable(found), found), add, actor)
        return msgspec.structs.replace(receipt, changed=changed)

    async def redrive_mail(self, command: RedriveMail, actor: Actor) -> BulkReceipt:
        """Send what fits once more, the earliest dead first, under new ids.

        The idempotency key stays, so that its consumer can tell a repetition; the window of its mailbox does not
        swallow it, and takes no other message of that key from then on. Raises NotFound, InvalidInput, Refused,
        MailboxClosed, MailboxFull before anything is done, StoreError.
        """
        _check_reason(command.reason)
        check_filter(command.where, is_dead=True)
        if command.limit < 0:
            raise InvalidInput(
                f"limit is {command.limit}", field="limit", value=command.limit, fix="use 1 or more, or 0 for all"
            )
        target = self._mailboxes.get(command.target) if command.target else None
        if target is not None:
            owner = self._mailboxes.owners.get(target.name)
            if owner is not None and command.mailbox != target.name:
                raise closed_to_posts(target.name, owner)
            target.check_taking()
        fits = matcher(command.where, self._clock.now())
        boxes = self._origins(command.mailbox)
        found = [await _dead(box, fits) for box in boxes]
        receipt = _receipt(boxes, found, is_dry_run=command.dry_run)
        if command.dry_run:
            return receipt
        chosen = await _earliest(found, command.limit or receipt.matched)
        await self._check_targets(chosen, target)
        mail_ids: list[MailId] = []
        owned: dict[MailboxName, list[MailId]] = {}

        def add(step: Transaction, mails: Sequence[Mail]) -> _Events:
            moves = [(mail.mailbox, mail.mailbox if target is None else target.name) for mail in mails]
            self._check_room(Counter(to for _, to in moves))
            new = [step.redrive(mail, to, key=mail.key) for mail, (_, to) in zip(mails, moves, strict=True)]
            mail_ids.extend(new[: _IDS_SHOWN - len(mail_ids)])
            owned.clear()
            for mail_id, (_, to) in zip(new, moves, strict=True):
                if to in self._mailboxes.owners:
                    owned.setdefault(to, []).append(mail_id)
            return [
                (origin, MailRedriven(mailbox=origin, target=to, count=count, reason=command.reason))
                for (origin, to), count in Counter(moves).items()
            ]

        def tell() -> None:
            for name, ids in owned.items():
                self._mailboxes.owners[name].redriven(ids)

        changed = await self._steps(_moved(chosen, [*found, chosen]), add, actor, tell)
        return msgspec.structs.replace(receipt, changed=changed, mail_ids=tuple(mail_ids))

    def _origins(self, name: str) -> list[Mailbox]:
        return [self._mailboxes.get(name)] if name else [box for box in self._mailboxes.all() if box.dead]

    async def _steps(
        self,
        mails: deque[Mail],
        add: Callable[[Transaction, Sequence[Mail]], _Events],
        actor: Actor,
        then: Callable[[], None] = lambda: None,
    ) -> int:
        """Do it to all of them that are still there. Returns how many that were. `mails` is empty then.

        then: called after each step that was stored.
        """
        changed = 0
        while mails:
            async with self._step:
                some = [mails.popleft() for _ in range(min(STEP, len(mails)))]
                some = [mail for mail in some if self._is_there(mail)]
                if some:
                    try:
                        await self._commit(some, add, actor)
                    except HermesError as error:
                        error.facts["changed"] = changed
                        raise
                    changed += len(some)
                    then()
            await breathe()
        return changed

    async def _commit(
        self, mails: Sequence[Mail], add: Callable[[Transaction, Sequence[Mail]], _Events], actor: Actor
    ) -> None:
        step = self._mailboxes.transaction()
        try:
            events = add(step, mails)
        except BaseException:
            step.cancel()
            raise
        await step.commit((), events, actor=actor)

    def _is_there(self, mail: Mail) -> bool:
        box = self._mailboxes.find(mail.mailbox)
        if box is None:
            return False
        return box.waiting.get(mail.id) is mail or (box.dead is not None and box.dead.get(mail.id) is mail)

    async def _check_targets(self, chosen: Sequence[Mail], target: Mailbox | None) -> None:
        counts = Counter[MailboxName]()
        async for mails in portions(chosen):
            for mail in mails:
                box = self._mailboxes.get(mail.mailbox) if target is None else target
                if len(mail.body) > box.policy.body_limit_bytes:
                    raise InvalidInput(
                        f"m-{mail.id} has {len(mail.body)} bytes; {box.name} takes {box.policy.body_limit_bytes}",
                        field="target",
                        value=str(box.name),
                        fix="raise body_limit_bytes of that mailbox, or choose another",
                    )
                counts[box.name] += 1
        for name in counts:
            self._mailboxes.get(name).check_taking()
        self._check_room(counts)

    def _check_room(self, counts: Counter[MailboxName]) -> None:
        """A dead letter that overflows its target would be lost or die again: it stays where it is instead."""
        for name, count in counts.items():
            box = self._mailboxes.get(name)
            room = box.room
            if room is not None and count > room:
                raise MailboxFull(
                    f"mailbox {name} has room for {max(room, 0)} more messages, not for {count}",
                    mailbox=str(name),
                    bound="capacity",
                    limit=box.policy.capacity,
                    fix=f"redrive at most {room}, or raise its capacity" if room > 0 else "raise its capacity",
                )


async def _dead(box: Mailbox, fits: Fits) -> list[Mail]:
    """Dead letters that fit, the earliest dead first."""
    return await fitting(list((box.dead or {}).values()), fits)


async def _waiting(box: Mailbox, fits: Fits) -> list[Mail]:
    """Queued and delayed messages that fit."""
    return await fitting(list(box.waiting.values()), fits)


async def _earliest(found: Sequence[Sequence[Mail]], limit: int) -> list[Mail]:
    """The first of them to die over all mailboxes, in the order of their deaths."""
    if len(found) == 1:
        return list(found[0][:limit])
    chosen: list[Mail] = []
    ordered = merge(*found, key=lambda mail: mail.died_at)
    while len(chosen) < limit and (some := list(islice(ordered, min(STEP, limit - len(chosen))))):
        chosen += some
        await breathe()
    return chosen


def _moved(mails: Iterable[Mail], lists: Iterable[list[Mail]]) -> deque[Mail]:
    """The messages, which nothing else holds any more: a million of them freed at once would stall the loop."""
    moved = deque(mails)
    for held in lists:
        held.clear()
    return moved


def _receipt(boxes: Sequence[Mailbox], found: Sequence[Sequence[Mail]], *, is_dry_run: bool) -> BulkReceipt:
    by_mailbox = {str(box.name): len(mails) for box, mails in zip(boxes, found, strict=True) if mails}
    return BulkReceipt(matched=sum(by_mailbox.values()), changed=0, is_dry_run=is_dry_run, by_mailbox=by_mailbox)


def _check_reason(reason: str) -> None:
    if len(reason) > _REASON_LIMIT:
        raise InvalidInput(
            "the reason is too long", field="reason", value=len(reason), fix=f"at most {_REASON_LIMIT} characters"
        )
