"""What the screens about one thing share: its tabs over the shared widgets, and which thing a few letters mean."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from console.screens.base import Rows, Stage, View
from console.widgets.status_bar import Part
from console.widgets.table import Column

_NO_NOTES: Mapping[str, str] = {}


class TabbedView(View):
    """One thing in several tabs. TABS: each with its widget; it begins with the first, and `back` leads there.

    PANE_ROWS: height of the pane beneath a tab that is a list, on a narrow screen.
    """

    TABS: ClassVar[tuple[tuple[str, str], ...]] = ()
    PANE_ROWS: ClassVar[int] = 7

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._widgets = dict(self.TABS)
        self.tab: str = self.first_tab

    @property
    def first_tab(self) -> str:
        """The tab that it begins with."""
        return self.TABS[0][0]

    @property
    def panes(self) -> tuple[str, ...]:
        """The widget of the tab."""
        return (self._widgets[self.tab],)

    @property
    def is_list(self) -> bool:
        """Whether the tab is a list."""
        return self._widgets[self.tab] == "table"

    @property
    def argument(self) -> str:
        """What leads to the same thing again."""
        return ""

    def back(self) -> bool:
        """From a tab to the first, then out."""
        if self.tab != self.first_tab:
            self.show_tab(self.first_tab)
            return True
        return False

    def show_tab(self, name: str) -> None:
        """Another tab."""
        if name != self.tab:
            self.tab = name
            self.stage.go(self.place, self.argument)

    def act(self, action_id: str) -> bool:
        """Tabs."""
        prefix = f"{self.place}.tab_"
        if not action_id.startswith(prefix):
            return False
        self.show_tab(action_id.removeprefix(prefix))
        return True

    def show_list(self, columns: Sequence[Column], rows: Rows) -> bool:
        """Give a tab that is a list the table, and the pane that goes with it; whether it is one."""
        is_list = self.is_list
        self.has_wide_detail, self.detail_rows = is_list, self.PANE_ROWS if is_list else 0
        if is_list:
            table = self.stage.table
            table.set_columns(columns)
            table.set_sort("", descending=False)
            table.set_source(rows)
        return is_list

    def moved(self, row_id: str) -> None:  # noqa: ARG002 - the table knows it too
        """The pane follows the cursor."""
        self._draw_detail()

    def _draw_detail(self) -> None:
        """Fill the pane."""

    def tab_line(self, notes: Mapping[str, str] = _NO_NOTES, tones: Mapping[str, str] = _NO_NOTES) -> list[Part]:
        """The tabs by number and name. notes: what stands behind a name; tones: of a tab that is not quiet."""
        parts: list[Part] = []
        for place, name in enumerate(self._widgets, 1):
            label = f"{place} {name}{notes.get(name, '')}"
            parts.append((f"[{label}]", "accent") if name == self.tab else (f" {label} ", tones.get(name, "quiet")))
        return parts


def meant(argument: str, names: Iterable[str], *, before: str, fits: Callable[[str], bool]) -> str:
    """The name that is meant: in full, or by a part that fits only one; "" is the one of before."""
    known = list(names)
    if not argument or argument in known:
        return argument or before
    near = [name for name in known if fits(name)]
    return near[0] if len(near) == 1 else argument
