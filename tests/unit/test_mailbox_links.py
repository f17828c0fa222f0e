"""Links between agents, and news of the system: failures spread once and no further, news reach who follows."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.api.errors import InvalidInput, NotFound
from core.api.mail import MailKind
from core.api.mailboxes import MailboxPolicy
from core.mailbox.address import Pid
from core.mailbox.system_info import (
    AgentStarted,
    AgentStopped,
    Custom,
    Exit,
    HealthCheck,
    SystemShutdown,
    info_of,
)
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle
from tests.support.mails import a_mail
from tests.support.routing import DURABLE, MEMORY, Routing, news, routing, started


@pytest.fixture(params=["memory", "durable"])
def policy(request: pytest.FixtureRequest) -> MailboxPolicy:
    """A mailbox in memory, and one that is stored."""
    return MEMORY if request.param == "memory" else DURABLE


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Routing]:
    """Agents a and b in memory, under a clock that stands still."""
    async with routing(tmp_path, clock=FakeClock()) as opened:
        yield opened


# -- links


class Agent:
    """An agent that can be told to end, and then ends itself or not."""

    def __init__(self, rig: Routing, name: str) -> None:
        self.rig = rig
        self.name = name
        self.reasons: list[str] = []

    async def start(self) -> Pid:
        """Register it."""
        return await self.rig.router.register(self.name, MEMORY, on_exit=self.end)

    async def end(self, reason: str) -> None:
        """Stop."""
        self.reasons.append(reason)


async def test_a_failure_ends_the_linked_agent_through_its_callback(rig: Routing) -> None:
    """Both ways, with the reason of the first."""
    for failing in ("a", "b"):
        agents = {name: Agent(rig, name) for name in "ab"}
        await rig.watches.link(await agents["a"].start(), await agents["b"].start())
        await rig.router.stop(failing, "boom")
        (other,) = set("ab") - {failing}
        assert (agents[other].reasons, agents[failing].reasons) == (["boom"], [])
        assert rig.router.registry.pids == ()


async def test_a_normal_end_stops_nobody(rig: Routing) -> None:
    """Only failures spread."""
    a, b = Agent(rig, "a"), Agent(rig, "b")
    await rig.watches.link(await a.start(), await b.start())
    await rig.router.stop("a")
    assert (b.reasons, len(rig.router.registry.pids)) == ([], 1)


async def test_who_traps_exits_gets_a_message_and_lives(rig: Routing) -> None:
    """Also for a normal end; and until it stops trapping."""
    a, b, c, d = await started(rig, "a", "b", "c", "d")
    for peer in (b, c, d):
        await rig.watches.link(a, peer)
    rig.watches.trap_exits(a)
    await rig.router.stop(b, "boom")
    await rig.router.stop(c)
    assert news(rig, "a") == [Exit(str(b), "boom"), Exit(str(c), "normal")]
    rig.watches.trap_exits(a, is_trapping=False)
    await rig.router.stop(d, "bang")
    assert rig.router.registry.running("a") is None


async def test_a_failure_runs_through_a_long_chain_and_a_ring_once(rig: Routing) -> None:
    """Two thousand linked agents end, each asked once, and the call returns."""
    agents = [Agent(rig, f"a{number}") for number in range(2000)]
    pids = [await agent.start() for agent in agents]
    for one, other in zip(pids, [*pids[1:], pids[0]], strict=True):
        await rig.watches.link(one, other)
    await rig.router.stop(pids[0], "boom")
    assert rig.router.registry.pids == ()
    assert all(agent.reasons == ["boom"] for agent in agents[1:])


async def test_an_agent_that_fails_to_stop_does_not_spare_the_others(tmp_path: Path) -> None:
    """The fault is reported and the chain goes on."""

    async def fail(_reason: str) -> None:
        raise RuntimeError("stuck")

    async with routing(tmp_path) as rig:
        c = Agent(rig, "c")
        a, b, last = await rig.router.register("a"), await rig.router.register("b", on_exit=fail), await c.start()
        await rig.watches.link(a, b)
        await rig.watches.link(b, last)
        await rig.router.stop(a, "boom")
        assert (c.reasons, rig.router.registry.pids) == (["boom"], ())
        assert rig.errors == [f"stopping {b}: RuntimeError('stuck')"]
        rig.errors.clear()


async def test_after_unlink_the_end_of_the_other_is_nothing(rig: Routing) -> None:
    """And it says whether there was a link."""
    a, b = await started(rig, "a", "b")
    await rig.watches.link(a, b)
    await rig.watches.link(b, a)
    assert rig.watches.unlink(b, a)
    assert not rig.watches.unlink(a, b)
    await rig.router.stop(a, "boom")
    assert rig.router.registry.running("b") == b


async def test_linking_to_who_is_gone_is_an_error_or_a_message(rig: Routing) -> None:
    """NotFound, or for one that traps exits an Exit message with `noproc`."""
    (a,) = await started(rig, "a")
    with pytest.raises(NotFound):
        await rig.watches.link(a, "nobody")
    rig.watches.trap_exits(a)
    await rig.watches.link(a, "nobody")
    assert news(rig, "a") == [Exit("nobody", "noproc")]


async def test_nothing_is_remembered_of_agents_that_ended(rig: Routing) -> None:
    """A thousand short lives leave no trace, whoever watched whom."""
    (boss,) = await started(rig, "boss")
    rig.watches.trap_exits(boss)
    for number in range(1000):
        one, other = await started(rig, "one", "other")
        for watcher, target in ((boss, one), (one, other), (other, boss)):
            await rig.watches.monitor(watcher, target)
        await rig.watches.link(one, other)
        await rig.watches.link(boss, other)
        rig.watches.follow(one)
        rig.watches.trap_exits(other)
        await rig.router.stop((one, other)[number % 2], "normal")
        await rig.router.stop(one)
        await rig.router.stop(other)
        rig.taken("boss")
    watches = rig.watches
    tables = (watches._monitors, watches._watched, watches._watching, watches._links, watches._followers, watches._held)
    assert [len(table) for table in tables] == [0] * 6
    assert watches._trapping == {boss}
    assert (rig.calls._waiting, rig.calls._of_callee, rig.router._on_exit) == ({}, {}, {})


# -- news


async def test_followers_hear_of_starts_ends_and_the_shutdown(rig: Routing) -> None:
    """About one agent in order; one that does not follow hears nothing, nor does one that stopped following."""
    a, _, c = await started(rig, "a", "b", "c")
    rig.watches.follow(a)
    rig.watches.follow(c)
    rig.watches.unfollow(c)
    (d,) = await started(rig, "d")
    await rig.router.stop(d, "boom")
    ending = asyncio.ensure_future(rig.router.shutdown(deadline_s=1, reason="upgrade"))
    await until_idle()
    heard = news(rig, "a")
    assert [entry for entry in heard if not isinstance(entry, SystemShutdown)] == [
        AgentStarted(str(d)), AgentStopped(str(d), "boom"),
    ]  # fmt: skip
    assert SystemShutdown("upgrade") in heard
    assert news(rig, "b") == news(rig, "c") == []
    await rig.clock.advance(1)  # type: ignore[attr-defined]  # the rig's clock is a FakeClock
    await ending


async def test_health_checks_and_messages_of_ones_own_are_read_back(rig: Routing) -> None:
    """They carry what was said, and go out of date when nobody takes them."""
    await started(rig, "a")
    await rig.watches.check_health("a", ttl_s=5)
    await rig.watches.inform("a", Custom("budget", {"left": 3}))
    assert news(rig, "a") == [HealthCheck(rig.clock.now()), Custom("budget", {"left": 3})]
    await rig.watches.check_health("a", ttl_s=5)
    await rig.clock.advance(6)  # type: ignore[attr-defined]  # the rig's clock is a FakeClock
    assert news(rig, "a") == []


def test_other_messages_are_no_news() -> None:
    """Neither a cast that looks like one nor an info of unknown shape."""
    for mail in (
        a_mail(1, {"type": "down", "ref": 1, "agent": "a#1", "reason": "x"}),
        a_mail(2, {"type": "unheard_of"}, kind=MailKind.INFO),
    ):
        with pytest.raises(InvalidInput):
            info_of(mail)
