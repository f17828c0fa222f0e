"""The dialog in which an operator decides what an agent may do."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from console.text import age, clean, reveal
from console.widgets.approval_offers import Offer, offers_of, reach
from console.widgets.controls import Choice, Lines, ScrolledLines, ToneLine
from console.widgets.dialog import Dialog
from console.widgets.surface import app_of
from core.api.approvals import ApprovalState, ApprovalView, GrantScope
from core.api.base import Mark
from core.api.runs import ToolKind

GUARD_S = 0.5
"""Keys that come sooner after the dialog opened or changed were meant for something else."""

_TYPED_LETTERS = 4
_OTHER_LINES = 15
_DETAIL_LEAST, _DETAIL_MOST = 3, 20
_RISKY = frozenset({ToolKind.EXECUTE, ToolKind.DELETE})
_NOT_NOW = "not now: leave it open"
_DIFF_TONES = {"+": "well", "-": "failing", "@": "accent"}


@dataclass(frozen=True, slots=True)
class ApprovalChoice:
    """A decision about exactly what was looked at. option_id: "" for the first that fits; digest: of what was seen.

    scope, pattern: how far a yes reaches. answer: to a question.
    """

    allow: bool
    option_id: str
    reason: str
    digest: str
    scope: GrantScope = GrantScope.ONCE
    pattern: str = ""
    answer: str = ""


class ApprovalScreen(Dialog[ApprovalChoice | None]):
    """All of what is asked, how old it is, and the answers. Letters stage an answer, enter gives it.

    monotonic: seconds that only grow, for the guard. age_s: seconds since a mark of the core.
    facts: lines about what hangs on it. Where something is run or deleted, and for a yes that lasts, the last letters
    of the id must be typed. A yes is not taken before the end of what is asked was on the screen.
    """

    AUTO_FOCUS: ClassVar[str | None] = "#offers"
    DEFAULT_CSS = "ApprovalScreen ScrolledLines { background: $background; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "stage(True)", "allow", show=False, id="approval.allow"),
        Binding("s", "stage_scope('session')", "session", show=False, id="approval.session"),
        Binding("w", "stage_scope('always')", "always", show=False, id="approval.always"),
        Binding("d", "stage(False)", "deny", show=False, id="approval.deny"),
        Binding("n", "stage_none", "not now", show=False, id="approval.later"),
        Binding("enter", "commit", "commit", show=False, id="approval.commit"),
    ]

    def __init__(
        self,
        approval: ApprovalView,
        *,
        monotonic: Callable[[], float],
        age_s: Callable[[Mark], float | None],
        facts: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._approval = approval
        self._monotonic = monotonic
        self._age_s = age_s
        self._facts = tuple(facts)
        self._dead = ""
        self._is_there = False
        self._offered = offers_of(approval)
        self._looked_since = monotonic()
        self._problem_text = ""
        self._about = Lines(id="about")
        self._detail = ScrolledLines(id="detail")
        self._offers = Choice(self._words(), is_vertical=True, id="offers")
        self._reach = Lines(id="reach")
        self._answer = self.entry("answer", "in words, to the agent")
        self._answer_row = self.row("answer", self._answer)
        self._typed_note = Lines(id="typed_note")
        self._typed = self.entry("typed")
        self._typed_row = self.row("typed", self._typed)
        self._reason = self.entry("reason", "to the agent and the journal")
        self._problem = Lines(id="problem")
        self._set_title()

    @property
    def is_dead(self) -> bool:
        """Whether nothing can be decided here any more."""
        return bool(self._dead)

    def parts(self) -> Iterable[Widget]:
        """What is asked, then the answers."""
        yield self._about
        yield self._detail
        yield Lines([("", "plain")])
        yield self._offers
        yield self._reach
        yield self._answer_row
        yield self._typed_note
        yield self._typed_row
        yield self.row("reason", self._reason)
        yield self._problem

    def keys(self) -> str:
        """Which keys do what."""
        wider = "  s session  w always" if self._approval.offers else ""
        return f"a allow{wider}  d deny  n not now  enter give answer  tab, j k read  esc close"

    def on_mount(self) -> None:
        """Show it; ages go on."""
        self._looked_since = self._monotonic()
        self._is_there = True
        self._paint()
        self.set_interval(1.0, self._paint_about)

    def on_resize(self) -> None:
        """The details take what the other parts leave of a small screen."""
        others = _OTHER_LINES + len(self._facts) + len(self._notes()) + len(self._offered) + 1
        self._detail.styles.max_height = max(_DETAIL_LEAST, min(_DETAIL_MOST, app_of(self).size.height - others))

    def show(self, approval: ApprovalView) -> None:
        """The same approval as it is now. What changed must be looked at again before it can be answered."""
        if approval.state is not ApprovalState.OPEN:
            by = f" by {clean(approval.decided_by)}" if approval.decided_by else ""
            self.go_dead(f"{approval.state.value}{by}")
            return
        before, self._approval = self._approval, approval
        if before.digest == approval.digest and before.offers == approval.offers:
            self._paint_about()
            return
        self._looked_since = self._monotonic()
        self._offered = offers_of(approval)
        self._offers.set_options(self._words())
        self._typed.value = ""
        self._problem_text = "this changed while you looked at it; nothing was sent"
        self._set_title()
        self._paint()

    def go_dead(self, reason: str) -> None:
        """It was decided elsewhere: say so; no answer can be given any more."""
        if not self._dead:
            self._dead = clean(reason) or "no longer open"
            self._paint()

    def _set_title(self) -> None:
        self.title_text = f"decide {clean(self._approval.id)[-_TYPED_LETTERS:]}   {clean(self._approval.title)}"
        self.title_tone = "failing" if self._approval.kind in _RISKY else "strong"

    def _words(self) -> list[str]:
        return [_NOT_NOW, *(offer.word for offer in self._offered)]

    def _staged(self) -> Offer | None:
        return self._offered[self._offers.index - 1] if self._offers.index else None

    @property
    def _code(self) -> str:
        return self._approval.id[-_TYPED_LETTERS:]

    def _must_type(self) -> bool:
        staged = self._staged()
        if staged is None or not staged.allow or staged.needs_answer or self._dead:
            return False
        is_risky = self._approval.kind in _RISKY or bool(self._approval.warnings)
        return is_risky or staged.scope is GrantScope.ALWAYS

    def _paint_about(self) -> None:
        approval = self._approval
        left_s = None if approval.deadline is None else self._age_s(approval.deadline)
        expires = "" if left_s is None else f"   expires in {age(-left_s)}" if left_s < 0 else "   deadline is over"
        lines: list[ToneLine] = [
            (
                f"{approval.kind.value}   asked by {approval.agent}   {age(self._age_s(approval.asked))} ago{expires}",
                "plain",
            ),
            (f"session {approval.session_id}   digest {approval.digest}", "quiet"),
            *self._notes(),
            *((fact, "plain") for fact in self._facts),
            ("", "plain"),
        ]
        self._about.set_lines(lines)

    def _notes(self) -> list[ToneLine]:
        """What should be known first: warnings, where, for whom, why it is asked."""
        approval = self._approval
        notes: list[ToneLine] = [(f"! {clean(warning)}", "failing") for warning in approval.warnings]
        if approval.chain:
            notes.append((f"asked through {' > '.join(map(clean, (approval.agent, *approval.chain)))}", "needs"))
        if approval.cwd:
            notes.append((f"in {clean(approval.cwd)}", "plain"))
        if approval.why_asked:
            notes.append((f"asked because {clean(approval.why_asked)}", "quiet"))
        return notes

    def _payload(self) -> list[ToneLine]:
        """All of what is asked, nothing hidden."""
        detail, diff = self._approval.detail, self._approval.diff
        shown = reveal(detail)
        hidden = shown != detail.replace("\r\n", "\n")
        note = "hidden ones marked like <U+202E>" if hidden else "none of them hidden"
        count = f"full text, {len(detail):,} characters, {shown.count(chr(10)) + 1:,} lines; {note}"
        lines: list[ToneLine] = [(count, "needs" if hidden else "quiet"), (shown or "(no details)", "strong")]
        if diff:
            lines.append(("", "plain"))
            lines += [(line, _DIFF_TONES.get(line[:1], "plain")) for line in reveal(diff).splitlines()]
        return lines

    def _paint(self) -> None:
        if not self._is_there:
            return
        self._paint_about()
        self.query_one("#head", Lines).set_lines([(self.title_text, self.title_tone)])
        self._detail.set_lines(self._payload())
        staged = self._staged()
        self._reach.set_lines(reach(staged) if staged is not None else [])
        self._answer_row.display = staged is not None and staged.needs_answer
        must_type = self._must_type()
        self._typed_row.display = must_type
        word = self._approval.kind.value
        self._typed_note.set_lines(
            [(f"it would {word}: type  {self._code}  to allow it", "needs")] if must_type else []
        )
        if self._dead:
            self._problem.set_lines([(f"no longer open: {self._dead}. Nothing was sent from here.", "failing")])
        else:
            self._problem.set_lines([(self._problem_text, "failing")] if self._problem_text else [])

    def _is_guarded(self) -> bool:
        return self._monotonic() - self._looked_since < GUARD_S

    def refuses(self, event: events.Event) -> bool:
        """Whether a key or click comes too soon to be meant for what is shown now."""
        if not isinstance(event, events.Key | events.MouseDown | events.Click | events.Paste) or not self._is_guarded():
            return False
        app_of(self).bell()
        return True

    def _forward_event(self, event: events.Event) -> None:
        # Keys come here only while nothing has the focus, clicks always.
        if not self.refuses(event):
            super()._forward_event(event)

    def action_stage(self, allow: bool) -> None:
        """Put the first answer of that kind forward; nothing is sent yet."""
        for index, offer in enumerate(self._offered, start=1):
            if offer.allow is allow:
                self._offers.choose(index)
                return

    def action_stage_scope(self, scope: str) -> None:
        """Put the yes that reaches so far forward; nothing is sent yet."""
        for index, offer in enumerate(self._offered, start=1):
            if offer.scope.value == scope:
                self._offers.choose(index)
                return

    def action_stage_none(self) -> None:
        """Leave it open."""
        self._offers.choose(0)

    def action_commit(self) -> None:
        """Give the staged answer, or close when none is."""
        staged = self._staged()
        if self._dead or staged is None:
            self.dismiss(None)
            return
        if self._is_guarded():
            return
        if staged.allow and not self._detail.is_seen_whole:
            self._problem_text = "not sent: what is asked goes on below; read it to its end first (tab, then j)"
            self._paint()
            return
        if staged.needs_answer and not self._answer.value.strip():
            self._problem_text = "not sent: nothing is answered yet"
            self._answer.focus()
            self._paint()
            return
        if self._must_type() and self._typed.value.strip() != self._code:
            self._problem_text = f"not sent: type {self._code} to allow it"
            self._typed.focus()
            self._paint()
            return
        reason = self._reason.value.strip()
        answer = self._answer.value.strip() if staged.needs_answer else ""
        digest = self._approval.digest
        self.dismiss(
            ApprovalChoice(staged.allow, staged.option_id, reason, digest, staged.scope, staged.pattern, answer)
        )

    def on_choice_changed(self) -> None:
        """Another answer is staged."""
        self._problem_text = ""
        self._paint()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter gives the answer."""
        message.stop()
        self.action_commit()
