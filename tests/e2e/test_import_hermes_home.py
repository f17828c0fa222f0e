"""A Hermes home taken over from the shell: its senders are let in, once, whether or not a core runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons import end_daemons
from tests.support.hermes_homes import hermes_home
from tests.support.typed_commands import Shell, read_json

pytestmark = pytest.mark.e2e

LET_IN = {("telegram", "u111", "approved"), ("telegram", "u444", "approved")}


NOWHERE = """\
HERMES_CONSOLE__PLATFORMS__TELEGRAM__BASE_URL=http://127.0.0.1:9
HERMES_CONSOLE__PLATFORMS__EMAIL__IMAP__HOST=127.0.0.1
HERMES_CONSOLE__PLATFORMS__EMAIL__SMTP__HOST=127.0.0.1
"""
"""What is connected to reaches nobody beyond this machine."""


@pytest.fixture(autouse=True)
def _nothing_is_left(scratch: Path) -> Iterator[None]:
    """A test that fails leaves no daemon behind."""
    yield
    end_daemons(scratch)


def paired(shell: Shell) -> set[tuple[str, str, str]]:
    """Everybody that the core knows, and how they stand."""
    found = read_json(shell("pairing", "list", "--json"))["pairings"]
    return {(view["platform"], view["sender_id"], view["state"]) for view in found}


def verdicts(shell: Shell, there: Path) -> dict[str, int]:
    """An import that writes: how many things came out how."""
    items = read_json(shell("import", "hermes", str(there), "--write", "--json"))["items"]
    found: dict[str, int] = {}
    for item in items:
        found[item["verdict"]] = found.get(item["verdict"], 0) + 1
    return found


def test_without_a_core_senders_are_let_in_for_the_next_one(shell: Shell, home: Path) -> None:
    """The second time takes nothing; no core is left behind; the next one knows them."""
    there = hermes_home(home.parent / "hermes")
    first = verdicts(shell, there)
    assert first["take"] > 10
    second = verdicts(shell, there)
    assert (second.get("take", 0), second.get("change", 0)) == (0, 0)
    assert shell("gateway", "status").returncode == 7
    with (home / ".env").open("a", encoding="utf-8") as stream:
        stream.write(NOWHERE)
    assert shell("gateway", "start").returncode == 0
    try:
        assert paired(shell) == LET_IN
    finally:
        assert shell("gateway", "stop", "--now").returncode == 0


def test_a_core_that_runs_lets_them_in_at_once(shell: Shell, home: Path) -> None:
    """And the audit says who took them over."""
    there = hermes_home(home.parent / "hermes")
    assert shell("gateway", "start").returncode == 0
    try:
        verdicts(shell, there)
        assert paired(shell) == LET_IN
        deeds = shell("audit", "list").stdout
        assert deeds.count("taken over from") == 2
    finally:
        assert shell("gateway", "stop", "--now").returncode == 0
