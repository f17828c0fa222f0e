"""A gateway with one connection to people: commands and decisions in chats, over a store in memory."""

import asyncio
import random
import types
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from core.agents.approvals.approvals import Approvals
from core.agents.approvals.orders import ApprovalOrders
from core.agents.runner import Decision
from core.api.access import Rule, Tier, Verdict
from core.api.approvals import ApprovalView
from core.api.base import Actor, AgentName, Event, PlatformName, RunId, SessionId
from core.api.chat_commands import ChatCommandUsed
from core.api.errors import HermesError, Unauthorised
from core.api.policies import ExecutionPolicy
from core.api.runs import ActionRequested
from core.api.sessions import ChatKind, SessionView, Source
from core.clock import Clock, SystemClock
from core.gateway.abilities import CommandHint
from core.gateway.platform import Accepted, Inbound, InboundEdit, Limits, Outbound, Press
from core.gateway_side import GatewaySide
from core.handlers import Handlers
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.platform_settings import ChatSettings
from core.settings import SessionSettings, Settings
from core.store.base import Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from core.vault import Vault
from tests.support.approval_desk import an_action
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import NullBook
from tests.support.outbox import FakePlatform

PEOPLE = PlatformName("people")
LIMIT_S = 5.0

F = TypeVar("F")


class FakeGate:
    """An intake.Gate that lets in who is named. admins: None makes everybody one."""

    def __init__(self) -> None:
        self.strangers: set[str] = set()
        self.admins: set[str] | None = None
        self.turned: list[Inbound] = []

    def verdict(self, message: Inbound | InboundEdit | Press) -> Verdict:
        """As the test says."""
        sender = message.sender_id
        is_admin = self.admins is None or sender in self.admins
        return Verdict(
            is_admitted=sender not in self.strangers,
            rule=Rule.DENY if sender in self.strangers else Rule.PLATFORM_ALLOWLIST,
            layer=2,
            origin="config.yaml:7",
            text="they are on the list",
            tier=Tier.ADMIN if is_admin else Tier.USER,
        )

    async def turned_away(self, inbound: Inbound, verdict: Verdict) -> HermesError:
        """Nothing but the error."""
        self.turned.append(inbound)
        return Unauthorised("you may not talk here", rule=verdict.rule.value)


class PeoplePlatform(FakePlatform):
    """A connection with buttons, edits and a menu."""

    kind = "people"

    def __init__(self, name: PlatformName, limits: Limits) -> None:
        super().__init__(name)
        self.limits = limits
        self.menus: list[tuple[CommandHint, ...]] = []

    async def offer_commands(self, commands: tuple[CommandHint, ...]) -> None:
        """Keep the menu."""
        self.menus.append(tuple(commands))


class Chat(GatewaySide):
    """The gateway as the kernel has it, with approvals beside it."""

    def __init__(
        self,
        store: Store,
        agents: FakeAgents,
        *,
        boot: int,
        clock: Clock,
        chat: ChatSettings,
        sessions: SessionSettings,
        **more: Any,
    ) -> None:
        self.store = store
        self.agents = agents
        self.errors: list[tuple[str, Exception]] = []
        self.faults: list[tuple[str, Exception]] = []
        self.journal = Journal(store, clock)
        self.supervisor = Supervisor(clock, lambda *_: None, lambda name, error: self.errors.append((name, error)))
        self.mail = Mailroom(
            journal=self.journal,
            store=store,
            clock=clock,
            supervisor=self.supervisor,
            boot=boot,
            random=random.Random(2).random,
        )
        ids = IdSource(clock, floor_at=clock.now() if boot > 1 else 0.0)
        self.approvals = Approvals(
            journal=self.journal, store=store, clock=clock, ids=ids, supervisor=self.supervisor, limit_s=3600.0, pid=1
        )
        self.told: list[tuple[Decision, str]] = []
        nowhere = Path("/no/such/home")
        words = Handlers()
        super().__init__(
            home=nowhere,
            settings=Settings(platforms={str(PEOPLE): chat}, sessions=sessions, **more),  # type: ignore[dict-item]  # the base of every one
            store=store,
            journal=self.journal,
            mail=self.mail,
            clock=clock,
            ids=ids,
            supervisor=self.supervisor,
            boot=boot,
            random=random.Random(1).random,
            vault=Vault({}, nowhere),
            agents=agents,
            agent_names=lambda: ["main"],
            runner_of=lambda _: None,
            books=NullBook(),
            log=lambda _: None,
            on_fault=lambda name, error: self.faults.append((name, error)),
            facade=words,
        )
        orders = ApprovalOrders(approvals=self.approvals, note=self._note, policy_of=lambda _: ExecutionPolicy())
        words.add(commands=self.commands, queries=self.queries)
        words.add(commands=orders.commands, queries=orders.queries)
        self.gate = FakeGate()
        self.intake._gate = self.gate

    async def _note(self, session_id: SessionId, text: str, actor: Actor) -> None:
        """Nobody is noted anything."""

    @property
    def people(self) -> PeoplePlatform:
        """The connection."""
        platform = self.platforms.get(PEOPLE)
        assert isinstance(platform, PeoplePlatform)
        return platform

    @property
    def texts(self) -> list[str]:
        """What the connection took, in order."""
        return [message.text for message in self.people.sent]

    async def say(self, text: str, *, by: str = "bo", chat: str = "8841", native_id: str = "", **more: Any) -> Accepted:
        """Somebody writes something."""
        async with asyncio.timeout(LIMIT_S):
            return await self.intake.receive(said(text, by=by, chat=chat, native_id=native_id, **more))

    async def press(self, token: str, *, by: str = "bo", answers: str = "", sign: str = "", chat: str = "8841") -> str:
        """Somebody uses a button."""
        source = Source(platform=PEOPLE, kind=ChatKind.DM, chat=chat)
        async with asyncio.timeout(LIMIT_S):
            return await self.intake.pressed(
                Press(
                    platform=PEOPLE,
                    source=source,
                    sender_id=by,
                    sender_name=by.title(),
                    answers=answers,
                    token=token,
                    sign=sign,
                )
            )

    async def reply(self, text: str, *, native_id: str = "", **more: Any) -> str:
        """What a command is answered: the next message that replies to it."""
        own = native_id or f"said-{len(self.people.sent)}-{text[:20]}"
        before = len(self.people.sent)
        await self.say(text, native_id=own, **more)

        def found() -> list[Outbound]:
            return [message for message in self.people.sent[before:] if message.reply_to == own]

        await until(lambda: bool(found()))
        return found()[0].text

    async def named(self, approval_id: str) -> str:
        """The id of the message that shows an approval, once the connection has taken it."""
        await until(lambda: bool((shown := self.chat.asks.find(approval_id)) and shown.native_id))  # type: ignore[arg-type]
        shown = self.chat.asks.find(approval_id)  # type: ignore[arg-type]
        assert shown is not None
        return shown.native_id

    async def sent(self, count: int) -> Outbound:
        """The message of that number, once the connection has taken it."""
        await until(lambda: len(self.people.sent) >= count)
        return self.people.sent[count - 1]

    def view(self, session_id: SessionId) -> SessionView:
        """The session as it is."""
        lane = self.lanes.find(session_id)
        assert lane is not None
        return self.lanes.view(lane)

    async def events(self, kind: type[F]) -> list[F]:
        """Everything of a kind that was journaled."""
        return [record.event for record in await self.journal.read(limit=5000) if isinstance(record.event, kind)]

    async def uses(self) -> list[tuple[str, str]]:
        """Commands and what became of them."""
        return [(use.command, use.outcome.value) for use in await self.events(ChatCommandUsed)]

    async def ask(self, action: ActionRequested | None = None, session_id: SessionId | None = None) -> ApprovalView:
        """Have the agent ask for something."""
        return await self.approvals.ask(
            action or an_action(),
            session_id=session_id or SessionId(f"{PEOPLE}:dm:8841"),
            agent=AgentName("main"),
            run_id=RunId("r-1"),
            limit_s=600.0,
            deliver=self._deliver,
            requester="Bo",
        )

    async def _deliver(self, decision: Decision, view: ApprovalView) -> bool:
        self.told.append((decision, view.action_id))
        return True


def said(text: str, *, by: str = "bo", chat: str = "8841", native_id: str = "", **more: Any) -> Inbound:
    """A message in a one-to-one chat, or in a shared one for kind GROUP."""
    kind = more.pop("kind", ChatKind.DM)
    source = Source(platform=PEOPLE, kind=kind, chat=chat, thread=more.pop("thread", None))
    return Inbound(
        platform=PEOPLE, source=source, sender_id=by, sender_name=by.title(), text=text, native_id=native_id, **more
    )


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds: what a connection took has no event of its own."""
    async with asyncio.timeout(LIMIT_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


@asynccontextmanager
async def chat(
    monkeypatch: pytest.MonkeyPatch,
    *,
    store: Store | None = None,
    agents: FakeAgents | None = None,
    settings: ChatSettings | None = None,
    limits: Limits | None = None,
    boot: int = 1,
    clock: Clock | None = None,
    more: dict[str, Any] | None = None,
    **sessions: Any,
) -> AsyncIterator[Chat]:
    """A running gateway; on leaving, everything it started has ended and nothing had failed."""
    shown = limits or Limits(buttons=8, can_edit=True)
    module = types.SimpleNamespace(create=lambda name, *_: PeoplePlatform(name, shown))
    monkeypatch.setattr("core.gateway.platforms.load_adapter", lambda _: module)
    sessions = {"burst_s": 0.0, **sessions}
    built = Chat(
        store or MemoryStore(),
        agents or FakeAgents(),
        boot=boot,
        clock=clock or SystemClock(),
        chat=settings or ChatSettings(),
        sessions=SessionSettings(**sessions),
        **(more or {}),
    )
    await built.mail.open()
    await built.approvals.recover()
    await built.open()
    await built.deliveries.recover()
    await built.restart.recover()
    await built.platforms.start()
    await built.resume()
    try:
        yield built
    finally:
        await built.mail.stop(0)
        await built.approvals.close()
        left = await built.supervisor.stop(deadline_s=5)
        await built.mail.boxes.log.flushed()
    assert left == []
    assert built.errors == []
    assert built.faults == []


async def first(built: Chat, kind: type[Event]) -> Event:
    """The first event of a kind, once it is journaled."""
    async with asyncio.timeout(LIMIT_S):
        async for record in built.journal.subscribe(after=0):  # type: ignore[arg-type]  # the beginning
            if isinstance(record.event, kind):
                return record.event
    raise AssertionError(kind)
