"""Settings of an agent as values."""

from typing import Any

import msgspec
import pytest

from core.agent_settings import AcpSettings, AgentSettings, OpenaiSettings, PolicySettings, ScriptedSettings
from core.agents import profile
from core.agents.adapters import CAPABILITIES
from core.agents.admission import Rules
from core.api.errors import ConfigError, InvalidInput
from core.api.policies import Ask, Runtime, Security
from core.config.text import KeyPath

ACP = AcpSettings(command=("agent", "--acp"), secrets={"TOKEN": "env:AGENT_TOKEN"}, lanes={"cron": 1}, concurrency=2)
OPENAI = OpenaiSettings(base_url="http://localhost:1/v1", model="small", key="file:secrets/k")


def nowhere(path: KeyPath) -> tuple[str, int | None]:
    """Place of a value that stands in no file."""
    del path
    return "here", None


@pytest.mark.parametrize("settings", [ScriptedSettings(), OPENAI, ACP])
def test_settings_come_back_as_they_were(settings: AgentSettings) -> None:
    """As values, and as a frozen copy."""
    assert profile.checked(profile.as_values(settings), nowhere) == settings
    assert profile.thawed(profile.frozen(settings)) == settings


def test_a_copy_that_cannot_be_read_says_so() -> None:
    """Such as one with a key that this version does not know."""
    for body in (b"{", b'{"runner":"scripted","colour":1}', b"\xff"):
        with pytest.raises(ConfigError, match="kept settings"):
            profile.thawed(body)


def test_a_fingerprint_changes_with_every_setting_and_nothing_else() -> None:
    """16 hex letters, the same for equal settings whatever the order of their keys."""
    first = profile.fingerprint(ACP)
    assert len(first) == 16
    assert int(first, 16) >= 0
    again = msgspec.structs.replace(ACP, environment={})
    assert profile.fingerprint(again) == first
    mixed = [msgspec.structs.replace(ACP, environment=pair) for pair in ({"A": "1", "B": "2"}, {"B": "2", "A": "1"})]
    assert profile.fingerprint(mixed[0]) == profile.fingerprint(mixed[1])
    assert profile.fingerprint(msgspec.structs.replace(ACP, description="new")) != first


def test_only_what_a_runner_is_made_of_needs_another_one() -> None:
    """Limits and deadlines are the core's own; prompt, command, policy are not."""
    first = profile.runner_fingerprint(ACP)
    same: list[dict[str, Any]] = [{"concurrency": 9}, {"idle_s": 1.0}, {"description": "x"}, {"lanes": {}}]
    for change in same:
        assert profile.runner_fingerprint(msgspec.structs.replace(ACP, **change)) == first
    other: list[dict[str, Any]] = [
        {"system_prompt": "x"},
        {"command": ("b",)},
        {"secrets": {}},
        {"policy": PolicySettings(security=Security.FULL)},
    ]
    for change in other:
        assert profile.runner_fingerprint(msgspec.structs.replace(ACP, **change)) != first


def test_every_live_key_is_a_setting_of_all_agents() -> None:
    """A key that was renamed would silently count as part of the runner."""
    shared = set.intersection(
        *({info.name for info in msgspec.structs.fields(kind)} for kind in profile.KINDS.values())
    )
    assert shared >= profile.LIVE_KEYS


@pytest.mark.parametrize("runner", list(profile.KINDS))
def test_defaults_show_every_key(runner: str) -> None:
    """What must be said is null; nothing else is missing."""
    values = profile.default_values("new", runner)
    section = profile.KINDS[runner]
    assert values["runner"] == runner
    assert list(values)[1:] == [info.name for info in msgspec.structs.fields(section)]
    required = [info.name for info in msgspec.structs.fields(section) if info.required]
    assert all(values[name] is None for name in required)
    given: dict[str, Any] = {
        "base_url": "http://x/v1", "model": "m", "key": "env:K", "command": ["a"],
    }  # fmt: skip
    full = {**values, **{name: given[name] for name in required}}
    assert profile.checked(full, nowhere) == profile.checked(
        {"runner": runner, **{name: given[name] for name in required}}, nowhere
    )


def test_an_unknown_runner_or_name_is_refused_with_what_is_possible() -> None:
    """Both name field, value and fix."""
    assert profile.default_values("new")["runner"] == "scripted"
    with pytest.raises(InvalidInput) as caught:
        profile.default_values("new", "claude_code")
    assert (caught.value.facts["field"], caught.value.facts["value"]) == ("runner", "claude_code")
    assert "claude_cli" in str(caught.value.facts["fix"])
    with pytest.raises(InvalidInput) as caught:
        profile.default_values("New Agent")
    assert caught.value.facts["field"] == "name"


@pytest.mark.parametrize(
    ("values", "field", "fix"),
    [
        ({"runner": "scriptd"}, "settings.runner", "did you mean scripted?"),
        ({"runner": "scripted", "paces": 1}, "settings.paces", "did you mean pace?"),
        ({"runner": "scripted", "policy": {"ask": "on_miss"}}, "settings.policy.ask", "on-miss"),
        ({"runner": "scripted", "concurrency": 0}, "settings.concurrency", "from 1 to 4096"),
        ({"runner": "scripted", "lanes": {"Bad Lane": 1}}, "settings.lanes.Bad Lane", "a name of"),
        ({"runner": "acp"}, "settings.command", "program and arguments"),
        ({"runner": "acp", "command": None}, "settings.command", "allowed"),
        ({"pace": 1}, "settings.runner", "one of"),
        ({"runner": "scripted", "policy": {"allow": ["exec:ls", "ls -la"]}}, "settings.policy.allow", "TOOL:GLOB"),
        ({"runner": "scripted", "policy": {"allow": ["fetch:https://x.org*"]}}, "settings.policy.allow", "slash"),
    ],
)
def test_a_bad_setting_names_field_and_fix(values: dict[str, Any], field: str, fix: str) -> None:
    """By its whole path below settings."""
    with pytest.raises(InvalidInput) as caught:
        profile.checked_order(values)
    assert caught.value.facts["field"] == field
    assert fix in str(caught.value.facts["fix"])


def test_a_secret_in_place_of_its_reference_is_refused_and_not_repeated() -> None:
    """Neither in the message nor in the facts."""
    with pytest.raises(InvalidInput) as caught:
        profile.checked_order({"runner": "openai", "base_url": "http://x/v1", "model": "m", "key": "sk-12345"})
    assert "sk-12345" not in caught.value.message + str(caught.value.facts)


def test_several_faults_are_counted() -> None:
    """The first is named."""
    with pytest.raises(ConfigError, match="and 1 more"):
        profile.checked({"runner": "scripted", "pace": -1, "seed": "x"}, nowhere)


def test_a_section_without_keys_is_its_default() -> None:
    """As with every line below it commented out."""
    values = {"runner": "scripted", "policy": None, "lanes": None}
    assert profile.checked(values, nowhere) == ScriptedSettings()
    assert profile.checked({"runner": "scripted", "policy": {"resources": None}}, nowhere) == ScriptedSettings()


def test_a_change_replaces_top_level_keys_and_null_takes_one_back() -> None:
    """A section is given whole."""
    before = {"runner": "scripted", "pace": 0.0, "policy": {"ask": "off", "security": "full"}}
    after = profile.merged(before, {"pace": None, "policy": {"ask": "always"}, "seed": 3})
    assert after == {"runner": "scripted", "policy": {"ask": "always"}, "seed": 3}
    assert before["pace"] == 0.0


def test_a_reference_is_shown_by_its_kind_and_may_be_given_back_like_that() -> None:
    """It stays what it was; another one is taken."""
    shown = profile.shown_values(ACP)
    assert shown["secrets"] == {"TOKEN": "env:***"}
    assert profile.shown_values(OPENAI)["key"] == "file:***"
    before = profile.as_values(ACP)
    assert profile.merged(before, {"secrets": shown["secrets"]}) == before
    changed = profile.merged(before, {"secrets": {"TOKEN": "env:OTHER", "MORE": "file:m"}})
    assert changed["secrets"] == {"TOKEN": "env:OTHER", "MORE": "file:m"}
    assert profile.references(ACP) == {"env:AGENT_TOKEN"}
    assert profile.references(OPENAI) == {"file:secrets/k"}


def test_the_rules_of_admission_are_those_of_the_settings() -> None:
    """Limit, lanes, runners, failures."""
    assert profile.rules_of(ACP) == Rules(limit=2, lanes={"cron": 1}, runner_limit=16, failure_limit=5, recovery_s=30.0)


def test_a_model_is_replaced_where_there_is_one() -> None:
    """The embedded agent plays a scenario whatever model is asked for."""
    assert profile.model_of(profile.with_model(OPENAI, "large")) == "large"
    assert profile.with_model(OPENAI, "") is OPENAI
    assert profile.model_of(profile.with_model(ScriptedSettings(), "large")) == "builtin:assistant"


def test_the_policy_is_in_the_words_of_the_facade() -> None:
    """Where no runtime is set, it is the runner's own."""
    policy = profile.policy_of(ACP)
    assert (policy.ask, policy.runtime_type) == (Ask.ON_MISS, Runtime.PROCESS)
    set_one = msgspec.structs.replace(ACP, policy=PolicySettings(runtime_type=Runtime.BWRAP))
    assert profile.policy_of(set_one).runtime_type is Runtime.BWRAP


def test_every_runner_has_settings_and_an_adapter() -> None:
    """By the same names."""
    assert set(profile.KINDS) == set(CAPABILITIES)
