"""All breakers of the core: how each looks, and that an order reaches its owner."""

from collections.abc import Sequence

import pytest

from core.api.base import Actor, ActorKind, Mark
from core.api.breakers import (
    BreakerCounts,
    BreakerMode,
    BreakerState,
    BreakerView,
    DisableBreaker,
    HoldBreakerOpen,
    ListBreakers,
    ProbeBreaker,
    ReleaseBreaker,
    ResetBreaker,
)
from core.api.errors import NotFound
from core.breaker import Breaker, Outcome, Ticket, admitted, fresh, half_opened, held_open, settled
from core.breaker_book import BreakerBook, not_held, not_to_probe
from core.breaker_settings import GUARDED
from core.breaker_view import breaker_view
from core.journal import Journal
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock

ANA = Actor(ActorKind.OPERATOR, "ana")
NOW = Mark(5_000.0, 1_000.0)


def failed(breaker: Breaker, now: float, count: int) -> Breaker:
    """After so many calls that failed."""
    for _ in range(count):
        breaker, ticket = admitted(breaker, now, GUARDED)
        assert isinstance(ticket, Ticket)
        breaker = settled(breaker, ticket, Outcome.FAILURE, now, GUARDED, lambda: 0.0, error="refused")
    return breaker


def test_a_view_has_the_last_five_transitions_and_the_probe_that_is_out() -> None:
    """With times on the wall clock, counts of the state, and how often it opened."""
    breaker = fresh(NOW.mono - 500.0, GUARDED)
    now = NOW.mono - 400.0
    for _ in range(4):
        breaker = failed(breaker, now, 5 if breaker.state.value == "closed" else 1)
        opened = half_opened(breaker, now, GUARDED)
        assert opened is not None
        breaker = opened
        now += 1.0
    breaker, _ = admitted(breaker, NOW.mono - 12.0, GUARDED)
    view = breaker_view("relay", "http://b", breaker, NOW, GUARDED)
    assert (view.owner, view.name, view.state, view.trip_count) == ("relay", "http://b", BreakerState.HALF_OPEN, 1)
    assert (view.probe_began, view.probe_limit_s) == (Mark(4_988.0, 988.0), 60.0)
    assert view.counts == BreakerCounts(requests=1)
    assert len(view.transitions) == 5
    last = view.transitions[-1]
    assert (last.at, last.before, last.after) == (Mark(4_603.0, 603.0), BreakerState.OPEN, BreakerState.HALF_OPEN)
    assert [item.cause for item in view.transitions][-2:] == [
        "the probe failed: refused",
        "an operator asked for a probe",
    ]


def test_a_closed_one_counts_its_calls_and_has_no_probe() -> None:
    """Failures in a row are those of the counts."""
    view = breaker_view("relay", "http://b", failed(fresh(NOW.mono, GUARDED), NOW.mono, 3), NOW, GUARDED)
    assert view.counts == BreakerCounts(requests=3, failures=3, run_of_failures=3)
    assert (view.failures, view.probe_began, view.probe_limit_s, view.next_probe) == (3, None, 0.0, None)


class FakeOwner:
    """A part of the core that notes its orders."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, ...]] = []

    def breaker_views(self) -> Sequence[BreakerView]:
        """One."""
        return [self._view()]

    async def reset_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Noted."""
        return self._note("reset", name, reason, actor.name)

    async def hold_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Noted."""
        return self._note("hold", name, reason, actor.name)

    async def release_breaker(self, name: str, actor: Actor) -> BreakerView:
        """Noted."""
        return self._note("release", name, actor.name)

    async def disable_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Noted."""
        return self._note("disable", name, reason, actor.name)

    async def probe_breaker(self, name: str, actor: Actor) -> BreakerView:
        """Noted."""
        return self._note("probe", name, actor.name)

    def _note(self, *words: str) -> BreakerView:
        self.orders.append(words)
        return self._view()

    @staticmethod
    def _view() -> BreakerView:
        return breaker_view("relay", "b", fresh(NOW.mono, GUARDED), NOW, GUARDED)


async def test_every_order_reaches_the_owner_that_it_names() -> None:
    """With its reason and who gave it; an owner that is not there is named with those that are."""
    book = BreakerBook(Journal(MemoryStore(), FakeClock()))
    owner = FakeOwner()
    book.add("relay", owner)
    with pytest.raises(ValueError, match="two owners"):
        book.add("relay", owner)
    for command in (
        HoldBreakerOpen(owner="relay", name="b", reason="x"),
        ReleaseBreaker(owner="relay", name="b"),
        ResetBreaker(owner="relay", name="b", reason="y"),
        DisableBreaker(owner="relay", name="b", reason="z"),
        ProbeBreaker(owner="relay", name="b"),
    ):
        await book.commands[type(command)](command, ANA)
    assert owner.orders == [
        ("hold", "b", "x", "ana"),
        ("release", "b", "ana"),
        ("reset", "b", "y", "ana"),
        ("disable", "b", "z", "ana"),
        ("probe", "b", "ana"),
    ]
    assert [view.name for view in (await book.list_breakers(ListBreakers())).breakers] == ["b"]
    with pytest.raises(NotFound, match="called outbox") as caught:
        await book.probe(ProbeBreaker(owner="outbox", name="b"), ANA)
    assert caught.value.facts["fix"] == "known: relay"


def test_orders_that_make_no_sense_say_what_would() -> None:
    """What is held must be released first; what is closed needs nothing."""
    closed = fresh(NOW.mono, GUARDED)
    held = held_open(closed, NOW.mono, GUARDED, "moving")
    assert not_held("b", closed).facts["found"] == BreakerMode.AUTOMATIC.value
    assert not_to_probe("b", held).facts["fix"] == "release it first"
    assert (
        "half-open" in not_to_probe("b", half_opened(failed(closed, NOW.mono, 5), NOW.mono, GUARDED) or closed).message
    )
