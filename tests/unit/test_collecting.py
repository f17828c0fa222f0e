"""Garbage is collected at length only in calm moments, and what fills the screen's memory is none of its business."""

import gc
from collections.abc import Iterator

import pytest

from console.collecting import Collecting
from console.event_line import event_line
from core.api.base import SYSTEM, Record, Seq
from core.api.sessions import SessionOpened, SessionState
from tests.support.views import run, session


@pytest.fixture(autouse=True)
def _own_thresholds() -> Iterator[None]:
    """The rest of the tests keeps the collector that it had."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with each whole collection."""
    calls: list[int] = []
    monkeypatch.setattr("console.collecting.gc.collect", lambda: calls.append(1) or 0)
    return calls


def test_a_whole_collection_waits_for_the_operator_to_stop_typing(collected: list[int]):
    """Not while keys come, then once, then not again for a minute."""
    collecting = Collecting()
    collecting.when_calm(now=100.0, keyed_at=0.0)
    assert not collected
    collecting.begin()
    collecting.begin()
    assert len(collected) == 1
    collecting.when_calm(now=101.0, keyed_at=99.0)
    assert len(collected) == 1
    collecting.when_calm(now=105.0, keyed_at=99.0)
    collecting.when_calm(now=106.0, keyed_at=99.0)
    assert len(collected) == 2
    collecting.when_calm(now=165.0, keyed_at=99.0)
    assert len(collected) == 3


def test_sessions_records_and_lines_are_nothing_to_collect():
    """A hundred thousand of them add nothing to a pause."""
    view = session(state=SessionState.RUNNING, run=run())
    record = Record(Seq(1), 0.0, SYSTEM, str(view.id), SessionOpened(session=view))
    assert not any(gc.is_tracked(thing) for thing in (view, view.source, view.run, record, event_line(record)))
