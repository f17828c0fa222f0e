"""Shell commands that hand the core to a service manager: gateway install, uninstall."""

import argparse
import asyncio
import os
import pwd
import sys
from pathlib import Path
from typing import NamedTuple

from console.exit_codes import Exit
from console.service_files import Service, launchd_plist, service_name, systemd_unit
from console.shell.local import LocalCall, LocalVerb, drain_s
from console.shell.printing import facts
from core.api.errors import ConfigError, InvalidInput, Refused, Unavailable
from core.api.system import ConfigView

_SYSTEM_UNITS = Path("/etc/systemd/system")


class _Place(NamedTuple):
    """Where a service file goes and what is in it. enable, disable: commands for the operator."""

    file: Path
    body: str
    enable: str
    disable: str


def _add_install(parser: argparse.ArgumentParser) -> None:
    _add_kind(parser)
    parser.add_argument("--print", action="store_true", dest="prints", help="only print the file")
    parser.add_argument("--force", action="store_true", help="write over a file that says something else")


def _add_kind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manager", choices=("systemd", "launchd"), default=None, help="else the one of this system")
    parser.add_argument("--system", action="store_true", help="a unit of the machine and not of the user (systemd)")
    parser.add_argument("--user", default="", metavar="NAME", help="with --system: who it runs as")


def _place(call: LocalCall) -> _Place:
    args = call.args
    manager = args.manager or ("launchd" if sys.platform == "darwin" else "systemd")
    profile = args.profile or ""
    name = service_name(profile)
    user = _user(args.user) if args.system else ""
    service = Service(
        name=name if manager == "systemd" else f"org.{name}",
        title="hermes-console core" + (f", profile {profile}" if profile else ""),
        argv=call.doors.command_line(call.home.absolute(), "gateway", "run"),
        log=str(call.home.absolute() / "logs" / "core.log"),
        user=user,
        drain_s=_drain_s(call),
    )
    if manager == "launchd":
        if args.system:
            raise InvalidInput("--system is for systemd", field="system", fix="leave it out")
        file = Path("~/Library/LaunchAgents").expanduser() / f"{service.name}.plist"
        return _Place(file, launchd_plist(service), f"launchctl load -w {file}", f"launchctl unload -w {file}")
    folder = _SYSTEM_UNITS if args.system else _user_units()
    control = "systemctl" if args.system else "systemctl --user"
    return _Place(
        folder / f"{name}.service",
        systemd_unit(service),
        f"{control} daemon-reload && {control} enable --now {name}",
        f"{control} stop {name}; {control} daemon-reload",
    )


def _drain_s(call: LocalCall) -> float:
    """The manager must not kill what is given time by the configuration."""
    try:
        return drain_s(call.doors.read_config(call.home))
    except ConfigError:
        return drain_s(ConfigView(file="", settings=()))


def _user_units() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path("~/.config").expanduser()
    return folder / "systemd" / "user"


def _user(wanted: str) -> str:
    name = wanted or pwd.getpwuid(os.geteuid()).pw_name
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise InvalidInput(
            f"there is no user {name!r}", field="user", value=name, fix="name one of `getent passwd`"
        ) from None
    return name


async def _install(call: LocalCall) -> int:
    place = await asyncio.to_thread(_place, call)
    if call.args.prints:
        call.streams.stdout.write(place.body)
        call.narrate(f"this belongs into {place.file}")
        return Exit.OK
    is_new = await asyncio.to_thread(_written, place, is_forced=call.args.force)
    for line in facts([("file", place.file), ("was", "written" if is_new else "there already, the same")]):
        call.streams.write(line)
    call.narrate(f"switch it on with: {place.enable}")
    if not call.args.system and place.file.suffix == ".service":
        call.narrate("it ends with your last login unless: loginctl enable-linger")
    return Exit.OK


def _written(place: _Place, *, is_forced: bool) -> bool:
    try:
        place.file.parent.mkdir(parents=True, exist_ok=True)
        if place.file.exists():
            if place.file.read_text(encoding="utf-8") == place.body:
                return False
            if not is_forced:
                raise Refused(f"{place.file} says something else", rule="existing file", fix="--force, or --print it")
        draft = place.file.with_name(f".{place.file.name}.new")
        draft.write_text(place.body, encoding="utf-8")
        draft.chmod(0o644)
        draft.replace(place.file)
    except OSError as error:
        raise Unavailable(f"cannot write {place.file}: {error.strerror}", fix="as root, or with --print") from error
    return True


async def _uninstall(call: LocalCall) -> int:
    place = await asyncio.to_thread(_place, call)
    was_there = await asyncio.to_thread(_removed, place.file)
    call.streams.write(f"{place.file} {'removed' if was_there else 'is not there'}")
    if was_there:
        call.narrate(f"if it still runs, end it with: {place.disable}")
    return Exit.OK


def _removed(file: Path) -> bool:
    try:
        # With the link by which systemd has it switched on, which would lead nowhere.
        for link in file.parent.glob(f"*.wants/{file.name}"):
            link.unlink(missing_ok=True)
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Unavailable(f"cannot remove {file}: {error.strerror}", fix="as root") from error
    return True


VERBS: tuple[LocalVerb, ...] = (
    LocalVerb(
        "gateway", "install", "write the file with which a service manager runs the core", _add_install, _install
    ),
    LocalVerb("gateway", "uninstall", "remove that file", _add_kind, _uninstall),
)
