"""Where the operator is and how they came there: one view at a time, its panes, the way back."""

from console.desk import DeskScreen
from console.screens.base import Stage, View

_TRAIL_LIMIT = 50
_OVER = frozenset({"help", "raw", "vitals"})


class Navigator:
    """Swaps the model of the main area. A list that is come back to has its cursor where it was."""

    def __init__(self, desk: DeskScreen, stage: Stage, views: dict[str, View]) -> None:
        self._desk = desk
        self._stage = stage
        self._views = views
        self._trail: list[tuple[str, str]] = []
        self._cursors: dict[str, str] = {}
        self.view: View = views["overview"]
        self._argument = ""

    @property
    def place(self) -> str:
        """Where the operator is."""
        return self.view.place

    def start(self) -> None:
        """Show the first view."""
        self.view.enter("")
        self._desk.show_view(self.view)

    def go(self, place: str, argument: str = "") -> None:
        """To a view; the present one is where `back` leads."""
        if (place, argument or self._argument) != (self.place, self._argument) and self.place not in _OVER:
            self._trail.append((self.place, self._argument))
            del self._trail[:-_TRAIL_LIMIT]
        # Who names a row means that one, and not where the cursor was before.
        self._show(place, argument, is_return=not argument)

    def back(self) -> None:
        """Close one thing: a filter, a tab, the view."""
        if self.view.back():
            return
        if self._trail:
            self._show(*self._trail.pop())
        elif self.place != "overview":
            self._show("overview", "")

    def last(self) -> None:
        """To the view of before, and with the same key to this one again."""
        if self._trail:
            place, argument = self._trail.pop()
            self._trail.append((self.place, self._argument))
            self._show(place, argument)

    def _show(self, place: str, argument: str, *, is_return: bool = True) -> None:
        view = self._views[place]
        if "table" in self.view.panes and (cursor := self._stage.table.cursor_id):
            self._cursors[self.place] = cursor
        if view is not self.view:
            self.view.leave()
        self.view = view
        self._argument = argument or (self._argument if place == "session" else "")
        view.enter(argument)
        cursor = self._cursors.get(place) if is_return else None
        if cursor and "table" in view.panes and place != "approvals":
            self._stage.table.move_to(cursor)
        self._desk.show_view(view)
