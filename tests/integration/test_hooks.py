"""Hooks at work: real processes that answer, raise, hang, print and die, and a core that does not wait for them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from console.shell.call import ended
from core.api.base import SYSTEM, AgentName, Mark, PlatformName, RunId, SessionId
from core.api.chat_commands import ChatCommandUsed, CommandOutcome
from core.api.errors import InvalidInput, NotFound, Refused
from core.api.hooks import HookFailed, HookPaused, HookState, PauseHook, ResumeHook
from core.api.runs import RunOutcome, Stop
from core.api.sessions import ChatKind, RunEnded, SessionOpened, SessionReset, SessionState, SessionView, Source
from core.automation_settings import HookSettings
from core.gateway import hook_host
from tests.support.hook_rig import HookRig, write_hook

APPENDS = """
from pathlib import Path
def handle(event_type, context):
    with Path({path!r}).open("a") as lines:
        lines.write(f"{{event_type}} {{context.get('response', '')}}\\n")
"""
HANGS = "import time\ndef handle(event_type, context):\n    time.sleep(1000)\n"
SPINS = "def handle(event_type, context):\n    while True: pass\n"
RAISES = "def handle(event_type, context):\n    raise ValueError('no disk')\n"
ASYNC = """
import asyncio
count = 0
async def handle(event_type, context):
    global count
    await asyncio.sleep(0)
    count += 1
    print(f"{count} {context['response']}")
"""

Rigs = Callable[..., Any]


@pytest.fixture
async def rigs(tmp_path: Path) -> AsyncIterator[Rigs]:
    """Makes rigs over one home, and ends them."""
    made: list[HookRig] = []

    async def make(**settings: Any) -> HookRig:
        rig = await HookRig(tmp_path, HookSettings(**settings)).start()
        made.append(rig)
        return rig

    yield make
    for rig in made:
        await rig.stop()


def session(epoch: int = 0) -> SessionView:
    """A conversation."""
    source = Source(platform="telegram", kind=ChatKind.DM, chat="8841")  # type: ignore[arg-type]  # names are strings
    return SessionView(
        id=SessionId("telegram:dm:8841"),
        version=1,
        boot=1,
        source=source,
        agent=AgentName("main"),
        state=SessionState.IDLE,
        created=Mark(0.0, 0.0),
        epoch=epoch,
        user="telegram:8841",
    )


async def test_a_hook_gets_events_in_their_order(tmp_path: Path, rigs: Rigs) -> None:
    """One after the other, sync or async, in one process that keeps what it knows."""
    out = tmp_path / "out"
    write_hook(tmp_path, "lines", APPENDS.format(path=str(out)))
    write_hook(tmp_path, "coroutine", ASYNC)
    rig = await rigs()
    for number in range(20):
        rig.tell(str(number))
    await rig.answered("lines", 20)
    assert out.read_text().splitlines() == [f"agent:end {number}" for number in range(20)]
    view = await rig.answered("coroutine", 20)
    assert (view.output.strip(), view.failure_count, view.last_error) == ("20 19", 0, "")
    assert view.p95_s > 0


@pytest.mark.parametrize("handler", [HANGS, SPINS], ids=["sleeps", "spins"])
async def test_a_hook_that_hangs_is_ended_and_started_again(tmp_path: Path, rigs: Rigs, handler: str) -> None:
    """A sync handler too; nobody else waits for it, and its process is gone."""
    pids = tmp_path / "pids"
    noted = f"import os\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    write_hook(tmp_path, "hangs", noted + handler, "events: ['*']\ntimeout_s: 0.3\n")
    write_hook(tmp_path, "quick", ASYNC)
    rig = await rigs(failure_limit=2)
    rig.tell("a")
    quick = await rig.answered("quick", 1)
    assert quick.failure_count == 0
    view = await rig.answered("hangs", 2)
    assert (view.state, view.timeout_count, view.failures_in_row) == (HookState.PAUSED, 2, 2)
    assert (view.paused_by, view.last_error) == ("core", "took longer than 0.3 s and was ended")
    ended = [int(pid) for pid in pids.read_text().split()]
    assert len(ended) == 2
    for pid in ended:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_hook_that_fails_in_a_row_is_paused_where_everybody_sees_it(tmp_path: Path, rigs: Rigs) -> None:
    """Its error names the line; it is resumed by command, and a restart does not forget that it is paused."""
    write_hook(tmp_path, "raises", RAISES, "events: [agent:end]\n")
    rig = await rigs()
    stream = rig.journal.subscribe(after=await rig.journal.head())
    for _ in range(7):
        rig.tell()
    await rig.answered("raises", 5)
    events = [(await anext(stream)).event for _ in range(5)]
    assert isinstance(events[0], HookFailed)
    assert isinstance(events[-1], HookPaused)
    view = rig.view("raises")
    assert (view.state, view.count, view.waiting_count) == (HookState.PAUSED, 5, 0)
    assert (view.paused_reason, view.last_error) == ("5 failures in a row", "handler.py:2: ValueError: no disk")
    rig.tell()
    again = HookRig(tmp_path, store=rig.store)
    await again.start()
    assert again.view("raises").paused_reason == "5 failures in a row"
    await again.stop()
    resumed = await rig.hooks.resume_hook(ResumeHook(name="raises"), SYSTEM)
    assert (resumed.state, resumed.failures_in_row) == (HookState.READY, 0)


async def test_a_hook_whose_process_dies_fails_and_is_started_again(tmp_path: Path, rigs: Rigs) -> None:
    """os._exit, a closed pipe: the next event finds a new process."""
    handler = "import os\ndef handle(e, c):\n    if c['response'] == 'die':\n        os._exit(3)\n"
    write_hook(tmp_path, "dies", handler, "events: [agent:end]\n")
    rig = await rigs()
    for response in ("live", "die", "live"):
        rig.tell(response)
    view = await rig.answered("dies", 3)
    assert (view.failure_count, view.failures_in_row) == (1, 0)
    assert view.last_error.startswith("its process ended with exit code 3 without an answer")


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("x = 1\n", "TypeError: handler.py has no function handle"),
        ("def handle(:\n", "handler.py:1: SyntaxError"),
        ("import nowhere_at_all\n", "handler.py:1: ModuleNotFoundError"),
        ("raise SystemExit(4)\n", "handler.py:1: SystemExit"),
    ],
)
async def test_a_handler_that_cannot_be_loaded_says_why(tmp_path: Path, rigs: Rigs, handler: str, said: str) -> None:
    """With its line, at the first event and in a test."""
    write_hook(tmp_path, "bad", handler)
    rig = await rigs()
    trial = await rig.tried("bad")
    assert not trial.is_ok
    assert said in trial.error


async def test_what_a_hook_prints_is_kept_and_bounded(tmp_path: Path, rigs: Rigs) -> None:
    """Also what its children print; it is never taken for an answer."""
    handler = "import subprocess, sys\ndef handle(e, c):\n    print('{\"id\": 1}')\n    print('x' * 100000)\n"
    handler += "    subprocess.run([sys.executable, '-c', 'print(\"child\")'])\n    print('end')\n"
    write_hook(tmp_path, "loud", handler)
    rig = await rigs()
    trial = await rig.tried("loud", "agent:start")
    assert trial.is_ok, trial.error
    assert trial.output.endswith("child\nend\n")
    assert len(trial.output) <= 4096
    assert trial.event_type == "agent:start"
    assert '"message":"hello"' in trial.payload


async def test_a_hook_sees_no_secret_and_no_input(tmp_path: Path, rigs: Rigs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is made for it, and its standard input is empty."""
    monkeypatch.setenv("MY_API_KEY", "s3cret")
    handler = "import os, sys\ndef handle(e, c):\n    print(sorted(os.environ), repr(sys.stdin.read()))\n"
    write_hook(tmp_path, "looks", handler)
    trial = await (await rigs()).tried("looks")
    assert trial.is_ok, trial.error
    assert "MY_API_KEY" not in trial.output
    assert "''" in trial.output


async def test_too_many_events_drop_the_oldest_and_are_counted(tmp_path: Path, rigs: Rigs) -> None:
    """A hook that is slow costs memory up to a bound, and says what it was not told."""
    out = tmp_path / "out"
    write_hook(tmp_path, "lines", APPENDS.format(path=str(out)), "events: [agent:end]\n")
    rig = await rigs(queue_limit=5)
    for number in range(50):
        rig.tell(str(number))
    view = await rig.answered("lines", 5)
    assert view.dropped_count + view.count + view.waiting_count == 50
    await rig.answered("lines", 50 - view.dropped_count)
    assert out.read_text().splitlines()[-1] == "agent:end 49"


async def test_hooks_come_in_their_order_and_can_be_switched(tmp_path: Path, rigs: Rigs) -> None:
    """By the manifest and by config.yaml; one that is off is told nothing and can be tried all the same."""
    write_hook(tmp_path, "b", ASYNC, "events: [agent:end]\norder: 1\n")
    write_hook(tmp_path, "c", ASYNC, "events: [agent:end]\n")
    write_hook(tmp_path, "a", ASYNC, "events: [agent:end]\nenabled: false\norder: 5\n")
    rig = await rigs(off=("c",))
    assert rig.states() == {"c": HookState.OFF, "b": HookState.READY, "a": HookState.OFF}
    assert [view.name for view in rig.hooks.views if not view.is_builtin] == ["c", "b", "a"]
    rig.tell()
    await rig.answered("b", 1)
    assert rig.view("c").count == 0
    assert (await rig.tried("a")).is_ok
    assert rig.view("a").count == 0


async def test_reload_reads_one_or_all_again(tmp_path: Path, rigs: Rigs) -> None:
    """A mended hook works, a new one is there, one that is gone is gone; others keep their process."""
    write_hook(tmp_path, "one", ASYNC, "events: agent:end\n")
    write_hook(tmp_path, "two", ASYNC)
    rig = await rigs()
    assert rig.states() == {"one": HookState.BROKEN, "two": HookState.READY}
    assert "write events: [agent:end]" in rig.view("one").problem
    with pytest.raises(Refused):
        await rig.tried("one")
    rig.tell()
    await rig.answered("two", 1)
    write_hook(tmp_path, "one", ASYNC)
    await rig.reload("one")
    assert rig.states() == {"one": HookState.READY, "two": HookState.READY}
    assert rig.view("two").count == 1
    write_hook(tmp_path, "three", ASYNC)
    for file in ("HOOK.yaml", "handler.py"):
        (tmp_path / "hooks" / "two" / file).unlink()
    (tmp_path / "hooks" / "two").rmdir()
    await rig.reload()
    assert rig.states() == {"one": HookState.READY, "three": HookState.READY}
    with pytest.raises(NotFound):
        await rig.reload("two")


async def test_hooks_can_be_switched_off_as_a_whole(tmp_path: Path, rigs: Rigs) -> None:
    """Then no folder is read, and a reload says why."""
    write_hook(tmp_path, "one", ASYNC)
    rig = await rigs(enabled=False)
    assert rig.hooks.views == ()
    with pytest.raises(Refused):
        await rig.reload()


async def test_a_paused_hook_hears_nothing_and_orders_that_make_no_sense_are_refused(
    tmp_path: Path, rigs: Rigs
) -> None:
    """With what is so."""
    write_hook(tmp_path, "one", ASYNC)
    rig = await rigs()
    with pytest.raises(Refused):
        await rig.hooks.resume_hook(ResumeHook(name="one"), SYSTEM)
    view = await rig.hooks.pause_hook(PauseHook(name="one", reason="too loud"), SYSTEM)
    assert (view.state, view.paused_reason) == (HookState.PAUSED, "too loud")
    with pytest.raises(Refused):
        await rig.hooks.pause_hook(PauseHook(name="one"), SYSTEM)
    rig.tell()
    assert rig.view("one").waiting_count == 0
    with pytest.raises(InvalidInput):
        await rig.tried("one", "agent:stop")
    with pytest.raises(NotFound):
        await rig.tried("nobody")


async def test_hooks_hear_what_is_in_the_journal(tmp_path: Path, rigs: Rigs) -> None:
    """A session that begins, is reset and answers: the events that hooks know, with their context."""
    out = tmp_path / "out"
    handler = (
        f"import json\ndef handle(e, c):\n    with open({str(out)!r}, 'a') as f: f.write(json.dumps([e, c]) + '\\n')\n"
    )
    write_hook(tmp_path, "all", handler, "events: ['*']\n")
    rig = await rigs()
    outcome = RunOutcome(run_id=RunId("r1"), stop=Stop.END_TURN, ended=Mark(1.0, 1.0), duration_s=2.0, answered=True)
    for event in (
        SessionOpened(session=session()),
        RunEnded(session=session(), outcome=outcome, entries=()),
        SessionReset(session=session(1), reason="new", dropped=2),
        ChatCommandUsed(
            platform=PlatformName("telegram"),
            session_id=SessionId("telegram:dm:8841"),
            sender_id="8841",
            sender_name="Ivo",
            command="stop",
            arguments="now",
            outcome=CommandOutcome.DONE,
        ),
    ):
        await rig.journal.commit([], [("telegram:dm:8841", event)])
    await rig.answered("all", 7)
    import json

    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert [event for event, _ in told] == [
        "gateway:startup",
        "session:start",
        "agent:end",
        "session:end",
        "session:reset",
        "session:start",
        "command:stop",
    ]
    assert (told[6][1]["command"], told[6][1]["args"], told[6][1]["outcome"]) == ("stop", "now", "done")
    context = dict(told[3][1])
    assert (context["session_id"], context["reason"]) == ("telegram:dm:8841#0", "new")
    assert told[5][1]["session_id"] == "telegram:dm:8841#1"
    assert (told[2][1]["stop"], told[2][1]["chat_id"], told[2][1]["user_id"]) == ("end_turn", "8841", "telegram:8841")
    assert told[0][1]["platforms"] == ["local"]


async def test_nothing_is_left_behind_when_the_core_is_killed(tmp_path: Path) -> None:
    """A handler that hangs ends by itself soon after its parent is gone."""
    folder = write_hook(tmp_path, "hangs", HANGS)
    host = Path(hook_host.__file__)
    program = (
        "import os, signal, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-I', {str(host)!r}, {str(folder / 'handler.py')!r}],\n"
        "    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)\n"
        "assert child.stdout.readline()\n"
        'child.stdin.write(b\'{"id": 1, "event": "agent:end", "context": {}}\\n\'); child.stdin.flush()\n'
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert await ended(int(done.stdout), 20.0)


async def test_the_core_goes_on_while_a_hook_is_stuck(tmp_path: Path, rigs: Rigs) -> None:
    """Telling of an event returns at once, and commits do not wait."""
    write_hook(tmp_path, "hangs", HANGS, "events: ['*']\ntimeout_s: 30\n")
    rig = await rigs()
    async with asyncio.timeout(5):
        for _ in range(200):
            await rig.journal.commit([], [("s", SessionOpened(session=session()))])
    assert rig.view("hangs").waiting_count >= 200
