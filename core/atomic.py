"""Small files that are written whole or not at all. Everything here blocks: call it off the loop."""

import contextlib
import os
import secrets
from pathlib import Path


def write(path: Path, body: bytes, *, is_kept: bool = True) -> None:
    """Put a file of mode 600 in place of what is there. is_kept: it must be there after a power cut, too.

    Raises OSError; then what was there is there still.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(body)
            stream.flush()
            if is_kept:
                os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def read(path: Path, limit_bytes: int) -> bytes:
    """A plain file, up to a size. Raises OSError, also for what is no plain file or larger."""
    # Without O_NONBLOCK a named pipe would hold the caller until somebody writes to it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        body = stream.read(limit_bytes + 1)
    if len(body) > limit_bytes:
        raise OSError(f"{path} is larger than {limit_bytes} bytes")
    return body
