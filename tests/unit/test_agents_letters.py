"""The tool `send`: what is looked up before anybody allows it, and what makes a call the same as an earlier one."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from core.agents.policy.patterns import matches
from core.agents.runner import TurnRequest
from core.agents.tools.calls import WantedCall
from core.agents.tools.letters import Letters
from core.agents.tools.tools import Tools
from core.api.base import AgentName, DeliveryId, MessageId, PlatformName, RunId, SessionId
from core.api.errors import InvalidInput, Unavailable
from core.api.policies import ExecutionPolicy
from core.api.runs import ToolKind
from core.api.sessions import ChatKind, Source
from tests.support.agent_parts import SESSION, turn_request
from tests.support.fake_tools import FakeTools

ROOM = Source(platform=PlatformName("far"), kind=ChatKind.GROUP, chat="-100", chat_name="Family")


class FakeCourier:
    """A Courier that knows one room. why: it takes nothing. sent: what it took, by key."""

    def __init__(self) -> None:
        self.why = ""
        self.sent: dict[str, tuple[Source, str]] = {}

    def addressed(self, target: str, session_id: SessionId) -> tuple[str, Source]:
        """The room, by whatever name."""
        assert session_id == SESSION
        if target == "nowhere":
            raise InvalidInput("no such chat", field="target", value=target, fix="name another")
        return "far:-100", ROOM

    async def send_from(
        self, session_id: SessionId, source: Source, text: str, *, agent: AgentName, key: str
    ) -> Sequence[DeliveryId]:
        """Take it, once."""
        assert (session_id, agent) == (SESSION, "main")
        if self.why:
            raise Unavailable(self.why)
        if key in self.sent:
            return ()
        self.sent[key] = (source, text)
        return (DeliveryId("s1-0"),)


def tools(courier: FakeCourier | None, home: Path, request: TurnRequest | None = None) -> Tools:
    """Tools of a turn that may read and send."""
    return Tools(
        FakeTools(),
        home=home,
        workspace=home / "workspace",
        policy=ExecutionPolicy(),
        names=("read", "send"),
        limit_s=1.0,
        letters=None if courier is None else Letters(courier, request or turn_request("go")),
    )


def call(text: str = "hi", *, target: str = "home", call_id: str = "a") -> WantedCall:
    """A message."""
    arguments = msgspec.json.encode({"target": target, "text": text}).decode()
    return WantedCall(id=call_id, name="send", arguments=arguments)


async def test_the_policy_looks_at_the_chat_that_is_meant(tmp_path: Path) -> None:
    """Not at the words of the model; people see the name of the chat and the whole text."""
    long = "word " * 2000
    prepared = await tools(FakeCourier(), tmp_path).prepare(call(long))
    action = prepared.action
    assert (action.tool, action.target, action.kind) == ("send", "far:-100", ToolKind.OTHER)
    assert (action.title, action.detail) == ("send far:-100 (Family)", long)
    assert matches("send:far:*", action.tool, action.target)
    assert not matches("send:home", action.tool, action.target)


async def test_it_is_sent_where_it_was_shown_to_go_and_the_model_is_told(tmp_path: Path) -> None:
    """And what went wrong, too."""
    courier = FakeCourier()
    own = tools(courier, tmp_path)
    outcome = await own.carry_out(await own.prepare(call()))
    assert (outcome.text, outcome.is_failed) == ("queued for far:-100 as s1-0", False)
    assert list(courier.sent.values()) == [(ROOM, "hi")]
    courier.why = "the disk is full"
    outcome = await own.carry_out(await own.prepare(call("more")))
    assert (outcome.text, outcome.is_failed) == ("the disk is full", True)


async def test_only_the_same_call_for_the_same_message_is_the_same(tmp_path: Path) -> None:
    """Also in another run of that message, and after a restart; other words, calls and messages are others."""
    courier, first = FakeCourier(), turn_request("go")
    again = msgspec.structs.replace(first, run_id=RunId("r-2"), attempt=2)
    later = msgspec.structs.replace(first, messages=[msgspec.structs.replace(first.messages[0], id=MessageId("m-2"))])
    told: list[str] = []
    for request, wanted in (
        (first, call()),
        (again, call()),
        (again, call("ho")),
        (again, call(call_id="b")),
        (later, call()),
    ):
        own = tools(courier, tmp_path, request)
        told.append((await own.carry_out(await own.prepare(wanted))).text.partition(" ")[0])
    assert told == ["queued", "it", "queued", "queued", "queued"]
    assert len(courier.sent) == 4


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (call("  "), "text is empty"),
        (call(target=" "), "target is empty"),
        (call(target="nowhere"), "no such chat"),
        (WantedCall(id="a", name="send", arguments='{"text": "x"}'), "target"),
        (WantedCall(id="a", name="send", arguments='{"target": "a", "text": "x", "files": []}'), "files"),
    ],
)
async def test_what_cannot_be_sent_is_refused_at_once(tmp_path: Path, wanted: WantedCall, word: str) -> None:
    """Nobody is asked about it."""
    with pytest.raises(InvalidInput, match=word):
        await tools(FakeCourier(), tmp_path).prepare(wanted)


async def test_it_is_offered_only_where_somebody_can_carry_it(tmp_path: Path) -> None:
    """And where the profile names it."""
    assert tools(FakeCourier(), tmp_path).names == ("read", "send")
    assert tools(None, tmp_path).names == ("read",)
    with pytest.raises(InvalidInput, match="no tool"):
        await tools(None, tmp_path).prepare(call())


async def test_a_whole_path_in_the_workspace_is_read_as_one_of_it(tmp_path: Path) -> None:
    """As attachments of tasks are named; a path elsewhere is none."""
    work = tmp_path / "workspace"
    work.mkdir()
    (work / "a.txt").write_text("here")
    own = tools(None, tmp_path)

    def read(path: Path) -> WantedCall:
        return WantedCall(id="a", name="read", arguments=msgspec.json.encode({"path": str(path)}).decode())

    prepared = await own.prepare(read(work / "x" / ".." / "a.txt"))
    assert (prepared.action.target, (await own.carry_out(prepared)).text) == ("a.txt", "here")
    for outside in (work / ".." / "b.txt", tmp_path / "workspace2" / "a.txt", work, Path("/etc/passwd")):
        with pytest.raises(InvalidInput, match="inside the workspace"):
            await own.prepare(read(outside))
