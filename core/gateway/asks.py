"""What agents ask, shown in the chats of their sessions: stored with its message, and closed there once it is over."""

import asyncio
from collections.abc import Callable
from typing import get_args

import msgspec

from core.api.approvals import (
    ApprovalAsked,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalOrphaned,
    ApprovalState,
    ApprovalView,
    ApprovalWithdrawn,
    GetApproval,
    ListApprovals,
    NoteApproval,
)
from core.api.base import SYSTEM, ApprovalId, DeliveryId, PlatformName, Record, SessionId, TaskId
from core.api.errors import HermesError, NotFound
from core.api.platforms import TASKS_PLATFORM
from core.api.runs import ActionKind
from core.api.sessions import ChatKind, Source
from core.api.tasks import GetTask, TaskView
from core.gateway import rows
from core.gateway.ask import SHOWN_LIMIT, Shown, ask_text, buttons, is_whole, settled_text, shown_limit
from core.gateway.command_ports import Facade
from core.gateway.lanes import Lanes
from core.gateway.platform import Limits, Outbound
from core.gateway.replies import Replies
from core.gateway.source import source_of
from core.ids import IdSource
from core.journal import Journal
from core.store.base import Put, Store
from core.supervisor import Supervisor

ROWS = "chatask/"
_PAGE = 500
_OPEN_LIMIT = 1_000
_STEM_LETTERS = 12
_Ended = ApprovalDecided | ApprovalExpired | ApprovalWithdrawn | ApprovalOrphaned

_shown = msgspec.json.Decoder(Shown)


class Asks:
    """The same approvals that the console shows; a chat is one more place to see and to decide them.

    facade: by which they are read. limits: of a connection.
    """

    def __init__(
        self,
        *,
        facade: Facade,
        lanes: Lanes,
        replies: Replies,
        store: Store,
        journal: Journal,
        ids: IdSource,
        supervisor: Supervisor,
        limits: Callable[[PlatformName], Limits | None],
    ) -> None:
        self._facade = facade
        self._lanes = lanes
        self._replies = replies
        self._store = store
        self._journal = journal
        self._ids = ids
        self._supervisor = supervisor
        self._limits = limits
        self._rows: dict[ApprovalId, Shown] = {}
        self._by_delivery: dict[DeliveryId, ApprovalId] = {}
        # Looked at with every message, unlike the others.
        self._questions: dict[ApprovalId, None] = {}
        self._told: set[ApprovalId] = set()
        # Nothing told from then on is missed, which a subscription from the present head could.
        self._news: asyncio.Queue[ApprovalAsked | _Ended] = asyncio.Queue()

    async def open(self) -> None:
        """Read what chats were told before, and take note of what happens from now on. Raises StoreError."""
        after = ""
        while page := await self._store.scan(ROWS, after=after, limit=_PAGE):
            after = page[-1].key
            for row in page:
                self._keep(_shown.decode(row.body))
        self._journal.on_record(self._see, ApprovalAsked, *get_args(_Ended))

    async def run(self) -> None:
        """Show what is asked, and close what is over, until cancelled."""
        await self._catch_up()
        while True:
            event = await self._news.get()
            if isinstance(event, ApprovalAsked):
                await self.show(event.approval)
            elif event.approval.state is not ApprovalState.OPEN:
                await self.close(event.approval)

    async def show(self, view: ApprovalView) -> None:
        """Tell the chat of its session, if it has one and was not told."""
        source, requesters = await self._place(view)
        if source is None or view.id in self._rows or not await self.is_open(view.id):
            return
        limits = self._limits(source.platform)
        stem = self._ids.new_id()[-_STEM_LETTERS:] + "."
        limit = SHOWN_LIMIT if limits is None else shown_limit(limits.text_limit)
        text, is_shown = ask_text(view, limit), is_whole(view, limit)
        offered = buttons(view, stem, limits.buttons if limits is not None and is_shown else 0)
        outbound = self._replies.outbound(view.session_id, source, text, buttons=offered)
        shown = Shown(
            approval_id=view.id,
            session_id=view.session_id,
            source=source,
            digest=view.digest,
            delivery_id=outbound.delivery_id,
            stem=stem,
            text=text,
            requesters=tuple(sorted(requesters)),
            is_question=view.action_kind is ActionKind.QUESTION,
            is_whole=is_shown,
        )
        # Before the platform can say that it has taken it.
        self._keep(shown)
        await self._replies.commit_at_last(outbound, [_put(shown)], subject=view.session_id)

    async def close(self, view: ApprovalView) -> None:
        """Have its message say that it is over, or answer it with that; once."""
        shown = self._rows.get(view.id)
        if shown is None:
            return
        limits = self._limits(shown.source.platform)
        end = settled_text(view)
        outbound: Outbound | None
        if limits is not None and limits.can_edit and shown.native_id:
            whole = f"{shown.text}\n\n{end}"
            fits = len(whole.encode()) <= limits.text_limit
            outbound = self._replies.outbound(
                shown.session_id, shown.source, whole if fits else end, edits=shown.native_id
            )
        elif view.id in self._told:
            # The command that decided it was answered with that.
            outbound = None
        else:
            outbound = self._replies.outbound(shown.session_id, shown.source, end, reply_to=shown.native_id)
        await self._replies.commit_at_last(outbound, [Put(ROWS + view.id, None)], subject=shown.session_id)
        self._drop(shown)

    def sent(self, outbound: Outbound, native_id: str) -> None:
        """A platform took a message: if it is one of these, that is remembered, and noted on the approval."""
        approval_id = self._by_delivery.get(outbound.delivery_id)
        shown = None if approval_id is None else self._rows.get(approval_id)
        if shown is not None and native_id and not shown.native_id:
            self._supervisor.spawn(f"ask:{approval_id}", self._note(shown, native_id))

    def told(self, approval_id: ApprovalId, *, is_told: bool = True) -> None:
        """The chat is told of its end by somebody else, or is not after all."""
        if is_told and approval_id in self._rows:
            self._told.add(approval_id)
        else:
            self._told.discard(approval_id)

    @property
    def has_questions(self) -> bool:
        """Whether any question was put to any chat and is not answered."""
        return bool(self._questions)

    def find(self, approval_id: ApprovalId) -> Shown | None:
        """What a chat was told of an approval."""
        return self._rows.get(approval_id)

    def by_token(self, token: str) -> Shown | None:
        """The one that a button belongs to."""
        return next((shown for shown in self._rows.values() if token.startswith(shown.stem)), None)

    def by_message(self, platform: PlatformName, native_id: str) -> Shown | None:
        """The one that a message of ours shows."""
        if not native_id:
            return None
        return next(
            (item for item in self._rows.values() if item.native_id == native_id and item.source.platform == platform),
            None,
        )

    def questions_of(self, session_id: SessionId) -> tuple[Shown, ...]:
        """Questions that wait in a session."""
        found = (self._rows[item] for item in self._questions)
        return tuple(item for item in found if item.session_id == session_id)

    def requesters(self, session_id: SessionId) -> frozenset[str]:
        """Ids of those whose messages are being answered in a session."""
        lane = self._lanes.find(session_id)
        if lane is None:
            return frozenset()
        running = (lane.waiting.get(item) for item in lane.guard.running)
        return frozenset(item.sender_id for item in running if item is not None and item.sender_id)

    def _see(self, record: Record) -> None:
        if isinstance(record.event, ApprovalAsked | _Ended):
            self._news.put_nowait(record.event)

    async def _catch_up(self) -> None:
        listed = await self._facade.query(ListApprovals(open_only=True, limit=_OPEN_LIMIT))
        for view in listed.approvals:
            await self.show(view)
        for shown in list(self._rows.values()):
            try:
                view = await self._facade.query(GetApproval(approval_id=shown.approval_id))
            except NotFound:
                await self._replies.commit_at_last(
                    None, [Put(ROWS + shown.approval_id, None)], subject=shown.session_id
                )
                self._drop(shown)
            else:
                if view.state is not ApprovalState.OPEN:
                    await self.close(view)

    async def is_open(self, approval_id: ApprovalId) -> bool:
        """Whether an approval still waits for somebody's decision."""
        try:
            view = await self._facade.query(GetApproval(approval_id=approval_id))
        except NotFound:
            return False
        return view.state is ApprovalState.OPEN

    async def _place(self, view: ApprovalView) -> tuple[Source | None, frozenset[str]]:
        """The chat that is told of it, None for none, and the ids there of those whose messages led to it."""
        lane = self._lanes.find(view.session_id)
        source = source_of(view.session_id) if lane is None or lane.view is None else lane.view.source
        requesters = self.requesters(view.session_id)
        if source.platform == TASKS_PLATFORM and view.task_id is not None and GetTask in self._facade.words:
            origin, task = None, await self._task(view.task_id)
            if task is not None and task.deliver:
                origin = destination(task)
            if task is None or origin is None:
                return None, frozenset()
            source = origin
            begin = f"{origin.platform}:"
            requesters = frozenset({task.spawned_by.removeprefix(begin)} if task.spawned_by.startswith(begin) else ())
        limits = self._limits(source.platform)
        # A program at the other end knows nothing of decisions; the console's own chat has an inbox for them.
        is_for_people = limits is not None and limits.sends_answers and not limits.proves_senders
        return (source if is_for_people else None), requesters

    async def _task(self, task_id: TaskId) -> TaskView | None:
        try:
            return (await self._facade.query(GetTask(task_id=task_id))).task
        except NotFound:
            return None

    async def _note(self, shown: Shown, native_id: str) -> None:
        known = msgspec.structs.replace(shown, native_id=native_id)
        self._rows[shown.approval_id] = known
        await self._replies.commit_at_last(None, [_put(known)], subject=shown.session_id)
        if shown.approval_id not in self._rows:
            # It was closed while that was written.
            await self._replies.commit_at_last(None, [Put(ROWS + shown.approval_id, None)], subject=shown.session_id)
            return
        try:
            order = NoteApproval(approval_id=shown.approval_id, surface=str(shown.source.platform))
            await self._facade.execute(order, actor=SYSTEM)
        except HermesError:
            # It is only a remark; the chat has the message.
            return

    def _keep(self, shown: Shown) -> None:
        self._rows[shown.approval_id] = shown
        self._by_delivery[shown.delivery_id] = shown.approval_id
        if shown.is_question:
            self._questions[shown.approval_id] = None

    def _drop(self, shown: Shown) -> None:
        self._rows.pop(shown.approval_id, None)
        self._by_delivery.pop(shown.delivery_id, None)
        self._questions.pop(shown.approval_id, None)
        self._told.discard(shown.approval_id)


def destination(task: TaskView) -> Source | None:
    """The chat that a task's answer goes to."""
    routing = task.routing
    if not routing.channel or not routing.to:
        return None
    kind = ChatKind.GROUP if routing.group_id else ChatKind.DM
    return Source(
        platform=PlatformName(routing.channel),
        kind=ChatKind.THREAD if routing.thread_id else kind,
        chat=routing.to,
        thread=routing.thread_id or None,
    )


def _put(shown: Shown) -> Put:
    return Put(ROWS + shown.approval_id, rows.body_of(shown))
