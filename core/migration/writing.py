"""Additions to the files of a home: keys into `config.yaml` without touching its comments, secrets into `.env`."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from core import atomic
from core.api.errors import ConfigError
from core.config import FILE_NAME, check_text, dotenv
from core.config.text import KeyPath, Tree, parse
from core.settings import Settings

_STEP = 2
_SIZE_LIMIT_BYTES = 1_048_576
_BACKUP = "before-import"


class Additions(Protocol):
    """What is to be written. env: values are secrets."""

    @property
    def config(self) -> Mapping[KeyPath, Any]:
        """Values by path."""
        ...

    @property
    def env(self) -> Mapping[str, str]:
        """Values by name."""
        ...


def written(home: Path, additions: Additions) -> tuple[str, ...]:
    """Write them, and say what was written. Blocks.

    Raises ConfigError when the result could not be used, or cannot be written: then `config.yaml` is as it was.
    """
    found: list[str] = []
    file = home / FILE_NAME
    try:
        before = _before(file)
        after = added(before, additions.config)
        _, errors = check_text(home, os.environ, after)
        if errors:
            raise ConfigError(
                f"nothing was written, because the result could not be used: {errors[0].message}", **errors[0].facts
            )
        if additions.env:
            env = home / dotenv.FILE_NAME
            secrets = atomic.read(env, dotenv.SIZE_LIMIT_BYTES).decode() if env.exists() else ""
            atomic.write(env, with_secrets(secrets, additions.env).encode())
            found.append(f"{home / dotenv.FILE_NAME}: {len(additions.env)} added")
        if after != before:
            backup = _backup_name(file)
            atomic.write(backup, before.encode())
            atomic.write(file, after.encode())
            found.append(f"{file}: {len(additions.config)} keys added; before: {backup.name}")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot write into {home}: {error}", key="home", value=str(home), fix="make room") from error
    return tuple(found)


def unfit(home: Path, values: Mapping[KeyPath, Any]) -> dict[str, str]:
    """Keys that could not be used if these were added, each with the reason. Blocks. Raises ConfigError."""
    try:
        _, errors = check_text(home, os.environ, added(_before(home / FILE_NAME), values))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {home}: {error}", key="home", value=str(home), fix="mend its rights") from error
    found: dict[str, str] = {}
    for fault in errors:
        place = f"{fault.facts.get('file')}:{fault.facts.get('line')}: "
        found.setdefault(str(fault.facts.get("key")), fault.message.removeprefix(place))
    return found


def added(text: str, values: Mapping[KeyPath, Any]) -> str:
    """A configuration with more keys; every line that was there stays as it was. Raises ConfigError (pure)."""
    tree = parse(text, FILE_NAME)
    below: dict[KeyPath, dict[str, Any]] = {}
    for path, value in _with_defaults(tree, values).items():
        depth = next((size for size in range(len(path) - 1, 0, -1) if path[:size] in tree.lines), 0)
        section = below.setdefault(path[:depth], {})
        for name in path[depth:-1]:
            section = section.setdefault(name, {})
        section[path[-1]] = value
    lines = text.splitlines()
    # Each goes to the top of its section, or to the end: from below, so that line numbers stay true.
    for path in sorted(below, key=lambda path: tree.lines[path] if path else len(lines), reverse=True):
        at, indent = len(lines), 0
        if path:
            at = tree.lines[path]
            _check_block(lines[at - 1], path, at)
            indent = _indent_below(tree, path, lines)
        lines[at:at] = _block(below[path], indent)
    return "\n".join(lines) + "\n" if below else text


def _block(section: Mapping[str, Any], indent: int) -> Iterator[str]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield f"{' ' * indent}{name}:"
            yield from _block(cast("dict[str, Any]", value), indent + _STEP)
        else:
            yield f"{' ' * indent}{name}: {msgspec.json.encode(value).decode()}"


def _with_defaults(tree: Tree, values: Mapping[KeyPath, Any]) -> dict[KeyPath, Any]:
    """`platforms` replaces the default as a whole: what it holds by default has to be named, too."""
    found: dict[KeyPath, Any] = {}
    if any(path[0] == "platforms" for path in values) and not tree.values.get("platforms"):
        defaults: dict[str, dict[str, Any]] = msgspec.to_builtins(Settings().platforms)
        found.update({("platforms", name, "kind"): section["kind"] for name, section in defaults.items()})
    found.update(values)
    return found


def _before(file: Path) -> str:
    return atomic.read(file, _SIZE_LIMIT_BYTES).decode("utf-8-sig") if file.exists() else ""


def _check_block(line: str, path: KeyPath, number: int) -> None:
    rest = line.partition(":")[2].strip()
    if rest and not rest.startswith("#"):
        key = ".".join(path)
        raise ConfigError(
            f"{FILE_NAME}:{number}: {key} is written on one line, where nothing can be added",
            file=FILE_NAME,
            line=number,
            key=key,
            fix="write each of its keys on a line of its own",
        )


def _indent_below(tree: Tree, path: KeyPath, lines: list[str]) -> int:
    below = [line for known, line in tree.lines.items() if len(known) == len(path) + 1 and known[: len(path)] == path]
    text = lines[(min(below) if below else tree.lines[path]) - 1]
    return len(text) - len(text.lstrip(" ")) + (0 if below else _STEP)


def with_secrets(text: str, values: Mapping[str, str]) -> str:
    """A `.env` with more names; what stood there stays. Raises ConfigError when they could not be read there (pure)."""
    head = text if not text or text.endswith("\n") else text + "\n"
    after = head + "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())
    found, _ = dotenv.parse(after)
    before, wrong = dotenv.parse(text)
    wanted = {name: value for name, (value, _) in before.items()} | dict(values)
    if {name: value for name, (value, _) in found.items()} != wanted:
        raise ConfigError(
            f"nothing can be added to {dotenv.FILE_NAME}" + "".join(f"; {problem}" for problem in wrong),
            file=dotenv.FILE_NAME,
            key="",
            fix="close the quote that is open there",
        )
    return after


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _backup_name(file: Path) -> Path:
    number = 1
    while (path := file.with_name(f"{file.name}.{_BACKUP}-{number}")).exists():
        number += 1
    return path
