"""Which numbers moved since somebody last looked, and which way (pure)."""

SHOWN_S = 10.0


class Moves:
    """Marks a number for ten seconds after it changed. A number that is seen for the first time has not moved."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[float, float, int]] = {}

    def direction(self, row_id: str, name: str, value: float, now: float) -> int:
        """1 after it grew, -1 after it fell, 0 when it stood still for a while. now: monotonic seconds."""
        key = (row_id, name)
        before, moved_at, way = self._seen.get(key, (value, float("-inf"), 0))
        if value != before:
            moved_at, way = now, 1 if value > before else -1
        self._seen[key] = (value, moved_at, way)
        return way if now - moved_at < SHOWN_S else 0

    def forget(self) -> None:
        """Begin anew."""
        self._seen.clear()
