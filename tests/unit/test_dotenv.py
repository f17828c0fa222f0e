"""The `.env` file of a home: what counts, what is wrong, and that no value is ever told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.errors import ConfigError
from core.config import check, dotenv, load
from core.platform_settings import PlatformSettings, TelegramSettings
from core.settings import Settings
from core.vault import Vault


def put(home: Path, text: str, mode: int = 0o600) -> None:
    """Write a file."""
    (home / ".env").write_text(text, encoding="utf-8")
    (home / ".env").chmod(mode)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A = b c ", "b c"),
        ("export A=b", "b"),
        ("A=", ""),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A='b # c'", "b # c"),
        ("A='b\\n'", "b\\n"),
        ('A="b\\nc\\"\\\\" # comment', 'b\nc"\\'),
        ('A="b\nc"', "b\nc"),
        ('A="b\\\nc\\\\\n" # d', "b\nc\\\n"),
        ("A=b=c", "b=c"),
        ("A=b\r", "b"),
    ],
)
def test_a_line_means_what_it_says(line: str, value: str) -> None:
    """Quotes, escapes, comments, export, several lines."""
    assert dotenv.parse(f"# first\n\n{line}\nZ=last") == ({"A": (value, 3), "Z": ("last", 4 + line.count("\n"))}, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hunter2", ".env:1: not KEY=VALUE"),
        ("1A=hunter2", ".env:1: not KEY=VALUE"),
        ('A="hunter2\nB=hunter2', ".env:1: A has a quote that is never closed"),
        ("A='x' hunter2", ".env:1: A goes on after its closing quote"),
        ("A=x\nA=hunter2", ".env:2: A is there twice, first on line 1"),
        ("A=hunter2${B}", ".env:1: A holds ${...}"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_its_value(text: str, problem: str) -> None:
    """Nobody reads a secret out of a message."""
    _, wrong = dotenv.parse(text)
    assert len(wrong) == 1
    assert wrong[0].startswith(problem)
    assert "hunter2" not in wrong[0]


def test_an_open_quote_takes_only_its_own_line_with_it() -> None:
    """What comes after it counts."""
    assert dotenv.parse('A="x\nB=y')[0] == {"B": ("y", 2)}


def test_a_long_file_with_an_open_quote_is_read_in_one_go() -> None:
    """Not from the quote on once more for each line, which would take minutes."""
    values, wrong = dotenv.parse('A="x\n' + "B=y\n" * 40_000)
    assert values == {"B": ("y", 40_001)}
    assert wrong[0].startswith(".env:1: A has a quote that is never closed")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    """Nothing raises, and lines are those of the file."""
    values, _ = dotenv.parse(text)
    assert all(1 <= line <= text.count("\n") + 1 for _, line in values.values())


def test_a_home_without_the_file_has_nothing_in_it(tmp_path: Path) -> None:
    """No file is no problem."""
    assert (dotenv.read(tmp_path), dotenv.problems(tmp_path)) == ({}, [])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_can_read_is_a_problem_and_still_counts(tmp_path: Path, mode: int) -> None:
    """The way out is named."""
    put(tmp_path, "A=b\n", mode)
    assert dotenv.read(tmp_path) == {"A": ("b", 1)}
    assert "chmod 600" in dotenv.problems(tmp_path)[0]
    assert "chmod 600" in load(tmp_path, {}).view().problems[0]


def test_what_is_no_text_or_no_file_counts_for_nothing(tmp_path: Path) -> None:
    """The reason is told, and nothing hangs."""
    (tmp_path / ".env").write_bytes(b"A=b\nB=\xff\n")
    (tmp_path / ".env").chmod(0o600)
    assert dotenv.read(tmp_path) == {}
    assert dotenv.problems(tmp_path)[0].startswith(".env:2: not UTF-8")
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert dotenv.read(tmp_path) == {}
    assert dotenv.problems(tmp_path)


def test_keys_of_the_file_count_with_their_line_below_the_environment(tmp_path: Path) -> None:
    """`.env` wins over config.yaml, the environment over both; the origin says which."""
    (tmp_path / "config.yaml").write_text("http: {port: 1}\n", encoding="utf-8")
    put(tmp_path, "\nHERMES_CONSOLE__HTTP__PORT=2\nHERMES_CONSOLE__CORE__DRAIN_S=3\n")
    found = load(tmp_path, {"HERMES_CONSOLE__CORE__DRAIN_S": "4"})
    assert (found.settings.http.port, found.origins["http.port"]) == (2, ".env:2")
    assert (found.settings.core.drain_s, found.origins["core.drain_s"]) == (
        4.0,
        "env HERMES_CONSOLE__CORE__DRAIN_S",
    )


def test_a_wrong_key_of_the_file_is_told_with_file_and_line(tmp_path: Path) -> None:
    """As one of config.yaml is."""
    put(tmp_path, "\nHERMES_CONSOLE__HTTP__PROT=2\n")
    _, errors = check(tmp_path, {})
    assert (errors[0].facts["file"], errors[0].facts["line"]) == (".env", 2)


def test_a_secret_comes_from_the_environment_first_and_then_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """env:NAME, and nothing of the file reaches the environment of a child."""
    put(tmp_path, "TOKEN_A=from-file\nTOKEN_B=from-file\n")
    monkeypatch.setenv("TOKEN_B", "from-environment")
    platforms: dict[str, PlatformSettings] = {
        name: TelegramSettings(token=f"env:TOKEN_{name.upper()}") for name in ("a", "b", "c")
    }
    vault = Vault.of(Settings(platforms=platforms), tmp_path)
    assert vault.get("env:TOKEN_A").reveal() == "from-file"
    assert vault.get("env:TOKEN_B").reveal() == "from-environment"
    with pytest.raises(ConfigError) as raised:
        vault.get("env:TOKEN_C")
    assert ".env" in str(raised.value.facts["fix"])
    import os

    assert "TOKEN_A" not in os.environ
