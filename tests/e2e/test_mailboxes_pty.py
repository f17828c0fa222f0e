"""A mailbox of the demo fills, ages and dead-letters, and an operator mends it from the screen and from a shell."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.terminal import CONSOLE, Terminal, clean_environment
from tests.support.typed_commands import Shell, read_json, shell_for

pytestmark = pytest.mark.e2e

BLOCKED = "blocked by the user"


@pytest.fixture
def temporary(scratch: Path) -> Path:
    """Where the demo makes its throw-away home."""
    folder = scratch / "tmp"
    folder.mkdir()
    return folder


def demo(temporary: Path, columns: int, rows: int) -> Terminal:
    """The demo, as a stranger starts it."""
    env = {**clean_environment(temporary.parent), "TMPDIR": str(temporary)}
    return Terminal([*CONSOLE, "demo"], columns=columns, rows=rows, env=env)


def demo_home(temporary: Path) -> Path:
    """The home that the running demo made."""
    (config,) = temporary.rglob("config.yaml")
    return config.parent


def mailbox(shell: Shell, name: str) -> dict[str, Any]:
    """One mailbox of `mailbox list`."""
    views: list[dict[str, Any]] = read_json(shell("mailbox", "list", "--json"))["mailboxes"]
    return next(view for view in views if view["name"] == name)


def dead_counts(shell: Shell, name: str) -> list[tuple[str, int]]:
    """Reasons and counts of `mailbox dead`."""
    groups = read_json(shell("mailbox", "dead", name, "--json"))["groups"]
    return [(group["reason"], group["count"]) for group in groups]


def test_an_operator_pauses_looks_redrives_and_resumes(temporary: Path) -> None:
    """What fills, ages and dies is on the screen; a dry run counts, a receipt tells, and mail goes on."""
    with demo(temporary, 80, 24) as terminal:
        terminal.wait_for("core ok")
        terminal.press("4")
        terminal.wait_match(r"open +outbox\.telegram .* [2-9]\S? +\d+$")
        terminal.wait_match(r"open +outbox\.discord +[2-9]\S? .* \d+s ")
        shell = shell_for(demo_home(temporary))

        terminal.press("/", "telegram", "enter", "P")
        terminal.wait_for("pause outbox.telegram?")
        terminal.press("they block us", "enter")
        terminal.wait_for("paused: outbox.telegram takes messages in")
        terminal.wait_match(r"paused +outbox\.telegram +[1-9]")
        paused = mailbox(shell, "outbox.telegram")
        assert (paused["state"], paused["paused_reason"]) == ("paused", "they block us")
        assert paused["tally"]["difference"] == 0

        terminal.press("d")
        terminal.wait_for("outbox.telegram: rejected")
        ((reason, dead),) = dead_counts(shell, "outbox.telegram")
        assert reason == "rejected"
        dry = read_json(shell("mailbox", "redrive", "outbox.telegram", "--reason", "rejected", "--dry-run", "--json"))
        assert (dry["is_dry_run"], dry["matched"], dry["changed"]) == (True, dead, 0)

        terminal.press("R")
        terminal.wait_for("canary")
        terminal.press("j", "enter")
        counted = int(terminal.wait_match(r"send (\d+) messages? again\?")[1])
        assert counted == dead
        assert dead_counts(shell, "outbox.telegram") == [("rejected", dead)]
        terminal.press("right", "enter")
        terminal.wait_for(f"{counted} sent again to outbox.telegram")
        terminal.wait_gone(BLOCKED)
        assert dead_counts(shell, "outbox.telegram") == []

        terminal.press("escape", "P")
        terminal.wait_for("resume outbox.telegram?")
        terminal.press("right", "enter")
        terminal.wait_for("open: outbox.telegram")
        terminal.wait_match(r"open +outbox\.telegram +-")
        # Whoever blocks the bot still does: sent again without a cure, they die again.
        terminal.wait_match(r"open +outbox\.telegram .* [2-9]\S? +\d+$")
        after = mailbox(shell, "outbox.telegram")
        assert after["state"] == "open"
        assert after["tally"]["done"] > paused["tally"]["done"]
        terminal.press("q")
        assert terminal.exit_code() == 0


def test_a_wide_terminal_shows_more_of_both_screens(temporary: Path) -> None:
    """Times and rules beside the mailboxes, advice beside the causes of the dead letters."""
    with demo(temporary, 140, 40) as terminal:
        terminal.wait_for("core ok")
        terminal.press("4")
        terminal.wait_for("P99 WORK")
        terminal.wait_match(r"outbox\.telegram .* [2-9]\S? ")
        terminal.press("d")
        terminal.wait_match(r"rejected +blocked by the user .* outbox\.telegram +The consumer refused it\.")
        terminal.press("q")
        assert terminal.exit_code() == 0
