"""Where the relay meets agents and conversations: peers get agents to work, and bots' answers reach who asked."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

from core.agent_side import AgentSide
from core.agents.ports import Conversations, Handover
from core.api.base import Actor, ActorKind, AgentName, RunId, SessionId, TaskId
from core.api.errors import ConflictError, HermesError, InvalidInput, NotFound, Refused
from core.api.platforms import RELAY_PLATFORM, RESERVED_PLATFORMS, TASKS_PLATFORM
from core.api.relay_tasks import RelayState
from core.api.sessions import ChatKind, GetSession, Mode, SendReceipt, SessionView, Source
from core.api.tasks import ANSWER_LIMIT, CancelTask, GetTask, Provenance, StartTask, TaskState, TaskView
from core.api.transcripts import EntryKind, EntryView, ReadTranscript
from core.automation_side import Facade
from core.clock import Clock
from core.gateway.rows import Seen, body_of, dedupe_key
from core.gateway.source import session_id, source_of
from core.gateway.target import Explicit, formatted
from core.pages import Pages
from core.relay.answer_waits import AnswerWaits
from core.relay.ports import Work, WorkState
from core.store.base import MUST_NOT_EXIST, Put

_NO_HOOK = 0
"""Each message is a task of its own that waits for its turn in the session, and never joins one that goes on."""

_LABEL_LIMIT = 80
_ENTRIES = 200
_STATES = {
    TaskState.IDLE: RelayState.COMPLETED,
    TaskState.DONE: RelayState.COMPLETED,
    TaskState.ERROR: RelayState.FAILED,
    TaskState.DROPPED: RelayState.FAILED,
    TaskState.CANCELLED: RelayState.CANCELED,
}


class Notes(Protocol):
    """Puts something into a transcript that begins no turn."""

    async def note(self, source: Source, text: str, *, author: str, actor: Actor) -> SessionId | None:
        """Note it as something that was said to the people there; None when that cannot be done."""
        ...


class Post(Protocol):
    """Takes texts to chats."""

    async def send(self, target: str, text: str, *, key: str) -> None:
        """Store it for delivery, once for each key. Raises HermesError."""
        ...


class RelayOffice:
    """The Workers and the Askers of a core: tasks are started as any client does it."""

    def __init__(
        self,
        facade: Facade,
        agents: AgentSide,
        conversations: Conversations,
        *,
        notes: Notes,
        post: Post,
        clock: Clock,
        waits: AnswerWaits,
    ) -> None:
        self._clock = clock
        self._waits = waits
        self._facade = facade
        self._agents = agents
        self._conversations = conversations
        self._notes = notes
        self._post = post

    # -- workers

    def find(self, name: str | None) -> AgentName | None:
        """The agent of that name, the default one for None."""
        return self._agents.runs.find_agent(name)

    def session_of(self, peer: str, conversation: str, agent: AgentName) -> SessionId:
        """The conversation here in which an agent answers a peer's messages of one conversation.

        A session belongs to one agent, so a peer that is given another one begins anew.
        """
        source = Source(platform=RELAY_PLATFORM, kind=ChatKind.DM, chat=f"{peer}@{agent}", thread=conversation)
        return session_id(source)

    async def start(self, work: Work) -> TaskId:
        """Give it to the agent; see relay.ports.Workers."""
        peer = Actor(ActorKind.SENDER, f"{RELAY_PLATFORM}:{work.peer}")
        agent = self.find(work.agent)
        if agent is None:
            raise NotFound(f"no agent {work.agent}", noun="agent", id=work.agent, fix="see `agents list`")
        order = StartTask(
            text=work.text,
            agent=agent,
            session_id=self.session_of(work.peer, work.conversation, agent),
            # A key has 200 characters at most, and a peer may give its messages longer ids.
            idempotency_key=f"relay:{hashlib.sha256(work.key.encode()).hexdigest()}",
            hook_id=_NO_HOOK,
            queue_mode=Mode.QUEUE,
            label=f"relay {work.peer}"[:_LABEL_LIMIT],
            spawned_by=peer.name,
            provenance=Provenance(source=work.peer, message_id=work.wire_id, channel=RELAY_PLATFORM),
        )
        return (await self._facade.execute(order, actor=peer)).task.id

    async def look(self, task_id: TaskId) -> WorkState:
        """How far it is. Raises NotFound."""
        task = (await self._facade.query(GetTask(task_id=task_id))).task
        state = _STATES.get(task.state, RelayState.WORKING)
        answer = await self._answer(task) if state is RelayState.COMPLETED else ""
        return WorkState(state=state, answer=answer, error=task.error)

    async def cancel(self, task_id: TaskId, reason: str) -> None:
        """Stop it. One that is over stays as it is."""
        try:
            await self._facade.execute(CancelTask(task_id=task_id, reason=reason), actor=_RELAY)
        except (Refused, NotFound) as error:
            if error.retryable:
                raise

    async def _answer(self, task: TaskView) -> str:
        """All of the answer: a task keeps only its beginning."""
        if len(task.answer) < ANSWER_LIMIT or task.target_run_id is None:
            return task.answer
        try:
            page = await self._facade.query(ReadTranscript(session_id=task.session_id, limit=_ENTRIES))
        except HermesError:
            return task.answer
        whole = _said(page.entries, task.target_run_id)
        return whole if whole.startswith(task.answer[:_BEGINNING]) else task.answer

    # -- askers

    def exists(self, session_id: SessionId) -> bool:
        """Whether it can be the id of one."""
        try:
            self._conversations.check_session(session_id)
        except InvalidInput:
            return False
        return True

    async def tell(
        self, session_id: SessionId, text: str, *, bot: str, is_answer: bool, key: str = "", by: str = ""
    ) -> None:
        """Put what became of it into the conversation; see relay.ports.Askers."""
        told = f"{bot} answers: {text}" if is_answer else f"no answer from {bot}: {text}"
        if await self._waits.give(_task_id_of(key), told):
            return
        is_asked_in_chat = by.startswith(f"{source_of(session_id).platform}:")
        if is_answer and not is_asked_in_chat:
            await self._give(await self._session(session_id), text, bot, key)
            return
        said = f"{bot} answers: {text}" if is_answer else f"Relay to {bot}: {text}"
        try:
            source = (await self._session(session_id)).source
        except NotFound:
            # Somebody ordered it in a chat before anything else was said there.
            source = source_of(session_id)
        if source.platform not in RESERVED_PLATFORMS:
            await self._say(source, said, key)
        # Never as an operator's note: agents obey those, and here the words may be somebody else's.
        await self._notes.note(source, said, author=f"{bot} (relay)", actor=_RELAY)

    async def _session(self, session_id: SessionId) -> SessionView:
        return (await self._facade.query(GetSession(session_id=session_id))).session

    async def _give(self, view: SessionView, text: str, bot: str, key: str) -> None:
        """Have the agent that asked go on with the answer: under the terms of its task where it was one that asked."""
        is_task = view.source.platform == TASKS_PLATFORM
        dedupe = dedupe_key(RELAY_PLATFORM, key) if key else ""

        def pages(receipt: SendReceipt) -> Pages:
            seen = body_of(Seen(receipt.message_id, receipt.session_id, self._clock.now()))
            return Pages([Put(dedupe, seen, MUST_NOT_EXIST)] if dedupe else ())

        try:
            await self._conversations.hand_over(
                Handover(
                    session_id=view.id,
                    agent=view.agent,
                    text=text,
                    sender=bot,
                    mode=Mode.FOLLOWUP,
                    task_id=None,
                    actor=_RELAY,
                    pages=pages,
                    terms_of=TaskId(view.source.chat) if is_task else None,
                )
            )
        except ConflictError as error:
            # It was told already under that key.
            if not dedupe or error.facts.get("key") != dedupe:
                raise

    async def _say(self, source: Source, text: str, key: str) -> None:
        target = formatted(Explicit(source.platform, source.chat, source.thread))
        try:
            await self._post.send(target, text, key=f"relay:{key}" if key else "")
        except (InvalidInput, NotFound, Refused) as error:
            # Callers of such a connection wait for their answers and get nothing else; it stands in the transcript.
            if error.retryable:
                raise


def _task_id_of(key: str) -> str:
    """The message that a key of the relay is about: relay:ID:..."""
    return key.removeprefix("relay:").partition(":")[0]


def _said(entries: Sequence[EntryView], run_id: RunId) -> str:
    """What an agent said in one run."""
    texts = (entry.text for entry in entries if entry.kind is EntryKind.AGENT and entry.run_id == run_id)
    return "\n\n".join(texts)


_RELAY = Actor(ActorKind.SYSTEM, "relay")
_BEGINNING = 1_000
