"""Secrets stay where they are, and are taken only from places that nobody else can read."""

import os
import pickle
from pathlib import Path

import pytest

from core.api.errors import ConfigError
from core.secrets import Secret, is_reference, resolve


def kept(home: Path, body: bytes, mode: int = 0o600) -> str:
    """A file with this body; returns the reference to it."""
    path = home / "key"
    path.write_bytes(body)
    path.chmod(mode)
    return "file:key"


def test_a_secret_never_prints() -> None:
    """In any form of text; and it cannot be pickled."""
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret!s} {secret:>20} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(("candidate", "fits"), [("hunter2", True), ("hunter", False), ("", False), ("\udc80", False)])
def test_a_secret_is_compared(candidate: str, fits: bool) -> None:
    """Also with text that is not valid Unicode."""
    assert Secret("hunter2").matches(candidate) is fits


def test_a_secret_comes_from_a_file_or_a_variable(tmp_path: Path) -> None:
    """Relative to the home, without the line break at its end."""
    assert resolve(kept(tmp_path, b"hunter2\n"), home=tmp_path).reveal() == "hunter2"
    assert resolve("env:KEY", home=tmp_path, environ={"KEY": "hunter3"}).reveal() == "hunter3"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    """The fix names the command."""
    with pytest.raises(ConfigError) as caught:
        resolve(kept(tmp_path, b"hunter2", mode), home=tmp_path)
    assert caught.value.facts["fix"] == f"chmod 600 {tmp_path / 'key'}"


@pytest.mark.parametrize("body", [b"", b" \n", b"hunter2\xff", b"x" * 70_000], ids=["empty", "blank", "bytes", "large"])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, body: bytes) -> None:
    """And what it holds is not repeated."""
    with pytest.raises(ConfigError) as caught:
        resolve(kept(tmp_path, body), home=tmp_path)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_what_is_not_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Missing, a folder, a pipe."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("missing", "pipe", "."):
        with pytest.raises(ConfigError):
            resolve(f"file:{name}", home=tmp_path)


@pytest.mark.parametrize("reference", ["env:NOBODY_SET_THIS", "env:", "file:", "hunter2", ""])
def test_a_reference_that_leads_nowhere_is_an_error(tmp_path: Path, reference: str) -> None:
    """And a secret in its place is not repeated."""
    with pytest.raises(ConfigError) as caught:
        resolve(reference, home=tmp_path, environ={})
    assert "hunter2" not in str(caught.value) + str(caught.value.facts)


@pytest.mark.parametrize(("text", "is_one"), [("env:X", True), ("file:x", True), ("env:", False), ("X", False)])
def test_a_reference_is_told_from_a_secret(text: str, is_one: bool) -> None:
    """By its kind, and only with a name."""
    assert is_reference(text) is is_one
