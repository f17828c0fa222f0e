"""Every command and query from a shell: JSON or tables on stdout, narration on stderr, exit codes; no screen."""

import argparse
import asyncio
import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from console.exit_codes import Exit
from console.shell import (
    access,
    agents,
    approvals,
    audit,
    breakers,
    cron,
    dead,
    deliveries,
    events,
    gateway,
    hooks,
    imports,
    mailboxes,
    pairing,
    pairing_imports,
    platforms,
    relay_bindings,
    relay_messages,
    relay_targets,
    services,
    session_queue,
    sessions,
    system,
    tasks,
)
from console.shell.arguments import parsed
from console.shell.call import Call, Streams, Verb, complain, operator
from console.shell.local import LocalCall, LocalVerb, ProcessDoors
from core.api.codec import encode
from core.api.errors import HermesError, InvalidInput, Unavailable
from core.api.system import HealthView

VERBS: dict[tuple[str, str], Verb] = (
    {
        (verb.noun, verb.verb): verb
        for noun in (
            sessions,
            session_queue,
            approvals,
            tasks,
            agents,
            deliveries,
            mailboxes,
            dead,
            events,
            audit,
            system,
        )
        for verb in noun.VERBS
    }
    | {
        (verb.noun, verb.verb): verb
        for noun in (access, pairing, pairing_imports, hooks, cron, breakers, platforms)
        for verb in noun.VERBS
    }
    | {(verb.noun, verb.verb): verb for noun in (relay_bindings, relay_messages, relay_targets) for verb in noun.VERBS}
)
LOCAL_VERBS: dict[tuple[str, str], LocalVerb] = {
    (verb.noun, verb.verb): verb for noun in (gateway, services, imports) for verb in noun.VERBS
}

_CONFIG_NAME = "config.yaml"


class Doors(ProcessDoors, Protocol):
    """The ways to a core and to the screen, which the entry point knows and nobody else."""

    def default_home(self) -> Path:
        """The home that is used when none is named."""
        ...

    def serve(self, home: Path, on_ready: "OnReady", *, unsafe: bool = False) -> int:
        """Run the core of a home until told to stop. unsafe: never in safe mode. Returns the exit code."""
        ...

    def screen(self, home: Path, *, is_embedded: bool, read_only: bool, demo: bool, unsafe: bool = False) -> int:
        """Open the screen, on a core in this process or on one that runs. Returns the exit code."""
        ...

    def leave_screen(self) -> None:
        """Give the terminal back when the screen could not be opened after all."""
        ...

    def prepare_demo(self, home: Path) -> None:
        """Write the configuration of the demo into a throw-away home."""
        ...

    def config_errors(self, home: Path) -> Sequence[HermesError]:
        """Everything that is wrong with the configuration of a home."""
        ...


class OnReady(Protocol):
    """Called once when the core is up."""

    def __call__(self, health: HealthView, /) -> None:
        """health: how it is, with its address."""
        ...


def main(argv: Sequence[str], doors: Doors, streams: Streams | None = None) -> int:
    """Carry out one call and return its exit code. Never raises, except for what nobody can foresee."""
    streams = streams or _own_streams(os.environ)
    with contextlib.redirect_stdout(streams.stdout), contextlib.redirect_stderr(streams.stderr):
        try:
            args = parsed(argv, {**VERBS, **LOCAL_VERBS})
        except SystemExit as stop:
            return int(stop.code or 0)
    try:
        code = _carried_out(args, doors, streams)
        streams.stdout.flush()
    except (HermesError, KeyboardInterrupt, BrokenPipeError) as error:
        return failed(error, doors.leave_screen, streams, as_json=args.json)
    return code


def failed(
    error: BaseException, leave_screen: Callable[[], None], streams: Streams | None = None, *, as_json: bool = False
) -> int:
    """Say what ended a call, and give its exit code. What nobody can foresee is raised again."""
    streams = streams or _own_streams(os.environ)
    match error:
        case HermesError():
            leave_screen()
            complain(error, streams, as_json=as_json)
            return error.exit_code
        case KeyboardInterrupt():
            return Exit.INTERRUPTED
        case BrokenPipeError():
            # Whoever read has had enough; the interpreter must not complain at its end either.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), streams.stdout.fileno())
            return Exit.OK
        case _:
            raise error


def _own_streams(environ: Mapping[str, str]) -> Streams:
    width = None
    if sys.stdout.isatty():
        columns = environ.get("COLUMNS", "")
        width = int(columns) if columns.isdecimal() and int(columns) > 0 else os.get_terminal_size(1).columns or None
    return Streams(sys.stdin, sys.stdout, sys.stderr, width)


def _carried_out(args: argparse.Namespace, doors: Doors, streams: Streams) -> int:
    root = Path(args.home).expanduser() if args.home else doors.default_home()
    home = doors.profile_home(root, args.profile) if args.profile else root
    called = (args.noun, args.verb)
    if args.noun == "config":
        return _config(home, doors, streams, args)
    if called in VERBS:
        return asyncio.run(perform(VERBS[called], args, home, doors, streams))
    if called in LOCAL_VERBS:
        return asyncio.run(_local(LOCAL_VERBS[called], LocalCall(args, home, root, doors, streams)))

    def serve() -> int:
        return doors.serve(home, lambda health: _is_ready(health, streams, as_json=args.json), unsafe=args.unsafe)

    match args.noun:
        case "serve" | "gateway":
            # `gateway run`: in the foreground, as a service manager wants it.
            return serve()
        case "demo":
            return _demo(doors, streams, args)
        case noun:
            _need_terminal(streams)
            return doors.screen(
                home, is_embedded=noun != "attach", read_only=args.read_only, demo=False, unsafe=args.unsafe
            )


async def _local(verb: LocalVerb, call: LocalCall) -> int:
    return await verb.run(call)


async def perform(verb: Verb, args: argparse.Namespace, home: Path, doors: Doors, streams: Streams) -> int:
    """Carry out a verb on the core that runs on a home. Raises HermesError."""
    hermes = await doors.attach(home)
    try:
        return await verb.run(Call(hermes, args, streams, operator())) or Exit.OK
    finally:
        await hermes.close()


def _demo(doors: Doors, streams: Streams, args: argparse.Namespace) -> int:
    _need_terminal(streams)
    with tempfile.TemporaryDirectory(prefix="hermes-demo-") as folder:
        home = Path(folder) / "home"
        doors.prepare_demo(home)
        return doors.screen(home, is_embedded=True, read_only=args.read_only, demo=True)


def _need_terminal(streams: Streams) -> None:
    if not (streams.stdout.isatty() and streams.stdin.isatty()):
        raise InvalidInput(
            "the screen needs a terminal on stdin and stdout",
            field="stdout",
            fix="hermes-console serve, or a command such as hermes-console sessions list",
        )


def _is_ready(health: HealthView, streams: Streams, *, as_json: bool) -> None:
    if as_json:
        streams.write(encode(health).decode())
        streams.stdout.flush()
    streams.narrate(f"core {health.version} runs on {health.home}, pid {health.pid}, start {health.boot}")
    for problem in health.problems:
        streams.narrate(f"problem: {problem}")
    if health.http_url:
        streams.narrate(f"listens at {health.http_url}; try:")
        key = f"$(cat {shlex.quote(health.key_file)})"
        streams.narrate(f'  curl -H "Authorization: Bearer {key}" {health.http_url}/v1/models')
    streams.narrate("stop it with ctrl+c, or: hermes-console core stop")


def _config(home: Path, doors: Doors, streams: Streams, args: argparse.Namespace) -> int:
    match args.verb:
        case "path":
            return _config_path(home / _CONFIG_NAME, streams, as_json=args.json)
        case "check":
            return _config_check(home, doors, streams, as_json=args.json)
        case _:
            return _config_show(home, doors, streams, args)


def _config_show(home: Path, doors: Doors, streams: Streams, args: argparse.Namespace) -> int:
    """What the core that runs has in force; where none runs, what one would read now."""
    try:
        return asyncio.run(perform(VERBS["config", "show"], args, home, doors, streams))
    except Unavailable:
        view = doors.read_config(home)
    streams.narrate("no core runs; this is what one would read now")
    for problem in view.problems:
        streams.narrate(f"problem: {problem}")
    if args.json:
        streams.write(encode(view).decode())
    else:
        for line in system.config_lines(view, None if args.plain else streams.width):
            streams.write(line)
    return Exit.OK


def _config_path(file: Path, streams: Streams, *, as_json: bool) -> int:
    streams.write(msgspec.json.encode({"file": str(file)}).decode() if as_json else str(file))
    return Exit.OK


def _config_check(home: Path, doors: Doors, streams: Streams, *, as_json: bool) -> int:
    file = home / _CONFIG_NAME
    errors = doors.config_errors(home)
    if as_json:
        found = [{"code": error.code, "message": error.message, "facts": error.facts} for error in errors]
        streams.write(msgspec.json.encode({"file": str(file), "errors": found}).decode())
    else:
        for error in errors:
            streams.write(error.message)
    if errors:
        return Exit.INVALID
    streams.narrate(f"{file} can be used" if file.exists() else f"{file} is not there yet; the defaults hold")
    return Exit.OK
