"""Targets and the pause of a relay over a store in memory; bindings, books and mailboxes are in the hands of a test."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from core.api.base import Actor, ActorKind, Event, Mark
from core.api.bindings import BindingView, Bot
from core.api.relay_tasks import AttemptResult, RelayAttempt, RelayDirection, RelayState, RelayTaskId, Trigger
from core.journal import Journal
from core.relay.mail_names import mailbox_of
from core.relay.pausing import Pausing
from core.relay.peers import NOBODY, Credentials
from core.relay.targets import Tally, Targets, Way
from core.relay.task import RelayTask
from core.relay.wire import Reply, Trail
from core.relay_settings import RelaySettings
from core.store.base import Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock

OPERATOR = Actor(ActorKind.OPERATOR, "ana")
HERE = "http://10.0.0.7:8080"
THERE = "https://bots.example.org"


def bot(name: str = "security", url: str = HERE, **values: Any) -> Bot:
    """A bot at an address."""
    return Bot(name=name, url=url, **values)


def arrived(status: int = 202) -> Reply:
    """The far side has it and works."""
    return Reply(result=AttemptResult.DELIVERED, status=status, state=RelayState.WORKING)


def refused_connection() -> Reply:
    """Nobody answers there."""
    return Reply(result=AttemptResult.UNDELIVERED, error="connection refused")


def limited(after_s: float | None) -> Reply:
    """The far side asks for time."""
    return Reply(result=AttemptResult.UNDELIVERED, status=429, error="too many requests", retry_after_s=after_s)


def cut_off() -> Reply:
    """We stopped it ourselves."""
    return Reply(result=AttemptResult.CUT_OFF, error="canceled")


class FakeBindings:
    """Bindings as a list of bots."""

    def __init__(self, bots: Sequence[Bot]) -> None:
        self.bots = list(bots)
        self._callbacks: list[Callable[[], None]] = []

    def all(self) -> list[BindingView]:
        """One chat that is bound to all."""
        mark = Mark(1.0, 1.0)
        return [
            BindingView(platform="*", chat="*", version=1, bots=tuple(self.bots), created=mark, changed=mark),
        ]

    def on_change(self, callback: Callable[[], None]) -> None:
        """Who wants to know."""
        self._callbacks.append(callback)

    def become(self, *bots: Bot) -> None:
        """Other bots are bound."""
        self.bots = list(bots)
        for callback in self._callbacks:
            callback()


class FakePeers:
    """What we prove ourselves with."""

    def __init__(self, fingerprints: dict[str, str]) -> None:
        self.fingerprints = fingerprints

    def outgoing(self, name: str) -> Credentials:
        """Of one peer."""
        return Credentials(peer=name, fingerprint=self.fingerprints[name]) if name else NOBODY


class FakeMailroom:
    """Mailboxes that only know who was woken."""

    def __init__(self) -> None:
        self.woken: list[str] = []

    def wake(self, mailbox: str) -> None:
        """Its gate is asked again."""
        self.woken.append(mailbox)


class TargetRig:
    """A start of a core, as far as targets go. tallies: the books, by origin."""

    def __init__(self, store: Store, clock: FakeClock, bots: Sequence[Bot], **rules: Any) -> None:
        self.clock = clock
        self.errors: list[Exception] = []
        self.live: list[Event] = []
        self.stored: list[Event] = []
        self.tallies: dict[str, Tally] = {}
        self.mail = FakeMailroom()
        self.bindings = FakeBindings(bots)
        self.peers = FakePeers({"hq": "ab12cd34"})
        self.journal = Journal(store, clock)
        self.journal.on_record(lambda record: (self.stored if record.durable else self.live).append(record.event))
        self.supervisor = Supervisor(clock, lambda *_: None, lambda _, error: self.errors.append(error))
        self.pausing = Pausing(
            store=store,
            journal=self.journal,
            clock=clock,
            counts=lambda: (1, 2, 3, 4),
            woken=self._woken,
        )
        self.targets = Targets(
            mail=cast("Any", self.mail),
            store=store,
            journal=self.journal,
            clock=clock,
            supervisor=self.supervisor,
            settings=RelaySettings(**rules),
            bindings=cast("Any", self.bindings),
            peers=cast("Any", self.peers),
            tally=lambda origin: self.tallies.get(origin, Tally()),
            is_paused=lambda: self.pausing.is_paused,
            random=lambda: 0.0,
        )

    def _woken(self) -> None:
        self.targets.wake()

    def way(self, origin: str = HERE) -> Way:
        """A message gets through the gate."""
        gate = self.targets.gate(origin)
        assert gate.wait_s() == 0.0
        assert gate.admit()
        way = self.targets.begin(origin)
        assert isinstance(way, Way)
        return way

    def send(self, *replies: Reply, origin: str = HERE) -> None:
        """Messages go out one after the other, and this comes of them."""
        for reply in replies:
            self.targets.settle(self.way(origin), reply)

    def trip(self, origin: str = HERE) -> None:
        """Open its breaker."""
        self.send(*[refused_connection()] * 5, origin=origin)

    def was_woken(self, origin: str = HERE) -> bool:
        """Whether its gate is asked again since the last time that this was asked."""
        found = mailbox_of(origin) in self.mail.woken
        self.mail.woken.clear()
        return found


def attempted(origin: str, began: float, result: AttemptResult, *, latency_s: float = 0.0, **values: Any) -> RelayTask:
    """A message of the books with one attempt, UTC seconds."""
    url, mark = f"{origin}/relay", Mark(began, 1.0)
    attempt = RelayAttempt(
        number=1, began=mark, url=url, result=result, trigger=Trigger.FIRST, latency_s=latency_s, **values
    )
    return RelayTask(
        id=RelayTaskId(f"t{began}"),
        wire_id=f"t{began}",
        direction=RelayDirection.OUT,
        state=RelayState.QUEUED,
        text="hello",
        created=mark,
        trail=Trail(conversation="c"),
        attempts=(attempt,),
    )


@asynccontextmanager
async def targets(
    *bots: Bot,
    store: Store | None = None,
    clock: FakeClock | None = None,
    books: Sequence[RelayTask] = (),
    **rules: Any,
) -> AsyncGenerator[TargetRig]:
    """One start. books: messages of the last one; rules: of the section relay."""
    rig = TargetRig(store or MemoryStore(), clock or FakeClock(), bots or (bot(),), **rules)
    await rig.pausing.open()
    await rig.targets.open(books)
    try:
        yield rig
    finally:
        assert await rig.supervisor.stop(deadline_s=5) == []
        assert rig.errors == []
