"""One mailbox: what waits in it, what died in it, its figures and rules."""

from console import text
from console.changes import Changes
from console.mail_scopes import of_messages
from console.mailbox_facts import mail_peek, mailbox_badge, mailbox_facts, mailbox_peek
from console.mailbox_rows import depth_of
from console.mailbox_words import REASONS, cause_words, rate, standing
from console.screens.base import Stage
from console.screens.mail_pages import MailPages
from console.screens.tabs import TabbedView, meant
from console.session_facts import Fact
from console.target import Target
from console.widgets.status_bar import Part
from core.api.base import MailId
from core.api.mail import DeadGroup, MailFilter, MailView
from core.api.mailboxes import MailboxView


class MailboxDetailView(TabbedView):
    """Three tabs over one mailbox. A group of dead letters narrows the second."""

    place = "mailbox"
    TABS = (("waiting", "table"), ("dead", "table"), ("figures", "fields"))

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.name: str = ""
        self._argument: str = ""
        self.group: DeadGroup | None = None
        self.pages = MailPages(stage, self._shown)

    @property
    def argument(self) -> str:
        """What was asked for."""
        return self._argument

    @property
    def view(self) -> MailboxView | None:
        """The mailbox as last heard of."""
        return self.mirror.mail.views.get(self.name)

    # -- coming and going ----------------------------------------------------

    def enter(self, argument: str) -> None:
        """Show a mailbox by its name or a part of it; "" the one of before."""
        self._argument = argument or self._argument
        near = argument.lower()
        found = meant(argument, self.mirror.mail.views, before=self.name, fits=lambda name: near in name.lower())
        if found != self.name:
            self.name, self.tab, self.group, self.filter_text = found, self.first_tab, None, ""
        self._show_tab()

    def show_group(self, group: DeadGroup) -> None:
        """Show the dead letters of one cause."""
        self.name, self.tab, self.group, self.filter_text = str(group.mailbox), "dead", group, ""
        self.stage.go("mailbox", self.name)

    def back(self) -> bool:
        """Close the filter, then the group, then the tab."""
        if self.filter_text:
            self.set_filter("")
            return True
        if self.group is not None:
            # The group is where the operator came from.
            self.group = None
            return False
        return super().back()

    def show_tab(self, name: str) -> None:
        """Another tab."""
        if name != self.tab or self.group is not None:
            self.tab, self.group, self.filter_text = name, None, ""
            self.stage.go(self.place, self.argument)

    def _base(self) -> MailFilter:
        if self.group is None:
            return MailFilter()
        return MailFilter(reason=self.group.reason, cause=self.group.cause)

    def _show_tab(self) -> None:
        if self.is_list:
            self.pages.begin(self.name, dead=self.tab == "dead", base=self._base(), filter_text=self.filter_text)
        if self.show_list(self.pages.columns, self.pages.rows):
            self._shown()
            self._ask()
        else:
            self._draw_figures()
        self._draw_detail()

    # -- what changed --------------------------------------------------------

    def _ask(self) -> None:
        view, mail = self.view, self.mirror.mail
        self.pages.ask_if_due(mail.dead_version if self.tab == "dead" else view.version if view else 0)

    def refresh(self, changes: Changes) -> None:
        """New figures, and perhaps other messages."""
        if changes.is_whole:
            self.pages.question.begin()
        if self.tab == "figures":
            if changes.has_mail or changes.is_whole:
                self._draw_figures()
        else:
            self._ask()
        if self.name in changes.mailboxes:
            self._draw_detail()

    def tick(self) -> None:
        """Ages are another."""
        if self.tab == "figures":
            self._draw_figures()
        else:
            self._ask()
            self.stage.table.refresh_rows(None)
        self._draw_detail()

    def set_filter(self, filter_text: str) -> None:
        """Ask the core for fewer messages."""
        self.filter_text = filter_text.strip()
        self.pages.set_filter(self.filter_text)
        self._ask()
        self._shown()

    def moved(self, row_id: str) -> None:
        """The pane follows; near the end the next page is asked for."""
        ids = self.pages.rows.ids
        if row_id and ids and row_id in ids[-3:]:
            self.pages.ask_more()
        self._draw_detail()

    # -- drawing -------------------------------------------------------------

    def _shown(self) -> None:
        self.stage.table.empty_text = self._empty_text()
        self._draw_detail()

    def _empty_text(self) -> str:
        name, question = text.clean(self.name), self.pages.question
        if question.error:
            return f"The core cannot show the messages of {name}.\n\n{question.error}\n\n4 lists the mailboxes"
        if question.is_new:
            return "asking the core" if name else "No mailbox is chosen.\n\n4 lists them; :mailbox NAME opens one"
        if self.pages.filter_error:
            return f"{self.pages.filter_error}\n\nknown are from: type: state: reason: id: trace: older:"
        if self.filter_text:
            return f"no message here fits /{text.clean(self.filter_text)}\n\nesc clears the filter"
        return self._nothing(name)

    def _nothing(self, name: str) -> str:
        if self.tab == "dead":
            return f"Nothing died in {name}.\n\nA message whose tries are used up is kept here until R or X."
        return f"Nothing waits in {name}.\n\nI posts a message; 2 shows what died here, 3 the figures and rules."

    def _draw_figures(self) -> None:
        view = self.view
        fields: list[Fact] = [("", f"no mailbox is called {text.clean(self.name)} (any more)", "stale")]
        if view is not None:
            fields = mailbox_facts(view, self.stage.age_s, use_ascii=self.stage.use_ascii)
        self.stage.fields.set_fields(fields)

    def _mail(self) -> MailView | None:
        return self.pages.mails.get(self.stage.table.cursor_id or "") if self.tab != "figures" else None

    def _draw_detail(self) -> None:
        mail, view = self._mail(), self.view
        facts: list[Fact] = []
        if mail is not None:
            facts = mail_peek(mail, self.stage.age_s, use_ascii=self.stage.use_ascii)
        if view is not None and (mail is None or self.stage.is_wide):
            facts += mailbox_peek(view, self.stage.age_s, use_ascii=self.stage.use_ascii)
        self.stage.detail.set_fields(facts)

    # -- lines above ---------------------------------------------------------

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """Where we are, and how much of it is here."""
        left: list[Part] = [("mailboxes >", "quiet"), (text.clean(self.name) or "?", "strong")]
        if (group := self.group) is not None:
            cause = text.cut(cause_words(group.reason, group.cause), 40)
            left.append((f"{REASONS[group.reason]}: {cause}", "failing"))
        if self.filter_text:
            left.append((f"/{text.clean(self.filter_text)}", "accent"))
        if self.pages.filter_error:
            left.append((text.clean(self.pages.filter_error), "failing"))
        right: list[Part] = []
        if self.tab != "figures":
            if self.pages.question.error:
                right.append(("not answered", "failing"))
            if marks := len(self.stage.table.marks):
                right.append((f"{marks} marked", "accent"))
            more = ", more below" if self.pages.next_after is not None else ""
            right.append((f"{text.count(len(self.pages.rows.ids))} shown{more}", "plain"))
        return left, right

    def extra_lines(self) -> list[list[Part]]:
        """How it stands, and the tabs."""
        view = self.view
        if view is None:
            words = "not known (yet)" if not self.mirror.mail.error else "the core cannot show its mailboxes"
            return [[(words, "stale")], self._tabs(0, 0)]
        sign = mailbox_badge(view, use_ascii=self.stage.use_ascii)
        words, tone = standing(view, self.stage.age_s)
        is_busy = view.in_rate_s > 0 or view.out_rate_s > 0
        oldest = f"oldest {self.stage.age(view.oldest)}" if view.oldest else "nothing old"
        facts: list[Part] = [
            (sign.text, sign.tone),
            (words, tone),
            (oldest, "plain"),
            (f"in {rate(view.in_rate_s)}/s out {rate(view.out_rate_s)}/s" if is_busy else "no traffic", "plain"),
        ]
        return [facts, self._tabs(depth_of(view), view.tally.dead)]

    def _tabs(self, waiting: int, dead: int) -> list[Part]:
        counts = {"waiting": waiting, "dead": dead}
        notes = {name: f"({text.short_count(count)})" for name, count in counts.items() if count}
        return self.tab_line(notes, {"dead": "failing"} if dead else {})

    # -- acts ----------------------------------------------------------------

    def target(self) -> Target:
        """The mailbox, the message under the cursor, and the sets of messages that can be meant."""
        if self.tab == "figures":
            return Target(mailbox=self.name)
        mail = self._mail()
        marked = [MailId(int(row_id)) for row_id in self.stage.table.marks]
        words = self.filter_text or (f"this cause ({REASONS[self.group.reason]})" if self.group else "")
        scopes = of_messages(
            self.name,
            dead=self.tab == "dead",
            cursor=mail.id if mail else None,
            marked=marked,
            where=self.pages.where,
            filter_words=text.clean(words),
        )
        return Target(mailbox=self.name, mail_id=int(mail.id) if mail else 0, scopes=scopes if self.name else ())

    def opened(self, row_id: str) -> None:
        """Into the message."""
        self.stage.go("mail", row_id)

    def act(self, action_id: str) -> bool:
        """Tabs, the desk of the dead letters, the trace of a message."""
        if action_id == "view.dead":
            self.stage.go("dead", self.name)
        elif action_id == "obj.trace" and (mail := self._mail()) is not None:
            self.stage.go("mail", f"{mail.id} trace")
        else:
            return super().act(action_id)
        return True

    def raw(self) -> object | None:
        """The message under the cursor, or the mailbox."""
        return self._mail() or self.view
