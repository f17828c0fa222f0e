"""Tool calls of a model: put together from pieces, checked before anybody is asked, watched for loops."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.chat.answer import CALL_LIMIT, WantedCalls
from core.agents.chat.completions import ChatError
from core.agents.tools.calls import (
    ARGUMENT_LIMIT,
    LOOP_LIMIT,
    ExecArguments,
    LoopWatch,
    WantedCall,
    told_arguments,
    tool_action,
)
from core.api.errors import InvalidInput
from core.api.runs import ToolKind

ALL = ("exec", "read", "write")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
NAMES = st.text(st.sampled_from("abcxyz_"), min_size=1, max_size=8)


def piece(index: int | None, *, id_: str = "", name: str = "", arguments: str = "") -> dict[str, Any]:
    """One piece of a call as servers send it."""
    function = ({"name": name} if name else {}) | {"arguments": arguments}
    return ({} if index is None else {"index": index}) | ({"id": id_} if id_ else {}) | {"function": function}


def put_together(*pieces: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of all calls in these pieces."""
    calls = WantedCalls()
    for item in pieces:
        calls.add(item)
    return [(call.id, call.name, call.arguments) for call in calls.whole()]


def call(name: str, arguments: object) -> WantedCall:
    """A call with these arguments; a text is taken as it is."""
    return WantedCall(id="a", name=name, arguments=arguments if isinstance(arguments, str) else json.dumps(arguments))


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[tuple[str, str, str]], list[dict[str, Any]]]:
    """Calls, and their pieces by index in any order that keeps each call's own."""
    wanted = [(f"id-{place}", *draw(st.tuples(NAMES, TEXTS))) for place in range(draw(st.integers(1, 5)))]
    queues: list[list[dict[str, Any]]] = []
    for index, (id_, name, arguments) in enumerate(wanted):
        cuts = sorted(draw(st.lists(st.integers(0, len(arguments)), max_size=4)))
        texts = [arguments[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
        repeats = draw(st.booleans())
        queues.append(
            [
                piece(
                    index, id_=id_ if number == 0 or repeats else "", name=name if number == 0 else "", arguments=text
                )
                for number, text in enumerate(texts)
            ]
        )
    pieces: list[dict[str, Any]] = []
    while any(queues):
        pieces.append(draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    return wanted, pieces


@given(interleaved())
def test_pieces_by_index_become_the_calls_that_were_cut(case: tuple[list[tuple[str, str, str]], list[Any]]) -> None:
    """However they are cut and mixed, and whether or not the id is repeated."""
    wanted, pieces = case
    assert put_together(*pieces) == wanted


@given(st.lists(st.tuples(NAMES, TEXTS), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_whole_calls_without_an_index_are_as_many_as_were_sent(
    wanted: list[tuple[str, str]], has_id: bool, shares_index: bool
) -> None:
    """With ids or without, and where a server gives the same index to all of them."""
    ids = [f"id-{place}" if has_id or shares_index else "" for place in range(len(wanted))]
    index = 0 if shares_index else None
    pieces = [piece(index, id_=id_, name=name, arguments=text) for id_, (name, text) in zip(ids, wanted, strict=True)]
    expected = [
        (id_ or f"call-{place}", name, text) for place, (id_, (name, text)) in enumerate(zip(ids, wanted, strict=True))
    ]
    assert put_together(*pieces) == expected


def test_pieces_without_an_index_go_on_with_the_last_call() -> None:
    """Unless an id says otherwise; an object of arguments is one too."""
    assert put_together(
        piece(None, id_="a", name="one", arguments='{"x"'),
        piece(None, arguments=":1}"),
        piece(None, id_="b", name="two"),
        {"id": "b", "function": {"arguments": {"y": 2}}},
        piece(None, id_="a", arguments=" "),
    ) == [("a", "one", '{"x":1} '), ("b", "two", '{"y":2}')]


def test_calls_are_in_the_order_of_their_index() -> None:
    """Not in the order in which they came."""
    assert [item[0] for item in put_together(piece(1, id_="b", name="x"), piece(0, id_="a", name="y"))] == ["a", "b"]


def test_there_is_an_end_to_calls_and_arguments() -> None:
    """Too many calls are a fault of the server; arguments that are too long are marked, and never carried out."""
    calls = WantedCalls()
    for index in range(CALL_LIMIT):
        calls.add(piece(index, id_=str(index), name="x"))
    with pytest.raises(ChatError, match=str(CALL_LIMIT)):
        calls.add(piece(CALL_LIMIT, id_="last", name="x"))
    long = WantedCalls()
    for _ in range(2):
        long.add(piece(0, name="write", arguments="x" * (ARGUMENT_LIMIT - 1)))
    found = long.whole()[0]
    assert (len(found.arguments), found.is_cut) == (ARGUMENT_LIMIT, True)
    with pytest.raises(InvalidInput, match="longer than"):
        tool_action(found, ALL)


@pytest.mark.parametrize(
    ("wanted", "target", "kind", "title"),
    [
        (call("exec", {"command": "ls -l | wc"}), "ls -l | wc", ToolKind.EXECUTE, "exec ls -l | wc"),
        (call("exec", {"command": "a\nb", "limit_s": 3}), "a\nb", ToolKind.EXECUTE, "exec a b"),
        (call("read", {"path": "./a/../b.txt"}), "b.txt", ToolKind.READ, "read b.txt"),
        (call("write", {"path": "a//b.txt", "text": ""}), "a/b.txt", ToolKind.EDIT, "write a/b.txt"),
    ],
)
def test_a_call_becomes_an_action(wanted: WantedCall, target: str, kind: ToolKind, title: str) -> None:
    """The target is what the policy compares; the detail is what the model wrote, to the letter."""
    action = tool_action(wanted, ALL)
    assert (action.tool, action.target, action.kind, action.title) == (wanted.name, target, kind, title)
    assert action.detail == wanted.arguments


def test_the_target_is_what_would_be_done_whatever_else_the_arguments_say() -> None:
    """A key that is there twice: the one that counts is the one that is compared and run."""
    action = tool_action(call("exec", '{"command":"ls","command":"rm -r ."}'), ALL)
    assert isinstance(action.arguments, ExecArguments)
    assert action.target == action.arguments.command


@pytest.mark.parametrize(
    ("wanted", "field", "word"),
    [
        (call("browse", {}), "name", "no tool 'browse'"),
        (call("exec", "{"), "arguments", "not a JSON object"),
        (call("exec", "[1]"), "arguments", "not a JSON object"),
        (call("exec", "[" * 100_000), "arguments", "not a JSON object"),
        (call("exec", ""), "arguments", "command"),
        (call("exec", {"command": 5}), "command", "str"),
        (call("exec", {"command": "  "}), "command", "empty"),
        (call("exec", {"command": "a\0b"}), "command", "zero byte"),
        (call("exec", {"command": "ls", "cwd": "/"}), "arguments", "cwd"),
        (call("exec", {"command": "ls", "limit_s": -1}), "limit_s", ">"),
        (call("read", {"path": ""}), "path", "length"),
        (call("read", {"path": "../x"}), "path", "inside the workspace"),
        (call("read", {"path": "a/../../x"}), "path", "inside the workspace"),
        (call("read", {"path": "/etc/passwd"}), "path", "inside the workspace"),
        (call("write", {"path": "."}), "arguments", "text"),
        (call("write", {"path": "a/..", "text": "x"}), "path", "inside the workspace"),
    ],
)
def test_what_makes_no_sense_says_what_is_wrong(wanted: WantedCall, field: str, word: str) -> None:
    """Field, reason and a way out: the model is told all of it."""
    with pytest.raises(InvalidInput) as caught:
        tool_action(wanted, ALL)
    assert caught.value.facts["field"] == field
    assert word in caught.value.message
    assert caught.value.facts["fix"]


def test_only_what_is_offered_is_taken() -> None:
    """A profile that offers read lets nothing else through."""
    with pytest.raises(InvalidInput, match="no tool 'exec'"):
        tool_action(call("exec", {"command": "ls"}), ("read",))


@given(st.sampled_from(ALL), st.text(max_size=60) | st.dictionaries(st.text(max_size=5), TEXTS).map(json.dumps))
def test_no_arguments_can_do_more_than_be_refused(name: str, arguments: str) -> None:
    """Whatever a model writes: an action, or one error that names a field."""
    wanted = call(name, arguments)
    try:
        action = tool_action(wanted, ALL)
    except InvalidInput as error:
        assert error.facts["field"]  # noqa: PT017 - either is fine
    else:
        assert not action.target.startswith(("/", "../"))
    assert isinstance(json.loads(told_arguments(wanted)), dict)


def test_the_same_result_again_and_again_is_a_loop() -> None:
    """After so many in a row, also when the arguments change and the error repeats them; other results begin anew."""
    watch = LoopWatch()
    seen = [watch.note("exec", f"cat file-{number}", f"cat: file-{number}: not there") for number in range(LOOP_LIMIT)]
    assert seen == [False] * (LOOP_LIMIT - 1) + [True]
    for number in range(3 * LOOP_LIMIT):
        assert not watch.note("exec", "date", f"second {number}")
        assert not watch.note("read", "date", f"second {number}")


@given(st.lists(st.sampled_from(["x", "y"]), max_size=60))
def test_a_loop_is_found_exactly_when_the_last_results_are_all_the_same(results: list[str]) -> None:
    """Against a count that is made anew each time."""
    watch = LoopWatch(4)
    for place, result in enumerate(results):
        last = results[max(0, place - 3) : place + 1]
        assert watch.note("t", "", result) is (len(last) == 4 and len(set(last)) == 1)


def test_a_long_target_costs_no_time() -> None:
    """Only its first words are looked for in the result."""
    words = " ".join(str(random.Random(7).random()) for _ in range(5000))
    assert not LoopWatch().note("exec", words, "x" * 60_000)
