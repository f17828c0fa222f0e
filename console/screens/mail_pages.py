"""The messages of one mailbox as far as they were asked for: page after page, read anew while they change."""

from collections.abc import Callable

from console import text
from console.glyphs import badge
from console.mail_filter import parse_mail_filter
from console.mailbox_facts import preview, tries
from console.mailbox_words import REASONS
from console.screens.asking import Question
from console.screens.base import Rows, Stage, gone_row, version
from console.widgets.badge import badge_cell
from console.widgets.table import Cell, Column, Row
from core.api.base import MailboxName, MailId
from core.api.errors import InvalidInput
from core.api.mail import BrowseMail, MailFilter, MailPage, MailView

_PAGE_ROWS = 100
_REREAD_ROWS = 500

LIVE_COLUMNS = (
    Column("state", "STATE", 9),
    Column("id", "ID", 9),
    Column("age", "AGE", 6, align="right"),
    Column("tries", "TRIES", 5, align="right"),
    Column("from", "FROM", 14),
    Column("type", "TYPE", 12, min_screen=90),
    Column("priority", "PRIO", 8, min_screen=150),
    Column("payload", "PAYLOAD", 20, flex=True),
)
DEAD_COLUMNS = (
    Column("reason", "REASON", 14),
    Column("id", "ID", 9),
    Column("age", "DIED", 6, align="right"),
    Column("tries", "TRIES", 5, align="right"),
    Column("from", "FROM", 14, min_screen=100),
    Column("error", "ERROR", 16, flex=True),
    Column("payload", "PAYLOAD", 16, flex=True),
)


class MailPages:
    """Rows of messages, live or dead. where: what is asked for; filter_error: why a filter was not understood.

    on_shown: called after an answer or an error.
    """

    def __init__(self, stage: Stage, on_shown: Callable[[], None]) -> None:
        self._stage = stage
        self._on_shown = on_shown
        self.question = Question(stage)
        self.rows = Rows(self._row)
        self.mails: dict[str, MailView] = {}
        self.mailbox = ""
        self.dead = False
        self.base = MailFilter()
        self.where = MailFilter()
        self.filter_error = ""
        self.next_after: MailId | None = None
        self._seen: object = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the kind of messages."""
        return DEAD_COLUMNS if self.dead else LIVE_COLUMNS

    def begin(self, mailbox: str, *, dead: bool, base: MailFilter, filter_text: str) -> None:
        """Show another set of messages, from its beginning."""
        self._seen = None
        if (mailbox, dead, base) != (self.mailbox, self.dead, self.base):
            self.mailbox, self.dead, self.base = mailbox, dead, base
            self.next_after, self.mails = None, {}
            self.rows.put([])
            self.question.begin()
        self.set_filter(filter_text)

    def set_filter(self, words: str) -> None:
        """Other messages; one that is not understood filters nothing and says so."""
        self.filter_error = ""
        try:
            where = parse_mail_filter(words, base=self.base)
        except InvalidInput as error:
            where, self.filter_error = self.base, error.message
        if where != self.where:
            self.where = where
            self.question.begin()

    def ask_if_due(self, seen: object) -> None:
        """Read anew what may have changed. seen: anything that is different when the messages may be."""
        if not self.question.may_ask() or not self.mailbox:
            return
        is_long = len(self.mails) > _REREAD_ROWS
        if self.question.is_new or self.question.error or (seen != self._seen and not is_long):
            self._seen = seen
            limit = min(_REREAD_ROWS, max(_PAGE_ROWS, len(self.mails)))
            self._ask(MailId(0), limit, is_first=True)

    def ask_more(self) -> None:
        """The next page, when there is one."""
        if self.next_after is not None and not self.question.is_open:
            self._ask(self.next_after, _PAGE_ROWS, is_first=False)

    def _ask(self, after: MailId, limit: int, *, is_first: bool) -> None:
        query = BrowseMail(
            mailbox=MailboxName(self.mailbox), dead=self.dead, after=after, limit=limit, where=self.where
        )
        self.question.ask(query, lambda page: self._take(page, is_first=is_first), self._show)

    def _take(self, page: MailPage, *, is_first: bool) -> None:
        found = {str(view.id): view for view in page.mails}
        self.mails = found if is_first else {**self.mails, **found}
        self.next_after = page.next_after
        self.rows.put(list(self.mails))

    def _show(self) -> None:
        self._stage.table.order_changed()
        self._stage.table.refresh_rows(None)
        self._on_shown()

    def _row(self, row_id: str) -> Row:
        view = self.mails.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.columns))
        return dead_row(self._stage, view) if self.dead else live_row(self._stage, view)


def payload_cell(view: MailView) -> Cell:
    """What a message says, and after it, of less weight, the rest of its payload."""
    words, rest = preview(view)
    return words, "plain", rest


def live_row(stage: Stage, view: MailView) -> Row:
    """A message that waits or is in flight."""
    mailbox = stage.mirror.mail.views.get(str(view.mailbox))
    limit = mailbox.policy.max_deliveries if mailbox else 0
    age_s = stage.age_s(view.created)
    cells = (
        badge_cell(badge(view.state, use_ascii=stage.use_ascii)),
        (f"m-{view.id}", "strong"),
        text.age(age_s),
        (tries(view, limit), "needs" if view.attempt > 1 else "plain"),
        text.clean(view.sender),
        text.clean(view.message_type),
        view.priority.value,
        payload_cell(view),
    )
    return Row(str(view.id), cells, version(view.state, view.attempt, int(age_s)))


def dead_row(stage: Stage, view: MailView) -> Row:
    """A dead letter."""
    mailbox = stage.mirror.mail.views.get(str(view.mailbox))
    limit = mailbox.policy.max_deliveries if mailbox else 0
    died_s = stage.age_s(view.died or view.created)
    cells = (
        (REASONS[view.reason] if view.reason else "dead", "failing"),
        (f"m-{view.id}", "strong"),
        text.age(died_s),
        tries(view, limit),
        text.clean(view.sender),
        (text.redact(text.clean(view.error)), "plain"),
        payload_cell(view),
    )
    return Row(str(view.id), cells, version(view.reason, int(died_s)))
