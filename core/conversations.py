"""Where agents meet the gateway: what tasks need of sessions, done with real ones."""

from collections.abc import Callable, Sequence

from core.agents.ports import Handover
from core.api.base import Actor, AgentName, EntryId, MessageId, PlatformName, RunId, SessionId, TaskId
from core.api.errors import ConflictError, InvalidInput, NotFound, Refused
from core.api.platforms import TASKS_PLATFORM
from core.api.session_queue import DropMessage
from core.api.sessions import ChatKind, MessageView, Mode, SendMessage, SendReceipt, Source, Voice
from core.api.tasks import Routing
from core.api.transcripts import EntryView
from core.gateway.lanes import Lanes
from core.gateway.offer import Offer, check_agent
from core.gateway.operations import Operations
from core.gateway.sessions import Sessions
from core.gateway.source import session_id, source_of

_PAGE = 500
_PAGES = 10


class SessionConversations:
    """Sessions as the agents' tasks use them. sends_to: whether a platform is there and takes answers."""

    def __init__(
        self, *, lanes: Lanes, sessions: Sessions, operations: Operations, sends_to: Callable[[PlatformName], bool]
    ) -> None:
        self._sends_to = sends_to
        self._lanes = lanes
        self._sessions = sessions
        self._operations = operations

    def new_session_id(self, task_id: TaskId) -> SessionId:
        """The id of a session for one task alone."""
        return session_id(Source(platform=TASKS_PLATFORM, kind=ChatKind.DM, chat=task_id))

    def check_session(self, session_id: SessionId) -> None:
        """Raises InvalidInput when it can be the id of no session."""
        source_of(session_id)

    def check_delivery(self, routing: Routing, *, has_own: bool) -> None:
        """Raises InvalidInput when an answer cannot be sent where it is to go. has_own: its session may be a chat."""
        chat = destination(routing)
        if chat is None:
            if has_own and not routing.channel and not routing.to:
                return
            field = "to" if routing.channel else "channel"
            raise InvalidInput(
                "the answer is to be delivered, and nobody says where",
                field=f"routing.{field}",
                value="",
                fix="name routing.channel, a platform, and routing.to, a chat of it",
            )
        if not self._sends_to(chat.platform):
            raise InvalidInput(
                f"{chat.platform} is no platform that answers can be sent to",
                field="routing.channel",
                value=chat.platform,
                fix="see `platforms list`",
            )

    async def hand_over(self, handover: Handover) -> SendReceipt:
        """Put a task's message into the queue of its session, which is made when it is not there.

        Raises what `Sessions.take_in` raises; InvalidInput when the session is no id, or another agent's.
        """
        wanted = SessionId(handover.session_id)
        # What is read of it is at hand when its message comes.
        with self._lanes.kept(wanted):
            return (await self._sessions.take_in(await self._offer(handover, wanted))).receipt

    async def _offer(self, handover: Handover, wanted: SessionId) -> Offer:
        source, agent = source_of(wanted), AgentName(handover.agent)
        try:
            view = self._lanes.view(await self._lanes.existing(wanted))
        except NotFound:
            pass
        else:
            source = view.source
            check_agent(view, agent)
        deliver = None if handover.deliver is None else destination(handover.deliver)
        return Offer(
            source=source,
            agent=agent,
            voice=Voice.USER,
            sender=handover.sender,
            sender_id=handover.sender,
            text=handover.text,
            mode=handover.mode,
            actor=handover.actor,
            title=handover.title,
            model=handover.model,
            task_id=handover.task_id,
            terms_of=handover.terms_of,
            pages=handover.pages,
            deliver=deliver,
            deliver_to=handover.deliver.reply_to if handover.deliver is not None else "",
        )

    def live_run(self, session_id: SessionId) -> RunId | None:
        """The run that holds the session."""
        lane = self._lanes.find(session_id)
        return None if lane is None else lane.holder()

    def waiting(self, session_id: SessionId) -> Sequence[MessageView]:
        """Messages that wait in a session that is in memory."""
        lane = self._lanes.find(session_id)
        return () if lane is None else [lane.waiting[item].message for item in lane.guard.queue]

    async def stop(self, session_id: SessionId, *, message_id: MessageId | None, reason: str, actor: Actor) -> bool:
        """Let a waiting message go, or stop the run that answers it; None: whatever runs. False when it is neither."""
        lane = self._lanes.find(session_id)
        if lane is None or lane.view is None:
            return False
        if message_id is None or message_id in lane.guard.running:
            try:
                return await self._operations.stop_run(lane, reason, actor, expected=lane.guard.run_id) is not None
            except ConflictError:
                return False
        order = DropMessage(session_id=session_id, message_id=message_id, reason=reason)
        try:
            await self._operations.drop_message(order, actor)
        except NotFound:
            return False
        except Refused:
            # Its run began at this moment.
            return await self.stop(session_id, message_id=message_id, reason=reason, actor=actor)
        return True

    async def said(self, session_id: SessionId, epoch: int) -> Sequence[EntryView]:
        """What was said in one epoch of a session, the oldest first; at most 5,000 entries are looked at."""
        found: list[EntryView] = []
        before: EntryId | None = None
        for _ in range(_PAGES):
            page = await self._lanes.entries(session_id, before, _PAGE)
            found = [entry for entry in page if entry.epoch == epoch] + found
            if len(page) < _PAGE:
                break
            before = page[0].id
        return found

    async def note(self, session_id: SessionId, text: str, actor: Actor) -> None:
        """Put an operator's note to a session as a followup."""
        order = SendMessage(session_id=session_id, text=text, voice=Voice.NOTE, mode=Mode.FOLLOWUP)
        await self._sessions.send_message(order, actor)


def destination(routing: Routing) -> Source | None:
    """The chat that an answer is to go to besides its own; None when none is named. Raises InvalidInput."""
    if not routing.channel or not routing.to:
        return None
    kind = ChatKind.GROUP if routing.group_id else ChatKind.DM
    source = Source(
        platform=PlatformName(routing.channel),
        kind=ChatKind.THREAD if routing.thread_id else kind,
        chat=routing.to,
        thread=routing.thread_id or None,
    )
    session_id(source)
    return source
