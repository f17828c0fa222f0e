"""Our Matrix adapter at a real homeserver."""

from collections.abc import AsyncIterator

import pytest

from tests.platforms.matrix_stage import Stage, stage
from tests.platforms.synapse import Synapse
from tests.support.matrix_scenarios import MatrixScenarios

PLATFORM = "matrix"


@pytest.fixture
async def scene(synapse: Synapse) -> AsyncIterator[Stage]:
    """The homeserver and users of one test."""
    async with stage(synapse) as found:
        yield found


class TestMatrix(MatrixScenarios):
    """At Synapse."""
