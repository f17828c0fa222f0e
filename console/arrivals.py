"""Who has come to wait for a decision since the operator last heard of it (pure)."""

from console.mirror import Mirror


class Arrivals:
    """Counts what waits. What waited already when the console came is no arrival, nor is who stands in line."""

    def __init__(self) -> None:
        self._known: frozenset[str] | None = None
        self.count = 0

    def note(self, mirror: Mirror) -> bool:
        """Whether something waits that did not before."""
        waiting = frozenset(
            {
                *(f"approval:{item.id}" for item in mirror.open_approvals),
                *(f"pairing:{item.id}" for item in mirror.work.gateway.open_pairings if not item.is_in_line),
            }
        )
        before, self._known = self._known, waiting
        self.count = len(waiting)
        return before is not None and bool(waiting - before)


def title_words(count: int) -> str:
    """What the window of the terminal is called."""
    return f"({count}) hermes-console" if count else "hermes-console"
