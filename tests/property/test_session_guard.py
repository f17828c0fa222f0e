"""The session guard holds its invariants in any history."""

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.api.base import MessageId, RunId
from core.api.errors import ConflictError, InvalidInput, NotFound, Overloaded
from core.api.sessions import Mode
from core.gateway.session import (
    GUARD,
    TURN_LIMIT,
    Guard,
    GuardState,
    Place,
    arrival,
    begun,
    changed_from,
    dropped,
    ended,
    held,
    interrupted,
    may_begin,
    moved,
    reach,
    steered,
    turn_size,
    whole_at,
)
from core.machine import IllegalTransition

LIMIT = 5


class GuardHistory(RuleBasedStateMachine):
    """Any order of arrivals, begins, ends, interrupts, drops and late ends."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = Guard()
        self.arrived: list[MessageId] = []
        self.taken: list[MessageId] = []
        self.dropped: set[MessageId] = set()
        self.places: dict[MessageId, Place] = {}
        self.count = 0
        self.run_count = 0

    @rule(
        mode=st.sampled_from(list(Mode)),
        can_steer=st.booleans(),
        is_alone=st.booleans(),
        model=st.sampled_from(["", "big"]),
        due=st.sampled_from([0.0, 5.0]),
        group=st.sampled_from(["", "a", "b"]),
    )
    def message_arrives(self, mode: Mode, can_steer: bool, is_alone: bool, model: str, due: float, group: str) -> None:
        """Any mode, with an agent that can be steered or not; it may wait for more until 5, as a part of something."""
        self.count += 1
        message_id = MessageId(f"m{self.count}")
        waiting = len(self.guard.queue)
        try:
            placed = arrival(self.guard, message_id, mode, can_steer=can_steer, limit=LIMIT)
        except Overloaded:
            assert waiting == LIMIT
            return
        assert waiting < LIMIT
        assert placed.position == waiting + (self.guard.state is not GuardState.IDLE)
        assert (placed.effective_mode is mode) or placed.mode_reason
        if placed.effective_mode is not Mode.INTERRUPT:
            assert placed.guard.state is self.guard.state
        self.arrived.append(message_id)
        self.places[message_id] = Place(placed.effective_mode, is_alone, model, due, group)
        self.guard = placed.guard

    @precondition(lambda self: may_begin(self.guard))
    @rule(now=st.sampled_from([1.0, 9.0]))
    def run_begins(self, now: float) -> None:
        """The head of the queue takes the lane, and with it its neighbours that may share its turn."""
        waiting = [self.places[item] for item in self.guard.queue]
        size = turn_size(waiting, now)
        if not size:
            assert waiting[0].is_collecting or any(place.due > now for place in waiting[: reach(waiting)])
            assert now < 5.0
            assert turn_size(waiting, whole_at(waiting)) == reach(waiting)
            return
        assert waiting[0].is_alone or size == TURN_LIMIT or all(place.due <= now for place in waiting[:size])
        self.run_count += 1
        self.guard = begun(self.guard, RunId(f"r{self.run_count}"), size)
        together = [self.places[item] for item in self.guard.running]
        assert together == waiting[:size]
        assert size == 1 or not any(place.is_alone for place in together)
        if size > 1 and not together[0].may_share:
            assert {place.group for place in together} == {together[0].group} != {""}
        else:
            assert len({place.model for place in together}) == 1
            assert size == 1 or not {Mode.QUEUE, Mode.INTERRUPT} & {place.mode for place in together}
            assert len({place.is_collecting for place in together}) == 1
        self.taken += self.guard.running

    @precondition(lambda self: self.guard.queue)
    @rule(data=st.data())
    def message_is_moved(self, data: st.DataObject) -> None:
        """An operator's order is an order of arrival from then on."""
        before = self.guard.queue
        message_id = data.draw(st.sampled_from(before))
        position = data.draw(st.integers(0, len(before) - 1))
        self.guard = moved(self.guard, message_id, position)
        assert self.guard.queue[position] == message_id
        first = changed_from(before, self.guard.queue)
        assert before[:first] == self.guard.queue[:first]
        assert sorted(before[first:]) == sorted(self.guard.queue[first:])
        self.arrived = [item for item in self.arrived if item not in before] + list(self.guard.queue)

    @precondition(lambda self: self.guard.run_id is not None)
    @rule()
    def run_ends(self) -> None:
        """The holder ends."""
        self.guard = ended(self.guard, self.guard.run_id)

    @rule()
    def a_late_end_changes_nothing(self) -> None:
        """An end of a run that is long gone is refused."""
        before = self.guard
        with pytest.raises(ConflictError):
            ended(self.guard, RunId("long gone"))
        assert self.guard == before

    @precondition(lambda self: self.guard.run_id is not None)
    @rule()
    def run_is_interrupted(self) -> None:
        """The holder is told to stop."""
        self.guard = interrupted(self.guard)

    @precondition(lambda self: self.guard.state is GuardState.BUSY and self.guard.queue)
    @rule()
    def last_message_is_steered(self) -> None:
        """The newest message goes into the run."""
        message_id = self.guard.queue[-1]
        self.guard = steered(self.guard, message_id)
        self.dropped.add(message_id)

    @precondition(lambda self: self.guard.queue)
    @rule(data=st.data())
    def message_is_dropped(self, data: st.DataObject) -> None:
        """Any waiting message is let go."""
        message_id = data.draw(st.sampled_from(self.guard.queue))
        self.guard = dropped(self.guard, message_id)
        self.dropped.add(message_id)

    @rule(is_held=st.booleans())
    def lane_is_held(self, is_held: bool) -> None:
        """Nothing begins, or things begin again."""
        self.guard = held(self.guard, is_held=is_held)

    @invariant()
    def at_most_one_run(self) -> None:
        """A holder and its messages, or neither."""
        assert (self.guard.run_id is None) == (self.guard.state is GuardState.IDLE)
        assert bool(self.guard.running) == (self.guard.run_id is not None)
        assert len(self.guard.running) <= TURN_LIMIT + LIMIT

    @invariant()
    def nothing_is_lost_or_reordered(self) -> None:
        """What was taken and what waits is what arrived, in order."""
        kept = [item for item in self.arrived if item not in self.dropped]
        assert [item for item in (*self.taken, *self.guard.queue) if item not in self.dropped] == kept

    @invariant()
    def a_held_lane_begins_nothing(self) -> None:
        """Holding means that."""
        assert not (self.guard.is_held and may_begin(self.guard))


TestGuardHistory = GuardHistory.TestCase


def test_a_second_run_cannot_begin_while_the_lane_is_held_by_one() -> None:
    """The table refuses it, and nothing changes."""
    guard = begun(Guard(queue=(MessageId("a"), MessageId("b"))), RunId("r1"))
    with pytest.raises(IllegalTransition):
        begun(guard, RunId("r2"))


def test_a_message_that_does_not_wait_cannot_be_dropped() -> None:
    """Dropping names the message that is missing."""
    with pytest.raises(NotFound):
        dropped(Guard(), MessageId("a"))


def test_every_state_of_the_guard_has_a_row() -> None:
    """The table is whole."""
    assert set(GUARD.table) == set(GuardState)


@pytest.mark.parametrize(
    ("guard", "mode", "can_steer", "effective"),
    [
        (Guard(), Mode.INTERRUPT, True, Mode.QUEUE),
        (Guard(), Mode.STEER, True, Mode.FOLLOWUP),
        (Guard(), Mode.STEER_BACKLOG, True, Mode.FOLLOWUP),
        (Guard(), Mode.COLLECT, False, Mode.COLLECT),
        (begun(Guard(queue=(MessageId("a"),)), RunId("r")), Mode.INTERRUPT, False, Mode.INTERRUPT),
        (begun(Guard(queue=(MessageId("a"),)), RunId("r")), Mode.STEER, True, Mode.STEER),
        (begun(Guard(queue=(MessageId("a"),)), RunId("r")), Mode.STEER, False, Mode.FOLLOWUP),
        (begun(Guard(queue=(MessageId("a"),)), RunId("r")), Mode.STEER_BACKLOG, False, Mode.FOLLOWUP),
        (interrupted(begun(Guard(queue=(MessageId("a"),)), RunId("r"))), Mode.STEER, True, Mode.FOLLOWUP),
    ],
)
def test_a_mode_that_cannot_be_honoured_becomes_another_with_a_reason(
    guard: Guard, mode: Mode, can_steer: bool, effective: Mode
) -> None:
    """The effective mode is said, and why it differs."""
    placed = arrival(guard, MessageId("new"), mode, can_steer=can_steer, limit=9)
    assert placed.effective_mode is effective
    assert bool(placed.mode_reason) == (effective is not mode)


def test_at_most_thirty_two_share_a_turn_and_so_many_wait_for_no_more() -> None:
    """Followups are cut at the limit; what collects is answered at the limit although more may come."""
    followups = [Place(Mode.FOLLOWUP)] * 40
    collecting = [Place(Mode.COLLECT, due=99.0)] * 40
    assert turn_size(followups, 1.0) == TURN_LIMIT
    assert turn_size(collecting, 1.0) == TURN_LIMIT
    assert turn_size(collecting[: TURN_LIMIT - 1], 1.0) == 0


def test_what_collects_waits_for_the_last_of_it_wherever_that_stands() -> None:
    """A message in between keeps its place, and what collects behind it still counts."""
    waiting = [Place(Mode.COLLECT, due=3.0), Place(Mode.QUEUE), Place(Mode.COLLECT, due=8.0)]
    assert turn_size(waiting, 7.9) == 0
    assert turn_size(waiting, 8.0) == 1
    assert turn_size(waiting[1:], 0.0) == 1


@pytest.mark.parametrize("position", [-1, 2, 99])
def test_a_message_cannot_be_moved_out_of_its_queue(position: int) -> None:
    """The field is named, and nothing has changed."""
    with pytest.raises(InvalidInput) as caught:
        moved(Guard(queue=(MessageId("a"), MessageId("b"))), MessageId("a"), position)
    assert caught.value.facts["field"] == "position"
