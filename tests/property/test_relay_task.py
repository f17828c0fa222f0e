"""The machine of a message from bot to bot holds what it promises, whatever happens in whatever order."""

import msgspec
from hypothesis import settings as rules
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.api.base import Mark, SessionId
from core.api.bindings import Bot
from core.api.relay_tasks import (
    AttemptResult,
    RelayAttempt,
    RelayDirection,
    RelayReason,
    RelayState,
    RelayTaskId,
)
from core.machine import IllegalTransition
from core.relay.plan import Again, Over, after_attempt, most_attempts, trigger_of
from core.relay.task import (
    ATTEMPTS_KEPT,
    RELAY,
    RelayStep,
    RelayTask,
    answered,
    began,
    canceled,
    delivered,
    died,
    interrupted,
    put_back,
    replayed,
    retargeted,
    silent,
    tried,
    unanswered,
)
from core.relay.wire import Reply, Trail
from core.relay_settings import RelaySettings

_RULES = RelaySettings(retries_s=(1.0, 2.0), schedule_s=(10.0,), deadline_s=10_000.0)
_BOT = Bot(name="bot", url="http://10.0.0.7:8080")
_FAILED = st.sampled_from([AttemptResult.UNDELIVERED, AttemptResult.UNKNOWN])
_ENDS = (RelayState.COMPLETED, RelayState.FAILED, RelayState.CANCELED)


class RelayMachine(RuleBasedStateMachine):
    """One message in the hands of chance. plan: of what is sent in the present round."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Mark(1_700_000_000.0, 1_000.0)
        self.counted = 0
        self.first: tuple[str, bool] | None = None

    @initialize(asks=st.booleans())
    def make(self, asks: bool) -> None:
        """A message that waits."""
        self.task = RelayTask(
            id=RelayTaskId("t-1"),
            wire_id="t-1",
            direction=RelayDirection.OUT,
            state=RelayState.QUEUED,
            text="hello",
            created=self.now,
            trail=Trail(conversation="c"),
            bot=_BOT,
            name="bot",
            origin="http://10.0.0.7:8080",
            session_id=SessionId("local:dm:1") if asks else None,
        )
        self.before = self.task

    def _becomes(self, after: RelayTask) -> None:
        self.before, self.task = self.task, after

    def _attempt(self, result: AttemptResult) -> RelayAttempt:
        return RelayAttempt(
            number=self.task.attempt_count + 1,
            began=self.now,
            url=_BOT.url,
            result=result,
            trigger=trigger_of(self.task, _RULES),
        )

    @rule(seconds=st.floats(0.0, 50.0))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now = Mark(self.now.at + seconds, self.now.mono + seconds)

    @precondition(lambda self: self.task.state is RelayState.QUEUED)
    @rule()
    def begin(self) -> None:
        """An attempt begins."""
        self._becomes(began(self.task, self.now))

    @precondition(lambda self: self.task.state is RelayState.SENDING)
    @rule(result=_FAILED, chance=st.floats(0.0, 0.999))
    def fail(self, result: AttemptResult, chance: float) -> None:
        """It failed, and the plan says what follows."""
        after = tried(self.task, self._attempt(result))
        self.counted += 1
        verdict = after_attempt(after, Reply(result=result), _RULES, self.now, lambda: chance)
        if isinstance(verdict, Again):
            assert verdict.delay_s > 0
            self._becomes(put_back(after, self.now, due=self.now))
        else:
            assert isinstance(verdict, Over)
            self._becomes(died(after, self.now, verdict.reason, verdict.error))

    @precondition(lambda self: self.task.state is RelayState.SENDING)
    @rule()
    def cut_off(self) -> None:
        """We stopped in the middle: it does not count."""
        self._becomes(put_back(tried(self.task, self._attempt(AttemptResult.CUT_OFF)), self.now, due=None))

    @precondition(lambda self: self.task.state is RelayState.SENDING)
    @rule(is_silent=st.booleans())
    def deliver(self, is_silent: bool) -> None:
        """The far side has it."""
        after = tried(self.task, self._attempt(AttemptResult.DELIVERED))
        self.counted += 1
        self._becomes(silent(after, self.now) if is_silent else delivered(after, self.now, remote_id="r"))

    @rule(state=st.sampled_from(_ENDS), text=st.text(max_size=5))
    def answer(self, state: RelayState, text: str) -> None:
        """An answer comes, early, in time or late."""
        is_mute = self.task.state is RelayState.FAILED and self.first is not None and not self.first[0]
        if self.first is None or (is_mute and text):
            self.first = text, self.task.state.is_over
        self._becomes(answered(self.task, self.now, state=state, answer=text))

    @precondition(lambda self: self.task.state is RelayState.WORKING)
    @rule()
    def give_up_waiting(self) -> None:
        """No answer came."""
        self._becomes(unanswered(self.task, self.now, "no answer"))

    @precondition(lambda self: not self.task.state.is_over)
    @rule()
    def cancel(self) -> None:
        """Nobody wants it."""
        self._becomes(canceled(self.task, self.now))

    @precondition(lambda self: self.task.state is RelayState.DEAD)
    @rule()
    def replay(self) -> None:
        """An operator sends it again."""
        self._becomes(replayed(self.task, self.now))
        self.counted = 0

    @precondition(lambda self: self.task.state in {RelayState.QUEUED, RelayState.DEAD})
    @rule()
    def retarget(self) -> None:
        """An operator gives it another address."""
        after = retargeted(
            self.task,
            self.now,
            bot=_BOT,
            origin="http://10.0.0.8:8080",
            platform="*",
            chat="*",
            trail=self.task.trail,
        )
        self._becomes(after)
        self.counted = 0

    @precondition(lambda self: self.task.state is RelayState.QUEUED)
    @rule()
    def crash(self) -> None:
        """The core died in an attempt, and the plan is over when there were too many of them."""
        after = interrupted(self.task, self.now, self.task.crashes + 1, "the core stopped")
        self.counted += 1
        if after.tried >= most_attempts(_RULES):
            after = died(after, self.now, RelayReason.UNKNOWN, "too many")
        self._becomes(after)

    @rule(step=st.sampled_from(list(RelayStep)))
    def what_is_not_in_the_table_changes_nothing(self, step: RelayStep) -> None:
        """A step that the state does not allow is refused."""
        if step in RELAY.table[self.task.state]:
            return
        try:
            RELAY.step(self.task.state, step)
        except IllegalTransition:
            return
        raise AssertionError(step)

    @invariant()
    def final_states_stay(self) -> None:
        """What is over stays as it is; only a dead one is brought back."""
        if self.before.state.is_over and self.task.state is not self.before.state:
            assert self.before.state is RelayState.DEAD
            assert self.task.state is RelayState.QUEUED
            assert self.task.round == self.before.round + 1

    @invariant()
    def answers_are_kept(self) -> None:
        """The first answer is there, whenever it came, unless the message was sent again since; a failure without words
        is none once there are some.
        """
        if self.first is not None and not self.task.round:
            assert (self.task.answer, self.task.is_late) == self.first
            assert self.task.answered is not None

    @invariant()
    def attempts_never_exceed_the_plan(self) -> None:
        """Of one round there are no more than the plan has, and each that counts is counted."""
        assert self.task.tried == self.counted <= most_attempts(_RULES)
        numbers = [attempt.number for attempt in self.task.attempts]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= ATTEMPTS_KEPT

    @invariant()
    def there_is_one_wire_id(self) -> None:
        """The receiver can always tell that it is the same message."""
        assert (self.task.id, self.task.wire_id) == ("t-1", "t-1")

    @invariant()
    def marks_agree_with_the_state(self) -> None:
        """It has an end exactly when it is over, and somebody is to be told only of what is."""
        assert (self.task.ended is not None) is self.task.state.is_over
        assert not self.task.is_untold or (self.task.state.is_over and self.task.session_id is not None)
        assert msgspec.json.decode(msgspec.json.encode(self.task), type=RelayTask) == self.task


TestRelayTask = RelayMachine.TestCase
TestRelayTask.settings = rules(max_examples=150, stateful_step_count=40, deadline=None)
