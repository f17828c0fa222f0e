"""Rows for tables under test, and text that means harm."""

from console.widgets.table import Cell, Column, Row

COLUMNS = (
    Column("state", "STATE", 10),
    Column("id", "SESSION", 9),
    Column("agent", "AGENT", 6, min_screen=100),
    Column("wait", "WAIT", 6, align="right"),
    Column("last", "LAST", 10, flex=True),
)

HOSTILE = (
    "\x1b[2J\x1b]52;c;aGk=\x07gone",
    "[red]not markup[/red] [@click=app.quit]x[/]",
    "evil\u202egpj.exe \u2066isolated",
    "zero\u200bwidth \U000e0041tag \ud800half",
    "wide 漢字 👍🏽 e\u0301 🇩🇪",
    "x" * 10_000,
    "line\r\none\ntwo\rthree\x00",
    "",
)

HARMFUL = "\x1b\x07\x00\r\u202e\u2066\u200b\ud800\U000e0041"


class FakeRows:
    """A source that counts how often a row is built. words: what the last cell says, by id."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.generation = 0
        self.built: list[str] = []
        self.versions: dict[str, int] = {}
        self.words: dict[str, str] = {}

    def row(self, row_id: str) -> Row:
        """One row."""
        self.built.append(row_id)
        cells: tuple[Cell, ...] = (("! stuck", "failing"), row_id, "main", "48s", self.words.get(row_id, "shell"))
        return Row(row_id, cells, self.versions.get(row_id, 0))

    def change(self, row_id: str, words: str) -> None:
        """Other words in a row."""
        self.words[row_id] = words
        self.versions[row_id] = self.versions.get(row_id, 0) + 1

    def order(self, ids: list[str]) -> None:
        """Another order."""
        self.ids = ids
        self.generation += 1
