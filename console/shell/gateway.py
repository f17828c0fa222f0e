"""Shell commands about the process of a core: start, stop, restart, status, run; and the homes of this user."""

import argparse
import asyncio

from console.exit_codes import Exit
from console.process_words import ALIVE, drain_words, failed_words, holder_words, process_facts
from console.shell.call import operator
from console.shell.flags import add_nothing, add_reason
from console.shell.local import Daemon, LocalCall, LocalVerb, drain_s, pause
from console.shell.printing import facts, table
from console.text import age
from core.api.codec import encode
from core.api.errors import DeadlineExceeded, HermesError, Refused, Unavailable
from core.api.port import Hermes
from core.api.processes import DrainView, GetDrain, ProcessStanding, ProcessView
from core.api.system import GetConfig, Shutdown

_LOOK_S = 0.1
_TELL_S = 0.5
_REPEAT_S = 5.0
_ATTACH_LIMIT_S = 5.0
_END_LIMIT_S = 30.0
_TAIL_LINES = 20
_LONGEST_S = 86_400.0


def _seconds(text: str) -> float:
    """A time to wait. Raises ArgumentTypeError."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {_LONGEST_S:.0f}")
    return found


def _add_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=_seconds, default=60.0, metavar="SECONDS", help="how long to wait until it is up"
    )


def _add_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drain", type=_seconds, default=None, metavar="SECONDS", help="time that runs get to end; else core.drain_s"
    )
    parser.add_argument("--now", action="store_true", help="give them no time: their messages run at the next start")
    parser.add_argument("--kill", action="store_true", help="kill a core that does not answer")
    add_reason(parser)


def _add_restart(parser: argparse.ArgumentParser) -> None:
    _add_stop(parser)
    _add_start(parser)


async def start(call: LocalCall) -> int:
    """Start a core as a daemon and wait until it is up, or say why it is not."""
    return await _started(call, unsafe=call.args.unsafe)


async def _started(call: LocalCall, *, unsafe: bool) -> int:
    before = await _other_start_ended(call)
    if before.state in ALIVE or before.state is ProcessStanding.HUNG:
        return _runs_already(call, before)
    daemon = await asyncio.to_thread(lambda: call.doors.start_daemon(call.home, unsafe=unsafe))
    try:
        async with asyncio.timeout(call.args.wait):
            view = await _up(call, daemon)
    except TimeoutError:
        raise _too_slow(call, await call.process(), daemon.pid) from None
    finally:
        daemon.leave()
    if view.pid != daemon.pid:
        return _runs_already(call, view)
    call.give(view, lambda: facts(process_facts(view)))
    if view.safe_mode:
        call.narrate(f"the core runs in safe mode: {view.safe_mode}")
    call.narrate(f"the core runs as pid {view.pid}; see it with: hermes-console --home {call.home} attach")
    return Exit.OK


async def _other_start_ended(call: LocalCall) -> ProcessView:
    """How the core stands once nobody else is about to start it. Raises DeadlineExceeded."""
    view = await call.process()
    try:
        async with asyncio.timeout(call.args.wait):
            while view.state is ProcessStanding.STARTING:
                await pause(_LOOK_S)
                view = await call.process()
    except TimeoutError:
        raise _too_slow(call, view, view.pid) from None
    return view


def _too_slow(call: LocalCall, view: ProcessView, pid: int) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"the core is not up after {call.args.wait:g} s; it goes on as pid {pid}"
        + (f", starting {view.step}" if view.step else ""),
        what="start",
        limit_s=call.args.wait,
        fix="hermes-console gateway status",
    )


def _runs_already(call: LocalCall, view: ProcessView) -> int:
    if view.state is ProcessStanding.DRAINING:
        raise Unavailable(f"the core with pid {view.pid} is stopping", fix="start it when it has ended")
    if view.state is ProcessStanding.HUNG:
        raise Unavailable(
            f"the core with pid {view.pid} hangs: {view.reason}", fix="hermes-console gateway restart --kill"
        )
    call.give(view, lambda: facts(process_facts(view)))
    call.narrate(f"a core runs already, pid {view.pid}")
    return Exit.OK


async def _up(call: LocalCall, daemon: Daemon) -> ProcessView:
    while True:
        code = daemon.exit_code()
        view = await call.process()
        if view.pid == daemon.pid and view.state is ProcessStanding.RUNNING:
            return view
        if code is not None and view.pid != daemon.pid and view.state in ALIVE:
            # Another start was faster, and has the home.
            if view.state is not ProcessStanding.STARTING:
                return view
        elif code is not None:
            for line in await asyncio.to_thread(call.doors.log_tail, call.home, _TAIL_LINES):
                call.narrate(f"  log: {line}")
            raise _not_up(view, daemon, code)
        await pause(_LOOK_S)


def _not_up(view: ProcessView, daemon: Daemon, code: int) -> HermesError:
    is_own = view.pid == daemon.pid and view.state in {ProcessStanding.FAILED, ProcessStanding.CRASHED}
    last = view.failed_starts[-1] if view.failed_starts and is_own else None
    why = failed_words(last) if last else f"exit code {code}"
    look = f"read {view.log}" if view.log else "hermes-console gateway status"
    return Unavailable(f"the core did not start: {why}", fix=(last.fix if last else "") or look)


async def stop(call: LocalCall) -> int:
    """Stop the core, saying what it waits for; 0 when none runs afterwards."""
    view = await call.process()
    if view.state not in ALIVE and view.state is not ProcessStanding.HUNG:
        call.give(view, lambda: facts(process_facts(view)))
        call.narrate(f"no core runs on {call.home}: {view.state.value}")
        return Exit.OK
    was_told, drain = await _told(call)
    if not was_told:
        await _signalled(call, view, "does not answer")
    try:
        view = await _gone(call, view.pid, 0.0 if drain is None else _left_s(drain))
    except DeadlineExceeded:
        if not was_told or not call.args.kill:
            raise
        await _signalled(call, view, "has taken the order and does not end")
        view = await _gone(call, view.pid, 0.0)
    call.give(view, lambda: facts(process_facts(view)))
    cut_off = view.drain.cut_off_count if view.drain is not None else 0
    if cut_off:
        call.narrate(f"{cut_off} of its runs had not ended: their messages run again at the next start")
    call.narrate(f"the core has stopped, pid {view.pid}")
    return Exit.OK


def _left_s(drain: DrainView) -> float:
    return 0.0 if drain.deadline is None else max(0.0, drain.deadline.mono - drain.now.mono)


async def _told(call: LocalCall) -> tuple[bool, DrainView | None]:
    """Tell the core to stop, over its socket, and follow the wait. Whether it took the order, and what it said last."""
    try:
        async with asyncio.timeout(_ATTACH_LIMIT_S):
            hermes = await call.doors.attach(call.home)
    except (TimeoutError, HermesError):
        # No socket, no answer, or the protocol of another version.
        return False, None
    was_told, drain = False, None
    try:
        async with asyncio.timeout(_ATTACH_LIMIT_S):
            given_s = 0.0 if call.args.now else await _drain_s(hermes, call.args.drain)
            await hermes.execute(Shutdown(reason=call.args.reason or "gateway stop", drain_s=given_s), actor=operator())
            was_told = True
            drain = await hermes.query(GetDrain())
        await _followed(call, hermes, drain)
    except (TimeoutError, HermesError):
        # That the core goes away is what was asked for; one that went silent is told by a signal.
        return was_told, drain
    finally:
        await hermes.close()
    return was_told, drain


async def _drain_s(hermes: Hermes, wanted: float | None) -> float:
    if wanted is not None:
        return max(0.0, wanted)
    return drain_s(await hermes.query(GetConfig()))


async def _followed(call: LocalCall, hermes: Hermes, drain: DrainView) -> None:
    """Say who holds the stop up, at once, when that changes, and now and then, until the core is gone."""
    told: tuple[object, ...] = ()
    told_mono = 0.0
    while True:
        who = tuple((holder.session_id, holder.phase) for holder in drain.holders)
        if who != told or (who and drain.now.mono - told_mono >= _REPEAT_S):
            told, told_mono = who, drain.now.mono
            _tell(call, drain)
        await pause(_TELL_S)
        async with asyncio.timeout(_ATTACH_LIMIT_S):
            drain = await hermes.query(GetDrain())


def _tell(call: LocalCall, drain: DrainView) -> None:
    if call.is_json:
        call.streams.write(encode(drain).decode())
        call.streams.stdout.flush()
        return
    call.narrate(f"stopping: {drain_words(drain)}")
    for holder in drain.holders:
        call.narrate(f"  holder  {holder_words(holder)}")
    if drain.holder_count > len(drain.holders):
        call.narrate(f"  and {drain.holder_count - len(drain.holders)} more")


async def _signalled(call: LocalCall, view: ProcessView, why: str) -> None:
    kill = bool(call.args.kill)
    call.narrate(f"the core {why}; process {view.pid} is {'killed' if kill else 'told to end'}")
    try:
        await asyncio.to_thread(lambda: call.doors.terminate(call.home, kill=kill))
    except Refused:
        # It ended in between.
        return


async def _gone(call: LocalCall, pid: int, drain_s: float) -> ProcessView:
    """Wait until the process is gone. Raises DeadlineExceeded when it stays."""
    limit_s = drain_s + _END_LIMIT_S
    try:
        async with asyncio.timeout(limit_s):
            while True:
                view = await call.process()
                if view.pid != pid or (view.state not in ALIVE and view.state is not ProcessStanding.HUNG):
                    return view
                await pause(_LOOK_S)
    except TimeoutError:
        raise DeadlineExceeded(
            f"process {pid} goes on", what="stop", limit_s=limit_s, fix="hermes-console gateway stop --kill"
        ) from None


async def restart(call: LocalCall) -> int:
    """Stop the core if one runs, then start one. Who restarts a core that is in safe mode has mended what was wrong."""
    view = await call.process()
    is_there = view.state in ALIVE or view.state is ProcessStanding.HUNG
    if is_there:
        await stop(call)
    return await _started(call, unsafe=call.args.unsafe or (is_there and bool(view.safe_mode)))


async def status(call: LocalCall) -> int:
    """How the core stands. 0 while it shows life, 7 when none runs, 1 when it hangs."""
    view = await call.process()
    call.give(view, lambda: facts(process_facts(view)))
    if view.state is ProcessStanding.HUNG:
        return Exit.INTERNAL
    return Exit.OK if view.state in ALIVE else Exit.UNAVAILABLE


async def _profiles(call: LocalCall) -> int:
    found = await asyncio.to_thread(call.doors.profiles, call.root)
    head = ("profile", "state", "pid", "heartbeat", "home")
    rows = [
        (
            item.name or "(default)",
            item.process.state.value,
            str(item.process.pid or ""),
            age(item.process.heartbeat_age_s) if item.process.heartbeat_at else "never",
            item.process.home,
        )
        for item in found.profiles
    ]
    call.give(found, lambda: table(head, rows, width=call.width))
    return Exit.OK


VERBS: tuple[LocalVerb, ...] = (
    LocalVerb("gateway", "start", "start the core as a daemon and wait until it is up", _add_start, start),
    LocalVerb("gateway", "stop", "drain and stop the core, naming what it waits for", _add_stop, stop),
    LocalVerb("gateway", "restart", "stop the core if one runs, and start it", _add_restart, restart),
    LocalVerb("gateway", "status", "how the core's process stands, without asking it", add_nothing, status),
    LocalVerb("profiles", "list", "the homes of this user, each with its state", add_nothing, _profiles),
)
