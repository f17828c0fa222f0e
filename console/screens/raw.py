"""A view of the facade as indented JSON, for who wants to see exactly what the core said."""

import msgspec

from console.screens.base import Stage, View
from console.text import redact
from console.widgets.fields import Field

_LINE_LIMIT = 4_000


def raw_fields(word: object | None) -> list[Field]:
    """The lines of the JSON; nothing when there is no object."""
    if word is None:
        return [("", "nothing is under the cursor", "quiet")]
    body = msgspec.json.format(msgspec.json.encode(word), indent=2).decode()
    lines = redact(body).split("\n")
    shown: list[Field] = [("", line, "plain") for line in lines[:_LINE_LIMIT]]
    if len(lines) > _LINE_LIMIT:
        shown.append(("", f"{len(lines) - _LINE_LIMIT} more lines", "quiet"))
    return shown


class RawView(View):
    """What was under the cursor, as the core said it."""

    place = "raw"
    PANES = ("page",)

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.word: object | None = None

    def enter(self, argument: str) -> None:
        """Show it."""
        del argument
        self.stage.page.set_fields(raw_fields(self.word))
