"""Work for agents: accepted durably and once, cancelled, tried again, put away."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from core.agents.ports import Conversations, TaskPost
from core.agents.tasks.accepted import content_of_command, place_of
from core.agents.tasks.check import check_command, check_reason
from core.agents.tasks.dispatch import Dispatch
from core.agents.tasks.inputs import TaskInputs
from core.agents.tasks.register import Entry, Register
from core.agents.tasks.rows import Letter, bare, letter_of, stored_of
from core.agents.tasks.task import TASK, TaskStep
from core.agents.tasks.terms import Copy, TaskTerms
from core.api import tasks as words
from core.api.base import Actor, AgentName, Event, Mark, RunId, SessionId, TaskId
from core.api.errors import Refused
from core.api.sessions import Mode
from core.api.tasks import (
    ArchiveTask,
    CancelRun,
    CancelTask,
    RetryTask,
    StartTask,
    TaskArchived,
    TaskKind,
    TaskQueued,
    TaskReceipt,
    TaskState,
    TaskView,
    UnarchiveTask,
)
from core.clock import Clock, mark
from core.handlers import CommandHandlers
from core.ids import IdSource
from core.journal import Journal

_CANCELLED = "cancelled by user"


class Tasks:
    """Every command about tasks. text_limit: characters of one task's text."""

    def __init__(
        self,
        *,
        register: Register,
        terms: TaskTerms,
        dispatch: Dispatch,
        conversations: Conversations,
        post: TaskPost,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        text_limit: int = 200_000,
    ) -> None:
        self._register = register
        self._terms = terms
        self._dispatch = dispatch
        self._conversations = conversations
        self._post = post
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._text_limit = text_limit
        # By key; a future where somebody else waits for it.
        self._storing: dict[str, asyncio.Future[None] | None] = {}
        self._inputs = TaskInputs(
            register=register,
            terms=terms,
            dispatch=dispatch,
            conversations=conversations,
            clock=clock,
            text_limit=text_limit,
            alone=self.alone,
        )

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            words.StartTask: self.start_task,
            words.SendInput: self._inputs.send_input,
            words.CancelTask: self.cancel_task,
            words.CancelRun: self.cancel_run,
            words.RetryTask: self.retry_task,
            words.ArchiveTask: self.archive_task,
            words.UnarchiveTask: self.unarchive_task,
        }

    # -- accepting

    async def start_task(self, command: StartTask, actor: Actor) -> TaskReceipt:
        """Accept work; it is durable when this returns.

        Raises InvalidInput, NotFound, Refused, ConflictError, Overloaded, StoreError.
        """
        command = check_command(command, self._text_limit)
        agent = self._terms.agent(command.agent)
        copy = self._terms.now(agent)
        if command.policy is not None:
            self._terms.check(command.policy)
        elif copy.refusal:
            self._terms.check(copy.policy)
        if copy.fingerprint not in self._register.profiles:
            await self._terms.keep(copy)
        if command.parent_id is not None:
            self._register.get(command.parent_id)
        if command.session_id:
            self._conversations.check_session(SessionId(command.session_id))
        if command.deliver:
            self._conversations.check_delivery(command.routing, has_own=bool(command.session_id))
        if command.idempotency_key:
            return await self._once(command, agent, copy, actor)
        return await self._begin(command, agent, copy, actor, "")

    async def _once(self, command: StartTask, agent: AgentName, copy: Copy, actor: Actor) -> TaskReceipt:
        key = command.idempotency_key
        content = content_of_command(command, agent)
        place = place_of(agent, key)
        # As alone() does, with nothing that can be saved: there may be many in a second.
        while place in self._storing:
            await self._other(place)
        self._storing[place] = None
        try:
            known = self._register.accepted.find(agent, key, content)
            if known is not None:
                return await self._inputs.repeated(known)
            return await self._begin(command, agent, copy, actor, content)
        finally:
            self._leave(place)

    async def _begin(self, command: StartTask, agent: AgentName, copy: Copy, actor: Actor, content: str) -> TaskReceipt:
        """Accept a command, or give it to the run that goes on in its session."""
        letter = self._letter(command, agent, copy, actor, content)
        run_id = None
        if command.session_id and command.hook_id is None:
            run_id = self._conversations.live_run(SessionId(command.session_id))
        if run_id is None:
            return await self._accept(letter, copy)
        receipt = await self._inputs.join(letter, run_id)
        return receipt or await self._put_in(letter, copy, run_id)

    async def _accept(self, letter: Letter, copy: Copy) -> TaskReceipt:
        mail_id = await self._post.post(letter, order_key=letter.session_id)
        entry, view = self._entry(letter, copy)
        entry.mail_id = mail_id
        self._register.add(entry)
        self._register.remember(letter)
        self._dispatch.add(view)
        shown = bare(view)
        self._journal.publish(view.session_id, TaskQueued(task=shown), actor=letter.actor)
        return TaskReceipt(task=shown)

    async def _put_in(self, letter: Letter, copy: Copy, run_id: RunId) -> TaskReceipt:
        """A command for a session in which a run goes on that is no task's: a followup, and a task of its own."""
        letter = msgspec.structs.replace(letter, kind=TaskKind.RUN_INPUT, queue_mode=Mode.FOLLOWUP)
        entry, view = self._entry(letter, copy)
        self._register.add(entry)
        try:
            async with entry.lock:
                assert entry.stored is not None, "it has just been made"
                receipt = await self._dispatch.put(entry, entry.stored, text=view.text, mode=Mode.FOLLOWUP)
        except BaseException:
            if not entry.is_handed:
                self._register.forget(view.id)
            raise
        self._register.remember(letter)
        task = entry.view or view
        return TaskReceipt(task=bare(task), outcome=receipt.outcome, run_id=run_id)

    def _letter(self, command: StartTask, agent: AgentName, copy: Copy, actor: Actor, content: str) -> Letter:
        task_id = TaskId(self._ids.new_id())
        session_id = command.session_id or self._conversations.new_session_id(task_id)
        return letter_of(
            command,
            task_id=task_id,
            agent=agent,
            session_id=SessionId(session_id),
            profile=copy.fingerprint,
            at=self._clock.now(),
            actor=actor,
            content=content,
        )

    def _entry(self, letter: Letter, copy: Copy) -> tuple[Entry, TaskView]:
        accepted = Mark(letter.accepted_at, self._clock.monotonic())
        stored = stored_of(letter, copy.policy, accepted)
        return Entry(stored), stored.view

    @asynccontextmanager
    async def alone(self, agent: AgentName, key: str) -> AsyncGenerator[None]:
        """One at a time for each key: who comes second finds what the first has done."""
        place = place_of(agent, key)
        while place in self._storing:
            await self._other(place)
        self._storing[place] = None
        try:
            yield
        finally:
            self._leave(place)

    async def _other(self, place: str) -> None:
        """Until somebody else is done with the key."""
        over = self._storing[place]
        if over is None:
            over = self._storing[place] = asyncio.get_running_loop().create_future()
        await asyncio.shield(over)

    def _leave(self, place: str) -> None:
        over = self._storing.pop(place)
        if over is not None:
            over.set_result(None)

    # -- orders

    async def cancel_task(self, command: CancelTask, actor: Actor) -> TaskReceipt:
        """Stop a task. It is cancelled when this returns; what still runs of it is told to stop.

        Raises NotFound, Refused when it is over for good, StoreError.
        """
        reason = check_reason(command.reason) or _CANCELLED
        entry = self._register.get(command.task_id)
        async with entry.lock:
            view = await self._view(entry)
            if view.state is TaskState.CANCELLED:
                return TaskReceipt(task=bare(view), is_duplicate=True)
            if TASK.is_final(view.state):
                raise _refused(view, "cancelled")
            ended = await self._dispatch.end(entry, view, TaskStep.CANCEL, error=reason, actor=actor)
        await self._stop(view, reason, actor)
        return TaskReceipt(task=bare(ended), run_id=view.target_run_id)

    async def _stop(self, view: TaskView, reason: str, actor: Actor) -> None:
        """Let go of what waits of a task in its session, and stop what runs of it."""
        for message in list(self._conversations.waiting(view.session_id)):
            if message.task_id == view.id:
                await self._conversations.stop(view.session_id, message_id=message.id, reason=reason, actor=actor)
        if view.message_id is not None:
            await self._conversations.stop(view.session_id, message_id=view.message_id, reason=reason, actor=actor)

    async def cancel_run(self, command: CancelRun, actor: Actor) -> TaskReceipt:
        """Stop a run of a task: the task is cancelled with it. Raises NotFound, Refused when it is not going on."""
        run = self._register.active.get(command.run_id)
        if run is None:
            raise Refused(
                f"run {command.run_id} does not go on", rule="run_over", field="run_id", fix="see `tasks runs`"
            )
        if run.view.task_id is None:
            raise Refused(
                f"run {command.run_id} answers a chat", rule="run_without_task", fix="interrupt the session instead"
            )
        return await self.cancel_task(CancelTask(task_id=run.view.task_id, reason=command.reason), actor)

    async def retry_task(self, command: RetryTask, actor: Actor) -> TaskReceipt:
        """Try a task again. Raises NotFound, Refused in a state from which it cannot be, StoreError."""
        entry = self._register.get(command.task_id)
        async with entry.lock:
            view = await self._view(entry)
            if view.state not in {TaskState.IDLE, TaskState.ERROR, TaskState.DROPPED}:
                raise _refused(view, "tried again")
            stored = await self._register.read(view.id)
            agent = self._terms.agent(view.agent)
            copy = self._terms.now(agent)
            policy = view.policy if stored.own_policy else copy.policy
            self._terms.check(policy)
            await self._terms.keep(copy)
            again = msgspec.structs.replace(
                view,
                version=view.version + 1,
                state=TASK.step(view.state, TaskStep.REQUEUE),
                changed=mark(self._clock),
                ended=None,
                message_id=None,
                dropped_reason=None,
                error="",
                policy=policy,
                profile_fingerprint=copy.fingerprint,
                max_attempts=max(view.max_attempts, view.attempt_count + policy.retry.max_attempts),
                archived=None,
            )
            await self._dispatch.write(
                entry, msgspec.structs.replace(stored, view=again), TaskQueued(task=bare(again)), actor
            )
            self._dispatch.add(again)
        return TaskReceipt(task=bare(again))

    async def archive_task(self, command: ArchiveTask, actor: Actor) -> TaskReceipt:
        """Hide a task that is over. Raises NotFound, Refused while it is not, StoreError."""
        return await self._put_away(command.task_id, actor, is_archived=True)

    async def unarchive_task(self, command: UnarchiveTask, actor: Actor) -> TaskReceipt:
        """Show it again. Raises NotFound, StoreError."""
        return await self._put_away(command.task_id, actor, is_archived=False)

    async def _put_away(self, task_id: TaskId, actor: Actor, *, is_archived: bool) -> TaskReceipt:
        entry = self._register.get(task_id)
        async with entry.lock:
            view = await self._view(entry)
            if is_archived and not view.state.is_over:
                raise _refused(view, "archived")
            if (view.archived is not None) is is_archived:
                return TaskReceipt(task=bare(view), is_duplicate=True)
            after = msgspec.structs.replace(
                view, version=view.version + 1, archived=mark(self._clock) if is_archived else None
            )
            stored = msgspec.structs.replace(await self._register.read(task_id), view=after)
            event: Event = TaskArchived(task=bare(after))
            await self._dispatch.write(entry, stored, event, actor)
        return TaskReceipt(task=bare(after))

    async def _view(self, entry: Entry) -> TaskView:
        return entry.view or (await self._register.read(entry.facts.id)).view


def _refused(view: TaskView, what: str) -> Refused:
    return Refused(
        f"a task that is {view.state.value} cannot be {what}", rule="task_state", field="task_id", id=view.id
    )
