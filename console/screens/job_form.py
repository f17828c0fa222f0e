"""The dialog of a new job: when, what, by whom, and where the answer goes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import Input

from console.text import clean
from console.widgets.controls import Choice, Lines
from console.widgets.dialog import Dialog
from core.api.jobs import JobSpec

_FIELDS = ("name", "when", "zone", "task", "deliver")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it was typed."""

    name: str
    schedule: str
    timezone: str
    text: str
    agent: str
    deliver: str

    @property
    def spec(self) -> JobSpec:
        """What the core is asked to do."""
        return JobSpec(
            schedule=self.schedule,
            timezone=self.timezone,
            text=self.text,
            agent=self.agent,
            deliver=self.deliver,
        )


class NewJobScreen(Dialog[NewJob | None]):
    """Every field in a line of its own; the core says what is wrong with one."""

    AUTO_FOCUS: ClassVar[str | None] = "#name"

    def __init__(self, agents: Sequence[str], draft: NewJob | None = None, problem: str = "") -> None:
        super().__init__()
        self.title_text = "new job of the clock"
        self._agents = tuple(agents)
        self._choice = Choice([clean(name) or "the default one" for name in self._agents], id="agent")
        self._draft = draft
        self._problem = Lines([(problem, "failing")] if problem else [], id="problem")

    def parts(self) -> Iterable[Widget]:
        """Name, schedule, zone, work, agent, target."""
        yield self.row("name", self.entry("name", "a-z 0-9 _ . -"))
        yield self.row("when", self.entry("when", "0 9 * * mon-fri, every 30m, or 2026-12-24T18:00"))
        yield self.row("zone", self.entry("zone", "UTC, or a zone such as Europe/Vienna"))
        yield self.row("task", self.entry("task", "what is to be done each time"))
        yield self.row("agent", self._choice)
        yield self.row("deliver", self.entry("deliver", "home, telegram:8841, or nothing: kept here"))
        yield self._problem

    def on_mount(self) -> None:
        """What was typed before is there again."""
        if self._draft is None:
            return
        given = (
            self._draft.name,
            self._draft.schedule,
            self._draft.timezone,
            self._draft.text,
            self._draft.deliver,
        )
        for field, value in zip(_FIELDS, given, strict=True):
            self.query_one(f"#{field}", Input).value = value
        if self._draft.agent in self._agents:
            self._choice.choose(self._agents.index(self._draft.agent))

    def keys(self) -> str:
        """Which keys do what."""
        return "enter make it   tab next   esc close"

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Make it, or go to what is missing."""
        message.stop()
        values = {field: self.query_one(f"#{field}", Input).value.strip() for field in _FIELDS}
        for field in ("name", "when", "task"):
            if not values[field]:
                self._problem.set_lines([(f"{field} is missing", "needs")])
                self.query_one(f"#{field}", Input).focus()
                return
        self.dismiss(
            NewJob(
                name=values["name"],
                schedule=values["when"],
                timezone=values["zone"] or "UTC",
                text=values["task"],
                agent=self._agents[self._choice.index] if self._agents else "",
                deliver=values["deliver"],
            )
        )
