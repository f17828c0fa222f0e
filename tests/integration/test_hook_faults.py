"""Hooks that misbehave in odder ways: copies of themselves, floods, events that cannot be handed on; what is kept."""

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
from core.api.hooks import HookAnswered, HookState
from core.automation_settings import HookSettings
from core.gateway import hook_host
from core.gateway.hook_child import PRINT_LIMIT_BYTES
from core.gateway.hook_files import builtin_folder, read_all
from core.gateway.hook_payload import AgentEnd
from tests.support.hook_rig import ENDED, HookRig, write_hook

COPIES = """
import os
def handle(event_type, context):
    if context["response"] == "copy":
        os.fork()
    elif context["response"] == "bad":
        raise ValueError("bad")
"""
FLOODS = """
import os
def handle(event_type, context):
    if context["response"] == "flood":
        while True:
            os.write(1, b"x" * 65536)
"""
SAYS = """
def handle(event_type, context):
    if context["response"] == "bad":
        raise ValueError("bad")
    print(context["response"])
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


async def test_a_copy_of_a_hook_answers_for_nobody(tmp_path: Path, rigs: Rigs) -> None:
    """What it does with an event is never taken for the answer to the next one."""
    write_hook(tmp_path, "copies", COPIES, "events: [agent:end]\n")
    rig = await rigs(failure_limit=100)
    for response in ("copy", "bad") * 10:
        rig.tell(response)
    view = await rig.answered("copies", 20)
    assert (view.failure_count, view.failures_in_row) == (10, 1)
    assert view.last_error == "handler.py:7: ValueError: bad"


async def test_a_copy_of_a_hook_gets_no_events(tmp_path: Path, rigs: Rigs) -> None:
    """They are for one process, which knows what it was told before."""
    out = tmp_path / "out"
    notes = f"    else:\n        open({str(out)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    write_hook(tmp_path, "copies", COPIES.rstrip("\n") + "\n" + notes, "events: [agent:end]\n")
    rig = await rigs()
    for response in ("copy", "copy", *["note"] * 40):
        rig.tell(response)
    await rig.answered("copies", 42)
    assert len(out.read_text().split()) == 40
    assert len(set(out.read_text().split())) == 1


async def test_a_stale_answer_is_not_taken_for_the_next(tmp_path: Path, rigs: Rigs) -> None:
    """Each answer names its event, whoever writes it."""
    forges = (
        "import os\n"
        "def handle(event_type, context):\n"
        "    if context['response'] == 'forge':\n"
        "        for fd in range(3, 16):\n"
        "            try:\n"
        '                os.write(fd, b\'{"id": 1, "error": ""}\\n\' * 2)\n'
        "            except OSError:\n"
        "                pass\n"
        "    else:\n"
        "        raise ValueError('bad')\n"
    )
    write_hook(tmp_path, "forges", forges, "events: [agent:end]\n")
    rig = await rigs()
    rig.tell("forge")
    await rig.answered("forges", 1)
    rig.tell("bad")
    view = await rig.answered("forges", 2)
    assert (view.failure_count, view.timeout_count) == (1, 0)
    assert view.last_error.endswith("ValueError: bad")


async def test_a_flood_is_ended_and_costs_the_next_event_nothing(tmp_path: Path, rigs: Rigs) -> None:
    """The core would read for as long as it prints; so much no event has to say."""
    write_hook(tmp_path, "floods", FLOODS, "events: [agent:end]\ntimeout_s: 600\n")
    rig = await rigs()
    rig.tell("flood")
    view = await rig.answered("floods", 1)
    assert view.last_error == f"printed more than {PRINT_LIMIT_BYTES // 1_048_576} MB for one event and was ended"
    assert len(view.output) == 4096
    rig.tell("calm")
    view = await rig.answered("floods", 2)
    assert (view.failure_count, view.failures_in_row) == (1, 0)


async def test_an_event_that_cannot_be_handed_on_costs_itself_alone(tmp_path: Path, rigs: Rigs) -> None:
    """Those behind it do not wait for another event."""
    write_hook(tmp_path, "says", SAYS, "events: [agent:end]\n")
    rig = await rigs()
    rig.tell("\ud800")
    rig.tell("one")
    rig.tell("two")
    view = await rig.answered("says", 2)
    assert view.output == "two\n"


async def test_a_hook_that_mended_itself_is_not_failing_after_a_restart(tmp_path: Path, rigs: Rigs) -> None:
    """What is kept of failures in a row ends with the first success."""
    write_hook(tmp_path, "says", SAYS, "events: [agent:end]\n")
    rig = await rigs()
    rig.tell("bad")
    view = await rig.answered("says", 1)
    assert view.failures_in_row == 1
    rig.tell("fine")
    await rig.answered("says", 2)
    await rig.stop()
    again = await HookRig(tmp_path, store=rig.store).start()
    assert again.view("says").failures_in_row == 0
    await again.stop()


async def test_the_last_counts_are_shown(tmp_path: Path, rigs: Rigs) -> None:
    """At most once a second, but what is on screen in the end is how it is."""
    write_hook(tmp_path, "says", SAYS, "events: [agent:end]\n")
    rig = await rigs()
    records = rig.journal.subscribe(after=await rig.journal.head())
    for number in range(20):
        rig.tell(str(number))
    await rig.answered("says", 20)
    waiting = 1
    async for record in records:
        assert isinstance(record.event, HookAnswered)
        waiting = record.event.hook.waiting_count
        if record.event.hook.count == 20:
            break
    assert waiting == 0


async def test_a_test_that_was_given_up_is_not_carried_out_later(tmp_path: Path, rigs: Rigs) -> None:
    """Whoever asked was told that it did not come to it."""
    out = tmp_path / "out"
    notes = f"def handle(e, c):\n    open({str(out)!r}, 'a').write(c['response'] + '\\n')\n"
    write_hook(tmp_path, "notes", notes, "events: [agent:end]\n")
    rig = await rigs()
    rig.tell("first")
    rig.hooks._get("notes").try_out(ENDED, AgentEnd(at=1.0, response="never")).cancel()
    await rig.answered("notes", 1)
    assert out.read_text() == "first\n"


async def test_views_are_newer_than_those_of_an_earlier_start(tmp_path: Path, rigs: Rigs) -> None:
    """A console that stayed while the core was started again shows what is now."""
    write_hook(tmp_path, "says", SAYS, "events: [agent:end]\n")
    rig = await rigs()
    for _ in range(30):
        rig.tell("x")
    before = await rig.answered("says", 30)
    again = await HookRig(tmp_path, boot=2).start()
    assert again.view("says").version > before.version
    await again.stop()


async def test_a_switch_for_a_hook_that_is_not_there_is_told(tmp_path: Path, rigs: Rigs) -> None:
    """With the name and what to do; the others are switched."""
    write_hook(tmp_path, "says", SAYS)
    rig = await rigs(off=("says", "sasy"))
    assert rig.view("says").state is HookState.OFF
    ((what, error),) = rig.errors
    assert (what, str(error)) == ("hooks.off", "hooks.off names no hook: sasy")


def test_a_manifest_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    """It says when the handler runs, and for how long."""
    (write_hook(tmp_path, "open", SAYS) / "HOOK.yaml").chmod(0o666)
    pipe = write_hook(tmp_path, "pipe", SAYS, None)
    os.mkfifo(pipe / "HOOK.yaml", 0o644)
    found = {read.name: read for read in read_all(tmp_path)}
    assert "chmod go-w" in found["open"].problem
    assert found["pipe"].problem


async def test_the_lines_of_events_are_their_owner_s_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people write is in them."""
    home = tmp_path / "user"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    rig = await HookRig(tmp_path, HookSettings(on=("event_lines",))).start()
    assert (builtin_folder() / "event_lines").is_dir()
    rig.tell("hello")
    await rig.answered("event_lines", 2)
    await rig.stop()
    file = home / "hook-events.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "hello" in file.read_text()


async def test_what_a_hook_started_ends_with_it_when_the_core_is_killed(tmp_path: Path) -> None:
    """All of its group, as when the core itself ends it."""
    starts = (
        "import subprocess, sys\n"
        "def handle(event_type, context):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
    )
    folder = write_hook(tmp_path, "starts", starts)
    program = (
        "import os, signal, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-I', {hook_host.__file__!r}, {str(folder / 'handler.py')!r}],\n"
        "    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)\n"
        "assert child.stdout.readline()\n"
        'child.stdin.write(b\'{"id": 1, "event": "agent:end", "context": {}}\\n\'); child.stdin.flush()\n'
        "assert child.stdout.readline()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert await ended(int((tmp_path / "pid").read_text()), 20.0)
