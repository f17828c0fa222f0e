"""The receiving side of a relay over a store in memory; agents, trails and far callbacks are in the hands of a test."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from core.api.base import AgentName, Event, Mark, Record, SessionId, TaskId
from core.api.errors import HermesError, NotFound
from core.api.platforms import RELAY_PLATFORM
from core.api.relay_tasks import AttemptResult, RelayState
from core.api.tasks import Provenance, TaskEnded, TaskKind, TaskState, TaskView
from core.ids import IdSource
from core.journal import Journal
from core.relay.inbound import Inbound, Message
from core.relay.ledger import Ledger
from core.relay.peers import Peers
from core.relay.ports import Work, WorkState
from core.relay.task import RelayTask
from core.relay.web import CallError, Web, WebAnswer
from core.relay.wire import Trail
from core.relay_settings import PeerSettings, RelaySettings
from core.secrets import Secret
from core.store.base import Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle

OLD_KEY = "whsec_" + base64.b64encode(b"o" * 32).decode()
NEW_KEY = "whsec_" + base64.b64encode(b"n" * 32).decode()
SECRETS = {"env:OLD": OLD_KEY, "env:NEW": NEW_KEY, "env:IN": "in-token-0123456789", "env:OUT": "out-token-0123456789"}
CALLBACK = "http://10.1.2.3:9000/relay/answers"
PEERS = {
    "ana": PeerSettings(keys=("env:OLD", "env:NEW"), rate_per_min=60, in_flight=3),
    "bob": PeerSettings(accept_tokens=("env:IN",), agent="coder"),
    "cyd": PeerSettings(keys=("env:NEW",), callback=CALLBACK, callback_networks=("10.0.0.0/8",)),
}


def settings(**changes: Any) -> RelaySettings:
    """Three peers: one that signs, one that bears a token, one that wants to be told."""
    return RelaySettings(**{"peers": PEERS, "name": "home", **changes})


def a_message(peer: str = "ana", wire_id: str = "m-1", text: str = "hello", **changes: Any) -> Message:
    """A message of a peer."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    values: dict[str, Any] = {"trail": Trail(conversation="talk"), "body_hash": digest, **changes}
    return Message(peer=peer, wire_id=wire_id, text=text, **values)


class FakeWorkers:
    """Agents `main` and `coder`, whose work ends when a test says so."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.works: dict[TaskId, Work] = {}
        self.states: dict[TaskId, WorkState] = {}
        self.errors: list[HermesError] = []
        self.canceled: list[TaskId] = []
        self.agents = {"main", "coder"}
        self.starts = 0

    def find(self, name: str | None) -> AgentName | None:
        """One of the two."""
        wanted = "main" if name is None else name
        return AgentName(wanted) if wanted in self.agents else None

    def session_of(self, peer: str, conversation: str, agent: AgentName) -> SessionId:
        """Plain to read."""
        return SessionId(f"relay:dm:{peer}@{agent}:t={conversation}")

    async def start(self, work: Work) -> TaskId:
        """One task for each key."""
        self.starts += 1
        if self.errors:
            raise self.errors.pop(0)
        task_id = TaskId(f"work {work.key}")
        self.works.setdefault(task_id, work)
        self.states.setdefault(task_id, WorkState(state=RelayState.WORKING))
        return task_id

    async def look(self, task_id: TaskId) -> WorkState:
        """As the test has set it."""
        if task_id not in self.states:
            raise NotFound("no such task", noun="task", id=task_id)
        return self.states[task_id]

    async def cancel(self, task_id: TaskId, reason: str) -> None:
        """Over, unless it is already."""
        self.canceled.append(task_id)
        if not self.states[task_id].state.is_over:
            self.states[task_id] = WorkState(state=RelayState.CANCELED, error=reason)

    async def end(self, answer: str = "done", *, wire_id: str = "", **changes: Any) -> None:
        """The agent is done with a piece of work, the only one unless it is named."""
        [task_id] = [item for item in self.works if item.endswith(wire_id)]
        self.states[task_id] = WorkState(**{"state": RelayState.COMPLETED, "answer": answer, **changes})
        work = self.works[task_id]
        view = TaskView(
            id=task_id,
            version=2,
            agent=AgentName("main"),
            kind=TaskKind.AGENT_COMMAND,
            state=TaskState.DONE,
            session_id=SessionId("relay:dm:x"),
            text="",
            accepted=Mark(0.0, 0.0),
            provenance=Provenance(source=work.peer, message_id=work.wire_id, channel=RELAY_PLATFORM),
        )
        await self._journal.commit([], [("t", TaskEnded(task=view))])
        await until_idle()


class FakeTrails:
    """Lets all through but what a test names."""

    def __init__(self) -> None:
        self.name = "home"
        self.why = ""
        self.bound: dict[SessionId, Trail] = {}
        self.edges: list[tuple[str, str, bool, str]] = []
        self.given_back: list[tuple[str, Trail]] = []

    def bind(self, session_id: SessionId, trail: Trail) -> None:
        """Remember it."""
        self.bound[session_id] = trail

    def refusal(self, trail: Trail, target: str, *, peer: str = "") -> str:
        """What the test wants."""
        del trail, target, peer
        return self.why

    def not_taken(self, trail: Trail, *, peer: str = "") -> None:
        """Its turn is given back."""
        self.given_back.append((peer, trail))

    def noted(self, source: str, target: str, *, is_failed: bool, why: str = "", trail: Trail | None = None) -> None:
        """Remember it."""
        del trail
        self.edges.append((source, target, is_failed, why))


class FakeWeb:
    """Takes calls, and answers as a test wants, else with 200."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, str], bytes, Sequence[str]]] = []
        self.answers: list[WebAnswer | CallError] = []
        self.blocked: asyncio.Event | None = None

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        networks: Sequence[str] = (),
        limit_s: float,
        limit_bytes: int = 0,
    ) -> WebAnswer:
        """Note it."""
        del method, limit_s, limit_bytes
        self.calls.append((url, headers, body, networks))
        if self.blocked is not None:
            await self.blocked.wait()
        answer = self.answers.pop(0) if self.answers else WebAnswer(200, {}, b"")
        if isinstance(answer, CallError):
            raise answer
        return answer


def failed(status: int, after_s: float | None = None) -> WebAnswer:
    """No success."""
    return WebAnswer(status, {}, b"no", retry_after_s=after_s)


def unreachable() -> CallError:
    """Nobody answers."""
    return CallError("connection refused", AttemptResult.UNDELIVERED)


class Rig:
    """All of it. restarted() stops this core and starts the next one over the same store."""

    def __init__(self, store: Store, clock: FakeClock, rules: RelaySettings) -> None:
        self.clock = clock
        self.rules = rules
        self.faults: list[str] = []
        self.journal = Journal(store, clock)
        self.records: list[Record] = []
        self.journal.on_record(self.records.append)
        self.supervisor = Supervisor(clock, lambda _view, _error: None, self._fault)
        self.peers = Peers(rules, lambda reference: Secret(SECRETS[reference]))
        self.ledger = Ledger(store=store, journal=self.journal, clock=clock, ids=IdSource(clock))
        self.workers = FakeWorkers(self.journal)
        self.trails = FakeTrails()
        self.web = FakeWeb()
        self.is_paused = False
        self.inbound = Inbound(
            journal=self.journal,
            clock=clock,
            supervisor=self.supervisor,
            settings=rules,
            peers=self.peers,
            ledger=self.ledger,
            trails=cast("Any", self.trails),
            workers=self.workers,
            web=cast("Web", self.web),
            is_paused=lambda: self.is_paused,
            random=lambda: 0.5,
            on_fault=self._fault,
        )

    def _fault(self, what: str, error: Exception) -> None:
        self.faults.append(f"{what}: {error!r}")

    async def start(self) -> None:
        """Take up what is stored."""
        await self.ledger.open()
        await self.inbound.start()
        await until_idle()

    async def stop(self) -> None:
        """End all jobs, as a kill does."""
        await self.supervisor.stop(deadline_s=1.0)

    async def task(self, peer: str = "ana", wire_id: str = "m-1") -> RelayTask:
        """A message as it is now."""
        return await self.inbound.find(peer, wire_id)

    def events(self, *kinds: type[Event]) -> list[Event]:
        """What was told of these kinds."""
        return [record.event for record in self.records if isinstance(record.event, kinds)]


@asynccontextmanager
async def receiving(
    store: Store | None = None,
    clock: FakeClock | None = None,
    *,
    before: Callable[[Rig], None] | None = None,
    **rules: Any,
) -> AsyncGenerator[Rig]:
    """A rig that runs. before: done to it before it takes anything up. Fails when there was a fault of ours."""
    rig = Rig(store or MemoryStore(), clock or FakeClock(), settings(**rules))
    if before is not None:
        before(rig)
    await rig.start()
    try:
        yield rig
    finally:
        await rig.stop()
    assert rig.faults == []
