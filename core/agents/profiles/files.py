"""Agents as YAML files, one a file: read strictly, written whole or not at all, and never on the loop."""

import asyncio
import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.agent_settings import AgentSettings
from core.agents.profile import checked, is_name
from core.api.base import AgentName
from core.api.errors import ConfigError, ConflictError, HermesError, NotFound, Refused, StoreError
from core.config.text import KeyPath, parse, plain_scalar

FOLDER = "agents"
SUFFIX = ".yaml"
SIZE_LIMIT_BYTES = 1_048_576
COUNT_LIMIT = 10_000
_OTHER_SUFFIX = ".yml"
_HEADER = "# Written by hermes-console. Comments are kept only above the first key.\n"
_OTHERS_MAY_WRITE = 0o022


class ProfileFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says. file: relative to the home. settings: None when it cannot be used, and problem says why.

    facts: of that problem, as a ConfigError has them.
    """

    name: AgentName
    file: str
    text: str = ""
    values: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    settings: AgentSettings | None = None
    problem: str = ""
    facts: dict[str, str | float | bool | None] = msgspec.field(default_factory=dict[str, str | float | bool | None])


class ProfileFiles:
    """The files of agents/ below a home."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def path_of(self, name: str) -> str:
        """Of an agent's file, relative to the home."""
        return f"{FOLDER}/{name}{SUFFIX}"

    async def read_all(self) -> dict[AgentName, ProfileFile]:
        """All files by the name of their agent. One that cannot be used is there with its problem."""
        return await asyncio.to_thread(self._read_all)

    async def read(self, name: AgentName) -> ProfileFile | None:
        """One agent's file; None when there is none."""
        return await asyncio.to_thread(self._read, name)

    async def write(self, name: AgentName, values: Mapping[str, Any], *, before: ProfileFile) -> ProfileFile:
        """Put values into an agent's file, at once and for good. Comments above the first key are kept, others not.

        before: as the file was read; ConflictError when it is not like that any more. Raises Refused, StoreError.
        """
        return await asyncio.to_thread(self._write, name, values, before)

    def _read_all(self) -> dict[AgentName, ProfileFile]:
        try:
            paths = sorted(path for path in self._folder.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return {}
        except OSError as error:
            return _unreadable(FOLDER, f"{FOLDER}: {error.strerror}")
        why = _distrusted(self._folder)
        if why:
            return _unreadable(FOLDER, f"{FOLDER}: {why} (chmod go-w {self._folder})")
        found: dict[AgentName, ProfileFile] = {}
        for path in paths[:COUNT_LIMIT]:
            if path.suffix not in {SUFFIX, _OTHER_SUFFIX}:
                continue
            read = _misnamed(path.stem, path.suffix) or self._read(AgentName(path.stem))
            if read is not None:
                found.setdefault(read.name, read)
        return found

    def _read(self, name: AgentName) -> ProfileFile | None:
        file = self.path_of(name)
        try:
            text = _text(self._folder / f"{name}{SUFFIX}", file)
        except FileNotFoundError:
            return None
        except HermesError as error:
            return ProfileFile(name=name, file=file, problem=_problem(error), facts=error.facts)
        return _read_text(name, file, text)

    def _write(self, name: AgentName, values: Mapping[str, Any], before: ProfileFile) -> ProfileFile:
        path = self._folder / f"{name}{SUFFIX}"
        if path.is_symlink():
            raise Refused(f"{before.file} is a link", rule="file", fix="change the file that it leads to, then sync")
        try:
            found = _text(path, before.file)
        except FileNotFoundError:
            raise NotFound(f"{before.file} is gone", noun="file", id=before.file) from None
        if found != before.text:
            raise ConflictError(
                f"{before.file} was changed meanwhile; sync the agent first", key=before.file, fix="sync the agent"
            )
        text = _heading(before.text) + written(values)
        after = _read_text(name, before.file, text)
        if after.settings is None or after.values != values:
            raise Refused(f"{before.file} would not say what was asked for", rule="file", fix="change the file by hand")
        _replace(path, text, before.file)
        return after


def written(values: Mapping[str, Any]) -> str:
    """Values as strict YAML, which reads back as the same values."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            del data
            return True

    def node_of(dumper: Any, text: str) -> Any:
        style: str | None
        lines = text.split("\n")
        # What is a plain word for one version of YAML is a number, or a line break, for another.
        if not all(map(str.isprintable, lines)) or plain_scalar(text) != text:
            style = '"'
        else:
            style = "|" if len(lines) > 1 else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, node_of)
    return yaml.dump(dict(values), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=118, indent=2)


def _misnamed(stem: str, suffix: str) -> ProfileFile | None:
    shown = "".join(letter if letter.isprintable() else "?" for letter in stem)[:64]
    file = f"{FOLDER}/{shown}{suffix}"
    if suffix != SUFFIX:
        why = f"is not read (rename it to {shown}{SUFFIX})"
    elif not is_name(stem):
        why = "has not the name of an agent (a-z 0-9 _ . - with at most 64 letters)"
    else:
        return None
    return ProfileFile(name=AgentName(shown), file=file, problem=f"{file} {why}")


def _unreadable(name: str, problem: str) -> dict[AgentName, ProfileFile]:
    return {AgentName(name): ProfileFile(name=AgentName(name), file=FOLDER, problem=problem)}


def _distrusted(path: Path) -> str:
    """Why what stands there could be somebody else's."""
    return _distrust(path.stat())


def _distrust(info: os.stat_result) -> str:
    if info.st_uid not in {os.geteuid(), 0}:
        return "belongs to another user"
    return "can be written by others" if info.st_mode & _OTHERS_MAY_WRITE else ""


def _text(path: Path, file: str) -> str:
    """The text of a file. Raises FileNotFoundError, ConfigError."""
    try:
        # Without O_NONBLOCK a named pipe would hold the core until somebody writes to it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            info = os.fstat(handle)
            body = stream.read(SIZE_LIMIT_BYTES + 1) if stat.S_ISREG(info.st_mode) else b""
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _fault(file, f"cannot be read: {error.strerror}", fix="make it a file that you may read") from None
    if not stat.S_ISREG(info.st_mode):
        raise _fault(file, "is not a file", fix="name a plain file")
    if why := _distrust(info):
        # It says what programs are started, so nobody else may write it.
        raise _fault(file, why, fix=f"chmod go-w {path}")
    if len(body) > SIZE_LIMIT_BYTES:
        raise _fault(file, f"is larger than {SIZE_LIMIT_BYTES} bytes", fix="is it the right file?")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise _fault(f"{file}:{line}", "is not UTF-8", fix="save it as UTF-8") from None


def _fault(file: str, what: str, *, fix: str) -> ConfigError:
    return ConfigError(f"{file} {what}", file=file, key="", fix=fix)


def _read_text(name: AgentName, file: str, text: str) -> ProfileFile:
    values: dict[str, Any] = {}
    try:
        tree = parse(text, file)
        values = tree.values

        def place(path: KeyPath) -> tuple[str, int | None]:
            lines = (tree.lines.get(path[:length]) for length in range(len(path), 0, -1))
            return file, next((line for line in lines if line is not None), 1)

        settings = checked(values, place)
    except HermesError as error:
        return ProfileFile(name=name, file=file, text=text, values=values, problem=_problem(error), facts=error.facts)
    return ProfileFile(name=name, file=file, text=text, values=values, settings=settings)


def _problem(error: HermesError) -> str:
    """The error in one line with its fix."""
    fix = str(error.facts.get("fix") or "")
    return error.message if not fix or fix in error.message else f"{error.message} ({fix})"


def _heading(text: str) -> str:
    """The comments above the first key."""
    kept: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.strip() and not line.startswith("#"):
            break
        kept.append(line)
    heading = "".join(kept).rstrip("\n")
    heading = heading + "\n" if heading else ""
    return heading if _HEADER in heading else heading + _HEADER


def _replace(path: Path, text: str, file: str) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            draft.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(
            f"cannot write {file}: {error.strerror}",
            path=str(path),
            cause="io",
            fix="make room, or the folder writable",
        ) from error
