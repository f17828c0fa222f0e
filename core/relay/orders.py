"""Orders about messages that go out: send, cancel, give another address."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from core.api.base import Actor, MailId
from core.api.bindings import Candidate
from core.api.errors import ConflictError, DeadlineExceeded, InvalidInput, NotFound, Overloaded, Refused
from core.api.relay_tasks import (
    AttemptResult,
    CancelRelay,
    RelayDirection,
    RelayEnded,
    RelayQueued,
    RelayReason,
    RelayReceipt,
    RelayRetargeted,
    RelayState,
    RelayTaskId,
    RelayTaskView,
    RetargetRelay,
    SendRelay,
)
from core.clock import Clock, mark
from core.handlers import CommandHandlers
from core.ids import IdSource
from core.relay.bindings import Bindings
from core.relay.ledger import AsEvent, Change, Ledger
from core.relay.mailing import Mailing
from core.relay.order_check import check
from core.relay.ports import Askers
from core.relay.recalls import Recalls
from core.relay.sending import Attempt, Sending, with_answer
from core.relay.targets import Targets
from core.relay.task import RelayTask, canceled, retargeted
from core.relay.trails import Trails
from core.relay_settings import RelaySettings

TEXTS_LIMIT = 100_000_000
"""Characters of all messages together that may be under way; they are in memory."""

CUT_LIMIT_S = 30.0
"""Until an attempt that is cut off has its end in the books."""

_QUEUE_RETRY_S = 30.0
_SHOWN = 100
_IN_DOUBT = frozenset({AttemptResult.UNKNOWN, AttemptResult.CUT_OFF, AttemptResult.DELIVERED})


class Orders:
    """What operators and agents want done with single messages. cancel_in: stops one that a peer sent."""

    def __init__(
        self,
        *,
        clock: Clock,
        ids: IdSource,
        settings: RelaySettings,
        bindings: Bindings,
        ledger: Ledger,
        targets: Targets,
        trails: Trails,
        mailing: Mailing,
        sending: Sending,
        recalls: Recalls,
        askers: Askers,
        cancel_in: Callable[[RelayTask, str], Awaitable[RelayTask]],
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._bindings = bindings
        self._ledger = ledger
        self._targets = targets
        self._trails = trails
        self._mailing = mailing
        self._sending = sending
        self._recalls = recalls
        self._askers = askers
        self._cancel_in = cancel_in
        self._coming: Counter[str] = Counter()

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {SendRelay: self.send, CancelRelay: self.cancel, RetargetRelay: self.retarget}

    # -- send

    async def send(self, command: SendRelay, actor: Actor) -> RelayReceipt:
        """Store a message for each bot, and have them sent."""
        check(command, self._settings.text_limit)
        if command.session_id is not None and not self._askers.exists(command.session_id):
            raise InvalidInput(
                "that cannot be a conversation, so nobody could be told the answer",
                field="session_id",
                value=command.session_id[:_SHOWN],
                fix="use an id of `sessions list`, or none",
            )
        if command.id:
            known = await self._ledger.find(command.id)
            if known is not None:
                return self._duplicate(known, command)
        found = [self._bindings.demand(name, command.platform, command.chat, command.url) for name in command.to]
        self.check_room([candidate.origin for candidate in found], len(command.text))
        coming = Counter(candidate.origin for candidate in found)
        self._coming.update(coming)
        try:
            for origin in coming:
                await self._mailing.open(origin)
            return await self._kept(command, found, actor)
        finally:
            self._coming.subtract(coming)
            for origin in coming:
                if not self._coming[origin]:
                    del self._coming[origin]

    def check_room(self, origins: Sequence[str], text_length: int) -> None:
        """Raises Overloaded when more would wait for one of them than may, or more text for all.

        text_length: characters that would go to each.
        """
        texts = self._ledger.counts.text_length
        if texts + text_length * len(origins) > TEXTS_LIMIT:
            raise Overloaded(
                f"{texts} characters wait to be sent or answered already",
                bound="relay texts",
                limit=TEXTS_LIMIT,
                retry_after_s=_QUEUE_RETRY_S,
                fix="wait, look at the breakers, or cancel what waits",
            )
        for origin, count in Counter(origins).items():
            waiting = self._ledger.counts.waiting_count(origin) + self._coming[origin]
            if waiting + count > self._settings.queue_limit:
                raise Overloaded(
                    f"{waiting} messages wait for {origin} already",
                    bound="relay.queue_limit",
                    limit=self._settings.queue_limit,
                    retry_after_s=_QUEUE_RETRY_S,
                    fix="wait, look at its breaker, or cancel what waits",
                )

    async def _kept(self, command: SendRelay, found: Sequence[Candidate], actor: Actor) -> RelayReceipt:
        transaction = self._mailing.transaction()
        group = ""
        changes: list[tuple[RelayTask, AsEvent | None]] = []
        refusals: list[str] = []
        places: dict[str, tuple[str, MailId] | None] = {}
        try:
            for candidate in found:
                task = self._made(command, candidate, actor)
                group = group or (task.id if len(found) > 1 else "")
                task = msgspec.structs.replace(task, group=group)
                why = self._trails.refusal(task.trail, candidate.bot.name)
                if why:
                    refusals.append(why)
                    changes.append((self._looped(task, why), _ended))
                    continue
                # Another order of the same id may have a letter already.
                places[task.id] = self._mailing.place_of(task.id)
                self._mailing.post(transaction, task)
                changes.append((task, _queued))
            kept = await self._ledger.keep_all(changes, actor=actor, transaction=transaction)
        except BaseException as error:
            transaction.cancel()
            for task_id, place in places.items():
                self._mailing.put_back(task_id, place)
            for task in (task for task, event in changes if event is _queued):
                self._trails.not_taken(task.trail)
            if isinstance(error, ConflictError) and command.id:
                return await self._while_sent(command)
            raise
        if len(refusals) == len(kept):
            raise _refused(kept[0], refusals[0])
        return RelayReceipt(tasks=tuple(self._ledger.view(task) for task in kept))

    def _made(self, command: SendRelay, candidate: Candidate, actor: Actor) -> RelayTask:
        now = mark(self._clock)
        task_id = RelayTaskId(command.id or self._ids.new_uuid())
        trail = self._trails.of_session(command.session_id, task_id)
        return RelayTask(
            id=task_id,
            wire_id=task_id,
            direction=RelayDirection.OUT,
            state=RelayState.QUEUED,
            text=command.text,
            created=now,
            changed=now,
            trail=trail,
            bot=candidate.bot,
            origin=candidate.origin,
            name=candidate.bot.name,
            peer=candidate.bot.peer,
            platform=candidate.platform,
            chat=candidate.chat,
            sender=actor.name,
            session_id=command.session_id,
            context=command.context or (trail.conversation if command.session_id else ""),
        )

    def _looped(self, task: RelayTask, why: str) -> RelayTask:
        self._trails.noted(task.session_id or task.sender, task.name, is_failed=True, why=why, trail=task.trail)
        return msgspec.structs.replace(
            task, state=RelayState.DEAD, reason=RelayReason.LOOP, error=why, ended=task.created
        )

    def _duplicate(self, known: RelayTask, command: SendRelay) -> RelayReceipt:
        is_same = (
            known.direction is RelayDirection.OUT
            and known.text == command.text
            and known.name == command.to[0]
            and known.session_id == command.session_id
        )
        if not is_same:
            raise ConflictError(
                f"id {command.id} was used for another message", key=command.id, field="id", fix="choose another id"
            )
        if known.reason is RelayReason.LOOP:
            raise _refused(known, known.error)
        return RelayReceipt(tasks=(self._ledger.view(known),), is_duplicate=True)

    async def _while_sent(self, command: SendRelay) -> RelayReceipt:
        """Somebody gave the same order at the same time."""
        await self._ledger.rest(command.id)
        known = await self._ledger.find(command.id)
        if known is None:
            raise ConflictError(
                f"message {command.id} could not be kept", key=command.id, fix="give the same order again"
            )
        return self._duplicate(known, command)

    # -- cancel

    async def cancel(self, command: CancelRelay, actor: Actor) -> RelayReceipt:
        """Stop a message wherever it is."""
        while True:
            await self._ledger.rest(command.id)
            task = await self._existing(command.id)
            if task.state.is_over:
                raise ConflictError(
                    f"message {task.id} is {task.state.value} already",
                    key=task.id,
                    found=task.state.value,
                    fix="look at it with `relay show`",
                )
            if task.direction is RelayDirection.IN:
                return RelayReceipt(tasks=(self._ledger.view(await self._cancel_in(task, command.reason)),))
            attempt = self._sending.attempts.get(task.id)
            if attempt is not None:
                attempt.cancel(actor, command.reason)
                await self._end_of(attempt, task.id)
                after = await self._existing(task.id)
            elif task.state is RelayState.WORKING:
                after = await self._recalled(task, command, actor)
            else:
                after = await self._withdrawn(task, command, actor)
            if after.state is RelayState.CANCELED:
                return RelayReceipt(tasks=(self._ledger.view(after),))

    async def _end_of(self, attempt: Attempt, task_id: str) -> None:
        try:
            async with asyncio.timeout(CUT_LIMIT_S):
                await asyncio.shield(attempt.ended)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"message {task_id} is cut off, but that could not be stored yet",
                what=task_id,
                limit_s=CUT_LIMIT_S,
                fix="look whether the disk is full",
            ) from error

    async def _withdrawn(self, task: RelayTask, command: CancelRelay, actor: Actor) -> RelayTask:
        def decide(current: RelayTask) -> Change | None:
            if current.state is not RelayState.QUEUED or current.id in self._sending.attempts:
                return None
            transaction = self._mailing.transaction()
            self._mailing.settle(transaction, current.id)
            return Change(canceled(current, mark(self._clock), command.reason), _ended, transaction)

        letter = self._mailing.find(task.id)
        has_crashed = letter is not None and letter.crashes > task.crashes
        after = await self._ledger.change(task.id, decide, actor=actor)
        is_in_doubt = has_crashed or any(item.result in _IN_DOUBT for item in after.attempts)
        if after.state is RelayState.CANCELED and is_in_doubt:
            self._recalls.tell(after)
        return after

    async def _recalled(self, task: RelayTask, command: CancelRelay, actor: Actor) -> RelayTask:
        reply = await self._recalls.recall(task)

        def decide(current: RelayTask) -> Change | None:
            if current.state is not RelayState.WORKING:
                return None
            now = mark(self._clock)
            if reply.state in {RelayState.COMPLETED, RelayState.FAILED}:
                return Change(with_answer(current, reply, now, self._settings.text_limit), _ended)
            is_told = reply.result is AttemptResult.DELIVERED
            error = command.reason if is_told else f"the far side could not be told: {reply.error}"
            return Change(canceled(current, now, error), _ended)

        return await self._ledger.change(task.id, decide, actor=actor)

    # -- retarget

    async def retarget(self, command: RetargetRelay, actor: Actor) -> RelayReceipt:
        """Give a message that waits or is dead another address."""
        candidate = self._bindings.demand(command.to, command.platform, command.chat, command.url)
        task = await self._outgoing(command.id)
        if task.state is RelayState.QUEUED and candidate.origin != task.origin:
            self.check_room([candidate.origin], 0)
        await self._mailing.open(candidate.origin)
        places: list[tuple[str, MailId] | None] = []

        def decide(current: RelayTask) -> Change:
            if current.state not in {RelayState.QUEUED, RelayState.DEAD} or current.id in self._sending.attempts:
                raise _not_movable(current)
            places.append(self._mailing.place_of(current.id))
            return self._moved(current, candidate)

        try:
            after = await self._ledger.change(task.id, decide, actor=actor)
        except BaseException:
            for place in places:
                self._mailing.put_back(task.id, place)
            raise
        for origin in {task.origin, after.origin}:
            self._targets.counts_changed(origin)
        return RelayReceipt(tasks=(self._ledger.view(after),))

    def _moved(self, task: RelayTask, candidate: Candidate) -> Change:
        after = retargeted(
            task,
            mark(self._clock),
            bot=candidate.bot,
            origin=candidate.origin,
            platform=candidate.platform,
            chat=candidate.chat,
            trail=task.trail,
        )
        if task.state is not RelayState.QUEUED:
            return Change(after, _retargeted)
        transaction = self._mailing.transaction()
        try:
            self._mailing.settle(transaction, task.id)
            self._mailing.post(transaction, after)
        except BaseException:
            transaction.cancel()
            raise
        return Change(after, _retargeted, transaction)

    async def _existing(self, task_id: str) -> RelayTask:
        task = await self._ledger.find(task_id)
        if task is None:
            raise NotFound(f"no message {task_id}", noun="relay task", id=task_id, fix="see `relay tasks`")
        return task

    async def _outgoing(self, task_id: str) -> RelayTask:
        task = await self._existing(task_id)
        if task.direction is not RelayDirection.OUT:
            raise ConflictError(
                f"message {task_id} came in",
                key=task_id,
                found="in",
                fix="cancel the task of the agent that works on it",
            )
        return task


def _queued(view: RelayTaskView) -> RelayQueued:
    return RelayQueued(task=view)


def _ended(view: RelayTaskView) -> RelayEnded:
    return RelayEnded(task=view)


def _retargeted(view: RelayTaskView) -> RelayRetargeted:
    return RelayRetargeted(task=view)


def _not_movable(task: RelayTask) -> ConflictError:
    return ConflictError(
        f"message {task.id} is {task.state.value}: it cannot get another address now",
        key=task.id,
        found=task.state.value,
        fix="cancel it, and send it anew",
    )


def _refused(task: RelayTask, why: str) -> Refused:
    path = " > ".join((*task.trail.path, task.name))
    return Refused(why, rule="relay_loop", field="to", value=task.name, id=task.id, path=path, fix="end the loop")
