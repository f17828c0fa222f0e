"""Sums of heights answer as a plain list would."""

from hypothesis import given
from hypothesis import strategies as st

from console.widgets.line_heights import LineHeights

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 50), st.just(0)),
        st.tuples(st.just("pop"), st.just(0), st.just(0)),
        st.tuples(st.just("set"), st.integers(1, 50), st.integers(0, 1000)),
        st.tuples(st.just("replace"), st.integers(0, 40), st.just(0)),
    ),
    max_size=60,
)


def _find(heights: list[int], line: int) -> tuple[int, int]:
    for index, height in enumerate(heights):
        if line < height:
            return index, line
        line -= height
    return len(heights), 0


@given(STEPS, st.lists(st.integers(0, 2000), max_size=10))
def test_any_row_of_changes_keeps_the_sums_right(steps: list[tuple[str, int, int]], lines: list[int]) -> None:
    """Tops, totals and the item at a line are those of the list."""
    heights, plain = LineHeights(), []
    for what, value, place in steps:
        if what == "append":
            heights.append(value)
            plain.append(value)
        elif what == "pop" and plain:
            heights.pop()
            plain.pop()
        elif what == "set" and plain:
            heights.set(place % len(plain), value)
            plain[place % len(plain)] = value
        elif what == "replace":
            plain = [1 + (value + number) % 7 for number in range(value)]
            heights.replace(plain)
        assert len(heights) == len(plain)
        assert heights.total == sum(plain)
        assert [heights.top(index) for index in range(len(plain) + 1)] == [
            sum(plain[:n]) for n in range(len(plain) + 1)
        ]
        for line in [0, *lines, sum(plain), max(0, sum(plain) - 1)]:
            assert heights.find(line) == _find(plain, line)
