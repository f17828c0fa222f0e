"""The folder that an agent may use: every path is checked, every change is shown as a diff before it is written."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from core.agents.tools.diff import unified_diff
from core.api.errors import Refused

TEXT_LIMIT = 65_536
_NAME_LIMIT = 255


class Edit(msgspec.Struct, frozen=True):
    """A change that is proposed. before: what the file holds now, None while it is not there."""

    path: Path
    before: str | None
    after: str
    diff: str


def propose(workspace: Path, name: str, text: str) -> Edit:
    """The change that would put `text` into the file. Reads the disk: call it off the loop.

    Raises Refused when the path leaves the workspace, is no plain file, or the text is too long.
    """
    path = _inside(workspace, name)
    if len(text) > TEXT_LIMIT:
        raise Refused(f"longer than {TEXT_LIMIT} characters", rule="text_limit")
    before = _content(workspace.resolve(), path)
    return Edit(path, before, text, unified_diff(name, before, text))


def locate(workspace: Path, name: str) -> str:
    """Where a name leads, links followed, as a path relative to the workspace. Reads the disk: call it off the loop.

    Raises Refused when it leaves the workspace.
    """
    return str(_inside(workspace, name).relative_to(workspace.resolve()))


def read(workspace: Path, name: str) -> str:
    """What a file holds. name: as locate() gave it. Blocks: call it off the loop.

    Raises Refused when it leads elsewhere by now, is not there, is no plain file or too large.
    """
    if locate(workspace, name) != name:
        raise Refused(f"{name} leads elsewhere than when it was shown", rule="stale_edit")
    root = workspace.resolve()
    text = _content(root, root / name)
    if text is None:
        raise Refused(f"there is no file {name}", rule="workspace")
    return text


def carry_out(workspace: Path, edit: Edit) -> None:
    """Write what was approved. Blocks: call it off the loop.

    Raises Refused when the file or its folder is not what it was when the change was shown.
    """
    root = workspace.resolve()
    if not edit.path.is_relative_to(root):
        raise Refused(f"{edit.path.name} leads elsewhere than when it was shown", rule="stale_edit")
    name = str(edit.path.relative_to(root))
    path = _inside(workspace, name)
    if path != edit.path or _content(root, path) != edit.before:
        raise Refused(f"{name} changed since it was shown", rule="stale_edit")
    try:
        make_private(root)
        # O_NONBLOCK: a pipe that was put there meanwhile would be waited for for ever.
        handle = _opened(root, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, makes_folders=True)
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(edit.after)
    except OSError as error:
        raise Refused(f"cannot write {name}: {error.strerror}", rule="workspace") from error


def make_private(path: Path) -> None:
    """Make a folder and those above it; mkdir alone would give its mode to the last one only."""
    for each in (*reversed(path.parents), path):
        each.mkdir(mode=0o700, exist_ok=True)


def make_below(root: Path, folder: Path) -> None:
    """Make a folder and those between, each for its owner alone; no link is followed below the root. Raises OSError."""
    make_private(root)
    with _folder(root, folder.relative_to(root).parts, makes=True):
        pass


def create_below(root: Path, path: Path) -> int:
    """A handle to write a file that must not be there yet, made with its folders as make_below does. Raises OSError."""
    make_private(root)
    return _opened(root, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, makes_folders=True)


def bytes_below(root: Path, path: Path, limit_bytes: int) -> bytes | None:
    """What a plain file holds, no link followed; None for a larger one and for anything else. Blocks."""
    try:
        with os.fdopen(_opened(root, path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            is_fit = stat.S_ISREG(found.st_mode) and found.st_size <= limit_bytes
            return file.read(limit_bytes) if is_fit else None
    except OSError:
        return None


def copy_below(root: Path, path: Path, source: Path) -> None:
    """Put a copy of a plain file below a folder, made as create_below does; what stands there already stays as it is.

    Nobody sees half a copy. Raises OSError when the source cannot be read, or something else has taken the name.
    """
    make_private(root)
    *folders, name = path.relative_to(root).parts
    with _folder(root, folders, makes=True) as folder:
        if _is_there(folder, name):
            return
        draft = f".{secrets.token_hex(8)}.part"
        # O_NONBLOCK: nobody waits for the other end of a pipe.
        with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as given:
            if not stat.S_ISREG(os.fstat(given.fileno()).st_mode):
                raise OSError(errno.EINVAL, "no plain file")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(draft, flags, 0o600, dir_fd=folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    shutil.copyfileobj(given, file)
                os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=folder)
                raise


def _is_there(folder: int, name: str) -> bool:
    """Whether a plain file has that name. Raises OSError when something else has, such as a link."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise FileExistsError(errno.EEXIST, "something else has its name")
    return True


def _opened(root: Path, path: Path, flags: int, *, makes_folders: bool = False) -> int:
    """Open a file below a folder, no link followed: a program that runs there may have put one since it was checked.

    Raises OSError.
    """
    *folders, name = path.relative_to(root).parts
    with _folder(root, folders, makes=makes_folders) as handle:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=handle)


@contextmanager
def _folder(root: Path, parts: Sequence[str], *, makes: bool) -> Generator[int]:
    handle = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if makes:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=handle)
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def _inside(workspace: Path, name: str) -> Path:
    root = workspace.resolve()
    is_plain = (
        bool(name)
        and "\0" not in name
        and all(len(part.encode(errors="replace")) <= _NAME_LIMIT for part in Path(name).parts)
    )
    try:
        path = (root / name).resolve() if is_plain else root
    except (OSError, RuntimeError, ValueError):
        # Links that lead in a circle, letters that no file name can have.
        path = root
    if path == root or not path.is_relative_to(root) or Path(name).is_absolute():
        raise Refused(f"{name!r} is not a file inside the workspace", rule="workspace")
    return path


def _content(root: Path, path: Path) -> str | None:
    # A pipe that a tool left there would be waited for for ever.
    try:
        with os.fdopen(_opened(root, path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8", errors="replace") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Refused(f"{path.name} is no plain file", rule="workspace")
            if status.st_size > 4 * TEXT_LIMIT:
                raise Refused(f"{path.name} is too large: more than {4 * TEXT_LIMIT} bytes", rule="text_limit")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"cannot read {path.name}: {error.strerror}", rule="workspace") from error
