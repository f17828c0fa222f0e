"""Deadlines of runs, and how a run ends."""

import pytest

from core.agents.watch import GRACE_S, Bounds, Due, Stage, Watched, ending, find_due, verdict
from core.api.runs import Stop, TurnEnded, Usage


def watched(stage: Stage = Stage.TURNING, **more: object) -> Watched:
    """A run that began at 0 and has said nothing since."""
    found = Watched(since=0.0, active_at=0.0, stage=stage)
    for name, value in more.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("run", "now", "due"),
    [
        (watched(), 119.0, None),
        (watched(), 120.0, Due.STALL),
        (watched(active_at=100.0), 200.0, None),
        (watched(is_asking=True), 500.0, None),
        (watched(is_asking=True), 600.0, Due.TOTAL),
        (watched(has_tool=True), 500.0, None),
        (watched(has_tool=True), 600.0, Due.TOTAL),
        (watched(active_at=599.0), 600.0, Due.TOTAL),
        (watched(Stage.WAITING), 10_000.0, None),
        (watched(Stage.CLOSING), 10_000.0, None),
        (watched(Stage.COMPACTING), 10_000.0, None),
        (watched(Stage.OPENING), 30.0 - 0.1, None),
        (watched(Stage.OPENING), 30.0, Due.OPEN),
        (watched(stop_asked_at=50.0), 50.0 + GRACE_S - 0.1, None),
        (watched(stop_asked_at=50.0), 50.0 + GRACE_S, Due.GRACE),
        (watched(stop_asked_at=599.0), 601.0, None),
    ],
)
def test_the_deadline_that_is_over(run: Watched, now: float, due: Due | None) -> None:
    """Silence counts while the model works, five times as long while a tool runs, not at all while people think."""
    assert find_due(run, now, Bounds(30.0, 120.0, 600.0)) is due


def test_a_tool_gets_five_times_the_stall_limit() -> None:
    """Tools are allowed to be quiet, but not for ever."""
    assert find_due(watched(has_tool=True), 50.0, Bounds(30.0, 10.0, 600.0)) is Due.STALL
    assert find_due(watched(has_tool=True), 49.0, Bounds(30.0, 10.0, 600.0)) is None


@pytest.mark.parametrize(
    ("due", "code", "number"),
    [(Due.OPEN, "start_timeout", "30"), (Due.STALL, "stalled", "50"), (Due.TOTAL, "total_limit", "600")],
)
def test_a_timeout_says_which_limit_it_was(due: Due, code: str, number: str) -> None:
    """A stable code for programs, the number of seconds for people."""
    end = verdict(due, Bounds(30.0, 10.0, 600.0), has_tool=True)
    assert (end.stop, end.code) == (Stop.TIMEOUT, code)
    assert number in end.error


def test_a_run_has_one_end_whoever_ends_it() -> None:
    """The core's reason counts, unless the answer was whole by then; tokens are kept."""
    used = Usage(input_tokens=3)
    asked = TurnEnded(stop=Stop.TIMEOUT, code="stalled")
    cancelled = TurnEnded(stop=Stop.CANCELLED, usage=used)
    whole = TurnEnded(stop=Stop.END_TURN, usage=used)
    assert ending(whole, None) is whole
    assert ending(whole, asked) is whole
    assert ending(cancelled, asked) == TurnEnded(stop=Stop.TIMEOUT, code="stalled", usage=used)
    assert ending(None, asked) is asked
    assert ending(None, None).stop is Stop.DIED
