"""Keys of a Hermes gateway in our configuration: an error that says what they are called here."""

from pathlib import Path

import pytest

from core.config import check, shape
from core.config.hermes_keys import HERMES_KEYS
from core.settings import Settings
from tests.support.tree import ROOT


def errors(home: Path, text: str) -> list[str]:
    """What is wrong with a configuration."""
    (home / "config.yaml").write_text(text, encoding="utf-8")
    return [error.message for error in check(home, {})[1]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("display: {busy_input_mode: queue}\n", "display.busy_input_mode is sessions.mode here"),
        ("group_sessions_per_user: true\n", "is sessions.per_user_in_groups here"),
        ("session_reset: {mode: idle, at_hour: 4}\n", "session_reset.at_hour is sessions.reset.at_hour here"),
        ("agent: {gateway_timeout: 1800}\n", "agent.gateway_timeout has no key here"),
        ("platforms: {x: {kind: loopback, enabled: true}}\n", "a connection that is named is on"),
        ("platforms: {x: {kind: loopback, home_channel: c}}\n", "is platforms.NAME.home_chat here"),
    ],
)
def test_a_known_key_is_told_what_it_is_here(tmp_path: Path, text: str, words: str) -> None:
    """With file and line, as any unknown key."""
    (message,) = errors(tmp_path, text)
    assert message.startswith("config.yaml:1: ")
    assert words in message


def test_a_key_that_nobody_knows_is_compared_with_ours(tmp_path: Path) -> None:
    """The hint is for Hermes keys alone."""
    assert errors(tmp_path, "htpp: {}\n") == ["config.yaml:1: htpp is not a key (did you mean http?)"]


def test_every_key_that_the_table_names_is_there() -> None:
    """A hint that leads nowhere is worse than none."""
    plain = [known.ours for known in HERMES_KEYS.values() if known.ours and "NAME" not in known.ours]
    assert [key for key in plain if shape.hint_at(tuple(key.split(".")), Settings) is None] == []


def test_the_guide_names_them_all() -> None:
    """With the key here, or none."""
    page = (ROOT / "docs" / "guide" / "import_hermes.md").read_text(encoding="utf-8")
    rows = [
        f"| `{key}` | {f'`{known.ours}`' if known.ours else '-'} | {known.note} |" for key, known in HERMES_KEYS.items()
    ]
    assert [row for row in rows if row not in page] == []
