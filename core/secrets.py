"""Secret references (env, file) and a Secret that never prints."""

import hmac
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from core.api.errors import ConfigError

_MASK = "***"
_SIZE_LIMIT_BYTES = 65_536


class Secret:
    """A value that shows as *** wherever it is printed, formatted or logged."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for the one place that needs it."""
        return self._value

    def matches(self, candidate: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self._value.encode(), candidate.encode(errors="surrogatepass"))

    def __repr__(self) -> str:
        return f"Secret({_MASK})"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return _MASK

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")


def is_reference(text: str) -> bool:
    """Whether the text names a secret rather than being one."""
    return text.startswith(("env:", "file:")) and len(text.partition(":")[2]) > 0


def resolve(reference: str, *, home: Path, environ: Mapping[str, str] | None = None) -> Secret:
    """The secret behind `env:NAME` or `file:path` (relative to the home).

    environ: None is the environment of this process. Raises ConfigError when the reference
    is malformed, or what it names is missing, empty, or a file that others may read. Reads
    the disk: call it off the loop.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        value = (os.environ if environ is None else environ).get(name, "")
        if not value:
            raise ConfigError(
                f"environment variable {name} is not set",
                key=reference,
                fix=f"export {name}, or write it into .env in the home",
            )
        return Secret(value)
    if kind == "file" and name:
        return _from_file(reference, home / name)
    raise ConfigError(
        "a secret must be given as env:NAME or file:PATH", key="secret", fix="put the value in a file or variable"
    )


def _from_file(reference: str, path: Path) -> Secret:
    try:
        # Without O_NONBLOCK a named pipe would hold the core until somebody writes to it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            info = os.fstat(handle)
            body = os.read(handle, _SIZE_LIMIT_BYTES + 1) if stat.S_ISREG(info.st_mode) else b""
        finally:
            os.close(handle)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", key=reference, fix="create the file") from error
    if not stat.S_ISREG(info.st_mode):
        raise ConfigError(f"{path} is not a file", key=reference, fix="name a plain file")
    if info.st_mode & 0o077:
        raise ConfigError(f"{path} can be read by others", key=reference, fix=f"chmod 600 {path}")
    return Secret(_secret_text(body, path, reference))


def _secret_text(body: bytes, path: Path, reference: str) -> str:
    if len(body) > _SIZE_LIMIT_BYTES:
        raise ConfigError(f"{path} is too large for a secret", key=reference, fix="is it the right file?")
    try:
        value = body.decode().strip()
    except UnicodeDecodeError:
        # The error object would carry the secret along.
        raise ConfigError(f"{path} is not UTF-8", key=reference, fix="write the secret as text") from None
    if not value:
        raise ConfigError(f"{path} is empty", key=reference, fix="write the secret into it")
    return value
