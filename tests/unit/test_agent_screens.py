"""The list of agents, one agent, and what an operator does to them."""

from typing import Any, TypeVar

from core.api.base import AgentName, Command, SessionId
from core.api.policies import Enforcement, ExecutionPolicy, FieldEnforcement
from core.api.profiles import (
    CreateProfile,
    DeleteProfile,
    DisableProfile,
    LimitAgent,
    PauseAgent,
    PoolChanged,
    PoolState,
    ProfileOrigin,
    ResetRunners,
    ResumeAgent,
    SyncProfile,
    UpdateProfile,
)
from tests.support.console_desk import Desk, desk
from tests.support.fake_hermes import FakeHermes, ago, profile
from tests.support.fake_work import FakeWork, pool, runner

C = TypeVar("C", bound=Command[Any])


def crowd() -> FakeHermes:
    """Four agents: one ready, one paused, one degraded, one that cannot be used."""
    return FakeHermes(
        profiles=[
            profile("main", pool=pool(busy=8, waiting=3, runner_count=12), limit=8, is_default=True, version=1),
            profile(
                "coder",
                runner="acp",
                model="big",
                version=1,
                is_default=False,
                origin=ProfileOrigin.STORED,
                settings={"runner": "acp", "command": ["hermes-acp"], "concurrency": 4},
                pool=pool(state=PoolState.PAUSED, reason="deploy freeze", changed_by="raj", limit=2),
                policy=ExecutionPolicy(allow=("exec:git status",)),
                enforcement=(
                    FieldEnforcement(field="network", enforcement=Enforcement.ADVISORY, why="the agent's own"),
                ),
            ),
            profile(
                "ops",
                version=1,
                is_default=False,
                pool=pool(state=PoolState.DEGRADED, failure_count=5, retry=ago(-20), reason="5 runs in a row failed"),
            ),
            profile("broken", version=1, is_default=False, problem="agents/broken.yaml line 3: scenaro is not a key"),
        ],
        work=FakeWork(runners=[runner("local:dm:ana", agent=AgentName("coder"), mode="dont_ask", asks=False)]),
    )


def sent(seen: Desk, kind: type[C]) -> list[C]:
    """The commands of one kind, in order."""
    return [command for command in seen.hermes.commands if isinstance(command, kind)]


async def test_what_cannot_work_stands_first_and_says_why():
    """A fault in the profile, then failures, then a pause; the rest by how busy it is."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0")
        table = seen.app.desk.table
        order = []
        for _ in range(4):
            order.append(table.cursor_id)
            await seen.press("j")
        assert order == ["broken", "ops", "coder", "main"]
        for words in (
            "scenaro is not a key",
            "5 runs in a row failed",
            "paused by raj: deploy freeze",
            "3 held back",
            "8/8",
        ):
            assert words in seen.text


async def test_the_profile_says_what_is_enforced_and_what_is_not():
    """Who keeps which field of the policy, and what needs no question."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0", "j", "j", "enter")
        for words in ("advisory: the agent's own", "exec:git status", "allowlist; asks on-miss", "the store"):
            assert words in seen.text


async def test_a_runner_that_does_not_ask_is_loud():
    """Its mode is shown with the words that it does not ask; enter leads to its session."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0", "j", "j", "enter", "2")
        assert "dont_ask, it does not ask" in seen.text
        await seen.press("enter")
        assert seen.app.navigator.place == "session"


async def test_what_a_runner_tells_of_itself_makes_no_heading():
    """A name that looked like one is a plain label; of a name of signs alone a word is left."""
    facts = {"-- pid": "4711", "-- ": "odd", "----": "rule"}
    hermes = crowd()
    hermes.work.runners = [runner("local:dm:ana", agent=AgentName("coder"), facts=facts)]
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("0", "j", "j", "enter", "2")
        words = [line.partition("│")[2].split() for line in seen.text.splitlines()]
        assert [line for line in words if line[1:] in (["4711"], ["odd"], ["rule"])] == [
            ["pid", "4711"],
            ["fact", "odd"],
            ["fact", "rule"],
        ]


async def test_settings_are_shown_as_they_are_changed_and_as_the_shell_prints_them():
    """Plain words without quotes, lists as JSON."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0", "j", "j", "enter", "3")
        shown = [line.strip() for line in seen.text.splitlines()]
        for line in ("runner: acp", 'command: ["hermes-acp"]', "concurrency: 4"):
            assert line in shown


async def test_pausing_asks_for_a_reason_and_the_same_key_resumes():
    """P on a ready agent pauses it, on a paused one resumes it."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0", "G", "P", "shift+tab", *"freeze", "tab", "right", "enter")
        assert sent(seen, PauseAgent) == [PauseAgent(name=AgentName("main"), reason="freeze")]
        await seen.press("g", "j", "j", "P", "right", "enter")
        assert sent(seen, ResumeAgent) == [ResumeAgent(name=AgentName("coder"))]


async def test_a_limit_is_a_number():
    """Words are refused where they are typed."""
    async with desk(crowd()) as seen:
        await seen.press("0", "G", "L", "x", "enter")
        assert "is no number" in seen.text
        await seen.press("backspace", "3", "enter")
        assert sent(seen, LimitAgent) == [LimitAgent(name=AgentName("main"), limit=3)]


async def test_runners_are_let_go_softly_unless_said_otherwise():
    """Hard is a choice of its own."""
    async with desk(crowd()) as seen:
        await seen.press("0", "G", "R", "down", "tab", *"stuck", "enter", "right", "enter")
        assert sent(seen, ResetRunners) == [ResetRunners(agent=AgentName("main"), is_hard=True, reason="stuck")]


async def test_the_runner_under_the_cursor_alone_can_be_let_go():
    """On the tab of runners the reset is of that session."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0", "j", "j", "enter", "2", "R", "tab", "tab", "right", "enter")
        assert sent(seen, ResetRunners) == [
            ResetRunners(agent=AgentName("coder"), session_id=SessionId("local:dm:ana"), is_hard=False)
        ]


async def test_only_changed_settings_are_sent_with_the_version_that_was_seen():
    """What is written in the configuration is not offered for change."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0", "G", "E")
        assert "change it there" in seen.text
        await seen.press("g", "j", "j", "E", "down", "down", "end", "backspace", "6", "ctrl+s")
        assert sent(seen, UpdateProfile) == [
            UpdateProfile(name=AgentName("coder"), settings={"concurrency": 6}, version=1)
        ]


async def test_a_new_agent_begins_with_the_defaults_of_the_core():
    """Its name is asked for; keys that stand empty are left to the core."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0", "N", *"helper", "enter", "ctrl+s")
        assert sent(seen, CreateProfile) == [
            CreateProfile(name=AgentName("helper"), settings={"runner": "scripted", "scenario": "builtin:assistant"})
        ]


async def test_removing_needs_the_typed_name_and_only_where_it_can_be_removed():
    """What is written in a file is removed there."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0", "G", "X")
        assert "remove it there" in seen.text
        await seen.press("g", "j", "j", "X", "shift+tab", *"coder", "tab", "right", "enter")
        assert sent(seen, DeleteProfile) == [DeleteProfile(name=AgentName("coder"))]


async def test_disabling_asks_and_reading_a_file_again_does_not():
    """D says what becomes of runs and messages; S acts at once."""
    async with desk(crowd(), (140, 40)) as seen:
        await seen.press("0", "G", "S", "D")
        assert sent(seen, SyncProfile) == [SyncProfile(name=AgentName("main"))]
        assert "messages for it are refused" in seen.text
        await seen.press("shift+tab", *"old", "tab", "right", "enter")
        assert sent(seen, DisableProfile) == [DisableProfile(name=AgentName("main"), reason="old")]


async def test_the_list_follows_the_events_of_the_core():
    """An agent that recovers loses its mark without a key."""
    hermes = crowd()
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("0")
        assert "3 held back" in seen.text
        well = profile("ops", version=2, is_default=False, pool=pool())
        hermes.emit(PoolChanged(profile=well), subject="ops", durable=False)
        await seen.settle()
        assert "2 held back" in seen.text
