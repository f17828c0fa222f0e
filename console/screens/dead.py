"""The dead letters desk: what will not be delivered unless somebody asks, by cause, with what to do about it."""

from collections.abc import Callable

from console import text
from console.changes import Changes
from console.mail_scopes import of_group
from console.mailbox_facts import group_facts
from console.mailbox_words import REASONS, cause_words
from console.screens.asking import Question
from console.screens.base import ListView, Stage, gone_row, matches
from console.session_facts import Fact
from console.target import Target
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.base import MailboxName
from core.api.mail import BrowseMail, DeadGroup, DeadGroups, ListDead, MailFilter, MailPage, MailView

_PREVIEW_ROWS = 12
_NAME_WIDTH = 16
_TALL_ROWS = 30


class DeadView(ListView):
    """The largest group first."""

    place = "dead"
    TITLE = "dead letters"
    COLUMNS = (
        Column("reason", "REASON", 14),
        Column("cause", "CAUSE", 20, flex=True),
        Column("count", "COUNT", 6, align="right"),
        Column("first", "FIRST", 6, align="right"),
        Column("last", "LAST", 6, align="right"),
        Column("mailbox", "MAILBOX", _NAME_WIDTH),
        Column("advice", "ADVICE", 36, min_screen=120, flex=True),
    )
    is_stacked = True
    detail_rows = 8

    def __init__(self, stage: Stage, show_group: Callable[[DeadGroup], None]) -> None:
        super().__init__(stage)
        self.groups: dict[str, DeadGroup] = {}
        self._show_group = show_group
        self._asked = Question(stage)
        self._asked_preview = Question(stage)
        self._preview_of = ""
        self._preview: list[MailView] = []
        self._seen = -1
        self._wanted = ""

    def enter(self, argument: str) -> None:
        """Show the groups; argument: the mailbox in which the cursor begins, or a filter."""
        is_name = argument in self.mirror.mail.views
        self._wanted = argument if is_name else ""
        self._seen = -1
        super().enter("" if is_name else argument)
        self._ask()
        self._put_cursor()

    # -- asking --------------------------------------------------------------

    def _ask(self) -> None:
        seen = self.mirror.mail.dead_version
        is_due = seen != self._seen or self._asked.error
        if is_due and self._asked.may_ask():
            self._seen = seen
            self._asked.ask(ListDead(), self._take, self._show)

    def _take(self, found: DeadGroups) -> None:
        self.groups = {f"{group.mailbox}\n{group.reason}\n{group.cause}": group for group in found.groups}
        self._preview_of = ""

    def _show(self) -> None:
        if self.order():
            self.stage.table.order_changed()
        self.stage.table.refresh_rows(None)
        self.show_empty()
        self._put_cursor()
        self.show_detail()

    def _put_cursor(self) -> None:
        row_id = next((row_id for row_id in self.rows.ids if self.groups[row_id].mailbox == self._wanted), None)
        if row_id is not None:
            self.stage.table.move_to(row_id)
            self._wanted = ""

    def _ask_preview(self, row_id: str) -> None:
        group = self.groups[row_id]
        if self._preview_of == row_id or not self._asked_preview.may_ask():
            return
        self._asked_preview.begin()
        self._preview_of, self._preview = row_id, []
        where = MailFilter(reason=group.reason, cause=group.cause)
        query = BrowseMail(mailbox=MailboxName(group.mailbox), dead=True, limit=_PREVIEW_ROWS, where=where)
        self._asked_preview.ask(query, self._take_preview, self.show_detail)

    def _take_preview(self, page: MailPage) -> None:
        self._preview = list(page.mails)

    def refresh(self, changes: Changes) -> None:
        """Ask again when letters died, were sent again or purged."""
        if changes.is_whole:
            self._seen = -1
        self._ask()

    def tick(self) -> None:
        """Ages are another."""
        self._ask()
        super().tick()

    # -- rows ----------------------------------------------------------------

    def ordered(self) -> list[str]:
        """As the core has them: the largest first."""
        return [
            row_id
            for row_id, group in self.groups.items()
            if matches(self.filter_text, group.mailbox, REASONS[group.reason], group.reason.value, group.cause)
        ]

    def total(self) -> int:
        """All groups."""
        return len(self.groups)

    def row(self, row_id: str) -> Row:
        """One cause."""
        group = self.groups.get(row_id)
        if group is None:
            return gone_row(row_id, len(self.COLUMNS))
        cells = (
            (REASONS[group.reason], "failing"),
            (cause_words(group.reason, group.cause), "strong"),
            text.short_count(group.count),
            self.stage.age(group.first),
            self.stage.age(group.last),
            self.stage.short_id(group.mailbox, _NAME_WIDTH),
            (text.clean(group.advice), "needs"),
        )
        return Row(row_id, cells, cells)

    def detail(self, row_id: str) -> list[Fact]:
        """The group under the cursor, with its oldest messages."""
        group = self.groups.get(row_id)
        if group is None:
            return []
        self._ask_preview(row_id)
        mails = self._preview if self._preview_of == row_id else []
        room = 4 if self.stage.height < _TALL_ROWS else 8
        return group_facts(group, mails, self.stage.age_s, room=room)

    def empty_text(self) -> str:
        """Nothing died, or the core cannot say."""
        if self._asked.error:
            return (
                f"The core cannot list its dead letters.\n\n{self._asked.error}\n\nit is asked again every few seconds"
            )
        if self._asked.is_new:
            return "asking the core"
        return (
            "No dead letters.\n\n"
            "A message whose tries are used up, that was rejected or that expired is kept here, "
            "with its cause, until somebody sends it again (R) or drops it (X)."
        )

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """How many, of how many causes."""
        left, _ = super().crumb()
        count = sum(group.count for group in self.groups.values())
        if self._asked.error:
            return left, [("not answered", "failing")]
        causes = text.counted(len(self.groups), "cause")
        if self.filter_text:
            causes = f"{len(self.rows.ids)} of {causes}"
        return left, [(f"{text.count(count)} dead", "failing" if count else "well"), (causes, "plain")]

    # -- acts ----------------------------------------------------------------

    def target(self) -> Target:
        """The group under the cursor."""
        group = self.groups.get(self.stage.table.cursor_id or "")
        if group is None:
            return Target()
        return Target(mailbox=str(group.mailbox), scopes=of_group(group))

    def opened(self, row_id: str) -> None:
        """The messages of the group."""
        group = self.groups.get(row_id)
        if group is not None:
            self._show_group(group)

    def raw(self) -> object | None:
        """The group under the cursor."""
        return self.groups.get(self.stage.table.cursor_id or "")
