"""The console on a fake core, with its clock and its redraws in the hands of a test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from console.app import ConsoleApp
from console.options import ConsoleOptions
from core.api import sessions
from core.api.access import AdmittedView, Rule, Tier
from core.api.base import EntryId, MessageId, PlatformName, RunId
from core.api.deliveries import DeliveryState
from core.api.errors import ConfigError, HomeBusy, StoreError
from core.api.pairings import PairingState
from core.api.platforms import PlatformState
from core.api.profiles import PoolState
from core.api.runs import Compacted, CompactionState, LeaseView, Phase, RunnerState, Stop, ToolCall, ToolStatus, Usage
from core.api.sessions import Mode, SessionState
from core.api.tasks import TaskState
from core.api.transcripts import EntryKind
from tests.support.busy_mail import busy_mailboxes, busy_mails
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_pairings import FakePairings, invite, pairing
from tests.support.fake_work import FakeWork, grant, pool, runner, task
from tests.support.screens import screen_text
from tests.support.views import (
    NOW,
    ago,
    answer,
    approval,
    delivery,
    entry,
    health,
    message,
    outcome,
    platform,
    profile,
    run,
    session,
)

SIZES = ((80, 24), (140, 40))
WAITING = "telegram:dm:8841"
RUNNING = "local:dm:ana"

VIEWS = {
    "overview": (),
    "sessions": ("2",),
    "session": ("2", "enter"),
    "session_timeline": ("2", "enter", "2"),
    "session_inputs": ("2", "enter", "3"),
    "session_state": ("2", "enter", "4"),
    "session_raw": ("2", "enter", "5"),
    "approvals": ("3",),
    "decision": ("3", "A"),
    "grants": ("3", "s"),
    "tasks": ("6",),
    "task": ("6", "enter"),
    "agents": ("0",),
    "agent": ("0", "enter"),
    "deliveries": ("8",),
    "mailboxes": ("4",),
    "mailbox": ("4", "j", "enter"),
    "mailbox_dead": ("4", "j", "enter", "2"),
    "mailbox_figures": ("4", "j", "enter", "3"),
    "mail": ("4", "j", "enter", "enter"),
    "mail_trace": ("4", "j", "enter", "T"),
    "dead": ("4", "j", "d"),
    "platforms": ("7",),
    "events": ("9",),
    "help": ("2", "question_mark"),
}


def typed(place: str) -> tuple[str, ...]:
    """The keys that lead to a place by its name."""
    return ("colon", *place, "enter")


# Places about senders, accounts, what runs by itself and what was done.
GATEWAY_VIEWS = {
    "pairing": typed("pairing"),
    "access": (*typed("pairing"), "a"),
    "why": (*typed("pairing"), "w"),
    "outboxes": typed("outboxes"),
    "hooks": typed("hooks"),
    "cron": typed("cron"),
    "config": typed("config"),
    "audit": typed("audit"),
}


FAILURES = {
    "home_busy": HomeBusy("another core runs on this home", pid=4242, home="/home/ana/x", fix="stop it first"),
    "config": ConfigError("unknown key", file="config.yaml", line=3, key="htpp", fix="did you mean http?"),
    "store": StoreError("the store is corrupt", path="/home/ana/core.db", cause="corrupt", fix="restore a copy"),
    "fault": RuntimeError("something broke"),
}


class StepClock:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.at = NOW.mono

    def __call__(self) -> float:
        """Seconds."""
        return self.at


class Desk:
    """An app on a fake core, with the flush in the hands of the test."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[Any], hermes: FakeHermes, clock: StepClock) -> None:
        self.app, self.pilot, self.hermes, self.clock = app, pilot, hermes, clock

    async def settle(self) -> None:
        """Let everything that is under way come to the screen."""
        for _ in range(4):
            await self.pilot.pause()
            self.clock.at += 0.6
            self.app.redraw.flush()
        self.app.redraw.second()
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Keys, then what becomes of them."""
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()
        await self.settle()

    async def say(self, line: str) -> None:
        """A command after the colon."""
        await self.press("colon", *(_NAMES.get(sign, sign) for sign in line), "enter")

    @property
    def text(self) -> str:
        """The screen now."""
        return screen_text(self.app)


_NAMES = {" ": "space", ":": "colon", "/": "slash", "-": "minus", ">": "greater_than_sign"}


@asynccontextmanager
async def desk(
    hermes: FakeHermes,
    size: tuple[int, int] = (80, 24),
    *,
    environ: dict[str, str] | None = None,
    failure: Exception | None = None,
    **options: Any,
) -> AsyncIterator[Desk]:
    """A console of that size; failure: what opening the core raises."""
    clock = StepClock()

    def open_hermes() -> FakeHermes:
        if failure is not None:
            raise failure
        return hermes

    values: dict[str, Any] = {"home": Path("/nowhere"), "is_embedded": True, **options}
    app = ConsoleApp(
        open_hermes,
        ConsoleOptions(**values),
        now=clock,
        environ={"TERM": "xterm-256color", "LANG": "C.UTF-8", **(environ or {})},
        health_period_s=1e6,
    )
    # The timer would flush whenever the machine has time for it; here the test does.
    app.redraw.flush_if_due = lambda: None
    # How long a key takes depends on the machine.
    app.stage.vitals.keys.note = lambda _value_s: None
    async with app.run_test(size=size) as pilot:
        found = Desk(app, pilot, hermes, clock)
        for _ in range(50):
            await found.pilot.pause(0.02)
            line = app.link.feed.line.state if app.link.feed else ""
            if app.link.failure is not None or line == "live":
                break
        await found.settle()
        yield found


def lease(run_id: str = "run-1", **changes: Any) -> LeaseView:
    """A lease that was renewed two seconds ago."""
    values: dict[str, Any] = {"boot": 1, "run_id": RunId(run_id), "token": 7, "since": ago(50), "renewed": ago(2)}
    return LeaseView(**{**values, **changes})


def busy_pairings() -> FakePairings:
    """Two that ask under one name, an invitation, and senders who were decided about."""
    found = FakePairings(
        [
            pairing("p-08", sender_id="99120077", asked=ago(120), expires=ago(-3480), tries=2),
            pairing(
                "p-09",
                sender_id="99120078",
                asked=ago(90),
                expires=ago(-200),
                warnings=("the name looks like that of Mara (telegram:99120077), who asks too",),
            ),
            pairing("p-03", sender_id="42", sender_name="Ivo P.", state=PairingState.APPROVED, decided=ago(9000)),
            pairing(
                "p-04",
                sender_id="666",
                sender_name="",
                state=PairingState.BLOCKED,
                decided=ago(900),
                decided_by="raj",
                notice=DeliveryState.DEAD,
                notice_error="bot was blocked",
            ),
        ],
        [invite("i-1", note="for Karel", expires=ago(-3540))],
    )
    found.admitted = [
        AdmittedView(
            platform=PlatformName("telegram"),
            sender_id="42",
            sender_name="Ivo P.",
            rule=Rule.PAIRED,
            origin="pairing",
            tier=Tier.USER,
        )
    ]
    return found


def busy() -> FakeHermes:
    """A core with everything at once: waiting, running, failed, queued, idle, dead, down."""
    waiting = session(
        WAITING,
        state=SessionState.WAITING,
        title="Ivo P.",
        run=run("run-77", phase=Phase.APPROVAL, started=ago(50), phase_since=ago(40)),
        lane_holder=RunId("run-77"),
        queue_depth=2,
        queue_head=ago(30),
        open_approvals=1,
        inbound=ago(12),
        entry_count=6,
        input_tokens=41_000,
        context_tokens=118_000,
        compaction=Compacted(
            state=CompactionState.INEFFECTIVE,
            before_tokens=118_000,
            after_tokens=117_000,
            limit_tokens=100_000,
            tries=2,
        ),
        runner=runner(
            WAITING,
            kind="acp",
            state=RunnerState.BUSY,
            generation=4,
            since=ago(900),
            active=ago(40),
            run_id=RunId("run-77"),
            facts={"pid": "4711", "version": "0.19.0"},
        ),
        lease=lease("run-77", renewed=ago(4)),
        lease_token=7,
        user="telegram:8841",
    )
    running = session(
        RUNNING,
        state=SessionState.RUNNING,
        run=run(mode="dont_ask", asks=False, usage=Usage(context_tokens=41_000, context_limit=128_000)),
        lane_holder=RunId("run-1"),
        inbound=ago(12),
        runner=runner(RUNNING, kind="claude_cli", state=RunnerState.BUSY, mode="dont_ask", asks=False),
        lease=lease("run-1"),
        lease_token=7,
    )
    failed = session(
        "discord:channel:55",
        state=SessionState.FAILED,
        title="#dev",
        last_outcome=outcome(
            stop=Stop.ERROR, answered=False, error="provider answered 529: overloaded", ended=ago(200)
        ),
    )
    queued = session("slack:channel:C02", state=SessionState.QUEUED, queue_depth=1, queue_head=ago(9), title="#pay-ops")
    idle = [session(f"local:dm:p{nth}", last_outcome=outcome(ended=ago(300 + nth))) for nth in range(5)]
    idle.append(session("local:dm:old", last_outcome=outcome(ended=ago(9_000)), is_archived=True))
    tool = ToolCall(id="t1", title="shell ls -la", status=ToolStatus.COMPLETED, output="total 4\nREADME")
    entries = {
        WAITING: [
            entry(
                "Ivo prepares a demo.\nThe repo is /srv/demo, its tests take a minute.",
                id=EntryId("e0"),
                kind=EntryKind.SUMMARY,
                author="core",
                at=NOW.at - 900,
            ),
            entry("can you tidy the repo before the demo?", id=EntryId("e1"), author="Ivo", at=NOW.at - 400),
            answer("Sure. I will remove build artefacts first, then run the tests.", id=EntryId("e2"), at=NOW.at - 395),
            entry("", id=EntryId("e3"), kind=EntryKind.TOOL, author="main", tool=tool, at=NOW.at - 390),
            entry("clean up the build dir", id=EntryId("e4"), author="Ivo", at=NOW.at - 60),
            entry("leave the tests alone", id=EntryId("e5"), kind=EntryKind.NOTE, author="ana", at=NOW.at - 55),
        ]
    }
    messages = [
        message("hello?", id=MessageId("m1"), session_id=waiting.id, sender="Ivo", received=ago(30)),
        message(
            "are you stuck?",
            id=MessageId("m2"),
            session_id=waiting.id,
            sender="Ivo",
            received=ago(20),
            mode=Mode.STEER,
            effective_mode=Mode.FOLLOWUP,
            mode_reason="this agent takes nothing in while it works",
        ),
    ]
    hermes = FakeHermes(
        sessions=[waiting, running, failed, queued, *idle],
        approvals=[
            approval("a91", session_id=waiting.id, title="shell rm -rf build/", detail="rm -rf build/", asked=ago(40))
        ],
        deliveries=[
            delivery("d14", state=DeliveryState.DEAD, platform="discord", attempt=5, error="403 Missing Access"),
            delivery("d15"),
        ],
        platforms=[
            platform(
                "discord", kind="discord", state=PlatformState.DOWN, last_error="403 Missing Access", since=ago(90)
            ),
            platform("local"),
            platform("telegram", kind="telegram", inbound=ago(2), outbound_ack=ago(4), inbound_count=1204),
        ],
        profiles=[
            profile(pool=pool(busy=8, waiting=3, runner_count=12), limit=8),
            profile("ops", pool=pool(state=PoolState.PAUSED, reason="deploy freeze", changed_by="raj")),
        ],
        work=FakeWork(
            held_tasks=[
                task("task-1", state=TaskState.RUNNING),
                task("task-2", state=TaskState.WAITING, label="deploy"),
                task("task-3", state=TaskState.ERROR, label="report", error="provider said 529", ended=ago(20)),
            ],
            grants=[grant(used_count=41, last_used=ago(5)), grant("grant-2", allow=False, pattern="exec:rm *")],
        ),
        entries=entries,
        messages=messages,
        health_view=health(queued_count=3, running_count=2),
        mailboxes=busy_mailboxes(),
        mails=busy_mails(),
    )
    hermes.emit(sessions.SessionOpened(session=waiting), at=NOW.at - 500)
    hermes.emit(sessions.MessageQueued(session=waiting, message=messages[0]), at=NOW.at - 30)
    hermes.messages = messages
    assert failed.last_outcome is not None
    hermes.emit(sessions.RunEnded(session=failed, outcome=failed.last_outcome, entries=()), at=NOW.at - 200)
    return hermes


def pictured(keys: Iterable[str]) -> tuple[ConsoleApp, Callable[[Pilot[Any]], Awaitable[None]]]:
    """A console on a busy core, and what brings it to the place that those keys lead to, for a picture."""
    hermes, clock = busy(), StepClock()
    app = ConsoleApp(
        lambda: hermes,
        ConsoleOptions(home=Path("/nowhere"), is_embedded=True),
        now=clock,
        environ={"TERM": "xterm-256color", "LANG": "C.UTF-8"},
        health_period_s=1e6,
    )
    app.redraw.flush_if_due = lambda: None
    app.stage.vitals.keys.note = lambda _value_s: None

    async def arrange(pilot: Pilot[Any]) -> None:
        found = Desk(app, pilot, hermes, clock)
        for _ in range(50):
            await pilot.pause(0.02)
            if app.link.feed is not None and app.link.feed.line.state == "live":
                break
        await found.settle()
        await found.press(*keys)

    return app, arrange
