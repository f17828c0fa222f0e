"""The pairing desk on a real terminal, with strangers on a real platform's protocol, and two shells beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.telegram_town import TOKEN, TelegramTown
from tests.support.terminal import CONSOLE, Terminal, clean_environment
from tests.support.typed_commands import CONFIG, Shell, read_json

pytestmark = pytest.mark.e2e

ANN, MARA, OTHER_MARA = 1001, 1002, 1003


@pytest.fixture
def town() -> Iterator[TelegramTown]:
    """A town with a bot."""
    with TelegramTown() as made:
        yield made


@pytest.fixture
def paired_home(home: Path, town: TelegramTown) -> Path:
    """A home whose bot asks an operator about strangers."""
    secrets = home / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "bot").write_text(TOKEN + "\n")
    (secrets / "bot").chmod(0o600)
    section = f"""
platforms:
  tg: {{kind: telegram, token: "file:secrets/bot", base_url: "{town.url}", poll_s: 1, unauthorised: pair}}
"""
    (home / "config.yaml").write_text(CONFIG + section, encoding="utf-8")
    return home


def console(home: Path) -> Terminal:
    """The console with its embedded core on that home."""
    env = {**clean_environment(home.parent), "HERMES_HOME": str(home)}
    return Terminal([*CONSOLE, "--home", str(home)], columns=140, rows=40, env=env)


def senders(shell: Shell) -> dict[str, dict[str, Any]]:
    """How each sender stands, by raw id."""
    found = read_json(shell("pairing", "list", "--json"))["pairings"]
    return {view["sender_id"]: view for view in found}


def test_the_middle_one_of_three_is_let_in_and_nobody_else(paired_home: Path, shell: Shell, town: TelegramTown) -> None:
    """Two have the same name. The very next message of the one identity is answered, without a restart."""
    with console(paired_home) as terminal:
        terminal.wait_for("core ok")
        for number, name in ((ANN, "Ann"), (MARA, "Mara"), (OTHER_MARA, "Mara")):
            town.say(number, name, f"hello from {number}")
            town.wait_told(number, bool)
        terminal.wait_for("3 at the door")
        terminal.press(":", "pairing", "enter")
        terminal.wait_for("3 ask")
        town.say(MARA, "Mara", "are you there?")
        town.say(MARA, "Mara", "hello?")
        terminal.press("j")
        terminal.wait_match(rf">. asks +tg +{MARA}")
        terminal.press("A")
        terminal.wait_for(f"let {MARA} in?")
        screen = terminal.screen()
        assert f"id {MARA}" in screen
        if f"type  {MARA}  to go on" in screen:
            terminal.press("tab", "tab", str(MARA), "enter")
        terminal.press("right", "enter")
        terminal.wait_for("approved")
        town.wait_told(MARA, lambda told: len(told) >= 2)
        before = {number: len(town.told(number)) for number in (ANN, MARA, OTHER_MARA)}
        for number in (ANN, OTHER_MARA, MARA):
            town.say(number, "Mara", "and now?")
        town.wait_told(MARA, lambda told: len(told) > before[MARA])
        found = senders(shell)
        assert {number: found[str(number)]["state"] for number in (ANN, MARA, OTHER_MARA)} == {
            ANN: "asked",
            MARA: "approved",
            OTHER_MARA: "asked",
        }
        assert found[str(MARA)]["tries"] >= 3
        sessions = read_json(shell("sessions", "list", "--json"))["sessions"]
        assert [view["source"]["chat"] for view in sessions if view["source"]["platform"] == "tg"] == [str(MARA)]
        terminal.press("escape", "q")


def test_access_that_is_taken_back_in_a_shell_counts_for_the_next_message(
    paired_home: Path, shell: Shell, town: TelegramTown
) -> None:
    """The open desk shows it at once."""
    with console(paired_home) as terminal:
        terminal.wait_for("core ok")
        code = read_json(shell("pairing", "invite", "--platform", "tg", "--json"))["code"]
        town.say(ANN, "Ann", code)
        town.wait_told(ANN, bool)
        terminal.press(":", "pairing", "enter")
        terminal.wait_match(rf"let in +tg +{ANN}")
        town.say(ANN, "Ann", "hello")
        answered = town.wait_told(ANN, lambda told: len(told) >= 2)
        key = senders(shell)[str(ANN)]["id"]
        assert shell("pairing", "revoke", key, "--yes").returncode == 0
        terminal.wait_match(rf"revoked +tg +{ANN}")
        town.wait_told(ANN, lambda told: len(told) > len(answered))
        before = len(town.told(ANN))
        town.say(ANN, "Ann", "hello again")
        town.say(ANN, "Ann", code)
        terminal.wait_match(rf"(asks|revoked) +tg +{ANN}")
        assert senders(shell)[str(ANN)]["state"] != "approved"
        assert not any("hello again" in text for text in town.told(ANN)[before:])
