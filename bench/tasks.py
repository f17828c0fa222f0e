"""How fast tasks are accepted, durably, by a hundred callers, against the bare mailbox they are stored in.

Both take turns in one run, each time in a process and a store of its own; the ratio is the median over the rounds. An
accepted task is checked, kept with the fingerprint of its profile, told to subscribers, and in line for its session.
`python bench/tasks.py` prints the table. The folders lie in TMPDIR, which must be on a disk.
"""

import argparse
import asyncio
import gc
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.mail_load import BODY, CALLERS, awaited
from bench.mail_ours import ours
from bench.report import Figure, as_markdown, median, number
from core.agent_settings import ScriptedSettings
from core.agents.ports import Handover
from core.agents.tasks.tasking import Tasking
from core.agents.tasks.terms import Staff
from core.agents.tools.assets import Attachments
from core.api.base import Actor, ActorKind, AgentName, MessageId, RunId, SessionId, TaskId
from core.api.errors import Unavailable
from core.api.sessions import MessageView, SendReceipt
from core.api.tasks import Routing, StartTask
from core.api.transcripts import EntryView
from core.clock import SystemClock
from core.ids import IdSource
from core.journal import Journal
from core.mailbox.mailboxes import Mailboxes
from core.store import open_store
from core.supervisor import Supervisor
from core.task_post import MailedTasks

CASES = {
    "plain": "a session of its own each",
    "session": "to one session a caller",
    "key": "with an idempotency key",
}
_RUN_LIMIT_S = 60.0
_ACTOR = Actor(ActorKind.OPERATOR, "bench")
_MAIN = AgentName("main")

Run = dict[str, float]


class Nobody:
    """Sessions in which nothing happens."""

    def new_session_id(self, task_id: TaskId) -> SessionId:
        return SessionId(f"task:dm:{task_id}")

    async def hand_over(self, handover: Handover) -> SendReceipt:
        raise Unavailable("nobody is there")

    def check_session(self, session_id: SessionId) -> None:
        return

    def check_delivery(self, routing: Routing, *, has_own: bool) -> None:
        return

    def live_run(self, session_id: SessionId) -> RunId | None:
        return None

    def waiting(self, session_id: SessionId) -> Sequence[MessageView]:
        return ()

    async def stop(self, session_id: SessionId, *, message_id: MessageId | None, reason: str, actor: Actor) -> bool:
        return False

    async def said(self, session_id: SessionId, epoch: int) -> Sequence[EntryView]:
        return ()

    async def note(self, session_id: SessionId, text: str, actor: Actor) -> None:
        return


@asynccontextmanager
async def opened(folder: str) -> AsyncIterator[Tasking]:
    """The tasks of a new home. Nothing is handed out, as nobody takes messages where the mailbox is measured."""
    clock = SystemClock()
    store = await open_store("sqlite:tasks.db", home=Path(folder), clock=clock)
    supervisor = Supervisor(clock, lambda _view, _error: None, lambda _name, _error: None)
    journal = Journal(store, clock)
    boxes = Mailboxes(journal=journal, store=store, clock=clock, supervisor=supervisor, random=random.random)
    await boxes.open()
    settings = ScriptedSettings()
    staff = Staff(
        find=lambda _name: _MAIN,
        refusal=lambda _name: "",
        settings=lambda _name: settings,
        policy_refusal=lambda _policy: "",
        may_start=lambda _name: True,
    )
    tasking = Tasking(
        store=store,
        journal=journal,
        clock=clock,
        ids=IdSource(clock),
        supervisor=supervisor,
        boot=1,
        conversations=Nobody(),
        post=MailedTasks(boxes),
        attachments=Attachments(Path(folder), clock),
        staff=staff,
        on_fault=lambda what, error: print(what, error, file=sys.stderr),
    )
    await tasking.open()
    try:
        yield tasking
        await boxes.close()
    finally:
        await supervisor.stop(deadline_s=5.0)
        await store.close()


async def accept(case: str, seconds: float, folder: str) -> Run:
    """One run in a new store."""
    text = BODY.decode()
    async with opened(folder) as tasking:
        counts = [0] * CALLERS
        given = [StartTask(text=text, session_id=f"local:dm:{place}" * (case == "session")) for place in range(CALLERS)]

        async def send(place: int) -> None:
            command = given[place]
            if case == "key":
                counts[place] += 1
                command = StartTask(text=text, idempotency_key=f"{place}-{counts[place]}")
            await tasking.tasks.start_task(command, _ACTOR)

        result = await awaited(seconds, send)
        if tasking.dispatch.waiting_count != result["count"]:
            raise RuntimeError(f"{tasking.dispatch.waiting_count} tasks are in line of {result['count']}")
        return result


def _apart(what: str, seconds: float) -> Run:
    with tempfile.TemporaryDirectory(prefix="task-bench-") as folder:
        done = subprocess.run(
            [sys.executable, __file__, "--inside", what, str(seconds), folder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RUN_LIMIT_S + seconds,
            check=False,
        )
    if done.returncode or not done.stdout.strip():
        raise RuntimeError((done.stderr.strip().splitlines() or ["no answer"])[-1][:160])
    return json.loads(done.stdout.strip().splitlines()[-1])


def _told(runs: list[Run]) -> str:
    p50, p99 = (median([run[key] for run in runs]) for key in ("p50_ms", "p99_ms"))
    return f"p50 {number(p50)} ms, p99 {number(p99)} ms"


def measure(*, is_short: bool) -> list[Figure]:
    """Rates of acceptance, and each as a part of the mailbox's."""
    count, seconds = (1, 0.4) if is_short else (5, 1.5)
    bare: list[Run] = []
    ours_of: dict[str, list[Run]] = {case: [] for case in CASES}
    ratios: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(count):
        for case in CASES:
            mailbox = _apart("mailbox", seconds)
            accepted = _apart(case, seconds)
            bare.append(mailbox)
            ours_of[case].append(accepted)
            ratios[case].append(accepted["rate"] / mailbox["rate"])
    figures = [Figure("bare mailbox, 100 senders", median([run["rate"] for run in bare]), "/s", note=_told(bare))]
    for case, title in CASES.items():
        runs = ours_of[case]
        figures.append(Figure(f"task accept, {title}", median([run["rate"] for run in runs]), "/s", note=_told(runs)))
        # The mailbox is measured without a key, so an accepted one with a key is held against nothing.
        target = None if case == "key" else 0.5
        figures.append(
            Figure(f"task accept / mailbox, {title}", median(ratios[case]), "x", target=target, at_most=False)
        )
    return figures


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="one short round")
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        what, seconds, folder = options.inside
        # As the program itself sets it.
        gc.set_threshold(50_000, 50, 100)
        run = ours("enqueue", float(seconds), folder) if what == "mailbox" else accept(what, float(seconds), folder)
        print(json.dumps(asyncio.run(run)))
        return 0
    print(as_markdown(measure(is_short=options.short)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
