"""Where reading stopped: nothing is lost and nothing repeated, also when the folder was numbered anew."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from core.gateway.adapters.email_cursor import Cursor, arrival, at_start, cursor_in, text_of_cursor

HOUR_S = 3_600.0


def read(cursor: Cursor, folder: dict[int, tuple[str, float]]) -> tuple[Cursor, list[str]]:
    """Read a folder (uid: id and arrival) to its end, as the reader does; what was handed in."""
    handed: list[str] = []
    while True:
        low = cursor.uid + 1
        high = cursor.below - 1 if cursor.is_again else max(folder, default=0)
        for uid in sorted(uid for uid in folder if low <= uid <= high):
            name, at = folder[uid]
            if not cursor.is_wanted(uid, at):
                cursor = cursor.after(uid)
                continue
            if not cursor.knows(name):
                handed.append(name)
            cursor = cursor.after(uid, name=name, at=at)
        if not cursor.is_again:
            return cursor, handed
        cursor = cursor.at_end_of_again()


def test_the_first_time_begins_at_the_end() -> None:
    """What was there before was written to somebody else."""
    cursor = at_start(None, validity=7, uid_next=12, now=100.0)
    assert cursor.criteria == "UID 12:*"
    assert not cursor.is_wanted(11, 200.0)
    assert cursor.is_wanted(12, None)


def test_garbage_is_no_cursor() -> None:
    """And a cursor is read back as it was."""
    cursor = Cursor(validity=3, uid=4, at=5.5, known=("a",), owed=((2, 1.0),))
    assert cursor_in(text_of_cursor(cursor)) == cursor
    assert [cursor_in(text) for text in ("", "x", "{}", "[1]", "\ud800")] == [None] * 5


def test_what_is_owed_is_kept_until_it_is_done() -> None:
    """Once each, in order."""
    cursor = Cursor(validity=1, uid=1).owing(2, at=5.0).owing(3, at=6.0).owing(2, at=5.0)
    assert ([uid for uid, _ in cursor.owed], cursor.uid) == ([2, 3], 3)
    assert [uid for uid, _ in cursor.after(2, name="x").owed] == [3]


@given(
    st.lists(st.floats(0, 50 * HOUR_S), min_size=0, max_size=12),
    st.lists(st.floats(0, 50 * HOUR_S), min_size=0, max_size=6),
    st.lists(st.floats(0, 10 * HOUR_S), max_size=6),
    st.randoms(),
)
def test_numbers_that_mean_something_else_lose_and_repeat_nothing(
    old: list[float], before: list[float], between: list[float], random: Random
) -> None:
    """Mail from before the first start stays unread, what was read is not read again, what came in between is."""
    start = 60 * HOUR_S
    ancient = {number: (f"ancient {number}", at) for number, at in enumerate(sorted(old), 1)}
    cursor = at_start(None, validity=1, uid_next=len(ancient) + 1, now=start)
    first = {len(ancient) + number: (f"before {number}", start + at) for number, at in enumerate(sorted(before), 1)}
    cursor, handed = read(cursor, {**ancient, **first})
    assert handed == [name for name, _ in first.values()]
    latest = max([start, *(at for _, at in first.values())])
    new = [(f"between {number}", latest + at) for number, at in enumerate(sorted(between), 1)]
    everything = [*ancient.values(), *first.values(), *new]
    random.shuffle(everything)
    folder = dict(enumerate(everything, 1))
    cursor = at_start(cursor, validity=2, uid_next=len(folder) + 1, now=0.0)
    cursor = cursor_in(text_of_cursor(cursor)) or cursor
    cursor, handed = read(cursor, folder)
    recent_ancient = {name for name, at in ancient.values() if at >= cursor.at - HOUR_S}
    assert sorted(set(handed) - recent_ancient) == sorted(name for name, _ in new)
    folder[len(folder) + 1] = ("after", 0.0)
    assert read(cursor, folder)[1] == ["after"]


def test_arrivals_are_read() -> None:
    """With their zone; what is no date is none."""
    assert arrival("17-Jul-2026 02:44:25 -0700") == arrival(" 7-Jul-2026 09:44:25 +0000 ".replace(" 7-", "17-"))
    assert [arrival(text) for text in ("", "31-Feb-2026 00:00:00 +0000", "1-Xyz-2026 00:00:00 +0000")] == [None] * 3
    assert arrival("01-Jan-2026 00:00:00 +9999") is None


def test_a_search_names_the_day_before() -> None:
    """Servers compare days in their own zone."""
    cursor = at_start(Cursor(validity=1, uid=9, at=1_780_000_000.0), validity=2, uid_next=50, now=0.0)
    assert cursor.criteria == "UID 1:49 SINCE 27-May-2026"
