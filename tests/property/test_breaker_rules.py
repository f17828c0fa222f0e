"""The breaker against an oracle of its documented rules, and the promises that hold whatever happens."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.breaker import (
    Breaker,
    BreakerState,
    Outcome,
    Refusal,
    Ticket,
    admitted,
    disabled,
    fresh,
    half_opened,
    held_open,
    refreshed,
    reset,
    settled,
    wait_s,
)
from core.breaker_settings import BreakerSettings
from tests.support.breaker_oracle import BreakerOracle

WORDS = {Refusal.OPEN: "open", Refusal.PROBING: "probing", Refusal.HELD: "held"}


def probed(breaker: Breaker, now: float, settings: BreakerSettings, _reason: str) -> Breaker:
    """An operator ends the open time, if there is one."""
    return half_opened(breaker, now, settings) or refreshed(breaker, now, settings)


ORDERS = {"reset": reset, "held": held_open, "disabled": disabled, "probe": probed}
# An eighth of a second is exact in binary, so no comparison hangs on a rounding.
TICK_MS = 125


def seen(breaker: Breaker) -> tuple[Any, ...]:
    """Everything that the oracle knows too."""
    counts = breaker.counts
    tally = [counts.requests, counts.successes, counts.failures, counts.run_of_successes, counts.run_of_failures]
    end_ms = None if breaker.expires is None else breaker.expires * 1000
    return breaker.state.value, breaker.generation, tally, end_ms, breaker.refused


def expected(oracle: BreakerOracle) -> tuple[Any, ...]:
    """The same of the oracle."""
    return oracle.word, oracle.age, oracle.tally, oracle.end, oracle.refusals


CASES: list[tuple[int, dict[str, int]]] = [
    (40_000, {}),
    (20_000, {"failures": 3, "probes": 3, "probe_deadline_ms": 10_000}),
    (20_000, {"failures": 2, "open_ms": 4_000, "growth": 2, "cap_ms": 30_000, "calm_ms": 20_000}),
    (20_000, {"failures": 2, "interval_ms": 6_000, "open_ms": 3_000, "probes": 2}),
    (20_000, {"failures": 1, "open_ms": 2_000, "growth": 2, "calm_ms": 500, "flap_count": 4, "flap_ms": 90_000}),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "rules"), CASES, ids=["plain", "probes", "growing", "interval", "flapping"])
def test_over_a_hundred_thousand_operations_agree_with_the_documented_rules(steps: int, rules: dict[str, int]) -> None:
    """Answers, state, generation, all five counts, the end of the open time and refusals, after each operation."""
    lot = random.Random(20_260_806)
    oracle = BreakerOracle(**rules)
    settings = BreakerSettings(
        failures=oracle.failures_allowed,
        open_s=oracle.open_ms / 1000,
        probes=oracle.places,
        interval_s=oracle.interval_ms / 1000,
        probe_deadline_s=oracle.probe_deadline_ms / 1000,
        growth=float(oracle.growth),
        open_cap_s=oracle.cap_ms / 1000,
        calm_s=oracle.calm_ms / 1000,
        flap_count=oracle.flap_count,
        flap_window_s=oracle.flap_ms / 1000,
    )
    breaker = fresh(0.0, settings)
    out: list[tuple[Ticket, tuple[int, int]]] = []
    states: dict[str, int] = {}
    for _ in range(steps):
        now = oracle.now / 1000
        draw = lot.random()
        if draw < 0.35:
            breaker, answer = admitted(breaker, now, settings)
            told = oracle.ask()
            if isinstance(answer, Ticket):
                assert told == (answer.generation, answer.number)
                out.append((answer, (answer.generation, answer.number)))
            else:
                assert told == WORDS[answer]
        elif draw < 0.75 and out:
            place = lot.randrange(max(0, len(out) - 12), len(out))
            ticket, call = out[place] if draw < 0.45 else out.pop(place)
            how = lot.choices(["failure", "success", "neutral"], [7, 2, 1])[0]
            breaker = settled(breaker, ticket, Outcome(how), now, settings, lot.random)
            oracle.tell(call, how)
        elif draw < 0.97:
            oracle.now += TICK_MS * lot.choice([0, 1, 2, 8, 16, 40, 80, 240])
        elif draw < 0.972:
            order = lot.choice(list(ORDERS))
            breaker = ORDERS[order](breaker, now, settings, "fuzz")
            oracle.order(order)
            if order in {"held", "disabled"}:
                breaker = reset(breaker, now, settings, "fuzz") if lot.random() < 0.5 else breaker
                oracle.order("reset") if breaker.mode == "automatic" else None
        else:
            breaker = refreshed(breaker, now, settings)
            oracle.look()
        assert seen(breaker) == expected(oracle)
        states[oracle.word] = states.get(oracle.word, 0) + 1
    assert set(states) == {"closed", "open", "half_open"}
    assert min(states.values()) > steps // 100


RULES = st.builds(
    BreakerSettings,
    failures=st.integers(1, 4),
    open_s=st.floats(0.1, 50),
    probes=st.integers(1, 3),
    interval_s=st.sampled_from([0.0, 5.0]),
    probe_deadline_s=st.sampled_from([0.0, 4.0]),
    growth=st.floats(1, 4),
    open_cap_s=st.floats(0.1, 100),
    jitter=st.floats(0, 1),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "settle", "wait"]), st.integers(0, 30), st.sampled_from(Outcome)), max_size=80
)


@given(settings=RULES, steps=STEPS, luck=st.floats(0, 1, exclude_max=True))
def test_no_history_breaks_the_promises(
    settings: BreakerSettings, steps: list[tuple[str, int, Outcome]], luck: float
) -> None:
    """Late answers change nothing, probes are bounded, open times are capped, and it is never stuck."""
    now = 100.0
    breaker = fresh(now, settings)
    out: list[Ticket] = []
    for what, number, outcome in steps:
        now += number if what == "wait" else 0
        breaker = refreshed(breaker, now, settings)
        if what == "ask":
            may = wait_s(breaker, now, settings) == 0
            breaker, answer = admitted(breaker, now, settings)
            assert isinstance(answer, Ticket) == may
            out += [answer] if isinstance(answer, Ticket) else []
        elif what == "settle" and out:
            ticket = out.pop(number % len(out))
            before = breaker
            breaker = settled(breaker, ticket, outcome, now, settings, lambda: luck)
            assert ticket.generation == before.generation or breaker == before
        assert len(breaker.probing) <= settings.probes
        assert not breaker.probing or breaker.state is BreakerState.HALF_OPEN
        assert breaker.counts.requests >= len(breaker.probing)
        assert len(breaker.transitions) <= 20
        if breaker.state is BreakerState.OPEN:
            assert breaker.expires is not None
            assert breaker.expires - breaker.since <= max(settings.open_cap_s, settings.open_s) + 1e-6
    if settings.probe_deadline_s:
        later = now + max(settings.open_cap_s, settings.open_s) + settings.probe_deadline_s + 1
        assert wait_s(breaker, later, settings) == 0
