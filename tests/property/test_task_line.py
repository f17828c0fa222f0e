"""The line of waiting tasks under every history: order within a session, limits of lanes, nobody forgotten."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from core.agents.tasks.line import Lane, TaskLine
from core.api.base import AgentName, SessionId, TaskId

LANES: list[Lane] = [(AgentName("a"), ""), (AgentName("a"), "cron"), (AgentName("b"), "")]
LIMITS = {LANES[0]: 99, LANES[1]: 1, LANES[2]: 2}

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 3), st.integers(0, 2)),
        st.tuples(st.just("next"), st.just(0), st.just(0)),
        st.tuples(st.just("done"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("off"), st.integers(0, 5), st.integers(1, 3)),
        st.tuples(st.just("cancel"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("pass"), st.integers(1, 3), st.just(0)),
    ),
    max_size=60,
)


@given(ACTS)
def test_tasks_of_a_session_go_in_order_and_lanes_keep_their_limit(acts: list[tuple[str, int, int]]) -> None:
    """Whoever is next is the first of its session that is left, its lane has room, and in the end all have gone."""
    line = TaskLine()
    now, count = 1.0, 0
    left: dict[SessionId, list[TaskId]] = {}
    lanes: dict[TaskId, Lane] = {}
    sessions: dict[TaskId, SessionId] = {}
    out: list[TaskId] = []

    def room(lane: Lane) -> bool:
        return Counter(lanes[task_id] for task_id in out)[lane] < LIMITS[lane]

    def gone(task_id: TaskId) -> None:
        line.remove(task_id)
        left[sessions[task_id]].remove(task_id)
        if task_id in out:
            out.remove(task_id)

    def take() -> TaskId | None:
        task_id = line.next(room)
        if task_id is not None:
            assert left[sessions[task_id]][0] == task_id
            assert task_id not in out
            assert room(lanes[task_id])
            out.append(task_id)
        return task_id

    for act, one, two in acts:
        if act == "add":
            count += 1
            task_id, session_id = TaskId(f"t{count}"), SessionId(f"s{one}")
            lanes[task_id], sessions[task_id] = LANES[two], session_id
            left.setdefault(session_id, []).append(task_id)
            line.add(task_id, session_id, LANES[two])
        elif act == "next":
            take()
        elif act == "done" and one < len(out):
            gone(out[one])
        elif act == "off" and one < len(out):
            line.put_off(out[one], now + two)
            del out[one]
        elif act == "cancel" and one < count:
            task_id = TaskId(f"t{one + 1}")
            if task_id in line:
                gone(task_id)
        elif act == "pass":
            now += one
            line.wake(now)
    for _ in range(3 * count + 3):
        now += 10.0
        line.wake(now)
        while out:
            gone(out[0])
        take()
    assert (len(line), sum(map(len, left.values()))) == (0, 0)


def test_a_further_try_goes_before_its_session_and_holds_nobody_up_until_it_is_due() -> None:
    """What came meanwhile goes first only while the try is not due."""
    line, lane = TaskLine(), LANES[0]
    home = SessionId("s")
    line.add(TaskId("again"), home, lane, due=5.0)
    line.add(TaskId("one"), home, lane)
    line.add(TaskId("two"), home, lane)
    assert (line.next(lambda _: True), line.next_due()) == ("one", 5.0)
    line.wake(5.0)
    assert line.next(lambda _: True) is None
    line.remove(TaskId("one"))
    assert line.next(lambda _: True) == "again"
    line.remove(TaskId("again"))
    assert line.next(lambda _: True) == "two"


def test_the_oldest_of_all_lanes_with_room_is_next() -> None:
    """Lanes do not go before each other."""
    line = TaskLine()
    for number, lane in enumerate([LANES[2], LANES[1], LANES[0], LANES[1]]):
        line.add(TaskId(str(number)), SessionId(str(number)), lane)
    assert [line.next(lambda lane: lane != LANES[2]) for _ in range(4)] == ["1", "2", "3", None]
    assert line.has_ready
