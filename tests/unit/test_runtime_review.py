"""What a review of the agent runtime found in its single parts."""

from pathlib import Path

import pytest

from core.agents.launches import is_bound_otherwise
from core.agents.tools.folders import user_folder, workspace_of
from core.api.base import AgentName, SessionId
from core.api.errors import Refused
from core.api.policies import ExecutionPolicy, Resources, Runtime, Security, WorkspaceAccess
from core.gateway.lane import Lane

CHILD = (Runtime.PROCESS, Runtime.BWRAP)
HOME = Path("/home/x/.hermes")


@pytest.mark.parametrize(
    "want",
    [
        ExecutionPolicy(network_enabled=False),
        ExecutionPolicy(workspace_access=WorkspaceAccess.NONE),
        ExecutionPolicy(resources=Resources(cpu_s=1)),
        ExecutionPolicy(runtime_type=Runtime.BWRAP),
    ],
)
def test_an_agent_that_runs_already_is_not_enough_for_narrower_bounds(want: ExecutionPolicy) -> None:
    """Also when the policy does not name one of its runtimes."""
    assert is_bound_otherwise(ExecutionPolicy(runtime_type=Runtime.PROCESS), want, CHILD)


def test_a_policy_that_says_nothing_of_bounds_leaves_them_to_the_profile() -> None:
    """What it says about actions is kept by the core."""
    have = ExecutionPolicy(runtime_type=Runtime.BWRAP, network_enabled=False, resources=Resources(cpu_s=1))
    assert not is_bound_otherwise(have, ExecutionPolicy(security=Security.DENY), CHILD)


@pytest.mark.parametrize(
    "own",
    [".", "..", "/", "/home/x", "secrets", "secrets/mine", "work/../secrets", "agents", "agents/mine", "./agents/"],
)
def test_a_workspace_never_holds_what_the_core_keeps_for_itself(own: str) -> None:
    """Its home as a whole, its secrets, and the profiles in which the programs stand that it starts."""
    with pytest.raises(Refused):
        workspace_of(HOME, AgentName("main"), "local:ana", own)


def test_a_workspace_is_a_folder_of_the_home_or_anywhere_else() -> None:
    """And the user's own where the profile names none."""
    main = AgentName("main")
    assert workspace_of(HOME, main, "local:ana", "work/here") == HOME / "work/here"
    assert workspace_of(HOME, main, "local:ana", "/srv/work") == Path("/srv/work")
    assert workspace_of(HOME, main, "local:ana", "") == user_folder(HOME, main, "local:ana")


def test_a_lane_that_an_order_holds_is_not_let_go() -> None:
    """Two copies of one session in memory would each write over the other."""
    lane = Lane(SessionId("local:dm:desk"), lambda _: None)
    assert not lane.is_busy
    lane.hold_count = 1
    assert lane.is_busy
