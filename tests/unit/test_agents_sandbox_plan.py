"""What a policy becomes: a command line that keeps it, or a reason why it cannot be kept."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.tools.output import Output, shortened
from core.agents.tools.sandbox_plan import (
    Found,
    bounded,
    boxed,
    program_refusal,
    refusal,
    tool_environment,
    tool_refusal,
)
from core.api.policies import ExecutionPolicy, Host, Resources, Runtime, WorkspaceAccess

ALL = Found(bwrap="/usr/bin/bwrap", prlimit="/usr/bin/prlimit", problem="")
BARE = Found(problem="bubblewrap (bwrap) is not installed")
WORK = "/home/agents/work"

POLICIES = st.builds(
    ExecutionPolicy,
    host=st.sampled_from(Host),
    runtime_type=st.sampled_from(Runtime),
    workspace_access=st.sampled_from(WorkspaceAccess),
    network_enabled=st.booleans(),
    resources=st.sampled_from([Resources(), Resources(cpu_s=1), Resources(process_count=9)]),
)
FINDS = st.builds(
    Found,
    bwrap=st.sampled_from(["", "/usr/bin/bwrap"]),
    prlimit=st.sampled_from(["", "/usr/bin/prlimit"]),
    is_root=st.booleans(),
)


def pairs(line: list[str]) -> set[tuple[str, str]]:
    """All neighbours in a command line."""
    return set(pairwise(line))


def test_a_sandbox_sees_the_system_and_its_workspace_and_nothing_else() -> None:
    """Everything that is bound is the system, read-only, or the workspace, last; all namespaces are its own."""
    line = boxed(["ls"], ExecutionPolicy(), "bwrap", workspace=WORK, environment={"A": "b"})
    assert line[0] == "bwrap"
    assert line[-2:] == ["--", "ls"]
    assert {"--die-with-parent", "--new-session", "--unshare-all", "--clearenv"} <= set(line)
    assert ("--bind", WORK) in pairs(line)
    assert ("--chdir", WORK) in pairs(line)
    bound = [line[place + 1] for place, word in enumerate(line) if word.startswith("--ro-bind")]
    assert all(path.startswith(("/usr", "/bin", "/sbin", "/lib", "/etc/")) for path in bound)
    assert line.index("--bind") > line.index("--tmpfs")


@pytest.mark.parametrize(("is_on", "count"), [(True, 1), (False, 0)])
def test_the_network_is_shared_only_when_it_is_allowed(is_on: bool, count: int) -> None:
    """A namespace without any interface but its own loopback otherwise."""
    line = boxed(["ls"], ExecutionPolicy(network_enabled=is_on), "bwrap", workspace=WORK)
    assert line.count("--share-net") == count


@pytest.mark.parametrize(
    ("access", "flag"), [(WorkspaceAccess.RW, "--bind"), (WorkspaceAccess.RO, "--ro-bind"), (WorkspaceAccess.NONE, "")]
)
def test_the_workspace_is_bound_as_the_policy_says(access: WorkspaceAccess, flag: str) -> None:
    """To write, to read, or not at all: then its name does not occur."""
    line = boxed(["ls"], ExecutionPolicy(workspace_access=access), "bwrap", workspace=WORK)
    assert {first for first, second in pairs(line) if second == WORK} - {WORK, "--chdir"} == ({flag} if flag else set())


def test_the_environment_of_a_long_lived_program_is_not_put_on_its_command_line() -> None:
    """Its secrets would be seen by everybody."""
    line = boxed(["ls"], ExecutionPolicy(), "bwrap", workspace=WORK, readable=["/opt/agent"])
    assert "--clearenv" not in line
    assert "--setenv" not in line
    assert ("--ro-bind", "/opt/agent") in pairs(line)


def test_bounds_are_set_by_prlimit_where_there_are_any() -> None:
    """All four, in its own words; without bounds the line stays as it is."""
    bounds = Resources(cpu_s=2, memory_bytes=3, process_count=4, file_bytes=5)
    assert bounded(["ls", "-l"], bounds, "prlimit") == [
        "prlimit",
        "--cpu=2",
        "--as=3",
        "--nproc=4",
        "--fsize=5",
        "--",
        "ls",
        "-l",
    ]
    assert bounded(["ls"], Resources(), "prlimit") == ["ls"]


@pytest.mark.parametrize(
    ("policy", "found", "word"),
    [
        (ExecutionPolicy(runtime_type=Runtime.GVISOR), ALL, "gvisor is not there"),
        (ExecutionPolicy(runtime_type=Runtime.RUNC), ALL, "runc is not there"),
        (ExecutionPolicy(runtime_type=Runtime.BWRAP), BARE, "not installed"),
        (ExecutionPolicy(runtime_type=Runtime.BWRAP, host=Host.GATEWAY), ALL, "host gateway"),
        (ExecutionPolicy(runtime_type=Runtime.PROCESS, network_enabled=False), ALL, "network_enabled false"),
        (ExecutionPolicy(host=Host.GATEWAY, workspace_access=WorkspaceAccess.RO), ALL, "workspace_access ro"),
        (ExecutionPolicy(network_enabled=False), BARE, "without bubblewrap"),
        (ExecutionPolicy(workspace_access=WorkspaceAccess.NONE), BARE, "workspace_access none"),
        (ExecutionPolicy(resources=Resources(cpu_s=1)), BARE, "prlimit"),
        (
            ExecutionPolicy(resources=Resources(process_count=1)),
            Found(bwrap="b", prlimit="p", is_root=True),
            "process_count",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(policy: ExecutionPolicy, found: Found, word: str) -> None:
    """Before anything is run; the reason names the field."""
    assert word in refusal(policy, found)
    assert word in tool_refusal(policy, found)


@pytest.mark.parametrize(
    "policy",
    [
        ExecutionPolicy(),
        ExecutionPolicy(runtime_type=Runtime.PROCESS),
        ExecutionPolicy(runtime_type=Runtime.REMOTE, network_enabled=False),
        ExecutionPolicy(host=Host.GATEWAY),
    ],
)
def test_a_bare_machine_keeps_what_needs_no_sandbox(policy: ExecutionPolicy) -> None:
    """So that an agent without demands works there too."""
    assert not refusal(policy, BARE)


def test_a_tool_of_host_sandbox_is_never_run_as_a_plain_process() -> None:
    """Not even when nothing else is demanded; host gateway has to say so."""
    assert "host sandbox needs bubblewrap" in tool_refusal(ExecutionPolicy(), BARE)
    assert not tool_refusal(ExecutionPolicy(host=Host.GATEWAY), BARE)
    assert not tool_refusal(ExecutionPolicy(), ALL)


@pytest.mark.parametrize("runtime", [Runtime.INPROC, Runtime.REMOTE])
def test_what_is_no_process_carries_no_program(runtime: Runtime) -> None:
    """A long-lived one needs process or bwrap."""
    assert runtime.value in program_refusal(ExecutionPolicy(runtime_type=runtime), ALL)
    assert not program_refusal(ExecutionPolicy(runtime_type=Runtime.PROCESS), ALL)


@given(POLICIES, FINDS)
def test_no_demand_is_ever_let_go(policy: ExecutionPolicy, found: Found) -> None:
    """Whatever is not refused is carried by something that keeps it; what is refused stays refused for tools."""
    if refusal(policy, found):
        assert tool_refusal(policy, found)
        return
    if tool_refusal(policy, found):
        return
    demands = not policy.network_enabled or policy.workspace_access is not WorkspaceAccess.RW
    assert not demands or (found.bwrap and policy.host is Host.SANDBOX)
    assert policy.resources == Resources() or found.prlimit
    assert policy.host is Host.GATEWAY or found.bwrap


def test_a_tool_gets_five_variables() -> None:
    """Its home is the workspace, or nothing that lasts."""
    assert set(tool_environment(ExecutionPolicy(), WORK)) == {"PATH", "HOME", "LANG", "TERM", "TMPDIR"}
    hidden = ExecutionPolicy(workspace_access=WorkspaceAccess.NONE)
    assert WORK not in tool_environment(hidden, WORK).values()


@given(st.lists(st.binary(max_size=40)), st.integers(2, 64))
def test_output_keeps_head_and_tail(pieces: list[bytes], limit: int) -> None:
    """All of it while it fits; else its beginning and its end, however it came in."""
    output = Output(limit)
    for piece in pieces:
        output.feed(piece)
    whole, half = b"".join(pieces), limit // 2
    assert output.is_cut is (len(whole) > 2 * half)
    if output.is_cut:
        assert output.text().startswith(whole[:half].decode(errors="replace"))
        assert output.text().endswith(whole[-half:].decode(errors="replace"))
        assert f"{len(whole) - 2 * half} bytes" in output.text()
    else:
        assert output.text() == whole.decode(errors="replace")


def test_a_long_text_is_shortened_in_its_middle() -> None:
    """A short one stays."""
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 50 + "z" * 50, 10) == "aaaaa\n[... 90 characters are not shown ...]\nzzzzz"
