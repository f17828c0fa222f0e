"""The configuration file and the environment: what is taken, what is refused and in which words."""

from pathlib import Path
from typing import Any

import pytest

from core.agent_settings import OpenaiSettings, ScriptedSettings
from core.api.errors import ConfigError
from core.api.sessions import Mode
from core.config import Config, check, load
from core.settings import Settings

OPENAI = "agents:\n  main:\n    runner: openai\n    base_url: {url}\n    model: m\n"


def read(home: Path, text: str, **environ: str) -> Config:
    """Load a file with this text."""
    (home / "config.yaml").write_text(text, encoding="utf-8")
    return load(home, environ)


def fault(home: Path, text: str | bytes, **environ: str) -> ConfigError:
    """The only error of a file with this text."""
    (home / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    config, errors = check(home, environ)
    assert config is None
    assert len(errors) == 1, [error.message for error in errors]
    return errors[0]


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "---\n", "http:\nagents:\nconsole:\n", "\ufeffhttp:\n"])
def test_nothing_said_means_the_defaults(tmp_path: Path, text: str | None) -> None:
    """No file, an empty one, and sections whose keys are all commented out."""
    config = load(tmp_path, {}) if text is None else read(tmp_path, text)
    assert config.settings == Settings()
    assert set(config.origins.values()) == {"default"}


def test_values_have_their_origin(tmp_path: Path) -> None:
    """The line of the file, the variable, or default; the variable wins."""
    config = read(
        tmp_path,
        "# mine\nhttp:\n  port: 1234\n  host: '::1'\nsessions: {mode: steer}\n",
        HERMES_CONSOLE__HTTP__PORT="4321",
        HERMES_CONSOLE_HOME="/elsewhere",
    )
    assert (config.settings.http.port, config.settings.http.host) == (4321, "::1")
    assert config.settings.sessions.mode is Mode.STEER
    assert config.origins["http.port"] == "env HERMES_CONSOLE__HTTP__PORT"
    assert config.origins["http.host"] == "config.yaml:4"
    assert config.origins["sessions.mode"] == "config.yaml:5"
    assert config.origins["http.enabled"] == "default"


def test_a_group_of_names_replaces_the_default_group(tmp_path: Path) -> None:
    """Who names agents names all of them; the tag chooses the kind."""
    text = OPENAI.format(url="http://127.0.0.1:1/v1") + "    key: env:KEY\n  two:\n    runner: scripted\n    seed: 7\n"
    agents = read(tmp_path, text).settings.agents
    assert agents == {
        "main": OpenaiSettings(base_url="http://127.0.0.1:1/v1", model="m", key="env:KEY"),
        "two": ScriptedSettings(seed=7),
    }


def test_a_variable_changes_one_entry_of_the_default_group(tmp_path: Path) -> None:
    """The default agent with another seed; the other platforms stay."""
    config = load(
        tmp_path, {"HERMES_CONSOLE__AGENTS__MAIN__SEED": "4", "HERMES_CONSOLE__PLATFORMS__API__AGENT": "main"}
    )
    assert config.settings.agents == {"main": ScriptedSettings(seed=4)}
    assert set(config.settings.platforms) == {"local", "api", "hooks"}
    assert config.origins["agents.main.seed"] == "env HERMES_CONSOLE__AGENTS__MAIN__SEED"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0x1F90", 8080), ("0o10", 8), ("+5", 5)],
)
def test_numbers_of_a_variable_are_read_as_in_the_file(tmp_path: Path, value: str, expected: int) -> None:
    """The core schema in both."""
    assert load(tmp_path, {"HERMES_CONSOLE__HTTP__PORT": value}).settings.http.port == expected
    assert read(tmp_path, f"http:\n  port: {value}\n").settings.http.port == expected


def test_text_of_a_variable_is_taken_as_it_is(tmp_path: Path) -> None:
    """A text key takes 007 as text; a key that may be null takes null."""
    environ = {"HERMES_CONSOLE__STORE__URL": "007", "HERMES_CONSOLE__PLATFORMS__API__AGENT": "null"}
    settings = load(tmp_path, environ).settings
    assert settings.store.url == "007"
    assert settings.platforms["api"].agent is None  # type: ignore[union-attr]  # every platform but webhooks has one


UNREADABLE: list[tuple[str | bytes, int, str]] = [
    ("http:\n  port: 1\n  port: 2\n", 3, "http.port is there twice, first on line 2"),
    ("http: {}\nstore: {}\nhttp: {}\n", 3, "http is there twice, first on line 1"),
    ("http: &a {}\n", 1, "anchors"),
    ("http: {}\nstore: *a\n", 2, "aliases"),
    ("http:\n  port: !!int 3\n", 2, "tags"),
    ("http: !!python/object:os.system {}\n", 1, "tags"),
    ("http: {}\n---\nstore: {}\n", 2, "second document"),
    ("- a\n", 1, "must be a mapping"),
    ("just words\n", 1, "must be a mapping"),
    ("http:\n\tport: 1\n", 2, ""),
    ("http: {port: 1\n", 2, ""),
    ("? [a]\n: 1\n", 1, "a key must be a word"),
    ("a: \x07\n", 1, "character"),
    (b"http: {}\nstore: \xff\n", 2, "not UTF-8"),
    ("a: " + "[" * 5000, 1, "nested too deeply"),
    ("a: " + "{b: " * 5000, 1, "nested too deeply"),
    (b"#" * 1_048_577, 0, "larger than"),
]


@pytest.mark.parametrize(("text", "line", "words"), UNREADABLE, ids=[str(item[0])[:24] for item in UNREADABLE])
def test_text_that_could_mean_two_things_is_refused(tmp_path: Path, text: str | bytes, line: int, words: str) -> None:
    """File and line are named."""
    error = fault(tmp_path, text)
    assert words in error.message
    assert error.facts.get("line", 0) == line
    assert "config.yaml" in error.message
    assert error.facts["fix"]


WRONG: list[tuple[str, str, str, str]] = [
    ("http:\n  prot: 1\n", "http.prot", "is not a key", "did you mean port?"),
    ("htp:\n  port: 1\n", "htp", "is not a key", "did you mean http?"),
    ("zzz: 1\n", "zzz", "is not a key", "one of core, http"),
    ("<<: {}\n", "<<", "is not a key", "one of"),
    ("http: 3\n", "http", "must be a mapping", "indent"),
    ("http: []\n", "http", "must be a mapping", "indent"),
    ("agents: main\n", "agents", "must be a mapping", "indent"),
    ("http:\n  port: '1'\n", "http.port", 'cannot be "1"', "whole number from 0 to 65535"),
    ("http:\n  port: 1.5\n", "http.port", "cannot be 1.5", "whole number"),
    ("http:\n  port: 65536\n", "http.port", "cannot be 65536", "whole number from 0 to 65535"),
    ("http:\n  port:\n", "http.port", "cannot be null", "whole number"),
    ("http:\n  enabled: yes\n", "http.enabled", 'cannot be "yes"', "true or false"),
    ("http:\n  enabled: 1\n", "http.enabled", "cannot be 1", "true or false"),
    ("http:\n  host: 1\n", "http.host", "cannot be 1", "text"),
    ("http:\n  body_timeout_s: .inf\n", "http.body_timeout_s", 'cannot be ".inf"', "a number over 0 and at most 600"),
    ("http:\n  body_timeout_s: 1e999\n", "http.body_timeout_s", "cannot be", "a number over 0"),
    ("sessions:\n  mode: stear\n", "sessions.mode", 'cannot be "stear"', "one of queue, followup, steer, "),
    ("console:\n  theme: pink\n", "console.theme", 'cannot be "pink"', "one of auto, dark"),
    ("agents:\n  main: {runner: opnai}\n", "agents.main.runner", 'cannot be "opnai"', "did you mean openai?"),
    ("agents:\n  main: {seed: 1}\n", "agents.main.runner", "is missing", "one of scripted, openai"),
    ("agents:\n  main:\n", "agents.main", "must be a mapping", "indent"),
    ("agents:\n  Main: {runner: scripted}\n", "agents.Main", "is not a name", "a name of a-z"),
    ("agents:\n  main: {runner: openai, model: m}\n", "agents.main.base_url", "is missing", "up to and including /v1"),
    (OPENAI.format(url="ftp://x"), "agents.main.base_url", 'cannot be "ftp://x"', "begins with http://"),
    ("default_agent: mian\n", "default_agent", "names no agent", "one of main"),
    ("platforms:\n  x: {kind: loopback, agent: bo}\n", "platforms.x.agent", "names no agent", "one of main"),
    (
        "platforms:\n  x: {kind: webhook, routes: {r: {secret: 'env:S', agent: bo}}}\n",
        "platforms.x.routes.r.agent",
        "names no agent",
        "one of main",
    ),
]


@pytest.mark.parametrize(("text", "key", "words", "fix"), WRONG, ids=[f"{item[1]} {item[2]}" for item in WRONG])
def test_a_wrong_value_names_key_line_and_what_is_allowed(
    tmp_path: Path, text: str, key: str, words: str, fix: str
) -> None:
    """Nothing is guessed, nothing is ignored."""
    error = fault(tmp_path, text)
    assert error.facts["key"] == key
    assert words in error.message
    assert fix in str(error.facts["fix"])
    assert isinstance(error.facts["line"], int)
    assert error.message.startswith(f"config.yaml:{error.facts['line']}: {key} ")


def test_all_faults_are_listed_and_the_first_is_raised(tmp_path: Path) -> None:
    """check() gives every one; load() says how many more there are."""
    text = "http:\n  prot: 1\n  host: 2\nstore: {url: 3}\n"
    (tmp_path / "config.yaml").write_text(text)
    assert [error.facts["line"] for error in check(tmp_path, {})[1]] == [2, 3, 4]
    with pytest.raises(ConfigError, match=r"http\.prot .* and 2 more") as caught:
        load(tmp_path, {})
    assert caught.value.facts["key"] == "http.prot"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HTTP__PROT", "1", "http.prot is not a key (did you mean port?)"),
        ("HTTP", "1", "http is a section"),
        ("AGENTS", "{}", "agents is a section"),
        ("HTTP__PORT__X", "1", "http.port.x is not a key"),
        ("HTTP__PORT", "many", 'http.port cannot be "many"'),
        ("HTTP__PORT", "", "http.port cannot be null"),
        ("CONSOLE__READ_ONLY", "yes", 'console.read_only cannot be "yes"'),
        ("HTTP__KEY", "hunter2hunter2", "http.key must be a reference"),
        ("AGENTS__TWO__SEED", "1", "agents.two.runner is missing"),
        ("", "1", "is not a key"),
    ],
)
def test_a_wrong_variable_is_an_error_too(tmp_path: Path, name: str, value: str, words: str) -> None:
    """The variable is named; also one whose section the file has already."""
    for text in ("", "http:\n  port: 1\n"):
        (tmp_path / "config.yaml").write_text(text)
        error = check(tmp_path, {f"HERMES_CONSOLE__{name}": value})[1][0]
        assert words in error.message
        assert error.message.startswith(f"environment variable HERMES_CONSOLE__{name}: ")


SECRET = "sk-live-0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        f"http:\n  key: {SECRET}\n",
        f"http:\n  key: [{SECRET}]\n",
        f"http:\n  key: 'file:'\n  host: 1\n#{SECRET}\n",
        f"http:\n  key: '{SECRET}\n",
        f"http:\n  key: {SECRET}: {SECRET}\n",
        f"http:\n  key: {SECRET}\n  key: {SECRET}\n",
        f"http:\n  key: &{SECRET} {SECRET}\n",
        f"http:\n  key: *{SECRET}\n",
        f"http:\n  key: !{SECRET} x\n",
        f"http:\n  keyy: {SECRET}\n",
        OPENAI.format(url=f"http://me:{SECRET}@127.0.0.1/v1"),
        f"platforms:\n  x:\n    kind: webhook\n    routes:\n      r: {{secret: {SECRET}}}\n",
    ],
)
def test_a_secret_in_the_file_is_refused_and_never_repeated(tmp_path: Path, text: str) -> None:
    """Not in the message, not in the facts, not in the chain of exceptions."""
    (tmp_path / "config.yaml").write_text(text)
    config, errors = check(tmp_path, {})
    assert config is None
    for error in errors:
        chain: list[Any] = [error]
        while cause := chain[-1].__cause__ or (None if chain[-1].__suppress_context__ else chain[-1].__context__):
            chain.append(cause)
        assert SECRET not in " ".join([repr(item) for item in chain] + [str(error.facts)])


def test_the_fix_for_a_secret_is_a_reference(tmp_path: Path) -> None:
    """It says what to write instead."""
    error = fault(tmp_path, f"http:\n  key: {SECRET}\n")
    assert "file:PATH or env:NAME" in str(error.facts["fix"])


def test_the_view_shows_only_the_kind_of_a_reference(tmp_path: Path) -> None:
    """Neither variable nor path of a secret is shown; everything else is, with its doc."""
    view = read(tmp_path, "http:\n  key: env:MY_KEY\n  port: 7\n").view()
    shown = {item.key: item for item in view.settings}
    assert (shown["http.key"].value, shown["http.key"].origin) == ("env:***", "config.yaml:2")
    assert (shown["http.port"].value, shown["http.port"].doc) == ("7", "port; 0 takes a free one")
    assert shown["agents.main.runner"].value == "scripted"
    assert shown["platforms.hooks.routes"].value == "{}"
    assert "MY_KEY" not in str(view)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder in its place is an error and not the defaults."""
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path, {})


@pytest.mark.parametrize("text", ["?", "http:\n  ?\n"])
def test_a_key_without_a_name_is_an_error_and_not_a_crash(tmp_path: Path, text: str) -> None:
    """Found by generated input: an empty key is unknown like any other."""
    (tmp_path / "config.yaml").write_text(text)
    config, errors = check(tmp_path, {})
    assert config is None
    assert "is not a key" in errors[0].message
