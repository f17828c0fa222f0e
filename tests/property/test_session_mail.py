"""Whatever happens to a session, its queue and its mailbox say the same, and no message is lost or answered twice."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from core.api.base import Actor, ActorKind, MailboxName
from core.api.mail import MailState, RedriveMail
from core.api.mailboxes import PauseMailbox, ResumeMailbox
from core.api.session_orders import MoveMessage, ReleaseLease, SetMessageMode
from core.api.session_queue import DropMessage
from core.api.sessions import InterruptSession, MessageSteered, Mode, ResetSession
from core.api.transcripts import EntryKind, ReadTranscript
from core.gateway.lane import Waiting
from core.gateway.session import GuardState
from core.gateway.unanswered import MAILBOX
from core.letters import Letter
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.fake_agents import FakeAgents, FakeRun
from tests.support.gateway import SESSION, Gateway, gateway, inbound

ANA = Actor(ActorKind.OPERATOR, "ana")
BOX = MailboxName(MAILBOX)
_payloads = msgspec.msgpack.Decoder(Waiting)


class World:
    """One store, one start after another, and what should have become of each message."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.boot = 0
        self.sent = 0
        self.over: set[str] = set()
        self.answered: list[str] = []
        self.stack = AsyncExitStack()
        self.built: Gateway
        self.agents: FakeAgents

    async def start(self) -> None:
        """The next start of the core."""
        await self.stack.aclose()
        self.boot += 1
        self.clock.step(1.0)
        self.agents = FakeAgents()
        entered = gateway(self.store, self.agents, clock=self.clock, boot=self.boot, max_attempts=2)
        self.built = await self.stack.enter_async_context(entered)
        await self.built.restart.recover()
        await self.built.restart.resume()

    async def act(self, name: str) -> None:
        """Let one thing happen, and everything that follows from it."""
        await getattr(self, f"_{name}")()
        await self._settle()
        self.check()

    def check(self) -> None:
        """The mailbox holds what is neither answered nor let go, in the order of the queue."""
        letters = self.built.mail.letters(MAILBOX)
        live = [letter for letter in letters if letter.state is not MailState.DEAD]
        dead = [text(letter) for letter in letters if letter.state is MailState.DEAD]
        sent = {f"m{number}" for number in range(self.sent)}
        assert Counter([*map(text, live), *dead]) == Counter(sent - self.over)
        lane = self.built.lanes.lane(SESSION)
        held = [letter.id for letter in live if letter.state is MailState.IN_FLIGHT]
        running = [item for item in lane.guard.running if lane.waiting[item].mail_id]
        assert held == [lane.waiting[item].mail_id for item in running]
        order = (*running, *lane.guard.queue)
        assert [letter.id for letter in live] == [lane.waiting[item].mail_id for item in order]
        assert [attempts(letter) for letter in live] == [lane.waiting[item].message.attempt for item in order]
        assert (lane.view is not None and lane.view.lease is not None) == (lane.guard.run_id is not None)

    async def audit(self) -> None:
        """Each text stands in the transcript once, and so does each answer."""
        if not self.sent:
            return
        page = await self.built.inspection.read_transcript(ReadTranscript(session_id=SESSION, limit=1000))
        said = Counter(entry.text for entry in page.entries if entry.kind is EntryKind.USER)
        assert all(count == 1 for count in said.values())
        answers = [entry.text for entry in page.entries if entry.kind is EntryKind.AGENT]
        assert answers == [f"to {item}" for item in self.answered]

    # -- what can happen

    async def _send(self, mode: Mode = Mode.QUEUE) -> None:
        busy = self._answered() if mode is Mode.INTERRUPT else set[str]()
        name = f"m{self.sent}"
        self.sent += 1
        await self.built.sessions.receive(inbound(name, mode=mode))
        self.over |= busy

    async def _follow(self) -> None:
        await self._send(Mode.FOLLOWUP)

    async def _collect(self) -> None:
        await self._send(Mode.COLLECT)

    async def _later(self) -> None:
        await self.clock.advance(5.0)

    async def _backlog(self) -> None:
        await self._send(Mode.STEER_BACKLOG)

    async def _move(self) -> None:
        lane = self.built.lanes.lane(SESSION)
        if lane.guard.queue:
            await self.built.order(MoveMessage(session_id=SESSION, message_id=lane.guard.queue[-1], position=0))

    async def _unmode(self) -> None:
        lane = self.built.lanes.lane(SESSION)
        if lane.guard.queue:
            await self.built.order(
                SetMessageMode(session_id=SESSION, message_id=lane.guard.queue[0], mode=Mode.FOLLOWUP)
            )

    async def _release(self) -> None:
        if self.sent:
            busy = self._answered()
            await self.built.order(ReleaseLease(session_id=SESSION, is_forced=True))
            self.over |= busy

    async def _steer(self) -> None:
        await self._send(Mode.STEER)

    async def _push(self) -> None:
        await self._send(Mode.INTERRUPT)

    async def _answer(self) -> None:
        texts, run = self._answered(), self._run()
        if run is None:
            return
        head = run.messages[0].text
        run.answer(f"to {head}")
        await self.built.lanes.lane(SESSION).run_ended(run.run_id)
        self.over |= texts
        self.answered.append(head)

    async def _interrupt(self) -> None:
        if self.sent:
            busy = self._answered()
            await self.built.operations.interrupt_session(InterruptSession(session_id=SESSION), ANA)
            self.over |= busy

    async def _drop(self) -> None:
        lane = self.built.lanes.lane(SESSION)
        if lane.guard.queue:
            message = lane.waiting[lane.guard.queue[-1]].message
            await self.built.operations.drop_message(DropMessage(session_id=SESSION, message_id=message.id), ANA)
            self.over.add(message.text)

    async def _reset(self, *, drops: bool = False) -> None:
        if self.sent:
            lane = self.built.lanes.lane(SESSION)
            busy = self._answered()
            gone = {lane.waiting[item].message.text for item in lane.guard.queue} if drops else set[str]()
            await self.built.operations.reset_session(ResetSession(session_id=SESSION, drop_queue=drops), ANA)
            self.over |= gone | busy

    async def _clear(self) -> None:
        await self._reset(drops=True)

    async def _crash(self) -> None:
        await self.start()

    async def _stop(self) -> None:
        await self.built.restart.drain(0)
        await self.start()

    async def _pause(self) -> None:
        await self.built.mail.operations.pause_mailbox(PauseMailbox(mailbox=BOX), ANA)

    async def _resume(self) -> None:
        await self.built.mail.operations.resume_mailbox(ResumeMailbox(mailbox=BOX), ANA)
        await self.built.restart.resume()

    async def _redrive(self) -> None:
        await self.built.mail.operations.commands[RedriveMail](RedriveMail(mailbox=MAILBOX), ANA)

    # -- inside

    def _answered(self) -> set[str]:
        lane = self.built.lanes.lane(SESSION)
        return {lane.waiting[item].message.text for item in lane.guard.running}

    def _run(self) -> FakeRun | None:
        run_id = self.built.lanes.lane(SESSION).guard.run_id
        return next((run for run in self.agents.runs if run.run_id == run_id), None)

    async def _settle(self) -> None:
        lane = self.built.lanes.lane(SESSION)
        async with asyncio.timeout(20):
            while True:
                await self.built.settled_but_runs()
                is_begun = lane.guard.run_id is None or self._run() is not None
                if is_begun and lane.guard.state is not GuardState.INTERRUPTING:
                    break
                await asyncio.sleep(0)
        page = [event for event in await self.built.events() if isinstance(event, MessageSteered)]
        self.over |= {event.message.text for event in page}


def text(letter: Letter) -> str:
    """What the message of a letter says."""
    return _payloads.decode(letter.body).message.text


def attempts(letter: Letter) -> int:
    """Runs that the message of a letter has had, those before it was moved included."""
    return _payloads.decode(letter.body).message.attempt + letter.attempt


_STEPS = ["steer", "push", "interrupt", "drop", "reset", "clear", "stop", "pause", "resume", "redrive"]
_STEPS += ["follow", "follow", "collect", "backlog", "move", "move", "unmode", "release", "later", "later"]
_STEPS += ["send"] * 4 + ["answer"] * 2 + ["crash"] * 2


@given(st.lists(st.sampled_from(_STEPS), max_size=25))
@settings(max_examples=60, deadline=None)
def test_queue_and_mailbox_of_a_session_never_part(steps: list[str]) -> None:
    """After every step: the same messages, in the same order, with the same attempts, the running one in flight."""

    async def whole() -> None:
        world = World()
        await world.start()
        try:
            for step in steps:
                await world.act(step)
            await world.audit()
        finally:
            await world.stack.aclose()

    asyncio.run(whole())
