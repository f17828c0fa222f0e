"""Typed configuration: one strict YAML file, the environment over it, and the origin of each value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from core import schedule
from core.api.errors import ConfigError, InvalidInput
from core.api.system import ConfigView, SettingView
from core.config import dotenv, shape
from core.config.access_check import shared_ids, unknown_senders
from core.config.peer_names import access_names
from core.config.platform_check import wrong_together
from core.config.text import KeyPath, Tree, parse, plain_scalar
from core.platform_settings import WebhookSettings
from core.settings import ResetSettings, Settings

FILE_NAME = "config.yaml"
AGENTS_FOLDER = "agents"
"""Of the home: agents that have a file of their own there. Here only their names count."""
SIZE_LIMIT_BYTES = 1_048_576
ENV_PREFIX = "HERMES_CONSOLE__"
_OLD_CRON = "timetable"


class Config(msgspec.Struct, frozen=True):
    """The configuration in force.

    origins: for every dotted key `default`, `config.yaml:LINE`, `env NAME` or `.env:LINE`. problems: what is wrong and
    keeps nothing from starting. environment: names of hermes-agent that
    say who may talk, with value and origin.
    """

    settings: Settings
    origins: dict[str, str]
    file: Path
    environment: Mapping[str, tuple[str, str]] = {}
    problems: tuple[str, ...] = ()

    def view(self) -> ConfigView:
        """All values with their origins; of a secret only the kind of its reference."""
        return ConfigView(
            file=str(self.file),
            settings=tuple(
                SettingView(
                    key=".".join(path),
                    value=shape.shown(value, hint),
                    origin=self.origins.get(".".join(path), "default"),
                    doc=shape.doc_of(hint),
                )
                for path, value, hint in shape.leaves(self.settings, Settings)
            ),
            problems=self.problems,
        )


def load(home: Path, environ: Mapping[str, str]) -> Config:
    """Read the configuration of a home. A missing or empty file means the defaults.

    Raises ConfigError for the first fault; its message says how many more there are.
    Reads the disk: call it off the loop.
    """
    config, errors = check(home, environ)
    if config is None:
        first, *more = errors
        if more:
            raise ConfigError(f"{first.message} - and {len(more)} more", **first.facts)
        raise first
    return config


def check(home: Path, environ: Mapping[str, str]) -> tuple[Config | None, tuple[ConfigError, ...]]:
    """The configuration, or everything that is wrong with it."""
    file = home / FILE_NAME
    try:
        return _checked(_read(file), environ, file)
    except ConfigError as error:
        return None, (error,)


def check_text(home: Path, environ: Mapping[str, str], text: str) -> tuple[Config | None, tuple[ConfigError, ...]]:
    """The same for a text that could stand in the file."""
    file = home / FILE_NAME
    try:
        return _checked(parse(text, FILE_NAME), environ, file)
    except ConfigError as error:
        return None, (error,)


def _checked(tree: Tree, environ: Mapping[str, str], file: Path) -> tuple[Config | None, tuple[ConfigError, ...]]:
    variables: dict[KeyPath, str] = {}
    beside, wrong = dotenv.read_whole(file.parent)
    written = {name: found for name, found in beside.items() if name not in environ}

    def place(path: KeyPath) -> tuple[str, int | None]:
        for length in range(len(path), 0, -1):
            if (line := tree.lines.get(path[:length])) is not None and path[:length] not in variables:
                return FILE_NAME, line
            for below, name in variables.items():
                if below[:length] == path[:length]:
                    if name in written:
                        return dotenv.FILE_NAME, written[name][1]
                    return f"environment variable {name}", None
        return FILE_NAME, None

    found = shape.Check(place)
    if _OLD_CRON in tree.values:
        fix = "write it as cron: every_s: 60 becomes schedule: every 60s, all other keys stay"
        found.fault((_OLD_CRON,), "is called cron now", fix=fix)
        return None, tuple(found.errors)
    found.value(tree.values, Settings)
    if not found.errors:
        _overlay(tree.values, {**{name: value for name, (value, _) in written.items()}, **environ}, variables, found)
    if not found.errors and variables:
        found.value(tree.values, Settings)
    if found.errors:
        return None, tuple(found.errors)
    settings = msgspec.convert(shape.without_empty(tree.values, Settings), Settings, strict=True)
    _cross_check(settings, found, file.parent / AGENTS_FOLDER)
    if found.errors:
        return None, tuple(found.errors)
    origins = {".".join(path): _origin(path, tree.lines, variables) for path, _, _ in shape.leaves(settings, Settings)}
    for path, name in variables.items():
        if name in written:
            origins[".".join(path)] = f"{dotenv.FILE_NAME}:{written[name][1]}"
    return Config(settings, origins, file, access_names(beside, environ), tuple(wrong)), ()


def _read(file: Path) -> Tree:
    try:
        with file.open("rb") as stream:
            body = stream.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return Tree({}, {})
    except OSError as error:
        raise ConfigError(
            f"cannot read {file}: {error.strerror}", file=FILE_NAME, key="", fix="make it a file that you may read"
        ) from error
    if len(body) > SIZE_LIMIT_BYTES:
        raise ConfigError(
            f"{file} is larger than {SIZE_LIMIT_BYTES} bytes", file=FILE_NAME, key="", fix="is it the right file?"
        )
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        # The error object holds the whole file, which must not travel with the exception.
        raise ConfigError(
            f"{FILE_NAME}:{line}: not UTF-8", file=FILE_NAME, line=line, key="", fix="save it as UTF-8"
        ) from None
    return parse(text, FILE_NAME)


def _overlay(
    values: dict[str, Any], environ: Mapping[str, str], variables: dict[KeyPath, str], found: shape.Check
) -> None:
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX):
            continue
        path = tuple(part.lower() for part in name.removeprefix(ENV_PREFIX).split("__"))
        variables[path] = name
        hint = shape.hint_at(path, Settings)
        if hint is None:
            found.unknown(path, Settings)
        elif shape.sections(hint) or shape.entries_of(hint):
            found.fault(path, "is a section and not one value", fix=f"name a key in it: {name}__KEY")
        else:
            _set(values, path, _typed(environ[name], hint))


def _typed(text: str, hint: Any) -> Any:
    kinds = {shape.unwrapped(option)[0] for option in shape.options(hint)}
    if str not in kinds:
        return plain_scalar(text)
    return None if type(None) in kinds and text in {"null", "~", ""} else text


def _set(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    place: dict[str, Any] = values
    for depth, name in enumerate(path[:-1], start=1):
        if place.get(name) is None:
            place[name] = _default_entries(path[:depth])
        place = place[name]
    place[path[-1]] = value


def _default_entries(path: KeyPath) -> dict[str, Any]:
    """What a mapping with free keys holds by default, so that a variable can change one entry of it."""
    hint: Any = Settings
    value: Any = Settings()
    for name in path:
        hint = shape.hint_at((name,), hint)
        value = getattr(value, name, None)
    if hint is None or value is None or shape.entries_of(hint) is None:
        return {}
    entries: dict[str, Any] = msgspec.to_builtins(value)
    return entries


def _cross_check(settings: Settings, found: shape.Check, folder: Path) -> None:
    known = [*settings.agents, *sorted({path.stem for path in folder.glob("*.yaml")} - settings.agents.keys())]

    def agent_is_known(path: KeyPath, name: str | None) -> None:
        if name is not None and name not in known:
            fix = f"one of {', '.join(known)}" if known else "configure one under agents"
            found.fault(path, f"names no agent: {name!r}", value=name, fix=fix)

    agent_is_known(("default_agent",), settings.default_agent)
    for name, platform in settings.platforms.items():
        agent_is_known(("platforms", name, "agent"), getattr(platform, "agent", None))
        if isinstance(platform, WebhookSettings):
            for route_name, route in platform.routes.items():
                agent_is_known(("platforms", name, "routes", route_name, "agent"), route.agent)
    for path, words, fix in (*wrong_together(settings), *shared_ids(settings)):
        found.fault(path, words, fix=fix)
    for path, sender, fix in unknown_senders(settings):
        found.fault(path, f"names nobody at a connection: {sender!r}", value=sender, fix=fix)
    _check_resets(settings, found)
    for name, job in settings.cron.items():
        agent_is_known(("cron", name, "agent"), job.agent)
        try:
            schedule.parsed(job.schedule, job.timezone)
        except InvalidInput as error:
            key = str(error.facts["field"])
            found.fault(("cron", name, key), f"cannot be: {error.message}", fix=str(error.facts["fix"]))


def _check_resets(settings: Settings, found: shape.Check) -> None:
    sessions = settings.sessions
    for name in sessions.reset_at:
        if name not in settings.platforms:
            fix = f"one of {', '.join(settings.platforms)}"
            found.fault(("sessions", "reset_at", name), f"names no connection: {name!r}", value=name, fix=fix)
    rules: dict[KeyPath, ResetSettings] = {("sessions", "reset"): sessions.reset}
    rules |= {("sessions", "reset_at", name): each for name, each in sessions.reset_at.items()}
    for path, each in rules.items():
        try:
            if each.timezone:
                ZoneInfo(each.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            fix = "a name such as Europe/Berlin, or leave it out"
            found.fault((*path, "timezone"), f"is no time zone: {each.timezone!r}", value=each.timezone, fix=fix)


def _origin(path: KeyPath, lines: Mapping[KeyPath, int], variables: Mapping[KeyPath, str]) -> str:
    if path in variables:
        return f"env {variables[path]}"
    return f"{FILE_NAME}:{lines[path]}" if path in lines else "default"
