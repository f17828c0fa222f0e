"""Restart strategies: what Erlang promises of its supervisors, for every group and every history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.errors import InvalidInput, NotFound
from core.mailbox.supervision import (
    Child,
    Decision,
    Group,
    Intensity,
    Restart,
    Strategy,
    after_end,
    begun_again,
    joined,
    parted,
)

NAMES = "abcdef"


def group_of(strategy: Strategy, *kinds: Restart, restarts: int = 10) -> Group:
    """Children a, b, c of these kinds."""
    children = tuple(Child(name, kind) for name, kind in zip(NAMES, kinds, strict=False))
    return Group(strategy=strategy, intensity=Intensity(max_restarts=restarts, period_s=60), children=children)


ALWAYS, SOMETIMES, NEVER = Restart


@pytest.mark.parametrize(
    ("strategy", "stop", "start"),
    [
        (Strategy.ONE_FOR_ONE, (), ("b",)),
        (Strategy.ONE_FOR_ALL, ("d", "c", "a"), ("a", "b", "c", "d")),
        (Strategy.REST_FOR_ONE, ("d", "c"), ("b", "c", "d")),
    ],
)
def test_each_strategy_stops_in_reverse_and_starts_in_order(
    strategy: Strategy, stop: tuple[str, ...], start: tuple[str, ...]
) -> None:
    """The child that failed is not stopped again, and begins at its place."""
    group = group_of(strategy, ALWAYS, ALWAYS, ALWAYS, ALWAYS)
    after, decision = after_end(group, "b", 0.0, failed=True)
    assert decision == Decision(stop, start)
    assert after.children == group.children


@pytest.mark.parametrize(
    ("kind", "failed", "comes_back"),
    [
        (ALWAYS, True, True),
        (ALWAYS, False, True),
        (SOMETIMES, True, True),
        (SOMETIMES, False, False),
        (NEVER, True, False),
        (NEVER, False, False),
    ],
)
def test_the_kind_of_a_child_says_whether_it_comes_back(kind: Restart, failed: bool, comes_back: bool) -> None:
    """Permanent always, transient after a failure, temporary never; siblings of who does not come back go on."""
    _, decision = after_end(group_of(Strategy.ONE_FOR_ALL, ALWAYS, kind), "b", 0.0, failed=failed)
    assert decision == (Decision(("a",), ("a", "b")) if comes_back else Decision())


def test_a_temporary_sibling_is_stopped_and_forgotten() -> None:
    """It ends with the others and does not start with them."""
    after, decision = after_end(group_of(Strategy.ONE_FOR_ALL, NEVER, ALWAYS), "b", 0.0, failed=True)
    assert decision == Decision(("a",), ("b",))
    assert [child.name for child in after.children] == ["b"]


def test_a_transient_child_that_had_ended_begins_again_with_its_group() -> None:
    """It is not stopped, for it does not run, but it starts."""
    group, _ = after_end(group_of(Strategy.ONE_FOR_ALL, ALWAYS, SOMETIMES), "b", 0.0, failed=False)
    assert [child.is_running for child in group.children] == [True, False]
    _, decision = after_end(group, "a", 1.0, failed=True)
    assert decision == Decision((), ("a", "b"))


def test_one_restart_too_many_ends_the_group_until_an_operator_begins_it_again() -> None:
    """The limit is of restarts within the period; beyond it all others stop, in reverse."""
    group = group_of(Strategy.ONE_FOR_ONE, ALWAYS, ALWAYS, ALWAYS, restarts=2)
    for now in (0.0, 61.0, 62.0):
        group, decision = after_end(group, "a", now, failed=True)
        assert decision.start == ("a",)
    group, decision = after_end(group, "b", 120.0, failed=True)
    assert (decision.stop, decision.start) == (("c", "a"), ())
    assert decision.alarm == "b failed, and 2 restarts within 60 s are allowed"
    group, decision = after_end(group, "c", 121.0, failed=True)
    assert decision == Decision()
    group, decision = begun_again(group)
    assert decision.start == ("a", "b", "c")
    assert not group.has_given_up


def test_names_within_a_group_are_its_own() -> None:
    """A second child of one name is refused, an unknown one is not found, a parted one is unknown."""
    group = joined(Group(), Child("a"))
    with pytest.raises(InvalidInput):
        joined(group, Child("a"))
    with pytest.raises(NotFound):
        after_end(parted(group, "a"), "a", 0.0, failed=True)


@pytest.mark.parametrize(("field", "value"), [("max_restarts", -1), ("period_s", 0.0), ("period_s", float("nan"))])
def test_limits_that_cannot_be_are_refused(field: str, value: float) -> None:
    """The error names the field."""
    with pytest.raises(InvalidInput) as caught:
        Intensity(**{field: value})  # type: ignore[arg-type]  # the point of the test
    assert caught.value.facts["field"] == field


GROUPS = st.builds(group_of, st.sampled_from(Strategy), *[st.sampled_from(Restart)] * 4, restarts=st.integers(0, 4))
ENDS = st.lists(st.tuples(st.sampled_from(NAMES[:4]), st.booleans(), st.floats(0, 40)), max_size=30)


@given(group=GROUPS, ends=ENDS)
def test_whatever_ends_the_group_stays_true_to_its_rules(group: Group, ends: list[tuple[str, bool, float]]) -> None:
    """Order, intensity and what runs: checked against the decisions alone."""
    order = [child.name for child in group.children]
    kinds = {child.name: child.restart for child in group.children}
    running = set(order)
    restarts: list[float] = []
    now = 0.0
    for name, failed, pause_s in ends:
        now += pause_s
        if name not in running:
            continue
        running.discard(name)
        group, decision = after_end(group, name, now, failed=failed)
        assert list(decision.stop) == [other for other in reversed(order) if other in decision.stop]
        assert list(decision.start) == [other for other in order if other in decision.start]
        assert set(decision.stop) <= running
        running -= set(decision.stop)
        assert not set(decision.start) & running
        running |= set(decision.start)
        assert all(kinds[other] is not Restart.TEMPORARY for other in decision.start)
        if decision.start:
            restarts.append(now)
        recent = [at for at in restarts if now - at <= group.intensity.period_s]
        assert len(recent) <= group.intensity.max_restarts
        assert not decision.alarm or (not running and not decision.start)
        assert {child.name for child in group.children if child.is_running} == running
