"""The editor of a bot of a chat: every field is checked by the core while it is typed."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from console.relay_facts import report_lines
from console.text import clean, cut
from console.widgets.controls import Choice, Lines, TickBox
from console.widgets.dialog import Dialog
from console.widgets.surface import app_of
from core.api.bindings import BindingCheck, BindingProblem, Bot, RelayProtocol
from core.api.relay_targets import TargetReport

_PROTOCOLS = tuple(RelayProtocol)
_FIELDS = ("platform", "chat", "name", "url", "peer", "networks", "priority")
_PROBLEM_CELLS = 200


@dataclass(frozen=True, slots=True)
class BotDraft:
    """A bot of a chat as it was typed."""

    platform: str
    chat: str
    bot: Bot


Check = Callable[[BotDraft], Awaitable[BindingCheck | str]]
"""What the core says of a draft; in words when it cannot say."""
Look = Callable[[BotDraft], Awaitable[TargetReport | str]]
"""Whether the bot of a draft can be reached; in words when the core does not look."""


class BotScreen(Dialog[BotDraft | None]):
    """Every field in a line of its own, checked by the core while it is typed; nothing is kept before it is saved.

    is_new: whether platform and chat can be chosen. problem: why it was not saved before.
    """

    AUTO_FOCUS: ClassVar[str | None] = ".first"
    DEFAULT_CSS = "BotScreen #frame > #head { margin-bottom: 0; } BotScreen #frame > #keys { margin-top: 0; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "save", show=False, id="dialog.submit", priority=True),
        Binding("ctrl+t", "look", "look", show=False, priority=True),
    ]

    def __init__(
        self, draft: BotDraft, *, is_new: bool, peers: Sequence[str], check: Check, look: Look, problem: str = ""
    ) -> None:
        super().__init__()
        whose = f"{clean(draft.bot.name)} of {clean(draft.platform)} {clean(draft.chat)}"
        self.title_text = "bind a bot to a chat" if is_new else cut(f"change {whose}", 70)
        self._draft = draft
        self._is_new = is_new
        self._peers = tuple(peers)
        self._check, self._look = check, look
        bot = draft.bot
        self._protocol = Choice(
            [name.value for name in _PROTOCOLS], chosen=_PROTOCOLS.index(bot.protocol), id="protocol"
        )
        self._enabled = TickBox("messages are sent to it", is_on=bot.enabled, id="enabled")
        self._why = {name: Lines(id=f"why-{name}") for name in (*_FIELDS, "")}
        self._report = Lines([(problem, "failing")] if problem else [], id="report")
        self._is_asked, self._is_asking = False, False
        self._is_submitted = False
        self._wrong: list[str] = []

    # -- what is in it

    def parts(self) -> Iterable[Widget]:
        """The fields, each with what is wrong with it; what the look found."""
        names = ", ".join(map(clean, self._peers)) or "none is in the configuration"
        hints = {
            "platform": "telegram, slack ...; * for every platform",
            "chat": "id of the chat; * for every chat",
            "name": "what it is called here, such as security-bot",
            "url": "http://HOST:PORT, or https://...",
            "peer": f"whose key or token is sent; empty for none: {names}",
            "networks": "private networks it may be in, such as 10.0.0.0/8",
            "priority": "100; of several of one name the lowest is meant",
        }
        values = self._values()
        first = next((field for field in _FIELDS if not values[field]), "url") if self._is_new else "url"
        for field in _FIELDS:
            if field in {"platform", "chat"} and not self._is_new:
                continue
            entry = self.entry(field, hints[field], value=values[field], is_first=field == first)
            yield self.row(field, entry)
            yield self._why[field]
            if field == "url":
                yield self.row("protocol", self._protocol)
        yield self.row("enabled", self._enabled)
        yield self._why[""]
        yield self._report

    def keys(self) -> str:
        """Which keys do what."""
        return "enter save   ctrl+t look whether it answers   tab next   esc close"

    def _values(self) -> dict[str, str]:
        """What was typed before."""
        bot = self._draft.bot
        values = (
            self._draft.platform,
            self._draft.chat,
            bot.name,
            bot.url,
            bot.peer,
            ", ".join(bot.networks),
            "" if bot.priority == Bot(name="", url="").priority else str(bot.priority),
        )
        return {field: clean(value) for field, value in zip(_FIELDS, values, strict=True)}

    def _value(self, field: str) -> str:
        if field in {"platform", "chat"} and not self._is_new:
            return self._draft.platform if field == "platform" else self._draft.chat
        return self.query_one(f"#{field}", Input).value.strip()

    def _typed(self) -> tuple[BotDraft, list[BindingProblem]]:
        """What is typed now, and what of it no core can be asked: a priority that is no number."""
        usual = Bot(name="", url="").priority
        words, problems = self._value("priority"), list[BindingProblem]()
        try:
            priority = int(words or usual)
        except ValueError:
            priority, problem = usual, f"{cut(clean(words), 40)!r} is no number"
            problems.append(
                BindingProblem(field="priority", value="", problem=problem, fix=f"write one such as {usual}")
            )
        bot = Bot(
            name=self._value("name"),
            url=self._value("url"),
            protocol=_PROTOCOLS[self._protocol.index],
            peer=self._value("peer"),
            priority=priority,
            networks=tuple(part for part in self._value("networks").replace(",", " ").split() if part),
            enabled=self._enabled.is_on,
        )
        return BotDraft(self._value("platform"), self._value("chat"), bot), problems

    # -- checking while it is typed

    def on_input_changed(self) -> None:
        """Another value: the core is asked."""
        self._wants_check()

    def on_choice_changed(self) -> None:
        """Another protocol."""
        self._wants_check()

    def _wants_check(self) -> None:
        self._is_asked = True
        if not self._is_asking:
            self._is_asking = True
            self.run_worker(self._check_all(), group="check")

    async def _check_all(self) -> None:
        try:
            while self._is_asked:
                self._is_asked = False
                await self._checked()
        finally:
            self._is_asking = False

    async def _checked(self) -> BotDraft | None:
        """What is typed, as the core would keep it; None when it would not. What is wrong is shown."""
        draft, problems = self._typed()
        found = await self._check(draft)
        if isinstance(found, str):
            self._show([*problems, BindingProblem(field="", value="", problem=found, fix="")])
            return None
        problems += found.problems
        self._show(problems)
        if any(problem.is_fatal for problem in problems) or found.bot is None:
            return None
        return BotDraft(draft.platform, draft.chat, found.bot)

    def _show(self, problems: Iterable[BindingProblem]) -> None:
        told: dict[str, list[tuple[str, str]]] = {name: [] for name in self._why}
        for problem in problems:
            name = _field_of(problem.field)
            # What nobody has written yet is not wrong before it is to be saved.
            if problem.is_fatal and name and not self._is_submitted and not self._value(name):
                continue
            shown = name if name not in {"platform", "chat"} or self._is_new else ""
            fix = f"; {problem.fix}" if problem.fix else ""
            words = cut(f"{'not saved: ' if problem.is_fatal else 'odd: '}{problem.problem}{fix}", _PROBLEM_CELLS)
            told[shown].append((f"         {words}", "failing" if problem.is_fatal else "needs"))
        for name, lines in told.items():
            self._why[name].set_lines(lines)
        self._wrong = [name for name in _FIELDS if told[name]]

    # -- what is done

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter saves."""
        message.stop()
        self.action_save()

    def action_save(self) -> None:
        """Save, or go to what is wrong."""
        self._is_submitted = True
        self.run_worker(self._save(), group="save", exclusive=True)

    async def _save(self) -> None:
        draft = await self._checked()
        if draft is not None:
            self.dismiss(draft)
            return
        app_of(self).bell()
        if self._wrong:
            self.query_one(f"#{self._wrong[0]}", Input).focus()

    def action_look(self) -> None:
        """Look whether it answers, before it is saved. No agent does anything for it."""
        self._is_submitted = True
        self.run_worker(self._look_now(), group="save", exclusive=True)

    async def _look_now(self) -> None:
        draft = await self._checked()
        if draft is None:
            app_of(self).bell()
            return
        self._report.set_lines([(f"looking at {clean(draft.bot.url)} ...", "busy")])
        found = await self._look(draft)
        if isinstance(found, str):
            self._report.set_lines([(found, "failing")])
            return
        self._report.set_lines([(f"{label:9}{words}", tone) for label, words, tone in report_lines(found)])


def _field_of(field: str) -> str:
    """The field of the form that a field of the core is: `bots[0].url` is url."""
    name = field.rpartition(".")[2].partition("[")[0]
    names = {"chat_id": "chat", "network": "networks", "bot": "name"}
    name = names.get(name, name)
    return name if name in _FIELDS else ""
