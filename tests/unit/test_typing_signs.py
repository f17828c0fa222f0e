"""Typing signs: there while a run of a chat goes on, gone with it, and never in the way."""

import asyncio

from core.api.base import Event, PlatformName
from core.api.runs import RunOutcome, Stop
from core.api.sessions import RunEnded, RunStarted, SessionState, SessionView, Source
from core.gateway.platform import Limits
from core.gateway.typing_signs import TypingSigns
from core.journal import Journal
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock
from tests.support.views import outcome, session


class Typist:
    """A platform that notes its signs."""

    limits = Limits(typing_s=5.0)

    def __init__(self) -> None:
        self.signs: list[bool] = []
        self.fault: Exception | None = None

    async def typing(self, source: Source, *, is_on: bool) -> None:
        """Note it, or fail."""
        self.signs.append(is_on)
        if self.fault is not None:
            raise self.fault


class Rig:
    """Signs of one platform, over a journal that a test writes to."""

    def __init__(self, platform: object) -> None:
        self.clock = FakeClock()
        self.journal = Journal(MemoryStore(), self.clock)
        self.errors: list[Exception] = []
        self.supervisor = Supervisor(self.clock, lambda *_: None, lambda _, error: self.errors.append(error))
        self.views: dict[str, SessionView] = {}
        signs = TypingSigns(
            clock=self.clock,
            supervisor=self.supervisor,
            platform_of=lambda name: platform if name == PlatformName("local") else None,  # type: ignore[arg-type,return-value]
            view_of=self.views.get,
        )
        self.journal.on_record(signs.observe)

    async def tell(self, event: Event) -> None:
        """Something happened to the session."""
        self.journal.publish("s", event)
        await self.clock.advance(0)
        assert self.errors == []


STARTED = RunStarted(session=session("local:dm:ana"), entries=())


def ended() -> RunEnded:
    """Its run is over."""
    result: RunOutcome = outcome(stop=Stop.END_TURN)
    return RunEnded(session=session("local:dm:ana"), outcome=result, entries=())


async def test_a_sign_is_shown_renewed_and_taken_away() -> None:
    """Before it runs out, until the run ends; a run that follows at once shows it again."""
    typist = Typist()
    rig = Rig(typist)
    await rig.tell(STARTED)
    assert typist.signs == [True]
    await rig.clock.advance(4.0)
    assert typist.signs == [True, True]
    await rig.tell(ended())
    assert typist.signs == [True, True, False]
    await rig.clock.advance(60.0)
    await rig.tell(STARTED)
    assert typist.signs == [True, True, False, True]
    await rig.supervisor.stop(deadline_s=1)
    assert typist.signs[-1] is False


async def test_nobody_writes_while_a_decision_of_people_is_awaited() -> None:
    """The sign comes back with the work."""
    typist = Typist()
    rig = Rig(typist)
    await rig.tell(STARTED)
    rig.views["local:dm:ana"] = session("local:dm:ana", state=SessionState.WAITING)
    await rig.clock.advance(4.0)
    assert typist.signs == [True]
    rig.views["local:dm:ana"] = session("local:dm:ana", state=SessionState.RUNNING)
    await rig.clock.advance(4.0)
    assert typist.signs == [True, True]
    await rig.supervisor.stop(deadline_s=1)


async def test_a_sign_that_fails_changes_nothing() -> None:
    """It is tried again with the next pulse; no job fails."""
    typist = Typist()
    typist.fault = ValueError("no")
    rig = Rig(typist)
    await rig.tell(STARTED)
    await rig.clock.advance(4.0)
    await rig.tell(ended())
    assert typist.signs == [True, True, False]


async def test_platforms_without_signs_are_left_alone() -> None:
    """Those that have none, and those whose signs last no time."""
    typist = Typist()
    typist.limits = Limits()
    for platform in (typist, object()):
        rig = Rig(platform)
        if not hasattr(platform, "limits"):
            continue
        await rig.tell(STARTED)
        assert rig.supervisor.job_count == 0
    assert typist.signs == []
    await asyncio.sleep(0)
