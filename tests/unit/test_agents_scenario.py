"""Scenarios and commands: strict reading, and what answers a text."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.agents.adapters.scripted import load_scenario
from core.agents.scripted.scenario import Scenario, Step, filled, pieces, scenario_of
from core.agents.scripted.script import HOSTILE, command_steps
from core.api.errors import ConfigError

TEXT = {"steps": [{"text": "hi"}]}


def fault(values: dict[str, Any]) -> ConfigError:
    """The error of a scenario that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        scenario_of(values, "mine.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"rules": [TEXT], "colour": "red"}, "colour"),
        ({"rules": [{"steps": [{"txet": "hi"}]}]}, "rules[0].steps[0].txet"),
        ({"rules": [{"steps": [{"tool": {"title": "x", "secs": 1}}]}]}, "rules[0].steps[0].tool.secs"),
        ({"rules": [{"steps": [{"text": "a", "pause": 1}]}]}, "rules[0].steps[0]"),
        ({"rules": [{"steps": [{}]}]}, "rules[0].steps[0]"),
        ({"rules": [{"steps": [{"pause": -1}]}]}, "rules[0].steps[0].pause"),
        ({"rules": [{"steps": [{"pause": [1, 2, 3]}]}]}, "rules[0].steps[0].pause"),
        ({"rules": [{"steps": [{"flood": 10_000_000}]}]}, "rules[0].steps[0].flood"),
        ({"rules": [{"steps": [{"error": {"message": "x", "code": "NO GOOD"}}]}]}, "rules[0].steps[0].error.code"),
        ({"rules": [{}]}, "rules[0]"),
        ({"rules": [{"choices": [{"steps": [], "weight": 0}]}]}, "rules[0].choices[0].weight"),
        ({"rules": [{"match": "(", **TEXT}, TEXT]}, "rules[0].match"),
        ({"rules": [{"match": "only this", **TEXT}]}, "rules[0].match"),
        ({"rules": []}, "rules"),
        ({}, ""),
    ],
)
def test_a_fault_names_the_file_and_the_key(values: dict[str, Any], key: str) -> None:
    """A typo is an error and not a silence."""
    error = fault(values)
    assert error.facts["file"] == "mine.yaml"
    assert error.facts["key"] == key
    assert "mine.yaml" in error.message


def test_the_first_rule_that_fits_answers() -> None:
    """Rules are tried in order; the last fits everything."""
    scenario = scenario_of(
        {"rules": [{"match": "(?i)cat", "steps": [{"text": "cat"}]}, {"steps": [{"text": "other"}]}]}, "f"
    )
    assert [scenario.steps_for(text, lambda: 0.0)[0].text for text in ("A CAT", "dog")] == ["cat", "other"]


def test_choices_are_drawn_by_their_weights() -> None:
    """Also at the very ends of the range of the draw."""
    choices = [{"weight": weight, "steps": [{"text": str(weight)}]} for weight in (1, 3)]
    scenario = scenario_of({"rules": [{"choices": choices}]}, "f")
    drawn = Counter(scenario.steps_for("x", lambda n=number: n / 1000)[0].text for number in range(1000))
    assert drawn == {"1": 250, "3": 750}
    assert scenario.steps_for("x", lambda: 0.999_999_999)[0].text == "3"


def test_what_is_put_into_a_text_is_not_looked_at_again() -> None:
    """A user who writes {words} gets {words} back; unknown braces stay."""
    assert filled("{text} {words} {nope} {sender}", "a {words}", "") == "a {words} 2 {nope} there"
    assert filled("{excerpt}", "1 2 3 4 5 6 7 8 9", "ana") == "1 2 3 4 5 6 7 8 ..."


@pytest.mark.parametrize("text", ["one two  three\n", "  lead", "x", "", " ", "a\n\nb"])
def test_pieces_add_up_to_the_text(text: str) -> None:
    """Streaming loses no space and no break."""
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize("name", ["assistant", "echo", "flaky", "fleet"])
def test_built_in_scenarios_are_sound(name: str, tmp_path: Path) -> None:
    """They can be read, and answer any text."""
    scenario = load_scenario(f"builtin:{name}", tmp_path)
    assert isinstance(scenario, Scenario)
    assert all(scenario.steps_for(text, lambda: 0.5) for text in ("hello", "deploy it", "disk full?", "", "\x1b[2J"))


def test_the_fleet_shows_all_that_can_happen(tmp_path: Path) -> None:
    """The demo has answers, tools, plans, questions, slow and failing runs, and one that falls silent."""
    seen: set[str] = set()

    def look(steps: tuple[Step, ...]) -> None:
        for step in steps:
            seen.add(step.name)
            if step.approval is not None:
                look(step.approval.allow)
                look(step.approval.deny)

    for rule in load_scenario("builtin:fleet", tmp_path).rules:
        look(rule.steps)
        for choice in rule.choices:
            look(choice.steps)
    assert seen >= {"text", "thought", "tool", "plan", "approval", "write", "pause", "silent", "crash", "error"}
    assert seen >= {"wrong", "usage", "retry", "ask", "question"}


@pytest.mark.parametrize("name", ["builtin:nope", "missing.yaml", "folder", "../../etc/hostname.yaml"])
def test_a_scenario_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    """The error says what to correct."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError) as caught:
        load_scenario(name, tmp_path)
    assert caught.value.facts["fix"]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """An operator edits a scenario without starting the core again."""
    path = tmp_path / "mine.yaml"
    path.write_text("rules: [{steps: [{text: one}]}]")
    first = load_scenario("mine.yaml", tmp_path)
    assert load_scenario("mine.yaml", tmp_path) is first
    path.write_text("rules: [{steps: [{text: another}]}]")
    assert load_scenario("mine.yaml", tmp_path).rules[0].steps[0].text == "another"


def test_a_file_that_is_not_text_or_too_large_is_refused(tmp_path: Path) -> None:
    """Neither is read into memory whole."""
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "big.yaml").write_bytes(b"#" * 1_100_000)
    for name in ("bad.yaml", "big.yaml"):
        with pytest.raises(ConfigError):
            load_scenario(name, tmp_path)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("!plan", ["plan", "pause"] * 3 + ["plan", "text"]),
        ("!write notes.txt hello you", ["write"]),
        ("!write notes.txt", ["text"]),
        ("!sh uptime", ["approval"]),
        ("!sh", ["text"]),
        ("!ask why?", ["question"]),
        ("!run", ["text"]),
        ("!run echo hello", ["run"]),
        ("!child", ["text"]),
        ("!child scout", ["text"]),
        ("!child scout/mole uptime", ["approval"]),
        ("!mode careful", ["mode", "text"]),
        ("!slow 3", ["pause", "text"]),
        ("!flood 10", ["flood"]),
        ("!crash", ["text", "crash"]),
        ("!hang", ["text", "silent"]),
        ("!late", ["approval"]),
        ("!long", ["text"]),
        ("!escape", ["wrong"]),
        ("!help", ["text"]),
        ("  !plan  ", ["plan", "pause"] * 3 + ["plan", "text"]),
    ],
)
def test_commands_become_steps(text: str, names: list[str]) -> None:
    """Each command of the help does what it says."""
    steps = command_steps(text)
    assert steps is not None
    assert [step.name for step in steps] == names


@pytest.mark.parametrize("text", ["plan", "!unknown", "", "hello !plan", "!"])
def test_other_texts_are_no_commands(text: str) -> None:
    """They are answered by the scenario."""
    assert command_steps(text) is None


@pytest.mark.parametrize(("text", "seconds"), [("!slow", 10), ("!slow x", 10), ("!slow -5", 0), ("!slow 1e9", 3600)])
def test_numbers_of_commands_are_kept_in_bounds(text: str, seconds: float) -> None:
    """A message cannot ask for more than the limits allow."""
    steps = command_steps(text)
    assert steps is not None
    assert steps[0].pause == seconds
    for flood in ("!flood nan", "!flood 1e99"):
        assert command_steps(flood) is not None


def test_hostile_text_has_all_that_can_hurt() -> None:
    """Escapes, an OSC that writes the clipboard, C1 controls, markup, bidi and joiners."""
    assert all(
        item in HOSTILE for item in ("\x1b[31m", "\x1b]52;", "\x9b", "[link=", "\u202e", "\u2066", "\u200d", "\u200b")
    )
