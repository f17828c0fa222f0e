"""One message: its content, what was tried with it, and its trace through all mailboxes."""

from console import text
from console.changes import Changes
from console.glyphs import badge
from console.mail_names import mail_name, read_mail_id
from console.mail_scopes import MailScope
from console.mailbox_facts import mail_facts, mail_peek, preview
from console.screens.asking import Question
from console.screens.base import Rows, Stage, gone_row, version
from console.screens.tabs import TabbedView
from console.session_facts import Fact
from console.target import Target
from console.widgets.badge import badge_cell
from console.widgets.status_bar import Part
from console.widgets.table import Column, Row
from core.api.base import MailId
from core.api.mail import GetMail, MailFilter, MailPage, MailState, MailView, TraceMail


class MailDetailView(TabbedView):
    """Two tabs: the message, and all that share its correlation id."""

    place = "mail"
    TABS = (("message", "fields"), ("trace", "table"))
    COLUMNS = (
        Column("state", "STATE", 9),
        Column("id", "ID", 10),
        Column("after", "AFTER", 7, align="right"),
        Column("age", "AGE", 6, min_screen=120, align="right"),
        Column("mailbox", "MAILBOX", 16),
        Column("from", "FROM", 12),
        Column("what", "TYPE AND PAYLOAD, OR ERROR", 16, flex=True),
    )

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.mail_id = 0
        self._argument: str = ""
        self.mail: MailView | None = None
        self.trace: dict[str, MailView] = {}
        self.rows = Rows(self._row)
        self._asked_mail = Question(stage)
        self._asked_trace = Question(stage)

    @property
    def argument(self) -> str:
        """What was asked for."""
        return self._argument

    def enter(self, argument: str) -> None:
        """Show a message by m-123 or 123; with `trace` after it, its trace; "" the one of before."""
        if argument and argument != self._argument:
            self._argument = argument
            self._begin(*argument.partition(" ")[::2])
        self.show_list(self.COLUMNS, self.rows)
        self._want()
        self._ask()
        self._draw()

    def _begin(self, name: str, tab: str) -> None:
        found = read_mail_id(name)
        if found is None or found != self.mail_id:
            self.mail_id, self.mail, self.trace = int(found or 0), None, {}
            self._asked_mail.begin()
            self._asked_trace.begin()
        if found is None:
            self._asked_mail.error = f"{text.clean(name)} names no message; write m-123 or 123"
        self.tab = "trace" if tab == "trace" else "message"

    # -- asking --------------------------------------------------------------

    def _want(self) -> None:
        self._asked_mail.want()
        self._asked_trace.want()

    def _ask(self) -> None:
        if self.mail_id and self._asked_mail.is_due:
            self._asked_mail.ask(GetMail(mail_id=MailId(self.mail_id)), self._take_mail, self._draw)
        self._ask_trace()

    def _take_mail(self, view: MailView) -> None:
        self.mail = view
        self._ask_trace()

    def _ask_trace(self) -> None:
        if self.tab == "trace" and self.mail is not None and self.mail.correlation and self._asked_trace.is_due:
            self._asked_trace.ask(TraceMail(correlation=self.mail.correlation), self._take_trace, self._draw)

    def _take_trace(self, page: MailPage) -> None:
        self.trace = {str(view.id): view for view in page.mails}

    def refresh(self, changes: Changes) -> None:
        """Ask again when something moved in its mailbox."""
        if changes.has_mail or changes.is_whole:
            self._want()
            self._ask()

    def tick(self) -> None:
        """Ages are another; what changed is asked for."""
        self._ask()
        self._draw()

    # -- drawing -------------------------------------------------------------

    def _draw(self) -> None:
        if self.tab == "message":
            self.stage.fields.set_fields(self._message_facts())
            return
        self.stage.table.empty_text = self._empty_trace()
        if self.rows.put(list(self.trace)):
            self.stage.table.order_changed()
            self.stage.table.move_to(str(self.mail_id))
        self.stage.table.refresh_rows(None)
        self._draw_detail()

    def _draw_detail(self) -> None:
        mail = self._under()
        facts = mail_peek(mail, self.stage.age_s, use_ascii=self.stage.use_ascii) if mail else []
        self.stage.detail.set_fields(facts)

    def _message_facts(self) -> list[Fact]:
        gone: list[Fact] = []
        if self._asked_mail.error:
            gone = [("core says", self._asked_mail.error, "failing")]
            if self.mail is not None:
                gone.append(("", "what follows is what was known of it before", "stale"))
            else:
                gone.append(
                    ("", "a message that was done, dropped or purged is not kept; 9 lists what happened", "quiet")
                )
        if self.mail is None:
            return gone or [("", "asking the core" if self.mail_id else "no message is chosen", "quiet")]
        return gone + mail_facts(self.mail, self.stage.age_s, use_ascii=self.stage.use_ascii)

    def _empty_trace(self) -> str:
        if self._asked_trace.error or self._asked_mail.error:
            return f"The core cannot show the trace.\n\n{self._asked_trace.error or self._asked_mail.error}"
        if self.mail is None:
            return "asking the core"
        if not self.mail.correlation:
            return f"{mail_name(self.mail_id)} has no correlation id: nothing else belongs to it."
        return "asking the core" if self._asked_trace.is_new else "Nothing of this trace is kept any more."

    def _row(self, row_id: str) -> Row:
        view = self.trace.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        age_s = self.stage.age_s(view.created)
        is_this = view.id == self.mail_id
        first = min((item.created.at for item in self.trace.values()), default=view.created.at)
        after_s = view.created.at - first
        words, rest = preview(view)
        what = (f"{text.clean(view.message_type)}  {words}", "plain", rest)
        cells = (
            badge_cell(badge(view.state, use_ascii=self.stage.use_ascii)),
            (mail_name(view.id), "accent" if is_this else "strong"),
            f"+{text.age(after_s)}",
            text.age(age_s),
            self.stage.short_id(view.mailbox, 16),
            text.clean(view.sender),
            (text.redact(text.clean(view.error)), "failing") if view.error else what,
        )
        return Row(row_id, cells, version(view.state, is_this, int(age_s)))

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """Where we are."""
        left: list[Part] = [("mailboxes >", "quiet")]
        if self.mail is not None:
            left.append((f"{text.clean(self.mail.mailbox)} >", "quiet"))
        left.append((mail_name(self.mail_id) if self.mail_id else "?", "strong"))
        if self.tab == "trace" and self.mail is not None and self.mail.correlation:
            left.append((f"trace {text.clean(self.mail.correlation)}", "accent"))
            return left, [(text.counted(len(self.rows.ids), "message"), "plain")]
        return left, []

    def extra_lines(self) -> list[list[Part]]:
        """The tabs."""
        return [self.tab_line()]

    # -- acts ----------------------------------------------------------------

    def _under(self) -> MailView | None:
        if self.tab == "trace":
            return self.trace.get(self.stage.table.cursor_id or "")
        return self.mail

    def target(self) -> Target:
        """The message that is shown, or that of the trace under the cursor."""
        mail = self._under()
        if mail is None:
            return Target(mail_id=self.mail_id)
        scope = MailScope(
            words=f"only {mail_name(mail.id)}",
            mailbox=str(mail.mailbox),
            dead=mail.state is MailState.DEAD,
            where=MailFilter(ids=(mail.id,)),
        )
        return Target(mailbox=str(mail.mailbox), mail_id=int(mail.id), scopes=(scope,))

    def opened(self, row_id: str) -> None:
        """To a message of the trace."""
        if row_id == str(self.mail_id):
            self.show_tab("message")
        else:
            self.stage.go("mail", row_id)

    def act(self, action_id: str) -> bool:
        """Tabs."""
        if action_id == "obj.trace":
            self.show_tab("trace")
            return True
        return super().act(action_id)

    def raw(self) -> object | None:
        """The message."""
        return self._under()
