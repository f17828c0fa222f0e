"""The tool `relay`: what a model may write, whom it may write to, and that a repeated call is the same message."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.agents.runner import TurnRequest
from core.agents.tools.calls import RELAY, RelayArguments, WantedCall, tool_action
from core.agents.tools.relays import BotLetters
from core.agents.tools.tools import Tools
from core.api.base import AgentName, RunId, SessionId
from core.api.errors import InvalidInput, NotFound
from core.api.policies import ExecutionPolicy
from core.api.runs import ToolKind
from tests.support.fake_tools import FakeTools

DESK = SessionId("local:dm:desk")


class FakeBots:
    """One bot."""

    def __init__(self) -> None:
        self.sent: list[tuple[SessionId, str, str, AgentName, str]] = []
        self.waits: list[float] = []
        self.place = "https://bots.example"

    def names(self, session_id: SessionId) -> Sequence[str]:
        """That one."""
        del session_id
        return ["security-bot"]

    def addressed(self, name: str, session_id: SessionId) -> str:
        """Where it is."""
        if name not in self.names(session_id):
            raise NotFound(f"no bot {name}", noun="bot", id=name)
        return self.place

    async def send_to(
        self, session_id: SessionId, name: str, text: str, *, agent: AgentName, key: str, wait_s: float = 0.0
    ) -> str:
        """Keep it."""
        self.waits.append(wait_s)
        self.sent.append((session_id, name, text, agent, key))
        return "queued"


def wanted(arguments: object, call_id: str = "c1") -> WantedCall:
    """A call as a model writes it."""
    return WantedCall(id=call_id, name=RELAY, arguments=json.dumps(arguments))


def tools(bots: FakeBots | None, tmp_path: Path) -> Tools:
    """The tools of one turn at the desk."""
    request = TurnRequest(session_id=DESK, epoch=0, agent=AgentName("main"), run_id=RunId("r1"), attempt=1, messages=())
    return Tools(
        FakeTools(),
        home=tmp_path,
        workspace=tmp_path / "w",
        policy=ExecutionPolicy(),
        names=["read", RELAY],
        limit_s=1.0,
        bot_letters=None if bots is None else BotLetters(bots, request, limit_s=90.0),
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"to": "", "text": "hi"},
        {"to": "x" * 65, "text": "hi"},
        {"to": "a", "text": ""},
        {"to": "a", "text": " "},
        {"to": "a", "text": "a\0b"},
        {"to": "a"},
        {"to": "a", "text": "hi", "wait_s": -1},
        {"to": "a", "text": "hi", "wait_s": 601},
        {"to": "a", "text": "hi", "url": "http://evil"},
        ["a", "hi"],
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(arguments: object) -> None:
    """With the field."""
    with pytest.raises(InvalidInput):
        tool_action(wanted(arguments), [RELAY])


def test_a_call_shows_the_bot_and_all_of_the_text() -> None:
    """That is what somebody decides about."""
    action = tool_action(wanted({"to": "security-bot", "text": "line\nline"}), [RELAY])
    assert (action.target, action.detail, action.kind) == ("security-bot", "line\nline", ToolKind.OTHER)
    assert isinstance(action.arguments, RelayArguments)


async def test_the_model_is_told_which_bots_there_are_and_where_its_call_leads(tmp_path: Path) -> None:
    """An approval shows the address, and the policy decides about the name."""
    at = tools(FakeBots(), tmp_path)
    [told] = [tool for tool in at.schemas() if tool["function"]["name"] == RELAY]
    properties = told["function"]["parameters"]["properties"]
    assert properties["to"]["description"] == "The bot: security-bot."
    assert "90 at most" in properties["wait_s"]["description"]
    prepared = await at.prepare(wanted({"to": " security-bot ", "text": "hi"}))
    assert prepared.action.target == "security-bot"
    assert prepared.action.title == "relay security-bot (https://bots.example)"
    with pytest.raises(NotFound):
        await at.prepare(wanted({"to": "other", "text": "hi"}))


async def test_a_call_that_is_made_again_is_the_same_message(tmp_path: Path) -> None:
    """And one with another text, or another call, is another."""
    bots = FakeBots()
    for call in (
        wanted({"to": "security-bot", "text": "hi"}),
        wanted({"to": "security-bot", "text": "hi"}),
        wanted({"to": "security-bot", "text": "ho"}),
        wanted({"to": "security-bot", "text": "hi"}, "c2"),
    ):
        at = tools(bots, tmp_path)
        outcome = await at.carry_out(await at.prepare(call))
        assert (outcome.text, outcome.is_failed) == ("queued", False)
    keys = [key for *_, key in bots.sent]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


async def test_what_was_allowed_for_one_address_goes_to_no_other(tmp_path: Path) -> None:
    """A bot may be bound anew while somebody decides."""
    bots = FakeBots()
    at = tools(bots, tmp_path)
    prepared = await at.prepare(wanted({"to": "security-bot", "text": "hi"}))
    bots.place = "https://elsewhere.example"
    refused = await at.carry_out(prepared)
    assert (refused.is_failed, "elsewhere" in refused.text, bots.sent) == (True, True, [])
    await at.carry_out(await at.prepare(wanted({"to": "security-bot", "text": "hi"})))
    assert len(bots.sent) == 1


async def test_an_answer_is_waited_for_no_longer_than_any_tool_may_take(tmp_path: Path) -> None:
    """The turn would be ended for its silence."""
    bots = FakeBots()
    at = tools(bots, tmp_path)
    for wait_s in (600, 20):
        await at.carry_out(await at.prepare(wanted({"to": "security-bot", "text": "hi", "wait_s": wait_s})))
    assert bots.waits == [90.0, 20.0]


def test_without_bots_there_is_no_such_tool(tmp_path: Path) -> None:
    """Also when the profile names it."""
    assert tools(None, tmp_path).names == ("read",)
