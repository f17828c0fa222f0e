"""The configuration in force: every value with its origin, problems first, secrets masked."""

from collections.abc import Iterable

from console import text
from console.changes import Changes
from console.screens.asking import Question
from console.screens.base import ListView, Stage, gone_row, matches, version
from console.session_facts import Fact
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.system import ConfigView as Configuration
from core.api.system import GetConfig, SettingView

_PROBLEM = "problem:"
_DEFAULT = "default"


class ConfigView(ListView):
    """Problems, then what somebody set, then the defaults; each in the order of the file."""

    place = "config"
    TITLE = "configuration"
    COLUMNS = (
        Column("key", "KEY", 34),
        Column("value", "VALUE", 16, flex=True),
        Column("origin", "ORIGIN", 18),
    )
    EMPTY = "No configuration was read yet."
    detail_rows = 6
    is_stacked = True

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._question = Question(stage)
        self._found: Configuration | None = None
        self._by_key: dict[str, SettingView] = {}

    def enter(self, argument: str) -> None:
        """Show what is known, and ask."""
        super().enter(argument)
        self._question.want()
        self._ask()

    def _ask(self) -> None:
        if self._question.is_due:
            self._question.ask(GetConfig(), self._came, self._ended)

    def _came(self, found: Configuration) -> None:
        self._found = found
        self._by_key = {setting.key: setting for setting in found.settings}

    def _ended(self) -> None:
        if self.order():
            self.stage.table.order_changed()
        self.stage.table.refresh_rows(None)
        self.show_empty()
        self.show_detail()

    def refresh(self, changes: Changes) -> None:
        """Another core may have another configuration."""
        if changes.is_whole:
            self._question.want()
        self._ask()
        super().refresh(changes)

    def tick(self) -> None:
        """Ask again after an error."""
        self._ask()
        super().tick()

    @property
    def _problems(self) -> tuple[str, ...]:
        return self._found.problems if self._found is not None else ()

    def ordered(self) -> list[str]:
        """Problems, what was set, defaults."""
        found = self._found
        if found is None:
            return []
        wrong = [
            f"{_PROBLEM}{place}"
            for place, problem in enumerate(found.problems)
            if matches(self.filter_text, "problem", problem)
        ]
        wanted = [item for item in found.settings if matches(self.filter_text, item.key, item.value, item.origin)]
        given = [item.key for item in wanted if item.origin != _DEFAULT]
        return [*wrong, *given, *(item.key for item in wanted if item.origin == _DEFAULT)]

    def total(self) -> int:
        """All values and problems."""
        return len(self._by_key) + len(self._problems)

    def changed(self, changes: Changes) -> Iterable[str]:
        """Nothing changes while a core runs."""
        del changes
        return ()

    def empty_text(self) -> str:
        """What is missing, or that it was not heard yet."""
        if self._question.error:
            return f"The core does not say: {text.clean(self._question.error)}"
        return "asking the core" if self._question.is_new else self.EMPTY

    def row(self, row_id: str) -> Row:
        """One value, or one problem."""
        if row_id.startswith(_PROBLEM):
            place = int(row_id.removeprefix(_PROBLEM))
            if place >= len(self._problems):
                return gone_row(row_id, len(self.COLUMNS))
            words = text.clean(self._problems[place])
            return Row(row_id, (("! problem", "failing"), (words, "failing"), ""), version(words))
        setting = self._by_key.get(row_id)
        if setting is None:
            return gone_row(row_id, len(self.COLUMNS))
        is_set = setting.origin != _DEFAULT
        cells = (
            (text.clean(setting.key), "strong" if is_set else "plain"),
            (text.clean(setting.value), "accent" if is_set else "plain"),
            (text.clean(setting.origin), "plain" if is_set else "quiet"),
        )
        return Row(row_id, cells, version(cells))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the value under the cursor."""
        if row_id.startswith(_PROBLEM):
            place = int(row_id.removeprefix(_PROBLEM))
            problems = self._problems
            return [("problem", text.clean(problems[place]), "failing")] if place < len(problems) else []
        setting = self._by_key.get(row_id)
        if setting is None or self._found is None:
            return []
        return [
            (f"-- {text.clean(setting.key)}", "", ""),
            ("value", text.clean(setting.value), "strong"),
            ("origin", text.clean(setting.origin), "plain"),
            ("meaning", text.clean(setting.doc) or "-", "plain"),
            ("variable", f"HERMES_CONSOLE__{setting.key.upper().replace('.', '__')}", "quiet"),
            ("file", text.clean(self._found.file), "quiet"),
        ]

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many, how many were set, and what is wrong."""
        left, right = super().crumb()
        given = sum(setting.origin != _DEFAULT for setting in self._by_key.values())
        wrong: list[Part] = [(text.counted(len(self._problems), "problem"), "failing")] if self._problems else []
        return left, [*wrong, (f"{given} set", "plain"), *right]

    def raw(self) -> object | None:
        """The value under the cursor."""
        return self._by_key.get(self.stage.table.cursor_id or "")
