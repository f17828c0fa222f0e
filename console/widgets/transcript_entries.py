"""The entries of a transcript with their heights: true ones near the window, estimates elsewhere (pure)."""

from collections.abc import Iterable, Sequence

from console.widgets.line_heights import LineHeights
from console.widgets.transcript_body import TranscriptItem, body, estimated_height

_BODIES_KEPT = 2000


class Entries:
    """Entries in order, each under its id. room: cells for text; changing it makes all heights estimates again."""

    def __init__(self) -> None:
        self.items: list[TranscriptItem] = []
        self.heights = LineHeights()
        self._index: dict[str, int] = {}
        self._bodies: dict[tuple[str, int, bool], list[str]] = {}
        self._unfolded: dict[str, bool] = {}
        self._room = 2

    def __len__(self) -> int:
        return len(self.items)

    def find(self, item_id: str) -> int | None:
        """The place of an entry."""
        return self._index.get(item_id)

    def set_room(self, room: int) -> None:
        """Lay out for another width."""
        self._room = room
        self._estimate()

    def replace(self, items: Sequence[TranscriptItem]) -> None:
        """Others in place of all."""
        self._bodies.clear()
        self._unfolded.clear()
        self._take(list(items))

    def append(self, item: TranscriptItem) -> None:
        """One more, or another version of one that is there."""
        if item.id in self._index:
            self.update(item)
            return
        self._index[item.id] = len(self.items)
        self.items.append(item)
        self.heights.append(self._estimated(item))

    def prepend(self, items: Iterable[TranscriptItem]) -> int:
        """Earlier ones; how many of them are new."""
        added = [item for item in items if item.id not in self._index]
        self._take(added + self.items)
        return len(added)

    def update(self, item: TranscriptItem) -> bool:
        """The same entry with other contents; whether anything changed."""
        index = self._index.get(item.id)
        if index is None or self.items[index] == item:
            return False
        self.items[index] = item
        for key in [key for key in self._bodies if key[0] == item.id]:
            del self._bodies[key]
        self.heights.set(index, self._estimated(item))
        return True

    def remove(self, index: int) -> None:
        """Take one out; the last one at no cost."""
        if index == len(self.items) - 1:
            del self._index[self.items.pop().id]
            self.heights.pop()
            return
        self._take(self.items[:index] + self.items[index + 1 :])

    def is_folded(self, item: TranscriptItem) -> bool:
        """Whether only its first line is shown."""
        return item.foldable and self._unfolded.get(item.id, item.folded)

    def toggle_fold(self, index: int) -> None:
        """Fold or unfold one; that outlives new contents."""
        item = self.items[index]
        self._unfolded[item.id] = not self.is_folded(item)
        self.fix(index)

    def body(self, index: int) -> list[str]:
        """The lines of one entry."""
        item = self.items[index]
        key = (item.id, self._room, self.is_folded(item))
        lines = self._bodies.get(key)
        if lines is None:
            if len(self._bodies) >= _BODIES_KEPT:
                self._bodies.clear()
            lines = self._bodies[key] = body(item, self._room - 2 * item.foldable, is_folded=key[2])
        return lines

    def fix(self, index: int) -> int:
        """Put the true height of an entry in place of the estimate; by how much it differs."""
        before = self.heights[index]
        self.heights.set(index, len(self.body(index)))
        return self.heights[index] - before

    def settle_above(self, end: int, lines: int) -> int:
        """True heights upwards from before `end` for so many lines; by how much they grew."""
        shift = 0
        while end > 0 and lines > 0:
            end -= 1
            shift += self.fix(end)
            lines -= self.heights[end]
        return shift

    def settle_around(self, top: int, height: int) -> int:
        """True heights for a window and one more above and below; by how much its first line moved."""
        first, inside = self.heights.find(top)
        shift = self.settle_above(first, height)
        line, index = 0, first
        while index < len(self.items) and line < height * 2:
            change = self.fix(index)
            if index == first and inside:
                shift += change
            line += self.heights[index]
            index += 1
        return shift

    def _take(self, items: list[TranscriptItem]) -> None:
        self.items = items
        self._index = {item.id: place for place, item in enumerate(items)}
        self._estimate()

    def _estimated(self, item: TranscriptItem) -> int:
        return estimated_height(item, self._room, is_folded=self.is_folded(item))

    def _known(self, item: TranscriptItem) -> int:
        lines = self._bodies.get((item.id, self._room, self.is_folded(item)))
        return len(lines) if lines else self._estimated(item)

    def _estimate(self) -> None:
        self.heights.replace([self._known(item) for item in self.items])
