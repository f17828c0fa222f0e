"""Messages for runs of tasks: into the run that goes on, or as a new beginning in its session; each key once."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import msgspec

from core.agents.ports import Conversations, Handover
from core.agents.tasks.accepted import Known, content_of_input
from core.agents.tasks.check import check_input
from core.agents.tasks.dispatch import Dispatch
from core.agents.tasks.register import Entry, Register
from core.agents.tasks.rows import Letter, StoredKey, StoredTask, bare, key_put
from core.agents.tasks.task import TASK, TaskStep
from core.agents.tasks.terms import TaskTerms
from core.api.base import Actor, AgentName, RunId, TaskId
from core.api.errors import Refused
from core.api.sessions import Mode, Outcome, SendReceipt
from core.api.tasks import SendInput, TaskReceipt, TaskState
from core.clock import Clock
from core.pages import Pages
from core.store.base import Put


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """What is put to a run."""

    run_id: RunId
    text: str
    mode: Mode
    key: str
    content: str
    actor: Actor
    model: str = ""


class TaskInputs:
    """Inputs of runs. alone: keeps others with the same key out meanwhile."""

    def __init__(
        self,
        *,
        register: Register,
        terms: TaskTerms,
        dispatch: Dispatch,
        conversations: Conversations,
        clock: Clock,
        text_limit: int,
        alone: Callable[[AgentName, str], AbstractAsyncContextManager[None]],
    ) -> None:
        self._register = register
        self._terms = terms
        self._dispatch = dispatch
        self._conversations = conversations
        self._clock = clock
        self._text_limit = text_limit
        self._alone = alone

    async def send_input(self, command: SendInput, actor: Actor) -> TaskReceipt:
        """Put a message to a run; one that is over is begun again in its session.

        Raises InvalidInput, NotFound, Refused for a run of no task, ConflictError, Overloaded, StoreError.
        """
        command = check_input(command, self._text_limit)
        entry = await self._task_of(command.run_id)
        given = Input(
            run_id=command.run_id,
            text=command.text,
            mode=command.queue_mode,
            key=command.idempotency_key,
            content=content_of_input(command.run_id, command.text, command.queue_mode),
            actor=actor,
        )
        if not given.key:
            return await self._give(entry, given)
        agent = entry.facts.agent
        async with self._alone(agent, given.key):
            known = self._register.accepted.find(agent, given.key, given.content)
            return await (self._give(entry, given) if known is None else self.repeated(known))

    async def join(self, letter: Letter, run_id: RunId) -> TaskReceipt | None:
        """Give a command to the run that goes on in its session; None when that is no run of a task of its agent."""
        run = self._register.active.get(run_id)
        task_id = None if run is None else run.view.task_id
        entry = self._register.find(task_id)
        if run is None or entry is None or entry.stored is None or run.view.agent != letter.agent:
            return None
        given = Input(
            run_id=run_id,
            text=letter.text,
            mode=Mode.FOLLOWUP,
            key=letter.idempotency_key,
            content=letter.content,
            actor=letter.actor,
            model=letter.model,
        )
        return await self._give(entry, given)

    async def repeated(self, known: Known) -> TaskReceipt:
        """What came of a key that was used before for the same."""
        entry = self._register.get(known.task_id)
        view = entry.view or (await self._register.read(known.task_id)).view
        return TaskReceipt(task=bare(view), is_duplicate=True, outcome=known.outcome, run_id=known.run_id)

    async def _task_of(self, run_id: RunId) -> Entry:
        run = self._register.active.get(run_id)
        view = run.view if run is not None else (await self._register.read_run(run_id)).view
        if view.task_id is None:
            raise Refused(
                f"run {run_id} answers a chat", rule="run_without_task", field="run_id", fix="write to its session"
            )
        return self._register.get(view.task_id)

    async def _give(self, entry: Entry, given: Input) -> TaskReceipt:
        async with entry.lock:
            base = entry.writing or entry.stored or await self._register.read(entry.facts.id)
            is_live = given.run_id in self._register.active and not base.view.state.is_over
            keep = partial(self._key_puts, given, base.view.id, is_live=is_live)
            if TASK.is_final(base.view.state):
                # It stays what it is; only the conversation goes on, under the terms that it was accepted with.
                receipt = await self._hand_in(base, given, keep, is_over=True)
            elif base.view.state.is_over or (base.view.state is TaskState.WAITING and base.view.message_id is None):
                receipt = await self._dispatch.put(
                    entry, _requeued(base), text=given.text, mode=given.mode, actor=given.actor, more=keep
                )
            else:
                receipt = await self._hand_in(base, given, keep, is_over=False)
        outcome = receipt.outcome if is_live else Outcome.RESTARTED
        if given.key:
            known = Known(given.content, base.view.id, outcome, given.run_id)
            self._register.accepted.remember(base.view.agent, given.key, known)
        return TaskReceipt(task=bare(entry.view or base.view), outcome=outcome, run_id=given.run_id)

    async def _hand_in(
        self, base: StoredTask, given: Input, keep: Callable[[SendReceipt], list[Put]], *, is_over: bool
    ) -> SendReceipt:
        """Put a message to the session of a task whose row stays as it is."""
        view = base.view
        # Also of one that goes on: it may be done before this message has its turn.
        self._terms.remember(view)
        return await self._conversations.hand_over(
            Handover(
                session_id=view.session_id,
                agent=view.agent,
                text=given.text,
                sender=given.actor.name,
                mode=given.mode,
                task_id=None if is_over else view.id,
                terms_of=view.id if is_over else None,
                actor=given.actor,
                pages=lambda receipt: Pages(keep(receipt)),
                model=given.model or view.model,
                deliver=view.routing if view.deliver else None,
            )
        )

    def _key_puts(self, given: Input, task_id: TaskId, receipt: SendReceipt, *, is_live: bool) -> list[Put]:
        if not given.key:
            return []
        agent = self._register.get(task_id).facts.agent
        key = StoredKey(
            agent=agent,
            key=given.key,
            content=given.content,
            task_id=task_id,
            outcome=receipt.outcome if is_live else Outcome.RESTARTED,
            run_id=given.run_id,
        )
        return [key_put(key)]


def _requeued(base: StoredTask) -> StoredTask:
    view = msgspec.structs.replace(
        base.view,
        state=TASK.step(base.view.state, TaskStep.REQUEUE),
        ended=None,
        error="",
        dropped_reason=None,
        archived=None,
    )
    return msgspec.structs.replace(base, view=view)
