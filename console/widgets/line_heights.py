"""Heights of many items, with their sums: which item is at a line, and at which line an item begins (pure)."""

from collections.abc import Sequence


class LineHeights:
    """A row of heights in lines. Finding, asking and changing one cost the logarithm of their number."""

    def __init__(self, heights: Sequence[int] = ()) -> None:
        self._heights: list[int] = []
        self._tree: list[int] = [0]
        self._power = 1
        self.replace(heights)

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, index: int) -> int:
        return self._heights[index]

    @property
    def total(self) -> int:
        """Lines of all items."""
        return self.top(len(self._heights))

    def replace(self, heights: Sequence[int]) -> None:
        """Other heights in place of all."""
        self._heights = list(heights)
        size = len(self._heights)
        tree = [0, *self._heights]
        for place in range(1, size + 1):
            parent = place + (place & -place)
            if parent <= size:
                tree[parent] += tree[place]
        self._tree = tree
        self._power = 1 << max(0, size.bit_length() - 1) if size else 1

    def append(self, height: int) -> None:
        """One more item at the end."""
        self._heights.append(height)
        place = len(self._heights)
        # A new node sums the run of items that ends with it, all of which are known.
        total, child = height, place - 1
        stop = place - (place & -place)
        while child > stop:
            total += self._tree[child]
            child -= child & -child
        self._tree.append(total)
        if self._power * 2 <= place:
            self._power *= 2

    def pop(self) -> None:
        """Take the last item away."""
        self._heights.pop()
        self._tree.pop()
        if self._power > 1 and self._power > len(self._heights):
            self._power //= 2

    def set(self, index: int, height: int) -> None:
        """Another height for one item."""
        delta = height - self._heights[index]
        if not delta:
            return
        self._heights[index] = height
        place = index + 1
        while place < len(self._tree):
            self._tree[place] += delta
            place += place & -place

    def top(self, index: int) -> int:
        """Lines before an item."""
        total, place = 0, index
        while place > 0:
            total += self._tree[place]
            place -= place & -place
        return total

    def find(self, line: int) -> tuple[int, int]:
        """The item at a line, and how many lines into it; (len, 0) beyond the end."""
        place, left, step = 0, max(0, line), self._power
        while step:
            following = place + step
            if following < len(self._tree) and self._tree[following] <= left:
                place = following
                left -= self._tree[following]
            step >>= 1
        return (place, left) if place < len(self._heights) else (len(self._heights), 0)
