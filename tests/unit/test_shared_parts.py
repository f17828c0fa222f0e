"""Clock, ids, machine, backoff, secrets: the small parts that everything stands on."""

import copy
import pickle
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import Mark
from core.api.errors import ConfigError
from core.backoff import ceiling_s, delay_s
from core.clock import SystemClock, mark, rebased
from core.ids import IdSource
from core.machine import IllegalTransition, Machine
from core.secrets import Secret, resolve
from tests.support.clocks import FakeClock


class Door(StrEnum):
    """States for the test."""

    OPEN = "open"
    SHUT = "shut"
    GONE = "gone"


class Push(StrEnum):
    """Events for the test."""

    PUSH = "push"
    BURN = "burn"


DOOR = Machine(
    "door",
    Door,
    {Door.OPEN: {Push.PUSH: Door.SHUT}, Door.SHUT: {Push.PUSH: Door.OPEN, Push.BURN: Door.GONE}, Door.GONE: {}},
)


def test_a_machine_steps_along_its_table_and_refuses_the_rest() -> None:
    """An illegal event names machine, state and event."""
    assert DOOR.step(Door.OPEN, Push.PUSH) is Door.SHUT
    with pytest.raises(IllegalTransition, match="door: 'burn' is not possible while 'open'"):
        DOOR.step(Door.OPEN, Push.BURN)
    assert DOOR.is_final(Door.GONE)
    assert not DOOR.is_final(Door.OPEN)


def test_a_machine_needs_a_row_for_every_state() -> None:
    """A forgotten state is found when the module is imported."""
    with pytest.raises(ValueError, match="gone"):
        Machine("door", Door, {Door.OPEN: {}, Door.SHUT: {}})


def test_a_machine_draws_itself() -> None:
    """Every transition and every end is in the diagram."""
    assert DOOR.mermaid().splitlines() == [
        "stateDiagram-v2",
        "    open --> shut: push",
        "    shut --> open: push",
        "    shut --> gone: burn",
        "    gone --> [*]",
    ]


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=60))
def test_ids_sort_in_the_order_of_making_whatever_the_clock_does(jumps: list[float]) -> None:
    """Also when it stands still or steps back."""
    clock = FakeClock()
    ids = IdSource(clock)
    made = []
    for jump in jumps:
        clock.jump(jump)
        made.append(ids.new_id())
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_after_a_restart_sort_behind_those_before_even_if_the_clock_went_back() -> None:
    """The floor is the newest time known from before."""
    clock = FakeClock(now=1_700_000_000.0)
    before = IdSource(clock).new_id()
    floor_at = clock.now()
    clock.jump(-3600)
    assert IdSource(clock, floor_at=floor_at).new_id() > before


@given(attempt=st.integers(1, 2000), base_s=st.floats(0.01, 10), cap_s=st.floats(10, 1000), draw=st.floats(0, 0.999))
def test_a_wait_lies_between_zero_and_its_ceiling(attempt: int, base_s: float, cap_s: float, draw: float) -> None:
    """And the ceiling grows up to the cap, never beyond."""
    wait_s = delay_s(attempt, base_s=base_s, cap_s=cap_s, random=lambda: draw)
    assert 0 <= wait_s <= ceiling_s(attempt, base_s=base_s, cap_s=cap_s) <= cap_s
    assert ceiling_s(attempt, base_s=base_s, cap_s=cap_s) <= ceiling_s(attempt + 1, base_s=base_s, cap_s=cap_s)


def test_a_mark_from_before_a_restart_keeps_its_wall_time_and_gets_a_new_age() -> None:
    """The age is what the wall clock says, never negative."""
    clock = FakeClock(now=1000.0, monotonic=5.0)
    assert rebased(Mark(990.0, 777.0), clock) == Mark(990.0, -5.0)
    assert rebased(Mark(1010.0, 777.0), clock) == Mark(1010.0, 5.0)


def test_the_system_clock_reads_both_clocks() -> None:
    """Both only grow within a test."""
    clock = SystemClock()
    first, second = mark(clock), mark(clock)
    assert second.mono >= first.mono


def test_a_secret_never_prints() -> None:
    """Not by str, repr, format, an f-string, a container or pickle."""
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {secret:>9} {[secret]} " + str(secret)
    assert "hunter2" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    assert secret.reveal() == "hunter2"
    assert secret.matches("hunter2")
    assert not secret.matches("hunter3")
    assert not secret.matches("hünter2")


def test_a_secret_is_read_from_a_file_of_the_home_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White space around it is dropped."""
    (tmp_path / "key").write_text("  k1\n")
    (tmp_path / "key").chmod(0o600)
    monkeypatch.setenv("THE_KEY", "k2")
    assert resolve("file:key", home=tmp_path).reveal() == "k1"
    assert resolve("env:THE_KEY", home=tmp_path).reveal() == "k2"


@pytest.mark.parametrize("reference", ["hunter2", "env:", "file:", "env:NOT_SET_ANYWHERE", "file:missing", "file:open"])
def test_a_reference_that_leads_nowhere_is_refused_without_showing_a_value(tmp_path: Path, reference: str) -> None:
    """A literal secret, a missing one, an empty one and one that others may read."""
    (tmp_path / "open").write_text("k1")
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        resolve(reference, home=tmp_path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.facts["fix"]
