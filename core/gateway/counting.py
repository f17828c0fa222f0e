"""The inbox that an adapter is given: counts what comes in, passes it on, and keeps a paused account shut."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from core.api.base import PlatformName, SessionId
from core.api.errors import HermesError, Unavailable
from core.gateway.link import Link
from core.gateway.platform import NOT_ADDRESSED, Accepted, Inbound, InboundEdit, Inbox, Press


class Notes(Protocol):
    """Who keeps the counts of connections; see Platforms."""

    def note_inbound(self, name: PlatformName) -> None: ...  # noqa: D102 - said there

    def note_duplicate(self, name: PlatformName) -> None: ...  # noqa: D102

    def note_heard(self, name: PlatformName) -> None: ...  # noqa: D102

    def note_refused(self, name: PlatformName, reason: str = "") -> None: ...  # noqa: D102

    def note_connected(self, name: PlatformName, address: str, problem: str = "") -> None: ...  # noqa: D102


class CountingInbox:
    """The Inbox of one connection."""

    def __init__(self, link: Link, inner: Inbox, notes: Notes) -> None:
        self._link = link
        self._inner = inner
        self._notes = notes

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take a message in; see platform.Inbox."""
        with self._busy():
            try:
                accepted = await self._inner.receive(inbound, follow=follow)
            except HermesError as error:
                if error.facts.get("rule") == NOT_ADDRESSED:
                    self._notes.note_heard(self._link.name)
                else:
                    self._notes.note_refused(self._link.name)
                raise
        if accepted.is_duplicate:
            self._notes.note_duplicate(self._link.name)
        else:
            self._notes.note_inbound(self._link.name)
        return accepted

    async def interrupt(self, session_id: SessionId, reason: str) -> bool:
        """Stop the session's run."""
        return await self._inner.interrupt(session_id, reason)

    async def edited(self, edit: InboundEdit) -> None:
        """Hand in a change of a message."""
        self._notes.note_heard(self._link.name)
        with self._busy():
            await self._inner.edited(edit)

    async def pressed(self, press: Press) -> str:
        """Hand in the use of a button."""
        self._notes.note_heard(self._link.name)
        with self._busy():
            return await self._inner.pressed(press)

    def heard(self) -> None:
        """Say that the platform gave a sign of life."""
        self._notes.note_heard(self._link.name)

    def refused(self, reason: str) -> None:
        """Say that the adapter itself did not take a message in."""
        self._notes.note_refused(self._link.name, reason)
        self._inner.refused(reason)

    async def cursor(self) -> str:
        """Where reading stopped last time."""
        return await self._inner.cursor()

    async def keep_cursor(self, cursor: str) -> None:
        """Keep where to go on reading."""
        await self._inner.keep_cursor(cursor)

    def connected(self, address: str, *, problem: str = "") -> None:
        """Say that the connection stands."""
        self._notes.note_connected(self._link.name, address, problem)
        self._inner.connected(address, problem=problem)

    @contextmanager
    def _busy(self) -> Generator[None]:
        """Something is being dealt with: silence means nothing meanwhile."""
        if self._link.pause is not None:
            # The adapter has not let go yet; whatever it brings is asked for again after the pause.
            raise Unavailable("the connection is paused", fix="resume it")
        self._link.busy_count += 1
        try:
            yield
        finally:
            self._link.busy_count -= 1
