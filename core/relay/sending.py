"""Attempts to deliver: one letter, one call, and what came of it, stored in one commit."""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from core.api.base import SYSTEM, Actor, Mark
from core.api.errors import HermesError, Unavailable
from core.api.relay_tasks import (
    AttemptResult,
    RelayAttempt,
    RelayAttemptFailed,
    RelayDelivered,
    RelayEnded,
    RelayQueued,
    RelayReason,
    RelaySending,
    RelayState,
    RelayTaskView,
    Trigger,
)
from core.backoff import ceiling_s
from core.clock import Clock, mark
from core.letters import Letter, MailTransaction, TooEarly, TryAgain
from core.relay.calling import Calling
from core.relay.ledger import AsEvent, Change, Ledger
from core.relay.mailing import Mailing, task_id_of
from core.relay.plan import Again, Over, after_attempt, most_attempts, trigger_of
from core.relay.targets import Targets, Way
from core.relay.task import (
    RelayTask,
    answered,
    began,
    canceled,
    cause_of_death,
    delivered,
    died,
    interrupted,
    put_back,
    silent,
    tried,
)
from core.relay.trails import Trails
from core.relay.wire import Call, Reply
from core.relay_settings import RelaySettings
from core.waits import CutShort, Waits

_STORE_RETRY_S = 1.0
_STORE_RETRY_CAP_S = 30.0
_CUT_OFF_PAUSE_S = 1.0
_EARLY_S = 0.1
_ERROR_LIMIT = 300
_STOPPED = "the core stopped while it was being sent"
_CANCELED = "it was canceled here"


class Attempt:
    """One that goes on. ended: once what came of it is stored."""

    def __init__(self) -> None:
        self.waits = Waits()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.canceled_by: Actor | None = None
        self.reason = ""

    def cancel(self, actor: Actor, reason: str) -> None:
        """Cut it off: nobody wants the message any more."""
        self.canceled_by, self.reason = actor, reason
        self.waits.cut()


class _Outcome(msgspec.Struct):
    """What an attempt came to. is_canceled: we cut it off for good, with that reason. actor: who caused it.

    again_s: seconds until the next attempt, None when there is none.
    """

    attempt: RelayAttempt
    reply: Reply
    is_canceled: bool
    reason: str
    actor: Actor
    again_s: float | None = None


class Sending:
    """Sends what letters stand for. canceled: told of a message that was cut off, of which the far side may know.

    overdue_from: monotonic seconds before which no deadline counts.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        settings: RelaySettings,
        calling: Calling,
        ledger: Ledger,
        targets: Targets,
        trails: Trails,
        random: Callable[[], float],
        canceled: Callable[[RelayTask], None],
        overdue_from: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._calling = calling
        self._ledger = ledger
        self._targets = targets
        self._trails = trails
        self._random = random
        self._canceled = canceled
        self._overdue_from = overdue_from
        self._most = most_attempts(settings)
        self.mailing: Mailing
        self.attempts: dict[str, Attempt] = {}

    async def deliver(self, letter: Letter) -> None:
        """Make one attempt. The letter is settled when it returns. Raises TryAgain, TooEarly."""
        task_id = task_id_of(letter)
        # Somebody may be about to cancel it.
        await self._ledger.rest(task_id)
        task = self._ledger.find_live(task_id)
        if task is None or task.state is not RelayState.QUEUED or not self.mailing.is_its_own(task, letter):
            self._targets.not_used(self.mailing.origin_of(letter.mailbox))
            await self.mailing.drop(letter)
            return
        now = mark(self._clock)
        early_s = 0.0 if task.due is None else task.due.mono - now.mono
        if letter.crashes > task.crashes and early_s > _EARLY_S:
            # The core died before the letter was put back; what came of that attempt is in the books.
            self._targets.not_used(task.origin)
            await self._ledger.change(task_id, partial(_died_after, letter.crashes))
            raise TooEarly(early_s)
        task = interrupted(task, now, letter.crashes, _STOPPED)
        call = self._call_of(task)
        if isinstance(call, Over):
            self._targets.not_used(task.origin)
            await self._give_up(letter, task, call)
            return
        way = self._targets.begin(task.origin)
        if not isinstance(way, Way):
            raise TooEarly(way)
        await self._attempt(letter, task, call, way, now)

    def _call_of(self, task: RelayTask) -> Call | Over:
        if task.tried >= self._most:
            return Over(cause_of_death(task, RelayReason.UNKNOWN), task.error)
        try:
            return self._calling.call_of(task)
        except HermesError as error:
            return Over(RelayReason.POLICY, error.message)

    async def _attempt(self, letter: Letter, task: RelayTask, call: Call, way: Way, now: Mark) -> None:
        trigger = trigger_of(task, self._settings)
        task = self._ledger.show(began(task, now), _sending)
        attempt = self.attempts[task.id] = Attempt()
        try:
            try:
                reply = await attempt.waits.wait(self._calling.send(call))
            except CutShort:
                reply = Reply(result=AttemptResult.CUT_OFF, error=_CANCELED)
            except BaseException:
                # The core stops: the next start makes the attempt again.
                reply = Reply(result=AttemptResult.CUT_OFF, error=_STOPPED)
                self._targets.settle(way, reply)
                self._note(task.id, self._record(call, reply, trigger, now))
                raise
            self._targets.settle(way, reply)
            is_canceled = attempt.canceled_by is not None and reply.result is not AttemptResult.DELIVERED
            actor = attempt.canceled_by if attempt.canceled_by is not None and is_canceled else SYSTEM
            record = self._record(call, reply, trigger, now)
            outcome = _Outcome(record, reply, is_canceled, attempt.reason, actor)
            await self._store(letter, task.id, outcome)
        finally:
            del self.attempts[task.id]
            attempt.ended.set_result(None)
            self._wait_again(task.id)
        if reply.result is not AttemptResult.CUT_OFF:
            is_failed = reply.result is not AttemptResult.DELIVERED
            self._trails.noted(task.session_id or task.sender, task.name, is_failed=is_failed, trail=task.trail)
        if outcome.again_s is not None:
            raise TryAgain(record.error, outcome.again_s)

    def _record(self, call: Call, reply: Reply, trigger: Trigger, began_at: Mark) -> RelayAttempt:
        return RelayAttempt(
            number=call.attempt,
            began=began_at,
            url=call.bot.url,
            result=reply.result,
            trigger=trigger,
            status=reply.status,
            latency_s=self._clock.monotonic() - began_at.mono,
            error=" ".join(reply.error.split())[:_ERROR_LIMIT],
        )

    def _note(self, task_id: str, record: RelayAttempt) -> None:
        """Have an attempt that the stop cut off written, without waiting for it."""
        task = self._ledger.find_live(task_id)
        if task is not None and task.state is RelayState.SENDING:
            self._ledger.note(put_back(tried(task, record), mark(self._clock), due=None))

    def _wait_again(self, task_id: str) -> None:
        """What came of an attempt could not be stored: its letter comes again, and must find the message waiting."""
        task = self._ledger.find_live(task_id)
        if task is not None and task.state is RelayState.SENDING:
            self._ledger.show(put_back(task, mark(self._clock), due=None), _queued)

    async def _store(self, letter: Letter, task_id: str, outcome: _Outcome) -> None:
        decide = partial(self._decided, letter, outcome)
        failures = 0
        while True:
            try:
                task = await self._ledger.change(task_id, decide, actor=outcome.actor)
            except Unavailable:
                # What the far side has must not be sent again by this core, so the line waits for the store.
                failures += 1
                await self._clock.sleep(ceiling_s(failures, base_s=_STORE_RETRY_S, cap_s=_STORE_RETRY_CAP_S))
                continue
            if outcome.is_canceled and task.state is RelayState.CANCELED:
                self._canceled(task)
            return

    def _decided(self, letter: Letter, outcome: _Outcome, task: RelayTask) -> Change:
        now, reply = mark(self._clock), outcome.reply
        outcome.again_s = None
        if task.state is not RelayState.SENDING:
            # Its answer came by another way while it was being sent.
            after = msgspec.structs.replace(tried(task, outcome.attempt), error=task.error)
            return Change(after, ended if after.state.is_over else None, self._settled(letter))
        event: AsEvent
        after = tried(task, outcome.attempt)
        if outcome.is_canceled:
            after, event = canceled(after, now, outcome.reason), ended
        elif reply.result is AttemptResult.DELIVERED:
            after, event = _delivered(after, reply, now, self._settings.text_limit)
        else:
            verdict = after_attempt(after, reply, self._settings, now, self._random, not_before=self._overdue_from())
            if isinstance(verdict, Again):
                wait_s = outcome.again_s = verdict.delay_s or _CUT_OFF_PAUSE_S
                after = put_back(after, now, due=Mark(now.at + wait_s, now.mono + wait_s))
                return Change(after, lambda view: RelayAttemptFailed(task=view))
            after, event = died(after, now, verdict.reason, verdict.error), ended
        return Change(after, event, self._settled(letter))

    def _settled(self, letter: Letter) -> MailTransaction:
        transaction = self.mailing.transaction()
        self.mailing.settle_letter(transaction, letter)
        return transaction

    async def _give_up(self, letter: Letter, task: RelayTask, over: Over) -> None:
        def decide(current: RelayTask) -> Change | None:
            if current.state is not RelayState.QUEUED:
                return None
            after = died(task, mark(self._clock), over.reason, over.error)
            return Change(after, ended, self._settled(letter))

        await self._ledger.change(task.id, decide)
        self._trails.noted(task.session_id or task.sender, task.name, is_failed=True, trail=task.trail)


def _died_after(crashes: int, task: RelayTask) -> Change:
    return Change(msgspec.structs.replace(task, crashes=crashes))


def _sending(view: RelayTaskView) -> RelaySending:
    return RelaySending(task=view)


def _queued(view: RelayTaskView) -> RelayQueued:
    return RelayQueued(task=view)


def ended(view: RelayTaskView) -> RelayEnded:
    """Tells of a message that is over."""
    return RelayEnded(task=view)


def _delivered(task: RelayTask, reply: Reply, now: Mark, text_limit: int) -> tuple[RelayTask, AsEvent]:
    if reply.is_silent:
        return silent(task, now), ended
    if reply.state is None or not reply.state.is_over:
        after = delivered(task, now, remote_id=reply.remote_id, context=reply.context)
        return after, lambda view: RelayDelivered(task=view)
    return with_answer(task, reply, now, text_limit), ended


def with_answer(task: RelayTask, reply: Reply, now: Mark, text_limit: int) -> RelayTask:
    """A message once the far side is done with it. Raises IllegalTransition for a state that is no end."""
    assert reply.state is not None
    after = answered(task, now, state=reply.state, answer=reply.answer[:text_limit], error=reply.error)
    return msgspec.structs.replace(
        after, remote_id=reply.remote_id or task.remote_id, context=reply.context or task.context
    )
