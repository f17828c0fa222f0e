"""The stream under every history of writers and readers: in order, nothing twice, and a gap where something is gone."""

from hypothesis import given
from hypothesis import strategies as st

from core.agents.tasks.stream import STARTS, Filter, Piece, Ring
from core.api.base import RunId, SessionId, TaskId
from core.api.streams import StreamItem, StreamKind

SESSIONS = [SessionId("a"), SessionId("b")]
PIECES = st.tuples(
    st.just("push"), st.sampled_from([StreamKind.TEXT, StreamKind.THOUGHT, StreamKind.TOOL]), st.integers(0, 1)
)
ACTS = st.lists(
    st.one_of(PIECES, PIECES, st.tuples(st.just("read"), st.integers(0, 1), st.integers(1, 5))), max_size=80
)


@given(ACTS, st.integers(3, 40))
def test_who_reads_on_without_a_gap_has_read_everything(
    acts: list[tuple[str, StreamKind | int, int]], size: int
) -> None:
    """Texts of a run joined are what it wrote, whoever reads when; after a gap it is the end of that."""
    ring = Ring(3, items=size)
    written: dict[SessionId, str] = dict.fromkeys(SESSIONS, "")
    seen: dict[SessionId, str] = dict.fromkeys(SESSIONS, "")
    after = dict.fromkeys(SESSIONS, 0)
    gaps: set[SessionId] = set()
    numbers: dict[SessionId, int] = dict.fromkeys(SESSIONS, 0)

    def read(session_id: SessionId, limit: int) -> tuple[StreamItem, ...]:
        got = ring.read(after[session_id], Filter(session_id=session_id), limit)
        if got.has_gap or (not after[session_id] and len(ring) == size):
            gaps.add(session_id)
        after[session_id] = got.next_after
        for item in got.items:
            assert item.session_id == session_id
            assert item.number > numbers[session_id]
            assert item.number // STARTS == 3
            numbers[session_id] = item.number
            seen[session_id] += item.text
        return got.items

    for count, (act, what, number) in enumerate(acts):
        session_id = SESSIONS[number % 2 if act == "push" else int(what)]
        if act == "push":
            assert isinstance(what, StreamKind)
            text = f"<{count}>"
            written[session_id] += text
            ring.push(Piece(what, session_id, text, RunId(f"run-{session_id}")), float(count))
            assert len(ring) <= size
        else:
            read(session_id, number)
    for session_id in SESSIONS:
        while read(session_id, 5):
            pass
        if session_id in gaps:
            assert written[session_id].endswith(seen[session_id][-3:])
        else:
            assert seen[session_id] == written[session_id]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=60), st.integers(300, 3_000))
def test_the_ring_stays_within_its_size(texts: list[str], size_bytes: int) -> None:
    """Whatever the texts: no more bytes than allowed, but for the last item."""
    ring = Ring(1, size_bytes=size_bytes)
    for text in texts:
        ring.push(Piece(StreamKind.LOG, SESSIONS[0], text), 0.0)
        assert ring.size_bytes <= size_bytes or len(ring) == 1


@given(st.integers(0, 2**63 - 1), st.integers(1, 5), st.integers(0, 10))
def test_every_number_is_answered(after: int, boot: int, count: int) -> None:
    """A number of another start, or one that is not reached yet, has a gap; 0 never has."""
    ring = Ring(boot, items=4)
    for place in range(count):
        ring.push(Piece(StreamKind.STATE, SESSIONS[0], str(place), task_id=TaskId("t")), 0.0)
    got = ring.read(after, Filter(), 100)
    assert got.next_after == boot * STARTS + count
    if after == 0:
        assert not got.has_gap
    elif after // STARTS != boot or after > got.next_after:
        assert got.has_gap
        assert len(got.items) == min(count, 4)
