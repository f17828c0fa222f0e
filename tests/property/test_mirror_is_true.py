"""However snapshot and stream overlap, the mirror ends equal to what the core holds."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from console.mirror import Mirror
from console.session_index import STATES, Selection
from core.api import approvals, deliveries, platforms, sessions
from core.api.approvals import ApprovalState
from core.api.base import SYSTEM, Event, Record, Seq
from core.api.deliveries import DeliveryState
from core.api.platforms import PlatformState
from core.api.sessions import SessionState
from tests.support.views import NOW, approval, delivery, message, platform, session

_NAMES = ("ana", "bo", "cy")
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("session", "live", "approval", "delivery", "platform")), st.integers(0, 2), st.integers(0, 5)
    ),
    max_size=40,
)


class Core:
    """The books of a core, and its journal."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {"session": {}, "approval": {}, "delivery": {}, "platform": {}}
        self.journal: list[Record] = []

    def _event(self, noun: str, view: Any) -> Event:
        if noun == "session":
            return sessions.MessageQueued(session=view, message=message(session_id=view.id))
        if noun == "approval":
            made = approvals.ApprovalAsked if view.state is ApprovalState.OPEN else approvals.ApprovalDecided
            return made(approval=view)
        if noun == "delivery":
            done = {DeliveryState.SENT: deliveries.DeliverySent, DeliveryState.DEAD: deliveries.DeliveryDied}
            return done.get(view.state, deliveries.DeliveryRetrying)(delivery=view)
        return platforms.PlatformConnected(platform=view)

    def step(self, kind: str, which: int, value: int) -> None:
        """Something changes."""
        noun = "session" if kind == "live" else kind
        name = _NAMES[which]
        make: dict[str, Any] = {"session": session, "approval": approval, "delivery": delivery, "platform": platform}
        held = self.rows[noun]
        before = held.get(name)
        view = make[noun](name) if before is None else before
        states: dict[str, Any] = {
            "session": list(SessionState),
            "approval": [ApprovalState.OPEN, ApprovalState.DENIED],
            "delivery": [DeliveryState.RETRYING, DeliveryState.DEAD, DeliveryState.SENT],
            "platform": list(PlatformState),
        }
        choices = states[noun]
        view = msgspec.structs.replace(
            view, version=view.version + (before is not None), state=choices[value % len(choices)]
        )
        held[name] = view
        seq = self.journal[-1].seq if self.journal else 0
        if kind == "live":
            event: Event = sessions.SessionActive(session=view)
            self.journal.append(Record(seq=Seq(seq), at=NOW.at, actor=SYSTEM, subject=name, event=event, durable=False))
        else:
            event = self._event(noun, view)
            self.journal.append(Record(seq=Seq(seq + 1), at=NOW.at, actor=SYSTEM, subject=name, event=event))

    def unsent(self) -> dict[str, Any]:
        """Deliveries that a core lists."""
        return {view.id: view for view in self.rows["delivery"].values() if view.state is not DeliveryState.SENT}

    def load(self, mirror: Mirror) -> None:
        """A snapshot of everything as it is now."""
        seq = Seq(0)
        rows = self.rows
        mirror.load_platforms(platforms.PlatformList(platforms=tuple(rows["platform"].values()), seq=seq))
        mirror.load_approvals(approvals.ApprovalList(approvals=tuple(rows["approval"].values()), seq=seq))
        mirror.load_deliveries(deliveries.DeliveryList(deliveries=tuple(self.unsent().values()), seq=seq))
        mirror.load_sessions(
            sessions.SessionPage(
                sessions=tuple(rows["session"].values()), cursor="", seq=seq, total=len(rows["session"])
            )
        )


def check(core: Core, mirror: Mirror) -> None:
    """The mirror holds what the core holds, and its counts agree with its rows."""
    assert mirror.sessions == {view.id: view for view in core.rows["session"].values()}
    assert mirror.platforms == {view.name: view for view in core.rows["platform"].values()}
    assert mirror.approvals == {view.id: view for view in core.rows["approval"].values()}
    assert mirror.deliveries == core.unsent()
    states = [view.state.value for view in mirror.sessions.values()]
    assert mirror.counts == {state: states.count(state) for state in STATES}
    for view in mirror.sessions.values():
        asked = [
            item
            for item in core.rows["approval"].values()
            if item.session_id == view.id and item.state is ApprovalState.OPEN
        ]
        found = mirror.approval_of(view.id)
        assert (found is None) == (not asked)


@given(steps=_STEPS, snapshot=st.integers(0, 40), begin=st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_a_snapshot_and_an_overlapping_stream_end_equal_to_the_core(
    steps: list[tuple[str, int, int]], snapshot: int, begin: int
):
    """The stream may begin anywhere before the snapshot: what comes twice does no harm."""
    core, mirror = Core(), Mirror()
    for place, step in enumerate(steps):
        if place == snapshot:
            core.load(mirror)
        core.step(*step)
    if snapshot >= len(steps):
        core.load(mirror)
    first = min(begin, snapshot, len(core.journal))
    for record in core.journal[first:]:
        mirror.apply(record)
    check(core, mirror)


@given(steps=_STEPS, again=st.lists(st.integers(0, 39), max_size=20))
@settings(max_examples=100, deadline=None)
def test_records_that_come_again_change_nothing(steps: list[tuple[str, int, int]], again: list[int]):
    """Any record may be repeated at any time after it came."""
    core, mirror = Core(), Mirror()
    for step in steps:
        core.step(*step)
    for place, record in enumerate(core.journal):
        mirror.apply(record)
        for earlier in again:
            if earlier <= place:
                mirror.apply(core.journal[earlier])
    check(core, mirror)


@given(steps=_STEPS, sort=st.sampled_from(("attention", "wait", "id", "who", "state", "queue", "age")))
@settings(max_examples=100, deadline=None)
def test_an_order_that_is_kept_up_equals_one_that_is_made_anew(steps: list[tuple[str, int, int]], sort: str):
    """Sort keys are changed row by row, and the list is the same as from the beginning."""
    core, mirror = Core(), Mirror()
    selection = Selection(sort=sort, hides_idle=False)
    for step in steps:
        core.step(*step)
        mirror.apply(core.journal[-1])
        kept = mirror.index.listed(selection, ages=lambda _view: (0.0, 0.0))
        fresh = Mirror()
        core.load(fresh)
        assert kept == fresh.index.listed(selection, ages=lambda _view: (0.0, 0.0))
