"""A target of the relay, whatever happens to it: its gate keeps its word, its places are bounded, it is never stuck."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import Mark
from core.api.relay_tasks import AttemptResult
from core.breaker import Breaker, BreakerMode, Ticket, disabled, half_opened, held_open, reset, restored
from core.breaker_settings import BreakerSettings
from core.relay.target import RETRY_AFTER_CAP_S, Target
from core.relay.wire import Reply

RULES = BreakerSettings(failures=2, open_s=30.0, open_cap_s=300.0, probe_deadline_s=40.0, growth=2.0, jitter=0.1)
REPLIES = st.builds(
    Reply,
    result=st.sampled_from(AttemptResult),
    status=st.sampled_from([0, 200, 202, 404, 410, 429, 500, 503]),
    error=st.sampled_from(["", "no\nanswer", "x" * 1000]),
    retry_after_s=st.one_of(st.none(), st.floats()),
    is_gone=st.booleans(),
)
ACTS = ("admit", "begin", "settle", "ask", "settle question", "not used", "vacated", "wait", "order")
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 40), REPLIES), max_size=60)


class Play:
    """A target with a clock in the hands of a test."""

    def __init__(self, limit: int, luck: float) -> None:
        self.now = 1000.0
        self.limit = limit
        self.target = Target(self.now, RULES, lambda: luck, in_flight_limit=limit)
        self.messages: list[tuple[Ticket, float]] = []
        self.questions: list[tuple[Ticket, float]] = []
        self.given = 0

    @property
    def mark(self) -> Mark:
        """Now."""
        return Mark(5_000.0 + self.now, self.now)

    def do(self, act: str, number: int, reply: Reply) -> None:
        """One step."""
        target = self.target
        match act:
            case "admit":
                may = target.wait_s(self.now) == 0.0
                assert target.admit(self.now) is may
                self.given += may
            case "begin":
                self._begin()
            case "settle" if self.messages:
                ticket, began = self.messages.pop(number % len(self.messages))
                target.settled(ticket, reply, self.mark, began=began)
            case "ask":
                self._ask()
            case "settle question" if self.questions:
                ticket, began = self.questions.pop(number % len(self.questions))
                target.settled(ticket, reply, self.mark, began=began, is_message=False)
            case "not used":
                target.not_used(self.now)
                self.given = max(0, self.given - 1)
            case "vacated":
                target.vacated(self.now)
                self.given = 0
            case "wait":
                self.now += number
            case "order":
                target.breaker = self._ordered(number)
            case _:
                pass

    def _begin(self) -> None:
        ticket = self.target.begun(self.now)
        self.given = max(0, self.given - 1)
        if ticket is not None:
            assert self.target.held_s(self.now) == 0.0
            self.messages.append((ticket, self.now))

    def _ask(self) -> None:
        answer = self.target.asked(self.now)
        if isinstance(answer, Ticket):
            self.questions.append((answer, self.now))
        else:
            assert answer > 0

    def check(self) -> None:
        """What always holds."""
        target = self.target
        assert 0 <= target.in_flight == len(self.messages)
        assert target.in_flight + self.given <= self.limit
        if target.is_clear:
            assert target.wait_s(self.now) == 0.0
        assert target.held_s(self.now) <= RETRY_AFTER_CAP_S
        assert target.health.count <= 200
        assert target.health.success_rate is None or 0 <= target.health.success_rate <= 1
        assert len(target.last_error) <= 300

    def _ordered(self, number: int) -> Breaker:
        breaker = self.target.breaker
        match number % 4:
            case 0:
                return held_open(breaker, self.now, RULES, "held")
            case 1:
                return disabled(breaker, self.now, RULES, "disabled")
            case 2:
                return half_opened(breaker, self.now, RULES) or breaker
            case _:
                return reset(breaker, self.now, RULES, "reset")


@given(steps=STEPS, limit=st.integers(1, 4), luck=st.floats(0, 1, exclude_max=True))
def test_the_gate_keeps_its_word_and_nothing_wedges_it(
    steps: list[tuple[str, int, Reply]], limit: int, luck: float
) -> None:
    """What it lets through is what it said it would, places are never more than the limit, and it opens again."""
    play = Play(limit, luck)
    for act, number, reply in steps:
        play.do(act, number, reply)
        play.check()
    cut = Reply(result=AttemptResult.CUT_OFF)
    for ticket, began in (*play.messages, *play.questions):
        play.target.settled(ticket, cut, play.mark, began=began, is_message=(ticket, began) in play.messages)
    play.target.vacated(play.now)
    if play.target.breaker.mode is not BreakerMode.HELD:
        play.now += RETRY_AFTER_CAP_S + 1.0
        assert play.target.wait_s(play.now) == 0.0
        assert play.target.admit(play.now)


@given(steps=STEPS, jump_s=st.floats(-1e6, 1e6), mono=st.floats(0, 1e6))
def test_a_restart_makes_no_wait_longer_however_the_clock_jumped(
    steps: list[tuple[str, int, Reply]], jump_s: float, mono: float
) -> None:
    """The breaker as it is stored and read back."""
    play = Play(4, 0.0)
    for act, number, reply in steps:
        play.do(act, number, reply)
    before_s = play.target.broken_s(play.now)
    stored = msgspec.json.decode(msgspec.json.encode(play.target.breaker), type=Breaker)
    later = Mark(play.mark.at + jump_s, mono)
    back = Target(mono, RULES, lambda: 0.0, in_flight_limit=4)
    back.breaker = restored(stored, play.mark, later)
    assert back.broken_s(mono) <= before_s + 1e-3
