"""Real agents behind the runtime: what they ask waits for an operator, and happens once or not at all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from core.api.approvals import ApprovalState, EndReason
from core.api.base import Mark
from core.api.errors import AlreadyDecided, ConflictError
from core.api.runs import ActionKind, ActionRequested, RunReport, Stop, TextDelta, ToolKind, ToolReported
from tests.interop.real_agents import AGENTS, Installed, RealAgent, all_gone, kill_leader, processes_of, variables_of
from tests.interop.stages import Stage, Turn, stage
from tests.support.agent_parts import end_of, text_of

pytestmark = pytest.mark.interop

HERMES_WAITS_S = 60.0
NAMES = [agent.name for agent in AGENTS]


def by_name(*names: str) -> pytest.MarkDecorator:
    """Only these agents."""
    chosen = [agent for agent in AGENTS if agent.name in names]
    assert len(chosen) == len(names)
    return pytest.mark.parametrize("agent", chosen, ids=lambda agent: agent.name, indirect=True)


with_a_model = by_name(*(agent.name for agent in AGENTS if agent.model_key))


class Deed:
    """A command that leaves traces: a folder that is gone, and a line in a file for each time that it ran."""

    def __init__(self, folder: Path) -> None:
        self._victim, self._count = folder / "victim", folder / "count"
        self._victim.mkdir()
        self.command = f"rm -rf {self._victim} && echo ran >> {self._count}"
        self.order = f"run: {self.command}"

    @property
    def count(self) -> int:
        """How often it ran."""
        count = len(self._count.read_text(encoding="ascii").splitlines()) if self._count.exists() else 0
        assert self._victim.exists() is (count == 0)
        return count


@pytest.fixture
def deed(tmp_path: Path) -> Deed:
    """Not done yet."""
    return Deed(tmp_path)


@pytest.fixture(params=AGENTS, ids=NAMES)
def agent(request: pytest.FixtureRequest) -> RealAgent:
    """Each in turn."""
    found: RealAgent = request.param
    return found


@pytest.fixture
async def on(agent: RealAgent, installed: Installed, tmp_path: Path) -> AsyncIterator[Stage]:
    """The runtime with that agent."""
    async with stage(agent, installed, tmp_path) as made:
        yield made


def test_what_a_machine_cannot_run_is_left_out_in_sight_or_fails(tmp_path: Path) -> None:
    """Without a Node.js its agents are skipped; where nothing may be left out, they fail."""
    bare = Installed(agents=tmp_path, clients=tmp_path, examples=tmp_path, node=None, modules=None, is_whole=False)
    with pytest.raises(pytest.skip.Exception, match=r"Node\.js"):
        bare.script("x.js")
    with pytest.raises(pytest.fail.Exception, match=r"Node\.js"):
        msgspec.structs.replace(bare, is_whole=True).script("x.js")


def calls_of(reports: list[RunReport]) -> dict[str, ToolReported]:
    """Tool calls as they were left."""
    return {report.call.id: report for report in reports if isinstance(report, ToolReported)}


async def nothing_is_open(on: Stage, turn: Turn) -> None:
    """No approval waits, and no tool call is unfinished."""
    assert on.open_count == 0
    assert all(view.state is not ApprovalState.OPEN for view in await turn.approvals())
    assert all(report.call.status.is_final for report in calls_of(turn.reports).values())


@pytest.mark.shows("turn")
async def test_a_real_agent_answers_and_remembers(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two turns of one session, of one process that knows no secret but its own; nobody was asked or reached."""
    monkeypatch.setenv("SOME_TOKEN", "of-the-core-alone")
    first = await on.say("say hello over there").whole()
    assert end_of(first).stop is Stop.END_TURN
    assert "hello over there" in text_of(first)
    before = await asyncio.to_thread(processes_of, on.home)
    assert before
    second = await on.say("say goodbye then").whole()
    assert end_of(second).stop is Stop.END_TURN
    assert "goodbye then" in text_of(second)
    assert "hello" not in text_of(second)
    if on.agent.is_child:
        assert before & await asyncio.to_thread(processes_of, on.home)
        variables = await asyncio.to_thread(variables_of, on.home)
        assert f"HOME={on.home}" in variables
        assert not any("of-the-core-alone" in variable for variable in variables)
    if on.agent.model_key is not None:
        assert {call.key for call in on.llm.asked()} == {on.agent.model_key}
        assert any("hello over there" in str(call.body["messages"]) for call in on.llm.asked()[1:])
    assert not any(isinstance(report, ActionRequested) for report in [*first, *second])


@pytest.mark.shows("approve")
async def test_a_command_that_is_approved_runs_once(on: Stage, deed: Deed) -> None:
    """Not before; the row says who approved it and that the agent has heard, and the turn ends well."""
    assert on.profile.approvals
    turn = on.say(deed.order)
    asked = await turn.asked()
    assert deed.command in asked.detail + asked.target
    assert deed.count == 0
    answered = await turn.answer(allow=True)
    reports = await turn.whole()
    assert end_of(reports).stop is Stop.END_TURN
    assert "All done." in text_of(reports)
    assert deed.count == 1
    (view,) = await turn.approvals()
    assert (view.id, view.state, view.delivery) == (asked.id, ApprovalState.APPROVED, "sent")
    assert answered.digest == asked.digest
    await nothing_is_open(on, turn)


@pytest.mark.shows("deny")
async def test_a_command_that_is_denied_does_not_run(on: Stage, deed: Deed) -> None:
    """The agent hears of it and ends its turn; the next one works."""
    turn = on.say(deed.order)
    await turn.answer(allow=False)
    reports = await turn.whole()
    assert end_of(reports).stop in {Stop.END_TURN, Stop.REFUSAL}
    assert deed.count == 0
    (view,) = await turn.approvals()
    assert (view.state, view.ended, view.delivery) == (ApprovalState.DENIED, EndReason.OPERATOR, "sent")
    await nothing_is_open(on, turn)
    assert "still here" in text_of(await on.say("say still here").whole())
    assert deed.count == 0


@pytest.mark.shows("cancel")
async def test_a_run_that_is_stopped_while_it_asks_does_nothing(on: Stage, deed: Deed) -> None:
    """It ends as cancelled, its question is withdrawn, and a late yes changes nothing."""
    turn = on.say(deed.order)
    await turn.asked()
    await turn.stop()
    reports = await turn.whole()
    assert end_of(reports).stop is Stop.CANCELLED
    (view,) = await turn.approvals()
    assert (view.state, view.ended) == (ApprovalState.WITHDRAWN, EndReason.STOPPED)
    await nothing_is_open(on, turn)
    with pytest.raises(AlreadyDecided):
        await turn.answer_late()
    assert "still here" in text_of(await on.say("say still here").whole())
    assert deed.count == 0


@pytest.mark.shows("killed")
async def test_an_agent_that_is_killed_while_it_asks_does_nothing(on: Stage, deed: Deed) -> None:
    """The turn ends as died, its question is closed, none of its processes is left, and the next turn gets another."""
    turn = on.say(deed.order)
    await turn.asked()
    await asyncio.to_thread(kill_leader, on.home)
    end = end_of(await turn.whole())
    assert (end.stop is Stop.DIED) if on.agent.is_child else (end.stop in {Stop.DIED, Stop.ERROR})
    assert end.error
    assert end.code
    (view,) = await turn.approvals()
    if on.agent.is_child:
        assert (view.state, view.ended) == (ApprovalState.WITHDRAWN, EndReason.DIED)
    else:
        assert view.state in {ApprovalState.WITHDRAWN, ApprovalState.EXPIRED}
    await nothing_is_open(on, turn)
    await all_gone(on.home)
    with pytest.raises(AlreadyDecided):
        await turn.answer_late()
    if on.agent.is_child:
        assert "back again" in text_of(await on.say("say back again").whole())
    assert deed.count == 0


@with_a_model
async def test_of_two_commands_the_one_that_is_approved_runs(on: Stage, tmp_path: Path) -> None:
    """Each is asked by itself, with a digest of its own: the yes to the first is none to the second."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        await asyncio.to_thread(folder.mkdir)
    first, second = [await asyncio.to_thread(Deed, folder) for folder in folders]
    turn = on.say(f"{first.order}\n{second.order}")
    allowed = await turn.answer(allow=True)
    asked = await turn.asked(2)
    assert second.command in asked.detail + asked.target
    assert (first.count, second.count) == (1, 0)
    with pytest.raises(ConflictError):
        await turn.answer(allow=True, count=2, digest=allowed.digest)
    await turn.answer(allow=False, count=2)
    assert end_of(await turn.whole()).stop in {Stop.END_TURN, Stop.REFUSAL}
    assert (first.count, second.count) == (1, 0)
    await nothing_is_open(on, turn)


@with_a_model
async def test_a_run_that_is_stopped_while_the_model_is_silent_ends(on: Stage) -> None:
    """It ends as cancelled within its grace, and the session goes on."""
    turn = on.say("hang")
    await turn.until(TextDelta)
    await turn.stop()
    assert end_of(await turn.whole()).stop is Stop.CANCELLED
    assert "still here" in text_of(await on.say("say still here").whole())


@by_name("hermes-acp", "claude-code-acp", "claude-cli")
async def test_a_file_is_written_once_it_is_approved(on: Stage, tmp_path: Path) -> None:
    """Its words are in what is asked, so that nobody approves what they cannot see."""
    path = tmp_path / "notes.txt"
    turn = on.say(f"write: {path} buy milk")
    asked = await turn.asked()
    assert "buy milk" in asked.detail + asked.diff
    assert str(path) in asked.detail + asked.target
    assert asked.kind is ToolKind.EDIT
    assert not await asyncio.to_thread(path.exists)
    await turn.answer(allow=True)
    assert end_of(await turn.whole()).stop is Stop.END_TURN
    assert (await asyncio.to_thread(path.read_text)).strip() == "buy milk"
    await nothing_is_open(on, turn)


@by_name("claude-cli")
async def test_a_question_is_answered_in_words(on: Stage) -> None:
    """What the operator says is what the model reads."""
    turn = on.say("ask: Which colour?")
    asked = await turn.asked()
    assert asked.action_kind is ActionKind.QUESTION
    await turn.answer(allow=True, words="the blue one")
    assert end_of(await turn.whole()).stop is Stop.END_TURN
    assert "the blue one" in str(on.llm.asked()[-1].body["messages"])
    await nothing_is_open(on, turn)


async def _shown_until(turn: Turn) -> float:
    """Seconds between the question and its deadline, as a countdown shows them."""
    asked = await turn.asked()
    assert isinstance(asked.deadline, Mark)
    return asked.deadline.mono - asked.asked.mono


async def test_the_deadline_of_hermes_is_shown_and_the_core_is_the_first_to_close(
    installed: Installed, tmp_path: Path
) -> None:
    """Hermes denies after 60 s without a word. Where that is written down the core says no before, and the row is
    expired with a reason; where it is not, the row is closed by what Hermes does next. A late yes runs nothing.
    """
    hermes = AGENTS[0]
    folders = [tmp_path / "known", tmp_path / "unknown"]
    for folder in folders:
        await asyncio.to_thread(folder.mkdir)
    async with (
        stage(hermes, installed, folders[0]) as known,
        stage(hermes, installed, folders[1], listens_s=None) as unknown,
    ):
        deeds = [await asyncio.to_thread(Deed, folder) for folder in folders]
        turns = [on.say(deed.order) for on, deed in zip((known, unknown), deeds, strict=True)]
        request = await turns[0].until(ActionRequested)
        assert request.deadline_s == HERMES_WAITS_S
        assert HERMES_WAITS_S - 10 <= await _shown_until(turns[0]) < HERMES_WAITS_S
        assert await _shown_until(turns[1]) > HERMES_WAITS_S
        for turn in turns:
            assert end_of(await turn.whole(HERMES_WAITS_S + 60)).stop is Stop.END_TURN
        (first,), (second,) = [await turn.approvals() for turn in turns]
        assert (first.state, first.ended) == (ApprovalState.EXPIRED, EndReason.TIMEOUT)
        assert first.decided is not None
        assert first.decided.mono - first.asked.mono < HERMES_WAITS_S
        assert second.state in {ApprovalState.EXPIRED, ApprovalState.WITHDRAWN}
        assert second.ended is EndReason.AGENT
        for on, turn, deed in zip((known, unknown), turns, deeds, strict=True):
            await nothing_is_open(on, turn)
            with pytest.raises(AlreadyDecided):
                await turn.answer_late()
            assert deed.count == 0
