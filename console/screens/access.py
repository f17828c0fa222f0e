"""Who may talk, and why: everybody whom a rule lets in, and one sender rule by rule."""

from console import text
from console.access_receipts import verdict_words
from console.changes import Changes
from console.screens.asking import Question
from console.screens.base import ListView, Stage, gone_row, matches, version
from console.session_facts import Fact
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.access import AccessExplanation, AccessStep, AdmittedPage, AdmittedView, ExplainAccess, ListAdmitted
from core.api.base import PlatformName, Query

_LIMIT = 1_000
_EVERYBODY = "*"


class _AskedView(ListView):
    """A list that the core answers; asked again when a sender was decided about."""

    is_stacked = True

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._question = Question(stage)

    def enter(self, argument: str) -> None:
        """Show what is known, and ask."""
        super().enter(argument)
        self._question.want()
        self.ask()

    def ask(self) -> None:
        """Ask when it is time."""

    def came(self) -> None:
        """Draw what was answered."""
        if self.order():
            self.stage.table.order_changed()
        self.stage.table.refresh_rows(None)
        self.show_empty()
        self.show_detail()

    def refresh(self, changes: Changes) -> None:
        """A decision about a sender may change the answer."""
        if changes.pairings or changes.is_whole:
            self._question.want()
        self.ask()
        super().refresh(changes)

    def tick(self) -> None:
        """Ask again after an error."""
        self.ask()
        super().tick()

    def unanswered(self) -> str:
        """Why there is nothing to show yet; "" when there is an answer."""
        if self._question.error:
            return f"The core does not say: {text.clean(self._question.error)}"
        return "asking the core" if self._question.is_new else ""


class AccessView(_AskedView):
    """Everybody who is let in, by connection and id; the first thousand of them."""

    place = "access"
    TITLE = "who is let in"
    COLUMNS = (
        Column("platform", "PLATFORM", 10),
        Column("id", "ID", 14, flex=True),
        Column("name", "NAME", 14),
        Column("rule", "RULE", 18),
        Column("origin", "STANDS IN", 16),
        Column("tier", "TIER", 5),
    )
    detail_rows = 5

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._page: AdmittedPage | None = None
        self._by_key: dict[str, AdmittedView] = {}

    def ask(self) -> None:
        """Ask when it is time."""
        if self._question.is_due:
            self._question.ask(ListAdmitted(limit=_LIMIT), self._take, self.came)

    def _take(self, page: AdmittedPage) -> None:
        self._page = page
        # One sender may be let in by several rules, and everybody by several chats of one connection.
        self._by_key = {str(place): view for place, view in enumerate(page.admitted)}

    def ordered(self) -> list[str]:
        """As the core has them."""
        return [
            key
            for key, view in self._by_key.items()
            if matches(self.filter_text, view.platform, _who(view), view.sender_name, view.rule.value, view.origin)
        ]

    def total(self) -> int:
        """Also those beyond the first thousand."""
        return self._page.total if self._page is not None else 0

    def empty_text(self) -> str:
        """That nobody is, or that it was not heard yet."""
        return (
            self.unanswered() or "Nobody is let in.\n\n: pairing shows who asks; platforms and lists are in : config."
        )

    def row(self, row_id: str) -> Row:
        """One sender and one rule."""
        view = self._by_key.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        is_all = view.sender_id == _EVERYBODY
        cells = (
            (text.clean(view.platform), "plain"),
            (_who(view), "needs" if is_all else "strong"),
            (text.clean(view.sender_name) or "-", "plain"),
            (view.rule.value.replace("_", " "), "plain"),
            (text.clean(view.origin), "plain"),
            (view.tier.value, "plain"),
        )
        return Row(row_id, cells, version(cells))

    def detail(self, row_id: str) -> list[Fact]:
        """All of the row under the cursor."""
        view = self._by_key.get(row_id)
        if view is None:
            return []
        rule = f"{view.rule.value.replace('_', ' ')}, stands in {text.clean(view.origin)}"
        since: list[Fact] = [("since", text.stamp(view.since_at), "plain")] if view.since_at is not None else []
        return [
            (f"-- {text.clean(view.platform)}", "", ""),
            ("id", _who(view), "strong"),
            ("name", text.clean(view.sender_name) or "-", "plain"),
            ("rule", rule, "plain"),
            *since,
        ]

    def opened(self, row_id: str) -> None:
        """To the rules that decide about this sender."""
        view = self._by_key.get(row_id)
        if view is not None and view.sender_id != _EVERYBODY:
            self.stage.go(WhyView.place, f"{view.platform} {view.sender_id}")

    def raw(self) -> object | None:
        """The view under the cursor."""
        return self._by_key.get(self.stage.table.cursor_id or "")


class WhyView(_AskedView):
    """The rules in their order, and which of them decides about one sender."""

    place = "why"
    TITLE = "why let in or not"
    COLUMNS = (
        Column("layer", "LAYER", 5, align="right"),
        Column("fits", "FITS", 4),
        Column("rule", "RULE", 18),
        Column("origin", "STANDS IN", 18),
        Column("means", "MEANS", 20, flex=True),
    )
    detail_rows = 5

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._query: ExplainAccess | None = None
        self._found: AccessExplanation | None = None

    def enter(self, argument: str) -> None:
        """Ask about `PLATFORM USER [CHAT]`; without words about the one of before."""
        platform, _, rest = argument.strip().partition(" ")
        if rest.strip():
            user, _, chat = rest.strip().partition(" ")
            query = ExplainAccess(platform=PlatformName(platform), sender_id=user, chat=chat.strip())
            if query != self._query:
                self._query, self._found = query, None
                self._question.begin()
        super().enter("")

    def ask(self) -> None:
        """Ask when it is time, and when it is said about whom."""
        query: Query[AccessExplanation] | None = self._query
        if query is not None and self._question.is_due:
            self._question.ask(query, self._take, self.came)

    def _take(self, found: AccessExplanation) -> None:
        self._found = found

    @property
    def _steps(self) -> dict[str, AccessStep]:
        return {step.rule.value: step for step in self._found.steps} if self._found is not None else {}

    def ordered(self) -> list[str]:
        """As they are asked."""
        return [key for key, step in self._steps.items() if matches(self.filter_text, key, step.origin, step.text)]

    def total(self) -> int:
        """All rules."""
        return len(self._steps)

    def empty_text(self) -> str:
        """How to ask, or what went wrong."""
        if self._query is None:
            return "Say about whom:  : why PLATFORM USER [CHAT]\n\nOr press w on a sender of the pairing desk."
        return self.unanswered()

    def row(self, row_id: str) -> Row:
        """One rule."""
        step = self._steps.get(row_id)
        if step is None:
            return gone_row(row_id, len(self.COLUMNS))
        tone = "strong" if step.fits else "plain" if step.is_reached else "quiet"
        fits = "-" if not step.is_reached else "yes" if step.fits else "no"
        words = (str(step.layer), fits, row_id.replace("_", " "), text.clean(step.origin), text.clean(step.text))
        return Row(row_id, tuple((word, tone) for word in words), version(step))

    def detail(self, row_id: str) -> list[Fact]:
        """The verdict, whatever rule is under the cursor."""
        del row_id
        found = self._found
        if found is None:
            return []
        where = f" in {text.clean(found.chat)}" if found.chat else " in a direct chat"
        words, tone = verdict_words(found.verdict)
        facts: list[Fact] = [
            (f"-- {text.clean(found.platform)}:{text.clean(found.sender_id)}{where}", "", ""),
            ("verdict", words, tone),
        ]
        if found.verdict.matched:
            facts.append(("entry", text.clean(found.verdict.matched), "plain"))
        if found.aliases:
            facts.append(("also", text.clean(", ".join(found.aliases)), "plain"))
        return facts

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """About whom."""
        left, right = super().crumb()
        if self._query is not None:
            left = [*left, (f"  {text.clean(self._query.platform)}:{text.clean(self._query.sender_id)}", "accent")]
        return left, right

    def raw(self) -> object | None:
        """The whole explanation."""
        return self._found


def _who(view: AdmittedView) -> str:
    return "everybody" if view.sender_id == _EVERYBODY else text.clean(view.sender_id)
