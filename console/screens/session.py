"""One session: what was said, what happened, what waits, all facts, and the raw view."""

from console import text
from console.changes import Changes
from console.event_line import event_line
from console.glyphs import badge
from console.screens.base import Stage
from console.screens.events import log_line
from console.screens.raw import raw_fields
from console.screens.session_inputs import SessionInputs
from console.screens.tabs import TabbedView
from console.session_facts import all_facts, approval_facts, peek, queue_words
from console.session_index import who
from console.session_runtime import alarms
from console.session_words import doing
from console.target import Target
from console.transcript_items import entry_items, tail_items
from console.watched import WatchedSession
from console.widgets.status_bar import Part
from console.widgets.transcript_body import TranscriptItem
from core.api.approvals import ApprovalView
from core.api.base import EntryId, SessionId
from core.api.sessions import SessionView
from core.api.system import EventPage, ListEvents
from core.api.transcripts import ReadTranscript, TranscriptPage

_ASK_PERIOD_S = 0.3
_INPUT_ROWS = 9
_LEAST_WORDS = 16


class SessionDetailView(TabbedView):
    """Five tabs over one session."""

    place = "session"
    TABS = (
        ("transcript", "transcript"),
        ("timeline", "log"),
        ("inputs", "table"),
        ("state", "fields"),
        ("raw", "page"),
    )
    has_wide_detail = True
    detail_rows = 0

    def __init__(self, stage: Stage, *, decide_key: str) -> None:
        super().__init__(stage)
        self.decide_key = decide_key
        self.session_id = ""
        self.inputs = SessionInputs(stage)
        self._seen = (-1, -1)
        self._tail: list[TranscriptItem] = []
        self._asked_at = float("-inf")
        self._timeline_total = 0
        self._is_asking_earlier = False

    @property
    def argument(self) -> str:
        """Its id."""
        return self.session_id

    @property
    def view(self) -> SessionView | None:
        """The session as last heard of."""
        return self.mirror.sessions.get(self.session_id)

    @property
    def watched(self) -> WatchedSession | None:
        """Its books."""
        watched = self.mirror.watched
        return watched if watched is not None and watched.session_id == self.session_id else None

    @property
    def approval(self) -> ApprovalView | None:
        """The decision that it waits for."""
        return self.mirror.approval_of(self.session_id)

    def enter(self, argument: str) -> None:
        """Show a session; "" the one of before."""
        if argument and argument != self.session_id:
            self.session_id = self.inputs.session_id = argument
            self.tab = self.first_tab
        self.mirror.watch(SessionId(self.session_id))
        self._seen, self._tail = (-1, -1), []
        self._asked_at = float("-inf")
        self._show_tab()
        self._ask_if_stale()

    def leave(self) -> None:
        """Nobody looks at it any more."""
        self.mirror.watch(None)
        self.stage.transcript.set_lines([])
        self.stage.transcript.set_live(None)

    def _show_tab(self) -> None:
        # On a narrow screen too, the editor of the queue says all about what is under its cursor.
        self.detail_rows = _INPUT_ROWS if self.tab == "inputs" else 0
        if self.tab == "timeline":
            self._enter_timeline()
        elif self.tab == "inputs":
            self.inputs.show()
        self._draw()

    # -- what changed --------------------------------------------------------

    def refresh(self, changes: Changes) -> None:
        """Redraw the tab when it is about this session."""
        self._ask_if_stale()
        if changes.has_watched or changes.is_whole or self.session_id in changes.sessions:
            self._draw()
        elif self.tab == "timeline" and changes.event_count:
            self._draw_timeline()

    def tick(self) -> None:
        """Ages are another."""
        self._ask_if_stale()
        if self.tab == "state":
            self._draw_state()
        elif self.tab == "inputs":
            self.stage.table.refresh_rows(None)
        self._draw_detail()

    def _ask_if_stale(self) -> None:
        watched, feed = self.watched, self.stage.feed
        if watched is None or feed is None or watched.error:
            return
        now = self.stage.now()
        if (watched.is_stale or not watched.is_loaded) and now - self._asked_at >= _ASK_PERIOD_S:
            self._asked_at = now
            feed.ask_watched()

    def _draw(self) -> None:
        draw = {
            "transcript": self._draw_transcript,
            "timeline": self._draw_timeline,
            "inputs": self.inputs.draw,
            "state": self._draw_state,
            "raw": self._draw_raw,
        }
        draw[self.tab]()
        self._draw_detail()

    def _draw_transcript(self) -> None:
        watched, pane = self.watched, self.stage.transcript
        if watched is None:
            return
        approval = self.approval
        tail = tail_items(watched, approval, self.decide_key)
        if self._seen[0] != watched.reloads:
            watched.take_added()
            pane.set_lines([*entry_items(watched.entries.values()), *tail])
        else:
            added = watched.take_added()
            if added or tail != self._tail:
                for item in self._tail:
                    pane.remove_item(item.id)
                pane.append([*entry_items(added), *tail])
        self._tail = tail
        self._seen = (watched.reloads, watched.version)
        self._draw_live(watched)

    def _draw_live(self, watched: WatchedSession) -> None:
        view, pane = self.view, self.stage.transcript
        if watched.answer.run_id is None or view is None or view.run is None:
            pane.set_live(None)
        elif watched.answer.length:
            words = watched.answer.text
            pane.set_live(
                words if watched.answer.is_whole else f"(its beginning is not here) {words}", author=view.agent
            )
        elif watched.thought.length:
            pane.set_live(watched.thought.text, author="thinks")
        else:
            pane.set_live(None)

    def _enter_timeline(self) -> None:
        log = self.stage.log
        log.clear_lines()
        log.set_filter("")
        log.set_follow(True)
        self._timeline_total = self.mirror.event_total
        self.stage.ask(ListEvents(subject=self.session_id, limit=500), self._timeline_came)

    def _timeline_came(self, page: EventPage) -> None:
        if self.tab != "timeline":
            return
        last = page.records[-1].seq if page.records else 0
        self.stage.log.clear_lines()
        self.stage.log.extend(log_line(event_line(record)) for record in page.records)
        self.stage.log.extend(
            log_line(line) for line in self.mirror.events if line.seq > last and line.subject == self.session_id
        )
        self._timeline_total = self.mirror.event_total

    def _draw_timeline(self) -> None:
        new = self.mirror.event_total - self._timeline_total
        self._timeline_total = self.mirror.event_total
        if new > 0:
            lines = [line for line in self.mirror.last_events(new) if line.subject == self.session_id]
            self.stage.log.extend(log_line(line) for line in lines)

    def _draw_state(self) -> None:
        view = self.view
        if view is None:
            self.stage.fields.set_fields([("", "this session is not known (yet)", "stale")])
            return
        facts = all_facts(view, self.stage.age_s, use_ascii=self.stage.use_ascii)
        watched = self.watched
        if watched is not None and watched.error:
            facts.insert(0, ("core says", text.clean(watched.error), "failing"))
        self.stage.fields.set_fields(facts)

    def _draw_raw(self) -> None:
        self.stage.page.set_fields(raw_fields(self.view))

    def _draw_detail(self) -> None:
        view = self.view
        if view is None:
            self.stage.detail.set_fields([])
            return
        approval = self.approval
        facts = peek(view, approval, self.stage.age_s, use_ascii=self.stage.use_ascii)
        if self.tab == "inputs":
            row_id = self.stage.table.cursor_id
            facts = (self.inputs.detail(row_id) if row_id else []) + facts
        elif approval is not None:
            facts += approval_facts(approval, self.stage.age_s, behind=view.queue_depth)
        self.stage.detail.set_fields(facts)

    # -- lines above ---------------------------------------------------------

    def crumb(self) -> tuple[list[Part], list[Part]]:
        """Where we are: the session, its people, platform and agent."""
        left: list[Part] = [("sessions >", "quiet"), (text.clean(self.session_id), "strong")]
        view = self.view
        if view is not None:
            left += [(text.clean(who(view)), "plain"), (f"{text.clean(view.source.platform)} > {view.agent}", "quiet")]
        is_following = self.stage.log.is_following if self.tab == "timeline" else self.stage.transcript.is_following
        if self.tab not in {"transcript", "timeline"}:
            return left, []
        return left, [("follow on", "well") if is_following else ("follow off, f", "needs")]

    def extra_lines(self) -> list[list[Part]]:
        """The facts that count most, and the tabs."""
        count = self.inputs.open_count()
        return [self._facts_line(), self.tab_line({"inputs": f"({count})"} if count else {})]

    def _facts_line(self) -> list[Part]:
        view = self.view
        if view is None:
            return [("not known yet", "stale")]
        sign = badge(view.state, use_ascii=self.stage.use_ascii)
        wait = text.age(self.mirror.state_age_s(view, self.stage.now()))
        parts: list[Part] = [(f"{sign.text} {wait}", sign.tone), *alarms(view, self.stage.age_s)]
        # What is loud stands before the long words, which get the room that is left.
        used = sum(text.cell_width(words) + 2 for words, _ in parts)
        words = doing(view, self.approval, self.stage.age_s)
        room = max(_LEAST_WORDS, self.stage.width - 2 - used)
        parts.append((text.cut(words, room, ellipsis="~" if self.stage.use_ascii else "…"), "plain"))
        if view.queue_depth:
            parts.append((f"queue {queue_words(view, self.stage.age_s)}", "needs"))
        if view.unsent:
            parts.append((f"{view.unsent} unsent", "needs"))
        return parts

    # -- acts ----------------------------------------------------------------

    def target(self) -> Target:
        """The session, and what is under the cursor in it."""
        row_id = self.stage.table.cursor_id if self.tab == "inputs" else None
        if self.tab == "transcript":
            row_id = self.stage.transcript.cursor_id
        noun, _, key = (row_id or "").partition(":")
        approval = self.approval
        return Target(
            session_id=self.session_id,
            message_id=key if noun == "message" else "",
            approval_id=key if noun == "approval" else str(approval.id) if approval else "",
        )

    def act(self, action_id: str) -> bool:
        """Tabs and following."""
        if action_id == "obj.raw":
            self.show_tab("raw")
            return True
        if action_id == "log.follow":
            pane = self.stage.log if self.tab == "timeline" else self.stage.transcript
            pane.set_follow(not pane.is_following)
            return True
        return super().act(action_id)

    def ask_earlier(self) -> None:
        """The operator came to the first entry that is there."""
        watched = self.watched
        if watched is None or not watched.has_earlier or self._is_asking_earlier or not watched.entries:
            return
        self._is_asking_earlier = True
        first = next(iter(watched.entries))
        query = ReadTranscript(session_id=SessionId(self.session_id), before=EntryId(first), limit=200)
        self.stage.ask(query, self._earlier_came, None, self._earlier_ended)

    def _earlier_ended(self) -> None:
        self._is_asking_earlier = False

    def _earlier_came(self, page: TranscriptPage) -> None:
        watched = self.watched
        if watched is not None and page.session_id == self.session_id:
            self.stage.transcript.prepend(entry_items(watched.load_earlier(page)))

    def raw(self) -> object | None:
        """The session."""
        return self.view
