"""What the contract of platforms is proven with: an adapter, and its far side in the hands of a test.

A platform joins the contract by a module `tests/support/rig_KIND.py` with

    @asynccontextmanager
    async def rig() -> AsyncIterator[PlatformRig]: ...

which `tests/contract/test_platform_contract.py` finds by its name. Cases about what the platform cannot do (`can`)
are left out. A real server is tried by the same cases in `tests/platforms`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import Path

import msgspec

from core.api.base import DeliveryId, MessageId, PlatformName, SessionId
from core.api.errors import HermesError
from core.api.sessions import ChatKind, Source
from core.gateway.platform import Accepted, Button, Inbound, Outbound, OutboundFile, Platform, PlatformError
from core.gateway.source import session_id
from tests.support.fake_inbox import FakeInbox

NAME = PlatformName("chat")
LIMIT_S = 20.0
CANNOT = "the rig says that it can, and does not"


class Can(StrEnum):
    """What a rig has to be able to do for some of the cases."""

    SAY = "say"
    """Somebody can write to us, and what we sent can be read."""
    MISS = "miss"
    """What was said while we were away is still to be had."""
    REPLIES = "replies"
    THREADS = "threads"
    EDITS_IN = "edits in"
    EDITS_OUT = "edits out"
    FILES_IN = "files in"
    FILES_OUT = "files out"
    BUTTONS = "buttons"
    TYPING = "typing"
    CUT = "cut"
    """The line can be cut, so that calls fail at once."""
    DEAFEN = "deafen"
    """The line can fall silent, so that calls hang."""
    REVOKE = "revoke"
    """The credential can be taken away."""
    LIMIT = "limit"
    """The far side can ask for a pause."""
    IDEMPOTENT = "idempotent"
    """The far side itself knows a delivery that is sent again, also from a new adapter object."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A message of ours as the far side shows it now: after edits, buttons as their labels or signs."""

    native_id: str
    text: str
    thread: str | None = None
    reply_to: str = ""
    files: tuple[tuple[str, bytes], ...] = ()
    buttons: tuple[str, ...] = ()


class PlatformRig:
    """An adapter and its far side. Implement what `can` names, and nothing else is called.

    platform: the adapter. source: a one-to-one chat of its account with one person, `person_id`; gone: a chat that
    there is not.
    """

    kind: str
    can: frozenset[Can] = frozenset()
    platform: Platform
    source: Source = Source(platform=NAME, kind=ChatKind.DM, chat="8841")
    gone: Source = Source(platform=NAME, kind=ChatKind.DM, chat="gone")
    person_id: str = ""

    def restarted(self) -> Platform:
        """A new adapter of the same account, as a new start of the core makes it; `platform` from now on."""
        raise AssertionError(CANNOT)

    async def say(
        self, text: str, *, reply_to: str = "", thread: str | None = None, files: Sequence[tuple[str, bytes]] = ()
    ) -> str:
        """The person writes to us, in `source`; the native id of the message (of the last one, with several)."""
        raise AssertionError(CANNOT)

    async def correct(self, native_id: str, text: str) -> None:
        """The person changes a message."""
        raise AssertionError(CANNOT)

    async def press(self, native_id: str, button: Button) -> None:
        """The person uses a button of a message of ours."""
        raise AssertionError(CANNOT)

    async def told(self) -> Sequence[Told]:
        """Everything that we have sent to `source` so far, oldest first, asked of the far side."""
        raise AssertionError(CANNOT)

    async def is_typing(self) -> bool:
        """Whether the person sees us write."""
        raise AssertionError(CANNOT)

    async def cut(self) -> None:
        """Calls fail at once from now on, the waiting ones too."""
        raise AssertionError(CANNOT)

    async def deafen(self) -> None:
        """Nothing comes through any more in either direction, and nothing fails either."""
        raise AssertionError(CANNOT)

    async def mend(self) -> None:
        """The line is good again."""
        raise AssertionError(CANNOT)

    async def revoke(self) -> None:
        """The credential is refused from now on."""
        raise AssertionError(CANNOT)

    async def limit(self, wait_s: float) -> None:
        """The next message that we send is refused with the wish to wait so long."""
        raise AssertionError(CANNOT)


class RigInbox(FakeInbox):
    """An inbox that a test can wait at. faults: raised by the next calls of receive(), one each, before it keeps
    anything. twice: native ids that were handed in again after they had been taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.faults: deque[HermesError] = deque()
        self.twice: list[str] = []
        self._changed = asyncio.Event()

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Keep it, or fail as told."""
        session_id(inbound.source)
        if self.faults:
            raise self.faults.popleft()
        accepted = await super().receive(inbound, follow=follow)
        if accepted.is_duplicate:
            self.twice.append(inbound.native_id)
        self._changed.set()
        return accepted

    async def keep_cursor(self, cursor: str) -> None:
        """Keep it."""
        await super().keep_cursor(cursor)
        self._changed.set()

    def heard(self) -> None:
        """Count a sign of life."""
        super().heard()
        self._changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; it is looked at whenever anything comes in."""
        async with asyncio.timeout(LIMIT_S):
            while not is_so():
                self._changed.clear()
                # Edits and presses set another event.
                waits = [asyncio.ensure_future(event.wait()) for event in (self._changed, self.arrived)]
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()
                    await asyncio.gather(*waits, return_exceptions=True)
                self.arrived.clear()

    @property
    def texts(self) -> list[str]:
        """What came in, in order."""
        return [inbound.text for inbound in self.received]


class Run:
    """A connection that runs."""

    def __init__(self, task: "asyncio.Task[None]") -> None:
        self.task = task
        self.is_expected_to_fail = False

    async def failure(self) -> PlatformError:
        """Wait until it has ended by itself; with what."""
        self.is_expected_to_fail = True
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait([self.task])
        error = self.task.exception()
        assert isinstance(error, PlatformError), f"run() ended with {error!r}"
        return error


@asynccontextmanager
async def running(platform: Platform, inbox: FakeInbox, *, must_stand: bool = True) -> AsyncIterator[Run]:
    """A connection that runs, and stands unless told otherwise; on leaving it is cancelled, and its end waited for."""
    inbox.stood.clear()
    run = Run(asyncio.ensure_future(platform.run(inbox)))
    stood = asyncio.ensure_future(inbox.stood.wait())
    try:
        async with asyncio.timeout(LIMIT_S):
            if must_stand:
                await asyncio.wait([run.task, stood], return_when=asyncio.FIRST_COMPLETED)
                assert inbox.stood.is_set(), f"the connection does not stand: {run.task.exception()!r}"
        yield run
    finally:
        for task in (run.task, stood):
            task.cancel()
        found, _ = await asyncio.gather(run.task, stood, return_exceptions=True)
    if not run.is_expected_to_fail:
        assert isinstance(found, asyncio.CancelledError), f"run() ended with {found!r}"


def outbound(
    rig: PlatformRig,
    text: str,
    number: int,
    *,
    source: Source | None = None,
    reply_to: str = "",
    edits: str = "",
    buttons: tuple[Button, ...] = (),
    files: tuple[OutboundFile, ...] = (),
) -> Outbound:
    """A message of ours; those with one number are one delivery."""
    place = source or rig.source
    return Outbound(
        delivery_id=DeliveryId(f"d{number}"),
        session_id=SessionId(session_id(place)),
        source=place,
        text=text,
        message_id=MessageId("m1"),
        reply_to=reply_to,
        edits=edits,
        buttons=buttons,
        files=files,
    )


Rigs = Callable[[], AbstractAsyncContextManager[PlatformRig]]


def rigs() -> dict[str, Rigs]:
    """All rigs that there are, by kind; each is loaded when it is used."""
    found = sorted(Path(__file__).parent.glob("rig_*.py"))
    return {path.stem.removeprefix("rig_"): partial(_loaded, path.stem) for path in found}


def _loaded(module: str) -> AbstractAsyncContextManager[PlatformRig]:
    made: AbstractAsyncContextManager[PlatformRig] = import_module(f"tests.support.{module}").rig()
    return made
