"""What a hook's folder may say, which events it wants, and what is shown when it cannot be used."""

from pathlib import Path

import msgspec
import pytest

from core.api.errors import ConfigError
from core.config.text import parse
from core.gateway.hook import HOOK, Times, first_wanted, is_pattern, manifest, wants
from core.gateway.hook_child import child_environment
from core.gateway.hook_files import builtin_folder, read_all, read_one
from core.gateway.hook_payload import EVENT_NAMES, PAYLOADS, CommandUsed, sample
from tests.support.hook_rig import write_hook
from tests.support.tree import ROOT


def problem(text: str) -> str:
    """What is said of a manifest that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        manifest(parse(text, "watch/HOOK.yaml"), "watch")
    assert caught.value.facts["fix"]
    return caught.value.message


def test_a_manifest_names_events_and_may_leave_out_the_rest() -> None:
    """Without a name it is called like its folder."""
    read = manifest(parse("events: [agent:end, 'command:*']\ntimeout_s: 3\norder: -1\n", "f"), "watch")
    assert (read.name, read.events, read.timeout_s, read.order) == ("watch", ("agent:end", "command:*"), 3.0, -1)


def test_events_as_a_word_are_an_error_that_says_how_to_write_them() -> None:
    """Taken as a list, a word would name each of its letters, and the hook would never hear of anything."""
    said = problem("name: watch\nevents: agent:end\n")
    assert said == "watch/HOOK.yaml:2: events must be a list (write events: [agent:end])"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("events: [agent:stop]\n", "watch/HOOK.yaml:1: events names no event: 'agent:stop'"),
        ("events: []\n", "events cannot be []"),
        ("name: x\n", "events is missing"),
        ("events: ['*']\nevent: x\n", "watch/HOOK.yaml:2: event is not a key"),
        ("events: ['*']\ntimeout_s: 0\n", "timeout_s cannot be 0"),
        ("events: ['*']\nname: a/b\n", "name cannot be 'a/b'"),
        ("events: ['agent*']\n", "events names no event"),
    ],
)
def test_a_bad_manifest_names_file_line_key_and_fix(text: str, said: str) -> None:
    """So that it can be mended without looking at our code."""
    assert said in problem(text)


def test_wildcards_fit_their_kind_and_nothing_else() -> None:
    """Exactly, by what stands before the colon, or everything."""
    assert wants(("agent:end",), "agent:end")
    assert not wants(("agent:end",), "agent:start")
    assert wants(("agent:*",), "agent:start")
    assert not wants(("agent:*",), "session:start")
    assert wants(("*",), "command:status")
    assert wants(("command:*",), "command:status")
    assert wants(("command:status",), "command:status")
    assert not wants(("command:status",), "command:stop")
    assert not is_pattern("command:")
    assert is_pattern("session:*")


def test_every_pattern_has_an_event_to_try_it_with() -> None:
    """And every event has a made-up context that holds all of its keys."""
    for pattern in (*EVENT_NAMES, "agent:*", "session:*", "*", "command:*", "command:stop"):
        payload = sample(first_wanted((pattern,)), 1.0)
        assert payload is not None
        assert msgspec.to_builtins(payload)["at"] == 1.0
    assert isinstance(sample("command:stop", 1.0), CommandUsed)
    assert sample("agent:stop", 1.0) is None


def test_times_are_ranked() -> None:
    """p95 is what 95 of 100 did not exceed, over the last two hundred."""
    times = Times()
    assert (times.last_s, times.p95_s) == (0.0, 0.0)
    for number in range(1, 401):
        times.add(float(number))
    assert (times.last_s, times.p95_s) == (400.0, 391.0)


def test_no_secret_is_in_the_environment_of_a_hook() -> None:
    """Only what every program needs."""
    given = {
        "PATH": "/bin",
        "HOME": "/h",
        "LC_ALL": "C",
        "API_KEY": "secret",
        "HERMES_CONSOLE__X": "1",
        "PYTHONPATH": "p",
    }
    assert child_environment(given) == {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C"}


def test_a_folder_that_cannot_be_used_is_a_row_with_its_problem(tmp_path: Path) -> None:
    """Nothing is skipped in silence."""
    write_hook(tmp_path, "good", "def handle(e, c): ...")
    write_hook(tmp_path, "no-handler", None)
    write_hook(tmp_path, "no-manifest", "def handle(e, c): ...", None)
    write_hook(tmp_path, "open", "def handle(e, c): ...").chmod(0o777)
    write_hook(tmp_path, "bad-yaml", "", "events: [\n")
    write_hook(tmp_path, "second", "", "name: good\nevents: ['*']\n")
    (tmp_path / "hooks" / ".hidden").mkdir()
    found = {read.name: read for read in read_all(tmp_path) if not read.is_builtin}
    assert set(found) == {"good", "no-handler", "no-manifest", "open", "bad-yaml", "second"}
    assert found["good"].manifest
    assert found["no-handler"].problem.startswith("no-handler/handler.py: is missing")
    assert found["no-manifest"].problem.startswith("no-manifest/HOOK.yaml: is missing")
    assert "chmod go-w" in found["open"].problem
    assert "bad-yaml/HOOK.yaml:" in found["bad-yaml"].problem
    assert "is taken" in found["second"].problem


def test_what_comes_with_the_program_can_be_used_and_is_off() -> None:
    """Nobody is told anything that was not asked for."""
    folders = [path for path in builtin_folder().iterdir() if (path / "HOOK.yaml").exists()]
    assert folders
    for folder in folders:
        read = read_one(folder, is_builtin=True)
        assert read.problem == ""
        assert read.manifest is not None
        assert not read.manifest.enabled


def test_the_page_names_every_event_with_every_key() -> None:
    """docs/guide/hooks.md is what an author of a hook reads."""
    page = (ROOT / "docs" / "guide" / "hooks.md").read_text(encoding="utf-8")
    for payload in PAYLOADS:
        row = next((line for line in page.splitlines() if line.startswith(f"| `{payload.NAME}` |")), "")
        named = {field for field in payload.__struct_fields__ if f"`{field}`" in row}
        shared = {"at", "platform", "user_id", "session_id", "session_key"}
        shared |= {"chat_id", "thread_id", "chat_type", "agent", "run_id"}
        assert set(payload.__struct_fields__) - shared <= named, payload.NAME


def test_a_broken_hook_can_only_be_mended() -> None:
    """It is not paused, resumed or switched off while it cannot be used."""
    from core.api.hooks import HookState

    assert {event.value for event in HOOK.table[HookState.BROKEN]} == {"mend"}
