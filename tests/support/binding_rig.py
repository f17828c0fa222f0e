"""Bindings of a relay over a store in memory, for tests."""

from collections.abc import Collection, Sequence
from typing import Any

from core.api.base import Actor, ActorKind, Event
from core.api.bindings import (
    AddBinding,
    BindingHistory,
    BindingReceipt,
    BindingView,
    Bot,
    ListBindingChanges,
    RemoveBinding,
)
from core.journal import Journal
from core.relay.bindings import Bindings
from core.store.base import Store
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock

ANN = Actor(ActorKind.OPERATOR, "ann")
BEN = Actor(ActorKind.OPERATOR, "ben")


def a_bot(name: str = "alpha", url: str = "https://a.example", **more: Any) -> Bot:
    """One that can be bound as it is."""
    return Bot(name=name, url=url, **more)


class BindingRig:
    """Bindings that were opened, everything that was told of them, and how often the callback was called."""

    def __init__(
        self, store: Store, *, peers: Collection[str], networks: Sequence[str] = (), kept_changes: int = 10_000
    ) -> None:
        self.store = store
        self.clock = FakeClock()
        self.journal = Journal(store, self.clock)
        self.told: list[Event] = []
        self.calls = 0
        self.journal.on_record(lambda record: self.told.append(record.event))
        self.bindings = Bindings(
            store=store,
            journal=self.journal,
            clock=self.clock,
            peers=lambda: peers,
            networks=networks,
            kept_changes=kept_changes,
        )
        self.bindings.on_change(self._called)

    def _called(self) -> None:
        self.calls += 1

    async def do(self, command: Any, actor: Actor = ANN) -> Any:
        """Carry out an order."""
        return await self.bindings.commands[type(command)](command, actor)

    async def ask(self, query: Any) -> Any:
        """Ask a question."""
        return await self.bindings.queries[type(query)](query)

    async def add(
        self, chat: str, *bots: Bot, platform: str = "slack", actor: Actor = ANN, **more: Any
    ) -> BindingReceipt:
        """Bind a chat."""
        receipt: BindingReceipt = await self.do(AddBinding(platform=platform, chat=chat, bots=bots, **more), actor)
        return receipt

    async def remove(self, chat: str, bot: str = "", *, platform: str = "slack", **more: Any) -> BindingReceipt:
        """Take bots of a chat away."""
        receipt: BindingReceipt = await self.do(RemoveBinding(platform=platform, chat=chat, bot=bot, **more))
        return receipt

    def places(self) -> list[str]:
        """What is bound, in words."""
        return [in_words(view) for view in self.bindings.all()]

    def url_of(self, name: str, platform: str = "", chat: str = "") -> str | None:
        """Where a name leads."""
        chosen = self.bindings.resolve(name, platform, chat).chosen
        return None if chosen is None else chosen.bot.url


def in_words(view: BindingView) -> str:
    """A binding in one line."""
    return f"{view.platform}:{view.chat} " + " ".join(f"{bot.name}={bot.url}" for bot in view.bots)


async def binding_rig(store: Store | None = None, **more: Any) -> BindingRig:
    """Bindings over a store, which is new when none is given."""
    rig = BindingRig(MemoryStore() if store is None else store, **{"peers": ("east", "west"), **more})
    await rig.bindings.open()
    return rig


async def binding_history(rig: BindingRig, **query: Any) -> list[tuple[str, str, int]]:
    """Changes: chat, kind, number."""
    found: BindingHistory = await rig.ask(ListBindingChanges(**query))
    return [(change.chat, change.kind.value, change.number) for change in found.changes]
