"""All that deals with tasks, put together: what a core needs to have them."""

from collections.abc import Callable
from functools import partial

from core.agents.ports import Conversations, TaskPost
from core.agents.tasks.booked import Hooks
from core.agents.tasks.dispatch import Dispatch
from core.agents.tasks.keeping import KEPT, TaskKeeping
from core.agents.tasks.ledger import Ledger
from core.agents.tasks.lists import TaskLists
from core.agents.tasks.register import Register
from core.agents.tasks.streams import Streams
from core.agents.tasks.tasks import Tasks
from core.agents.tasks.terms import Staff, TaskTerms
from core.agents.tools.assets import Attachments
from core.api.base import SYSTEM, RunId, SessionId
from core.clock import Clock
from core.handlers import CommandHandlers, QueryHandlers
from core.ids import IdSource
from core.journal import Journal
from core.store.base import Store
from core.supervisor import Supervisor


class Tasking:
    """The tasks of a core.

    open() comes before sessions take up what was left, since they write into the ledger then; recover() after that;
    start() last. on_fault(what, error): told of a fault of ours. text_limit: characters of one message.
    """

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        boot: int,
        attachments: Attachments,
        conversations: Conversations,
        post: TaskPost,
        staff: Staff,
        on_fault: Callable[[str, Exception], None],
        text_limit: int = 200_000,
        kept: int = KEPT,
    ) -> None:
        self._conversations = conversations
        self._supervisor = supervisor
        self._post = post
        self._journal = journal
        self.register = Register(store, clock)
        self.terms = TaskTerms(register=self.register, journal=journal, staff=staff)
        self.dispatch = Dispatch(
            register=self.register,
            terms=self.terms,
            conversations=conversations,
            post=post,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            attachments=attachments,
            on_fault=on_fault,
        )
        hooks = Hooks(
            waiting=conversations.waiting,
            terms=self.terms.run_terms,
            retry=self.dispatch.retry,
            freed=self.dispatch.wake,
            reject=self._reject,
        )
        self.ledger = Ledger(register=self.register, journal=journal, clock=clock, boot=boot, hooks=hooks)
        self.tasks = Tasks(
            register=self.register,
            terms=self.terms,
            dispatch=self.dispatch,
            conversations=conversations,
            post=post,
            journal=journal,
            clock=clock,
            ids=ids,
            text_limit=text_limit,
        )
        self.keeping = TaskKeeping(
            register=self.register,
            ledger=self.ledger,
            dispatch=self.dispatch,
            terms=self.terms,
            conversations=conversations,
            post=post,
            store=store,
            journal=journal,
            clock=clock,
            on_fault=on_fault,
            kept=kept,
        )
        self.lists = TaskLists(register=self.register, store=store, journal=journal, clock=clock)
        self.streams = Streams(register=self.register, conversations=conversations, clock=clock, boot=boot)

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return self.tasks.commands

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {**self.lists.queries, **self.streams.queries}

    async def open(self) -> None:
        """Read what is stored. Raises StoreError."""
        await self._post.open()
        await self.register.open()
        self._journal.on_record(self.streams.take)

    async def recover(self) -> int:
        """Take up what an earlier start left. Returns runs that nobody else knew. Raises StoreError."""
        return await self.keeping.recover()

    def start(self) -> None:
        """Begin to hand tasks out, and to let old ones go."""
        self.dispatch.start()
        self._supervisor.start("task upkeep", self.keeping.run)

    def _reject(self, session_id: SessionId, run_id: RunId) -> None:
        """A run began for a task that is over: stop it."""
        run = self.register.active.get(run_id)
        message_id = None if run is None or not run.view.message_ids else run.view.message_ids[0]
        stop = partial(self._conversations.stop, session_id, message_id=message_id, actor=SYSTEM)
        self._supervisor.spawn(f"reject:{run_id}", stop(reason="its task is over"))
