"""The core's own tools: what is checked before anybody is asked, and what becomes of it afterwards."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.agents.ports import ToolHost, ToolResult
from core.agents.tools.calls import WantedCall
from core.agents.tools.tools import RESULT_LIMIT, SHELL, Tools, outcome_of
from core.api.errors import HermesError, Refused
from core.api.policies import ExecutionPolicy, WorkspaceAccess
from tests.support.fake_tools import FakeTools

RO = ExecutionPolicy(workspace_access=WorkspaceAccess.RO)
HIDDEN = ExecutionPolicy(workspace_access=WorkspaceAccess.NONE)


def tools(workspace: Path, *, host: ToolHost | None = None, policy: ExecutionPolicy | None = None) -> Tools:
    """All three, under a policy."""
    return Tools(
        host or FakeTools(),
        home=workspace.parent / "home",
        workspace=workspace,
        policy=policy or ExecutionPolicy(),
        names=("write", "exec", "read", "other"),
        limit_s=9.0,
    )


def call(name: str, **arguments: object) -> WantedCall:
    """A call of a model."""
    return WantedCall(id="a", name=name, arguments=json.dumps(arguments))


async def done(made: Tools, wanted: WantedCall) -> tuple[str, bool]:
    """What becomes of a call that is allowed: text, and whether it failed."""
    outcome = await made.carry_out(await made.prepare(wanted))
    return outcome.text, outcome.is_failed


def test_the_model_is_told_of_those_that_are_offered(tmp_path: Path) -> None:
    """Each with the shape of its arguments, which takes nothing else; what is not known is not offered."""
    made = tools(tmp_path)
    assert made.names == ("exec", "read", "write")
    functions = [schema["function"] for schema in made.schemas()]
    assert [function["name"] for function in functions] == ["exec", "read", "write"]
    assert all(function["parameters"]["additionalProperties"] is False for function in functions)


async def test_a_command_line_goes_to_a_shell_in_the_sandbox(tmp_path: Path) -> None:
    """As one argument, whatever is in it."""
    host = FakeTools()
    assert await done(tools(tmp_path, host=host), call("exec", command="a 'b' | c")) == ("done\n", False)
    assert host.ran == [[*SHELL, "a 'b' | c"]]


async def test_what_the_sandbox_refuses_is_not_even_asked_about(tmp_path: Path) -> None:
    """The model is told its reason."""
    host = FakeTools(why="no such runtime here")
    with pytest.raises(Refused, match="no such runtime here"):
        await tools(tmp_path, host=host).prepare(call("exec", command="ls"))
    assert host.ran == []


async def test_a_refusal_at_the_last_moment_is_a_result(tmp_path: Path) -> None:
    """Nothing is run in a weaker way instead."""
    host = FakeTools()
    made = tools(tmp_path, host=host)
    prepared = await made.prepare(call("exec", command="ls"))
    host.why = "bubblewrap is gone"
    outcome = await made.carry_out(prepared)
    assert (outcome.text, outcome.is_failed, host.ran) == ("bubblewrap is gone", True, [])


async def test_a_file_is_shown_as_a_diff_and_then_written(tmp_path: Path) -> None:
    """Then it can be read."""
    made = tools(tmp_path / "w")
    prepared = await made.prepare(call("write", path="a/b.txt", text="one\n"))
    assert prepared.action.diff.endswith("+one\n")
    assert not (tmp_path / "w").exists()
    assert (await made.carry_out(prepared)).text == "wrote a/b.txt"
    assert await done(made, call("read", path="a/b.txt")) == ("one\n", False)


async def test_what_changed_since_it_was_shown_is_not_written(tmp_path: Path) -> None:
    """The model is told, and can look again."""
    made = tools(tmp_path)
    prepared = await made.prepare(call("write", path="a.txt", text="mine"))
    (tmp_path / "a.txt").write_text("theirs")
    outcome = await made.carry_out(prepared)
    assert outcome.is_failed
    assert "changed" in outcome.text
    assert (tmp_path / "a.txt").read_text() == "theirs"


async def test_the_policy_sees_where_a_link_leads(tmp_path: Path) -> None:
    """Not the name that the model chose; and a link that leads elsewhere by then is not followed."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key.txt").write_text("secret")
    (tmp_path / "other.txt").write_text("other")
    link = tmp_path / "notes.txt"
    link.symlink_to("private/key.txt")
    made = tools(tmp_path)
    reading = await made.prepare(call("read", path="notes.txt"))
    assert (reading.action.target, reading.action.title) == ("private/key.txt", "read private/key.txt")
    writing = await made.prepare(call("write", path="notes.txt", text="x"))
    assert writing.action.target == "private/key.txt"
    (tmp_path / "private" / "key.txt").unlink()
    (tmp_path / "private" / "key.txt").symlink_to("../other.txt")
    for prepared in (reading, writing):
        assert (await made.carry_out(prepared)).is_failed
    assert (tmp_path / "other.txt").read_text() == "other"


async def test_a_folder_that_leads_elsewhere_by_then_is_not_followed(tmp_path: Path) -> None:
    """What was allowed was the file in the other one."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    made = tools(tmp_path)
    prepared = await made.prepare(call("read", path="one/a.txt"))
    (tmp_path / "one").rename(tmp_path / "gone")
    (tmp_path / "one").symlink_to("two")
    outcome = await made.carry_out(prepared)
    assert outcome.is_failed
    assert "elsewhere" in outcome.text


@pytest.mark.parametrize("kept", ["secrets", "agents", "."])
@pytest.mark.parametrize("wanted", ["read", "write", "exec"])
async def test_a_workspace_that_became_a_link_to_what_the_core_keeps_is_not_used(
    wanted: str, kept: str, tmp_path: Path
) -> None:
    """Neither for what was allowed while it was a folder, nor to ask for more."""
    workspace, core = tmp_path / "w", tmp_path / "home" / kept
    for folder in (workspace, core):
        folder.mkdir(parents=True)
        (folder / "main.yaml").write_text("as it was")
    host = FakeTools()
    made = tools(workspace, host=host)
    arguments = {"read": {"path": "main.yaml"}, "write": {"path": "main.yaml", "text": "x"}, "exec": {"command": "ls"}}
    prepared = await made.prepare(call(wanted, **arguments[wanted]))
    workspace.rename(tmp_path / "gone")
    workspace.symlink_to(core)
    outcome = await made.carry_out(prepared)
    assert (outcome.is_failed, "keeps for itself" in outcome.text, host.ran) == (True, True, [])
    if wanted != "exec":
        with pytest.raises(Refused, match="keeps for itself"):
            await made.prepare(call(wanted, **arguments[wanted]))
    assert (core / "main.yaml").read_text() == "as it was"


async def test_a_workspace_that_leads_elsewhere_by_then_is_not_written_to(tmp_path: Path) -> None:
    """What was allowed was the file in the other one."""
    workspace, other = tmp_path / "w", tmp_path / "other"
    workspace.mkdir()
    other.mkdir()
    made = tools(workspace)
    prepared = await made.prepare(call("write", path="a.txt", text="x"))
    workspace.rename(tmp_path / "gone")
    workspace.symlink_to(other)
    outcome = await made.carry_out(prepared)
    assert outcome.is_failed
    assert "elsewhere" in outcome.text
    assert list(other.iterdir()) == []


@pytest.mark.parametrize(("wanted_s", "limit_s"), [(None, 9.0), (3.0, 3.0), (60.0, 9.0)])
async def test_a_model_can_only_shorten_the_time_limit(
    tmp_path: Path, wanted_s: float | None, limit_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile's is the longest."""
    host = FakeTools()
    given: list[float] = []

    async def run(argv: Sequence[str], *, limit_s: float, **_: object) -> ToolResult:
        given.append(limit_s)
        return host.result

    monkeypatch.setattr(host, "run", run)
    arguments: dict[str, object] = {"command": "ls"} | ({} if wanted_s is None else {"limit_s": wanted_s})
    await done(tools(tmp_path, host=host), call("exec", **arguments))
    assert given == [limit_s]


@pytest.mark.parametrize(
    ("policy", "name", "is_refused"),
    [(RO, "write", True), (RO, "read", False), (HIDDEN, "write", True), (HIDDEN, "read", True)],
)
async def test_access_to_the_workspace_is_kept(
    tmp_path: Path, policy: ExecutionPolicy, name: str, is_refused: bool
) -> None:
    """Read-only takes no write, none takes nothing; the reason names the field."""
    (tmp_path / "a.txt").write_text("one")
    arguments = {"path": "a.txt"} | ({"text": "two"} if name == "write" else {})
    made = tools(tmp_path, policy=policy)
    if is_refused:
        with pytest.raises(Refused, match="workspace_access"):
            await made.prepare(call(name, **arguments))
    else:
        assert await done(made, call(name, **arguments)) == ("one", False)
    assert (tmp_path / "a.txt").read_text() == "one"


async def test_what_is_no_file_is_a_failed_read(tmp_path: Path) -> None:
    """Missing, a folder, a pipe that nobody writes to, a link out of the workspace."""
    (tmp_path / "w" / "folder").mkdir(parents=True)
    os.mkfifo(tmp_path / "w" / "pipe")
    (tmp_path / "w" / "out").symlink_to("/etc/passwd")
    (tmp_path / "w" / "circle").symlink_to("circle")
    made = tools(tmp_path / "w")
    for path in ("missing.txt", "folder", "pipe"):
        assert (await done(made, call("read", path=path)))[1]
    for path in ("out", "circle", "circle/x"):
        with pytest.raises(HermesError):
            await made.prepare(call("read", path=path))
    with pytest.raises(HermesError):
        await made.prepare(call("write", path="pipe", text="x"))


async def test_a_folder_that_cannot_be_made_is_a_failed_write(tmp_path: Path) -> None:
    """A file is in its place."""
    made = tools(tmp_path)
    prepared = await made.prepare(call("write", path="a/b.txt", text="x"))
    (tmp_path / "a").write_text("a file")
    assert (await made.carry_out(prepared)).is_failed


@pytest.mark.parametrize(
    ("result", "text", "is_failed"),
    [
        (ToolResult(exit_code=0, output="fine"), "fine", False),
        (ToolResult(exit_code=0, output=""), "", False),
        (ToolResult(exit_code=2, output="bad"), "bad\n[exit code 2]", True),
        (ToolResult(exit_code=-9, output=""), "[exit code -9]", True),
        (ToolResult(exit_code=None, output="so far\n", why="time limit"), "so far\n[ended: time limit]", True),
    ],
)
def test_how_a_tool_ended_is_said(result: ToolResult, text: str, is_failed: bool) -> None:
    """Unless it ended well: then its output is all there is."""
    outcome = outcome_of(result)
    assert (outcome.text, outcome.is_failed) == (text, is_failed)


def test_a_model_is_not_drowned_in_output() -> None:
    """Head and tail are told, and that something is missing."""
    text = outcome_of(ToolResult(exit_code=0, output="a" * 200_000 + "z")).text
    assert len(text) < RESULT_LIMIT + 100
    assert text.endswith("z")
    assert "are not shown" in text
