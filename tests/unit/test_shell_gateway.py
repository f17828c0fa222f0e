"""Start, stop and restart as the shell carries them out, against doors that say what a core would."""

import argparse
import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from console.exit_codes import Exit
from console.shell import gateway, services
from console.shell.call import Streams
from console.shell.local import LocalCall, ProcessDoors
from core.api.base import Mark
from core.api.errors import DeadlineExceeded, HermesError, Refused, Unavailable
from core.api.port import Hermes
from core.api.processes import DrainView, GetDrain, ProcessStanding, ProcessView
from core.api.system import ConfigView, GetConfig, Shutdown, ShutdownReceipt

OWN, OTHER = 77, 66
NOW = Mark(1.0, 1.0)
DRAIN = DrainView(
    is_draining=True, reason="", now=NOW, began=NOW, deadline=NOW, holders=(), holder_count=0, queued_count=0
)


def at(state: ProcessStanding, pid: int = OWN, **fields: Any) -> ProcessView:
    """A core that stands so."""
    return ProcessView(home="/h", state=state, pid=pid, **fields)


RUNNING = at(ProcessStanding.RUNNING)
STOPPED = at(ProcessStanding.STOPPED)


class Core:
    """Takes the order to stop, and says what it is asked."""

    async def execute(self, command: object, *, actor: object) -> ShutdownReceipt:
        """Take an order."""
        assert isinstance(command, Shutdown)
        return ShutdownReceipt(running=0, queued=0, drain_s=command.drain_s)

    async def query(self, query: object) -> object:
        """Answer; after the stop nobody is there."""
        if isinstance(query, GetConfig):
            return ConfigView(file="", settings=())
        assert isinstance(query, GetDrain)
        raise Unavailable("the core has stopped")

    async def close(self) -> None:
        """Nothing is open."""


class Doors:
    """What a core says each time it is looked at; the last stays.

    exit_codes: of the daemon, each time it is asked. attached: the core, or why it cannot be had. dies_of: the states
    that a signal ends.
    """

    pid = OWN

    def __init__(self, *views: ProcessView, exit_code: int | None = None, attached: HermesError | None = None) -> None:
        self._views = list(views)
        self._exit_code = exit_code
        self._attached = attached
        self.started: list[bool] = []
        self.signals: list[bool] = []
        self.on_signal: Callable[[], None] = lambda: None

    def now(self, *views: ProcessView) -> None:
        """From now on it stands so."""
        self._views = list(views)

    def process(self, _home: Path) -> ProcessView:
        """How it stands."""
        return self._views.pop(0) if len(self._views) > 1 else self._views[0]

    def start_daemon(self, _home: Path, *, unsafe: bool) -> "Doors":
        """A daemon."""
        self.started.append(unsafe)
        return self

    def exit_code(self) -> int | None:
        """What the daemon ended with."""
        return self._exit_code

    def leave(self) -> None:
        """Let the daemon go on."""

    def log_tail(self, _home: Path, _line_count: int) -> list[str]:
        """Its last words."""
        return ["no"]

    async def attach(self, _home: Path) -> Hermes:
        """The core, or why not."""
        if self._attached is not None:
            raise self._attached
        return cast("Hermes", Core())

    def terminate(self, _home: Path, *, kill: bool) -> int:
        """A signal."""
        self.signals.append(kill)
        self.on_signal()
        return OWN


def call_with(doors: Doors, **args: Any) -> tuple[LocalCall, io.StringIO]:
    """A call through these doors, and what it narrates."""
    given: dict[str, Any] = {"wait": 5.0, "drain": None, "now": False, "kill": False, "unsafe": False, "reason": ""}
    told = io.StringIO()
    namespace = argparse.Namespace(json=False, plain=True, **(given | args))
    call = LocalCall(
        args=namespace,
        home=Path("/h"),
        root=Path("/h"),
        doors=cast("ProcessDoors", doors),
        streams=Streams(io.StringIO(), io.StringIO(), told),
    )
    return call, told


async def test_a_start_waits_for_another_one_that_goes_on() -> None:
    """It returns when that one is up, and starts nothing of its own."""
    starting = at(ProcessStanding.STARTING, OTHER, step="store")
    doors = Doors(starting, starting, at(ProcessStanding.RUNNING, OTHER))
    call, told = call_with(doors)
    assert await gateway.start(call) == Exit.OK
    assert doors.started == []
    assert f"a core runs already, pid {OTHER}" in told.getvalue()


async def test_a_start_goes_on_when_the_other_one_has_failed() -> None:
    """Then it starts its own."""
    doors = Doors(at(ProcessStanding.STARTING, OTHER), at(ProcessStanding.FAILED, OTHER), RUNNING)
    call, _ = call_with(doors)
    assert await gateway.start(call) == Exit.OK
    assert doors.started == [False]


async def test_a_start_that_never_ends_is_told_with_what_it_does() -> None:
    """The pid is that of the one which goes on."""
    doors = Doors(at(ProcessStanding.STARTING, OTHER, step="store"))
    call, _ = call_with(doors, wait=0.0)
    with pytest.raises(DeadlineExceeded, match=f"pid {OTHER}, starting store"):
        await gateway.start(call)


async def test_of_two_starts_at_once_both_end_with_the_core_that_won() -> None:
    """The one whose daemon found the home taken says that a core runs, and not that none started."""
    doors = Doors(
        at(ProcessStanding.NEVER, 0),
        at(ProcessStanding.STARTING, OTHER),
        at(ProcessStanding.RUNNING, OTHER),
        exit_code=int(Exit.UNAVAILABLE),
    )
    call, told = call_with(doors)
    assert await gateway.start(call) == Exit.OK
    assert f"a core runs already, pid {OTHER}" in told.getvalue()


async def test_a_daemon_that_ends_is_told_with_its_last_words() -> None:
    """When no other core is there, either."""
    doors = Doors(at(ProcessStanding.NEVER, 0), exit_code=2)
    call, told = call_with(doors)
    with pytest.raises(Unavailable, match="exit code 2"):
        await gateway.start(call)
    assert "log: no" in told.getvalue()


@pytest.mark.parametrize(
    "why",
    [
        Unavailable("no socket"),
        Refused("the core speaks protocol 1", rule="protocol"),
        DeadlineExceeded("no greeting", what="greeting", limit_s=5.0),
    ],
    ids=["no socket", "another version", "no answer"],
)
async def test_a_core_that_cannot_be_spoken_to_is_told_by_signal(why: HermesError) -> None:
    """Also the one of before an upgrade, whose protocol this program does not speak."""
    doors = Doors(RUNNING, attached=why)
    doors.on_signal = lambda: doors.now(STOPPED)
    call, _ = call_with(doors)
    assert await gateway.stop(call) == Exit.OK
    assert doors.signals == [False]


async def test_kill_ends_a_core_that_took_the_order_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order alone is no end. Without --kill it is said what to do."""
    monkeypatch.setattr(gateway, "_END_LIMIT_S", 0.05)
    doors = Doors(RUNNING)
    call, _ = call_with(doors)
    with pytest.raises(DeadlineExceeded) as raised:
        await gateway.stop(call)
    assert raised.value.facts["fix"] == "hermes-console gateway stop --kill"
    assert doors.signals == []
    doors.on_signal = lambda: doors.now(at(ProcessStanding.CRASHED))
    call, told = call_with(doors, kill=True)
    assert await gateway.stop(call) == Exit.OK
    assert doors.signals == [True]
    assert "does not end; process 77 is killed" in told.getvalue()


@pytest.mark.parametrize("safe_mode", ["", "config.yaml:3: x is not a key"])
async def test_who_restarts_a_core_in_safe_mode_tries_anew(safe_mode: str) -> None:
    """What was wrong may lie outside of all that a start reads, such as a full disk; the crash loop is not asked."""
    doors = Doors(at(ProcessStanding.RUNNING, safe_mode=safe_mode), attached=Unavailable("no socket"))
    doors.on_signal = lambda: doors.now(STOPPED, STOPPED, RUNNING)
    call, _ = call_with(doors)
    async with asyncio.timeout(20):
        assert await gateway.restart(call) == Exit.OK
    assert doors.started == [bool(safe_mode)]


def test_what_keeps_a_service_file_from_being_removed_is_told(tmp_path: Path) -> None:
    """Also when it is the link by which it is switched on; the file stays then."""
    unit = tmp_path / "x.service"
    unit.write_text("[Unit]\n", encoding="utf-8")
    (tmp_path / "default.target.wants" / "x.service").mkdir(parents=True)
    with pytest.raises(Unavailable, match="cannot remove"):
        services._removed(unit)
    assert unit.exists()


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "soon", "1e9"])
def test_a_time_that_cannot_be_is_refused(text: str) -> None:
    """With what can be."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    next(verb for verb in gateway.VERBS if verb.verb == "stop").add(parser)
    with pytest.raises(argparse.ArgumentError, match="from 0 to 86400"):
        parser.parse_args([f"--drain={text}"])
    assert parser.parse_args(["--drain", "3"]).drain == 3.0
