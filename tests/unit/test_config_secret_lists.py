"""Keys of the configuration that hold several secrets: each is a reference, each is read, none is shown."""

from pathlib import Path

import pytest

from core.config import check, load
from core.settings import Settings
from core.vault import Vault

SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"


def configured(home: Path, keys: str) -> Settings:
    """The settings of a home with a peer that has these keys."""
    (home / "config.yaml").write_text(f"relay:\n  peers:\n    far:\n      keys: {keys}\n")
    return load(home, {}).settings


def test_every_secret_of_a_list_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From wherever its reference leads."""
    monkeypatch.setenv("ONE", SECRET)
    (tmp_path / "two").write_text(SECRET)
    (tmp_path / "two").chmod(0o600)
    vault = Vault.of(configured(tmp_path, "[env:ONE, file:two]"), tmp_path)
    assert [vault.get(name).reveal() for name in ("env:ONE", "file:two")] == [SECRET, SECRET]
    assert vault.masked(f"key {SECRET}") == "key ***"


@pytest.mark.parametrize(
    "keys",
    [f"[{SECRET}]", f"[env:ONE, {SECRET}]", SECRET, f"{{a: {SECRET}}}", f"[env:A, env:B, {SECRET}]", f"[[{SECRET}]]"],
)
def test_a_secret_itself_is_refused_and_not_repeated(tmp_path: Path, keys: str) -> None:
    """The error names the place; also where the list itself cannot be."""
    (tmp_path / "config.yaml").write_text(f"relay:\n  peers:\n    far:\n      keys: {keys}\n")
    (error,) = check(tmp_path, {})[1]
    assert error.message.startswith("config.yaml:4: relay.peers.far.keys")
    assert SECRET not in f"{error!r} {error.facts}"


@pytest.mark.parametrize("keys", ["[env:A, env:B, env:C]", "env:A", "5", "null"])
def test_a_list_that_cannot_be_says_what_can(tmp_path: Path, keys: str) -> None:
    """In the words of the reference."""
    (tmp_path / "config.yaml").write_text(f"relay:\n  peers:\n    far:\n      keys: {keys}\n")
    (error,) = check(tmp_path, {})[1]
    assert error.facts["fix"] == "allowed: a list of at most 2 of env:NAME or file:PATH"


def test_a_list_is_shown_without_its_references(tmp_path: Path) -> None:
    """Only their kinds."""
    configured(tmp_path, "[env:ONE, file:two]")
    shown = {view.key: view.value for view in load(tmp_path, {}).view().settings}
    assert shown["relay.peers.far.keys"] == "env:***, file:***"
    assert shown["relay.peers.far.accept_tokens"] == "[]"
