"""File, environment and defaults: whatever is given, the strongest wins and the origin tells which it was."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from core.api.errors import ConfigError
from core.config import check, load
from core.config.shape import hint_at, is_secret, leaves
from core.config.text import parse, plain_scalar
from core.settings import Settings

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "http.port": st.integers(0, 65535),
    "http.enabled": st.booleans(),
    "http.body_timeout_s": st.floats(0.001, 600) | st.integers(1, 600),
    "sessions.mode": st.sampled_from(["queue", "interrupt", "steer"]),
    "core.journal_keep": st.integers(1000, 10**12),
    "console.theme": st.sampled_from(["auto", "dark", "light"]),
    "store.url": st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(lambda t: "@" not in t),
}
LAYER = st.fixed_dictionaries({}, optional=VALUES)


def file_of(layer: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """YAML with these keys, and the line of each."""
    lines: list[str] = []
    places: dict[str, int] = {}
    for section in sorted({key.partition(".")[0] for key in layer}):
        lines.append(f"{section}:")
        for key, value in layer.items():
            if key.startswith(section + "."):
                lines.append(f"  {key.partition('.')[2]}: {msgspec.json.encode(value).decode()}")
                places[key] = len(lines)
    return "\n".join(lines), places


def environ_of(layer: dict[str, Any]) -> dict[str, str]:
    """Variables with these keys."""
    return {
        "HERMES_CONSOLE__" + key.upper().replace(".", "__"): value
        if isinstance(value, str)
        else msgspec.json.encode(value).decode()
        for key, value in layer.items()
    }


@given(LAYER, LAYER)
def test_the_strongest_layer_wins(in_file: dict[str, Any], in_environ: dict[str, Any]) -> None:
    """Environment over file over default, key by key, each with its origin."""
    text, places = file_of(in_file)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text(text, encoding="utf-8")
        config = load(Path(folder), environ_of(in_environ))
    for path, value, _ in leaves(config.settings, Settings):
        key = ".".join(path)
        if key in in_environ:
            assert value == in_environ[key]
            assert config.origins[key].startswith("env HERMES_CONSOLE__")
        elif key in in_file:
            assert value == in_file[key]
            assert config.origins[key] == f"config.yaml:{places[key]}"
        else:
            assert config.origins[key] == "default"


@given(st.text(max_size=200) | st.text("abhtp: \n-[]{}#&*!|>'\"%@?,0", max_size=80))
@example("a: |\n  b\n c")
@example("? a")
@example("{a, b: }")
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    """No other exception than ConfigError, and it names file and line."""
    error: ConfigError | None = None
    try:
        assert isinstance(parse(text, "config.yaml").values, dict)
    except ConfigError as caught:
        error = caught
    if error is not None:
        assert error.facts["file"] == "config.yaml"
        assert isinstance(error.facts["line"], int)
        assert error.facts["line"] >= 1


@given(st.binary(max_size=200), st.dictionaries(st.text("ABHTP_", max_size=12), st.text(max_size=8), max_size=3))
def test_any_bytes_and_variables_give_a_configuration_or_errors(body: bytes, environ: dict[str, str]) -> None:
    """Never both, never neither, never another exception."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_bytes(body)
        config, errors = check(Path(folder), {f"HERMES_CONSOLE__{key}": value for key, value in environ.items()})
    assert (config is None) == bool(errors)
    assert all(error.facts["fix"] for error in errors)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=4))
def test_any_value_at_any_key_is_taken_or_refused(value: Any) -> None:
    """A value of the wrong kind never passes: what is in force always fits the settings."""
    with tempfile.TemporaryDirectory() as folder:
        for path, _, hint in leaves(Settings(), Settings):
            if len(path) != 2:
                continue
            text = f"{path[0]}:\n  {path[1]}: {msgspec.json.encode(value).decode()}\n"
            Path(folder, "config.yaml").write_text(text, encoding="utf-8")
            config, errors = check(Path(folder), {})
            if config is not None:
                msgspec.convert(msgspec.to_builtins(config.settings), Settings, strict=True)
            elif is_secret(hint) and isinstance(value, str) and len(value) > 3:
                assert all(value not in error.message for error in errors)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none())
def test_plain_scalars_mean_what_json_means(value: float | bool | None) -> None:
    """Numbers, truth and null are the same in YAML's core schema; very long digits stay text and are refused later."""
    written = msgspec.json.encode(value).decode()
    assert plain_scalar(written) == (value if len(written) <= 40 else written)


@given(st.sampled_from([".".join(path) for path, _, _ in leaves(Settings(), Settings)]))
def test_every_key_in_force_has_a_type(key: str) -> None:
    """The walk by name finds what the walk by value shows."""
    assert hint_at(tuple(key.split(".")), Settings) is not None
