"""JSON as nobody should write it: what is said in it is heard, and no number of it breaks what reads it later."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.chat.answer import Answer
from core.agents.chat.completions import error_of, refusal_of
from core.agents.claude.wire import Reader
from core.agents.hermes.wire import RemoteRun
from core.agents.loose_json import COUNT_LIMIT, count_of, decoded, number_of, object_in
from core.api.runs import ActionRequested, RunLogged, RunReport, TextDelta, Usage, UsageReported

ODD_NUMBERS = ["1e999", "-1", "-1e999", "NaN", "true", '"7"', "1" + "0" * 400, "9007199254740993", "[]", "null"]


def hermes(line: str) -> list[RunReport]:
    """Reports of one event."""
    return list(RemoteRun("run-1", None).take(line, 0.0))


def claude(line: str) -> list[RunReport]:
    """Reports of one line."""
    return list(Reader().take(object_in(line.encode(errors="surrogatepass"))))


def chat(line: str) -> list[RunReport]:
    """Reports of one chunk."""
    return list(Answer().take(line))


def test_halves_of_characters_and_broken_bytes_are_marked() -> None:
    """Around them everything is as it was."""
    assert decoded(b'{"a":"x\\ud800y"}') == {"a": "x?y"}
    assert decoded(b'{"a":"x\xffy"}') == {"a": "x\ufffdy"}
    assert decoded('{"a":1e999}') == {"a": float("inf")}
    for wrong in (b"", b"{", b"[" * 100_000, b"9" * 5_000, b'{"a":}'):
        with pytest.raises((ValueError, RecursionError)):
            decoded(wrong)


@pytest.mark.parametrize("number", ODD_NUMBERS)
def test_a_number_that_nobody_can_mean_is_none(number: str) -> None:
    """Whoever stored it could not read it again."""
    found = [
        *hermes('{"event":"run.completed","output":"x","usage":{"input_tokens":N}}'.replace("N", number)),
        *claude(
            '{"type":"result","subtype":"success","total_cost_usd":N,"usage":{"output_tokens":N}}'.replace("N", number)
        ),
        *chat('{"usage":{"prompt_tokens":N,"cost":N}}'.replace("N", number)),
    ]  # fmt: skip
    usages = [report.usage for report in found if isinstance(report, UsageReported)]
    assert usages == [Usage()] * 2
    for report in found:
        assert msgspec.json.decode(msgspec.json.encode(report), type=RunReport) == report


def test_a_request_with_half_a_character_is_still_asked() -> None:
    """It waits there, so somebody must hear of it."""
    [action] = hermes('{"event":"approval.request","command":"rm \\ud800"}')
    assert isinstance(action, ActionRequested)
    assert action.target == "rm ?"
    assert claude('{"type":"stream_event","event":{"type":"content_block_delta","delta":{"text":"a\\ud800"}}}') == [
        TextDelta(text="a?")
    ]
    assert chat('{"choices":[{"delta":{"content":"a\\ud800"}}]}') == [TextDelta(text="a?")]


def test_a_stamp_that_nobody_can_mean_hides_no_later_request() -> None:
    """What has come later is told by the agent's own clock."""
    run = RemoteRun("run-1", None)
    list(run.take('{"event":"approval.request","command":"ls","timestamp":1e999}', 0.0))
    status = {"status": "waiting_for_approval", "last_event": "approval.request", "updated_at": 1_000.0}
    assert [type(report) for report in run.poll(status, 1.0) if isinstance(report, ActionRequested)] == [
        ActionRequested
    ]


@pytest.mark.parametrize("code", ["9" * 5_000, 10**400, "\u0665\u0665\u0665\u0665", {"a": 1}, [[]], -5, 3.5, True])
def test_a_code_of_any_shape_is_no_failure_of_ours(code: Any) -> None:
    """The message is told all the same."""
    assert "went wrong" in error_of({"code": code, "type": code, "message": "went wrong"}, 0).message
    assert refusal_of(500, json.dumps({"error": {"code": str(code), "message": "went wrong"}}), None).status == 500


def test_names_that_are_not_known_are_not_collected_without_end() -> None:
    """The first of them are told, once each."""
    run, reader = RemoteRun("run-1", None), Reader()
    for number in range(1_000):
        found = list(run.take(json.dumps({"event": f"odd-{number}"}), 0.0))
        found += reader.take({"type": f"odd-{number}"})
        assert len([report for report in found if isinstance(report, RunLogged)]) == (2 if number < 100 else 0)


@given(st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans(), st.lists(st.integers())))
def test_counts_and_numbers_stay_in_their_range(found: Any) -> None:
    """Whatever they are made of."""
    assert 0 <= count_of(found) <= COUNT_LIMIT
    assert 0 <= number_of(found) <= COUNT_LIMIT
