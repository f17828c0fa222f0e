"""The relay screen on a real terminal, with a real core and a bot beside it that dies and comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.small_bot import SmallBot
from tests.support.terminal import CONSOLE, Terminal, clean_environment
from tests.support.typed_commands import CONFIG

pytestmark = pytest.mark.e2e

RELAY = """
relay:
  name: here
  attempt_limit_s: 5
  retries_s: []
  schedule_s: []
  breaker_failures: 2
  breaker_open_s: 600
  breaker_open_cap_s: 600
"""
WRONG = "ftp://127.0.0.1"


@pytest.fixture
def bot() -> Iterator[SmallBot]:
    """A bot that lives."""
    with SmallBot() as made:
        yield made


@pytest.fixture
def relay_home(home: Path) -> Path:
    """A home whose relay gives up after one try, and leaves a far side alone after two failures."""
    (home / "config.yaml").write_text(CONFIG + RELAY, encoding="utf-8")
    return home


def console(home: Path) -> Terminal:
    """The console with its embedded core on that home."""
    env = {**clean_environment(home.parent), "HERMES_HOME": str(home)}
    return Terminal([*CONSOLE, "--home", str(home)], columns=140, rows=40, env=env)


def bind(terminal: Terminal, bot: SmallBot) -> None:
    """A binding from the editor: a wrong address is refused with the reason, a right one is looked at, then saved."""
    terminal.press("N")
    terminal.wait_for("bind a bot to a chat")
    terminal.press("No!")
    terminal.wait_for("not saved: a platform is a name of a-z")
    terminal.press(*["backspace"] * 3, "*", "tab", "*", "tab", "ops", "tab", WRONG, "enter")
    terminal.wait_match(r"not saved: .*ftp")
    terminal.press(*["backspace"] * len(WRONG), bot.url)
    terminal.wait_gone("ftp")
    terminal.press("tab", "tab", "tab", "127.0.0.0/8", "ctrl+t")
    terminal.wait_match(r"connect +ok")
    terminal.wait_match(r"identity +ok .*small-bot")
    assert bot.received == []
    terminal.press("enter")
    terminal.wait_for("bound ops in any chat")
    terminal.wait_gone("bind a bot to a chat")
    terminal.wait_match(r"^>.* ops ")


def send(terminal: Terminal, words: str) -> None:
    """Send a message to the bot under the cursor."""
    terminal.press("S")
    terminal.wait_for("send to a bot")
    terminal.press(words)
    terminal.wait_match(rf"text +{words}")
    terminal.press("enter")
    terminal.wait_for("stored and on its way to ops")
    terminal.wait_gone("send to a bot")


def lose(terminal: Terminal, bot: SmallBot) -> None:
    """The bot dies: after two failures its breaker opens, and counts down."""
    bot.die()
    send(terminal, "first words")
    terminal.wait_match(r"closed +ops .* 1 error")
    send(terminal, "second words")
    shown = terminal.wait_match(r"OPEN (\d+m\d\ds) +ops").group(1)
    terminal.wait_until(lambda: f"OPEN {shown}" not in terminal.screen())
    terminal.wait_match(r"OPEN \d+m\d\ds +ops")


def hold_and_reset(terminal: Terminal, bot: SmallBot) -> None:
    """An operator holds the breaker, and resets it from its menu when the bot is back."""
    terminal.press("H")
    terminal.wait_for("hold ops?")
    terminal.press("shift+tab", "looking after it")
    terminal.wait_match("reason +looking after it")
    terminal.press("tab", "right", "enter")
    terminal.wait_match(r"held +ops")
    terminal.wait_for("held open for")
    bot.live()
    terminal.press("B")
    terminal.wait_for("breaker of ops")
    terminal.press("down")
    terminal.wait_match(r"\(●\) reset")
    terminal.press("enter")
    terminal.wait_for("reset ops?")
    address = bot.url.removeprefix("http://")
    terminal.press("shift+tab", address)
    terminal.wait_match(rf"typed +{address}")
    terminal.press("enter")
    terminal.wait_match(r"closed +ops")


def replay(terminal: Terminal) -> None:
    """What died is sent again from the list of messages, and its trace says so."""
    terminal.press("2")
    terminal.wait_match(r"dead .*first words")
    terminal.press("/", "first", "enter")
    terminal.wait_for("1 of 3")
    terminal.press("R")
    terminal.wait_for("send this message again?")
    terminal.press("right", "enter")
    terminal.wait_match(r"completed .*first words")
    terminal.press("enter", "3")
    terminal.wait_for("an operator's replay")


def test_a_bot_is_bound_tested_lost_held_reset_and_sent_to_again_on_one_screen(relay_home: Path, bot: SmallBot) -> None:
    """The life of a binding with nothing but the relay screen: each message has one id and one effect."""
    with console(relay_home) as terminal:
        terminal.wait_for("core ok")
        terminal.press("5")
        terminal.wait_for("No chat is bound to a bot yet.")
        bind(terminal, bot)
        send(terminal, "are you there")
        terminal.wait_match(r"closed +ops .*ok")
        lose(terminal, bot)
        hold_and_reset(terminal, bot)
        replay(terminal)
        terminal.press("escape", "escape", "escape", "q")
    assert [message["content"] for message in bot.received] == ["are you there", "first words"]
    assert len({message["task_id"] for message in bot.received}) == 2
