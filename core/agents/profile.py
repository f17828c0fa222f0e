"""A profile: the settings of an agent as values, what a change of them means, and how a copy of them is kept (pure)."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from core.agent_settings import (
    AcpSettings,
    AgentSettings,
    ClaudeCliSettings,
    HermesRunsSettings,
    OpenaiSettings,
    ScriptedSettings,
)
from core.agents.adapters import CAPABILITIES
from core.agents.admission import Rules
from core.agents.policy.patterns import check_pattern
from core.api.base import AgentName
from core.api.errors import ConfigError, InvalidInput
from core.api.policies import ExecutionPolicy
from core.config import shape
from core.config.text import KeyPath
from core.section import Name

DEFAULT_RUNNER = "scripted"
KINDS: dict[str, type[AgentSettings]] = {
    shape.tag_of(kind): kind
    for kind in (ScriptedSettings, OpenaiSettings, AcpSettings, HermesRunsSettings, ClaudeCliSettings)
}
"""Settings by the name of their runner."""

LIVE_KEYS = frozenset(
    {
        "description",
        "enabled",
        "provider",
        "fast_model",
        "compaction",
        "lanes",
        "mode",
        "concurrency",
        "max_runners",
        "idle_s",
        "stall_limit_s",
        "total_limit_s",
        "open_limit_s",
        "action_limit_s",
        "failure_limit",
        "recovery_s",
    }
)
"""Keys that the core alone looks at: a change of them needs no other runner."""

_RUNNER = "runner"
_FINGERPRINT_LETTERS = 16
_COMMAND = "settings"
_ALLOW = ("policy", "allow")
# In a fixed order of keys, so that equal settings are equal bytes.
_encoder = msgspec.json.Encoder(order="deterministic")
_settings = msgspec.json.Decoder(AgentSettings)


def kind_of(settings: AgentSettings) -> str:
    """Name of the runner that the settings are for."""
    return shape.tag_of(type(settings))


def frozen(settings: AgentSettings) -> bytes:
    """The whole settings, defaults included, as they are kept with what was accepted under them."""
    return _encoder.encode(settings)


def thawed(body: bytes) -> AgentSettings:
    """The settings of a kept copy. Raises ConfigError for one that this version cannot read."""
    try:
        settings: AgentSettings = _settings.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"kept settings of an agent cannot be read: {error}", key="settings", fix="do it again with a new copy"
        ) from None
    return settings


def fingerprint(settings: AgentSettings) -> str:
    """Of the whole settings: equal when nothing differs."""
    return _digest(frozen(settings))


def runner_fingerprint(settings: AgentSettings) -> str:
    """Of what a runner is made of: another one means that a runner must be replaced."""
    values = {key: value for key, value in as_values(settings).items() if key not in LIVE_KEYS}
    return _digest(_encoder.encode(values))


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:_FINGERPRINT_LETTERS]


def as_values(settings: AgentSettings) -> dict[str, Any]:
    """The whole settings as plain values, as in YAML."""
    values: dict[str, Any] = msgspec.json.decode(_encoder.encode(settings))
    return {name: values[name] for name in (_RUNNER, *type(settings).__struct_fields__)}


def shown_values(settings: AgentSettings) -> dict[str, Any]:
    """The same for a screen: of a reference to a secret only its kind."""
    return {name: _masked(value, shape.hint_at((name,), type(settings))) for name, value in as_values(settings).items()}


def _masked(value: Any, hint: Any) -> Any:
    if isinstance(value, str) and shape.is_secret(hint):
        return shape.shown(value, hint)
    if (given := shape.mapping_of(value)) is not None:
        return {name: _masked(item, shape.hint_at((name,), hint)) for name, item in given.items()}
    return value


def default_values(name: str, runner: str = "") -> dict[str, Any]:
    """What an agent of that name would be; null is what its maker must say. Raises InvalidInput."""
    check_name(name)
    section = KINDS.get(runner or DEFAULT_RUNNER)
    if section is None:
        fix = f"one of {', '.join(KINDS)}"
        raise InvalidInput(f"there is no runner {runner!r}", field="runner", value=runner, fix=fix)
    values: dict[str, Any] = {_RUNNER: shape.tag_of(section)}
    for info in shape.fields_of(section):
        values[info.name] = None if info.required else _plain(shape.default_of(info))
    return values


def _plain(value: Any) -> Any:
    return msgspec.json.decode(_encoder.encode(value))


def check_name(name: str) -> AgentName:
    """The name, if an agent can have it. Raises InvalidInput."""
    if not is_name(name):
        raise InvalidInput(f"an agent cannot be called {name!r}", field="name", value=name, fix=shape.allowed(Name))
    return AgentName(name)


def is_name(text: str) -> bool:
    """Whether an agent can have that name."""
    try:
        msgspec.convert(text, Name)
    except msgspec.ValidationError:
        return False
    return True


def checked(values: Mapping[str, Any], place: shape.Place) -> AgentSettings:
    """The settings that values stand for. place: where each key was written.

    Raises ConfigError for the first fault, with key and fix; its message says how many more there are.
    """
    check = shape.Check(place)
    check.value(dict(values), AgentSettings)
    _raise_first(check)
    settings: AgentSettings = msgspec.convert(
        shape.without_empty(values, KINDS[values[_RUNNER]]), AgentSettings, strict=True
    )
    check_patterns(settings, check, ())
    _raise_first(check)
    return settings


def check_patterns(settings: AgentSettings, check: shape.Check, path: KeyPath) -> None:
    """Note each pattern of the allowlist that nobody can have meant. path: where the settings stand."""
    for pattern in settings.policy.allow:
        try:
            check_pattern(pattern)
        except InvalidInput as error:
            wrong = f"has {pattern[:200]!r}: {error.message}"
            check.fault((*path, *_ALLOW), wrong, value=pattern[:200], fix=str(error.facts["fix"]))


def _raise_first(check: shape.Check) -> None:
    if check.errors:
        first, *more = check.errors
        raise ConfigError(f"{first.message} - and {len(more)} more", **first.facts) if more else first


def checked_order(values: Mapping[str, Any]) -> AgentSettings:
    """The settings that a command asks for. Raises InvalidInput (facts: field, value, fix)."""
    try:
        return checked(values, _in_order)
    except ConfigError as error:
        facts = error.facts
        key = f"{_COMMAND}.{facts['key']}"
        raise InvalidInput(error.message, field=key, value=facts.get("value", ""), fix=facts.get("fix", "")) from None


def _in_order(path: KeyPath) -> tuple[str, int | None]:
    del path
    return _COMMAND, None


def merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values with the given top-level keys in place of their own; null takes a key back to its default.

    A secret's reference that is given as it is shown stays what it was.
    """
    section = KINDS.get(str(changes.get(_RUNNER) or before.get(_RUNNER, "")))
    after = dict(before)
    for name, value in changes.items():
        if value is None:
            after.pop(name, None)
        else:
            after[name] = _unmasked(value, before.get(name), section and shape.hint_at((name,), section))
    return after


def _unmasked(value: Any, before: Any, hint: Any) -> Any:
    if hint is None or before is None:
        return value
    if isinstance(value, str) and shape.is_secret(hint):
        return before if value == shape.shown(before, hint) else value
    given, old = shape.mapping_of(value), shape.mapping_of(before)
    if given is not None and old is not None:
        return {name: _unmasked(item, old.get(name), shape.hint_at((name,), hint)) for name, item in given.items()}
    return value


def references(settings: AgentSettings) -> frozenset[str]:
    """References to all secrets that the settings name."""
    return shape.references(settings, AgentSettings)


def model_of(settings: AgentSettings) -> str:
    """What answers, for people: the model, or the scenario."""
    return settings.scenario if isinstance(settings, ScriptedSettings) else settings.model


def with_model(settings: AgentSettings, model: str) -> AgentSettings:
    """The settings with another model; "" and runners without one leave them as they are."""
    if not model or isinstance(settings, ScriptedSettings) or settings.model == model:
        return settings
    return msgspec.structs.replace(settings, model=model)


def rules_of(settings: AgentSettings) -> Rules:
    """What the settings say about admission."""
    return Rules(
        limit=settings.concurrency,
        lanes=settings.lanes,
        runner_limit=settings.max_runners,
        failure_limit=settings.failure_limit,
        recovery_s=settings.recovery_s,
    )


def policy_of(settings: AgentSettings) -> ExecutionPolicy:
    """What its runs may do; carried by the runner's own runtime, where none is set."""
    return settings.policy.words(CAPABILITIES[kind_of(settings)].runtimes[0])
