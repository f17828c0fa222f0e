"""What waits in a session: its decisions, and the editor of its queue."""

from console import text
from console.glyphs import badge
from console.mirror import Mirror
from console.screens.base import Rows, Stage, gone_row, version
from console.session_facts import Fact, approval_facts, message_facts
from console.session_runtime import hangs_words, left_words
from console.transcript_items import queued_messages
from console.watched import WatchedSession
from console.widgets.table import Cell, Column, Row
from core.api.approvals import ApprovalState, ApprovalView
from core.api.runs import ActionKind
from core.api.sessions import MessageState, MessageView

COLUMNS: tuple[Column, ...] = (
    Column("place", "#", 3, align="right"),
    Column("kind", "KIND", 8),
    Column("what", "WHAT", 18, flex=True),
    Column("from", "FROM", 8),
    Column("age", "AGE", 6, align="right"),
    Column("state", "STATE", 11),
    Column("asked", "ASKED", 13, min_screen=100),
    Column("taken", "TAKEN AS", 13),
)
EMPTY = "Nothing waits in this session: no queued message, no decision."
_SOON_S = 60.0


class SessionInputs:
    """Rows of one session: open decisions, what is being answered, the queue in its order, what was decided."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.session_id = ""
        self.rows = Rows(self.row)

    @property
    def _mirror(self) -> Mirror:
        return self.stage.mirror

    @property
    def _watched(self) -> WatchedSession | None:
        watched = self._mirror.watched
        return watched if watched is not None and watched.session_id == self.session_id else None

    def message(self, message_id: str) -> MessageView | None:
        """A message of this session that is not answered yet."""
        return self._watched.messages.get(message_id) if self._watched else None

    def queue(self) -> list[MessageView]:
        """What waits, in its order."""
        return queued_messages(self._watched) if self._watched else []

    def show(self) -> None:
        """Take the table."""
        self.rows.put(self.ids())
        self.stage.table.set_columns(COLUMNS)
        self.stage.table.set_source(self.rows)
        self.stage.table.empty_text = EMPTY

    def draw(self) -> None:
        """The rows may be others, or stand elsewhere."""
        if self.rows.put(self.ids()):
            self.stage.table.order_changed()
        self.stage.table.refresh_rows(None)

    def ids(self) -> list[str]:
        """All rows in order."""
        asked = sorted(
            (item for item in self._mirror.approvals.values() if item.session_id == self.session_id),
            key=lambda item: (item.state is not ApprovalState.OPEN, -item.asked.at),
        )
        held = self._watched.messages.values() if self._watched else ()
        busy = [f"message:{item.id}" for item in held if item.state is not MessageState.QUEUED]
        waiting = [f"message:{item.id}" for item in self.queue()]
        is_open = [f"approval:{item.id}" for item in asked if item.state is ApprovalState.OPEN]
        closed = [f"approval:{item.id}" for item in asked if item.state is not ApprovalState.OPEN]
        return [*is_open, *busy, *waiting, *closed]

    def open_count(self) -> int:
        """How many wait: messages, and decisions that are open."""
        return len(self.queue()) + self._mirror.open_count(self.session_id)

    # -- rows ----------------------------------------------------------------

    def row(self, row_id: str) -> Row:
        """One row."""
        noun, _, key = row_id.partition(":")
        if noun == "approval":
            approval = self._mirror.approvals.get(key)
            return self._approval_row(row_id, approval) if approval else gone_row(row_id, len(COLUMNS))
        message = self.message(key)
        return self._message_row(row_id, message) if message else gone_row(row_id, len(COLUMNS))

    def _approval_row(self, row_id: str, view: ApprovalView) -> Row:
        age_s = self.stage.age_s(view.asked)
        sign = badge(view.state, use_ascii=self.stage.use_ascii)
        is_open = view.state is ApprovalState.OPEN
        kind = "question" if view.action_kind is ActionKind.QUESTION else "decision"
        left: Cell = "-"
        if is_open:
            is_soon = view.deadline is not None and -self.stage.age_s(view.deadline) < _SOON_S
            left = (left_words(view, self.stage.age_s), "failing" if is_soon else "needs")
        cells: tuple[Cell, ...] = (
            "-",
            kind,
            (text.clean(view.title), "strong" if is_open else "quiet"),
            text.clean(view.agent),
            text.age(age_s),
            (sign.text, sign.tone),
            (hangs_words(view, 0), "quiet"),
            left,
        )
        return Row(row_id, cells, cells)

    def _message_row(self, row_id: str, view: MessageView) -> Row:
        age_s = self.stage.age_s(view.received)
        queue = self.queue()
        place = str(queue.index(view) + 1) if view in queue else "-"
        differs = view.mode is not view.effective_mode
        cells: tuple[Cell, ...] = (
            place,
            "task" if view.task_id else view.voice.value,
            text.clean(view.text),
            text.clean(view.sender),
            text.age(age_s),
            view.state.value,
            view.mode.value,
            (self._taken(view, queue), "needs" if differs else "plain"),
        )
        return Row(row_id, cells, version(cells))

    @staticmethod
    def _taken(view: MessageView, queue: list[MessageView]) -> str:
        """How it is taken; of a part, with which it is answered."""
        first = next((place for place, item in enumerate(queue, 1) if item.id == view.part_of), None)
        return view.effective_mode.value if first is None else f"with #{first}"

    # -- one row -------------------------------------------------------------

    def detail(self, row_id: str) -> list[Fact]:
        """All of the row under the cursor."""
        noun, _, key = row_id.partition(":")
        depth = self._mirror.queue_of(self.session_id)
        approval = self._mirror.approvals.get(key) if noun == "approval" else None
        if approval is not None:
            facts = approval_facts(approval, self.stage.age_s, behind=depth)
            if approval.state is ApprovalState.OPEN:
                facts.insert(1, ("holds up", hangs_words(approval, depth), "needs"))
                facts.insert(1, ("time", left_words(approval, self.stage.age_s), "needs"))
            return facts
        message = self.message(key) if noun == "message" else None
        if message is None:
            return []
        queue = self.queue()
        place = f"{queue.index(message) + 1} of {len(queue)}" if message in queue else message.state.value
        return message_facts(message, self.stage.age_s, place=place)
