"""A check between whole cores: who is there, whether we are let in, and that nothing is done for it."""

from pathlib import Path

import pytest

from core.api.bindings import Bot
from core.api.breakers import BreakerState
from core.api.relay_targets import CheckTarget, ListTargets, TargetStep
from core.api.tasks import ListTasks
from core.kernel import Kernel
from tests.support.relay_cores import ECHO, KEYS, LOOPBACK, bind, messages, peer_line, relaying
from tests.support.runtime_core import OPERATOR

A, B, _ = KEYS


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


async def is_untouched(kernel: Kernel) -> bool:
    """Whether no message and no task is there."""
    return not await messages(kernel) and not (await kernel.query(ListTasks())).tasks


async def test_a_core_that_knows_us_says_so_and_does_nothing(tmp_path: Path) -> None:
    """Under the name that it has for us; its agents have no work, and our breaker counts nothing."""
    async with (
        relaying(tmp_path / "a", "alpha", ECHO, peer_line("beta", A)) as alpha,
        relaying(tmp_path / "b", "beta", ECHO, peer_line("alpha", A)) as beta,
    ):
        await bind(alpha, "beta", beta)
        report = await alpha.execute(CheckTarget(name="beta"), actor=OPERATOR)
        found = {finding.step: finding for finding in report.findings}
        assert report.is_ok
        assert found[TargetStep.AUTH].detail == "known there as alpha"
        assert report.identity.startswith("beta ")
        assert await is_untouched(beta)
        assert await is_untouched(alpha)
        (target,) = (await alpha.query(ListTargets())).targets
        assert (target.breaker.state, target.sample_count) == (BreakerState.CLOSED, 0)


async def test_a_core_that_does_not_know_us_lets_nobody_in(tmp_path: Path) -> None:
    """With another key, and with none; neither learns who it is."""
    async with (
        relaying(tmp_path / "a", "alpha", ECHO, peer_line("beta", A)) as alpha,
        relaying(tmp_path / "b", "beta", ECHO, peer_line("alpha", B)) as beta,
    ):
        for peer in ("beta", ""):
            bot = Bot(name="x", url=beta.gateway.http.url, peer=peer, networks=LOOPBACK)
            report = await alpha.execute(CheckTarget(bot=bot), actor=OPERATOR)
            found = {finding.step: finding.is_ok for finding in report.findings}
            assert not report.is_ok
            assert found[TargetStep.CONNECT]
            assert found[TargetStep.AUTH] is False
            assert report.identity == ""
        assert await is_untouched(beta)
