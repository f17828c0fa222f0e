"""Fixtures that several files of tests of agents ask for."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.agents.tools.sandbox import Sandbox
from core.api.policies import Runtime
from tests.support.acp_runners import AcpRunners

# Read here: the fixtures of every test hide such variables.
_NEEDS_BWRAP = "HERMES_NEED_BWRAP" in os.environ


@pytest.fixture
async def acp(tmp_path: Path) -> AsyncIterator[AcpRunners]:
    """Runners of the fake ACP agent, closed in the end."""
    made = AcpRunners(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def sandbox() -> Sandbox:
    """The present machine, which must have bubblewrap."""
    made = Sandbox()
    await made.open()
    found = {view.runtime: view for view in made.runtimes()}[Runtime.BWRAP]
    if not found.is_there:
        why = f"needs bubblewrap: {found.problem}"
        if _NEEDS_BWRAP:
            pytest.fail(why)
        pytest.skip(why)
    return made
