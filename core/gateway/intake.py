"""The way in for messages of platforms: first who may talk, then commands, then files, then the session."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from core.api.access import Verdict
from core.api.base import PlatformName
from core.api.errors import HermesError, Refused
from core.gateway.edits import Edits
from core.gateway.platform import NOT_ADDRESSED, Accepted, Inbound, InboundEdit, Press, inbound_of
from core.gateway.sessions import Sessions


class Gate(Protocol):
    """Decides who may talk."""

    def verdict(self, message: Inbound | InboundEdit | Press) -> Verdict:
        """May this sender talk here? Nothing happens."""
        ...

    async def turned_away(self, inbound: Inbound, verdict: Verdict) -> HermesError:
        """Do what is due for a sender who is not let in, such as asking an operator; returns what to raise."""
        ...


class ChatCommands(Protocol):
    """Carries out what people order in a chat."""

    async def carry_out(self, inbound: Inbound, verdict: Verdict, *, follow: bool = False) -> Accepted | None:
        """The command of a message; None when it is none. Raises as Inbox.receive() does."""
        ...

    async def pressed(self, press: Press, verdict: Verdict) -> str:
        """The use of a button; what to tell whoever used it. Raises as Inbox.receive() does."""
        ...


class Files(Protocol):
    """Keeps the files of messages."""

    async def kept(self, inbound: Inbound) -> Inbound:
        """The message with its files fetched and named in its text."""
        ...


class Intake:
    """What stands between the connections and the sessions. Nothing of a message has an effect before its verdict.

    hears_all: whether a connection hears what is said in shared chats to others, too.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        edits: Edits,
        hears_all: Callable[[PlatformName], bool],
        gate: Gate,
        commands: ChatCommands,
        files: Files | None = None,
    ) -> None:
        self._sessions = sessions
        self._edits = edits
        self._hears_all = hears_all
        self._gate = gate
        self._commands = commands
        self._files = files

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take a message in; see platform.Inbox."""
        if not inbound.is_addressed and not self._hears_all(inbound.platform):
            raise Refused("it was not said to us", rule=NOT_ADDRESSED)
        if not (inbound.sender_name.isascii() and inbound.source.chat_name.isascii()):
            inbound = _named(inbound)
        verdict = self._gate.verdict(inbound)
        if not verdict.is_admitted:
            raise await self._gate.turned_away(inbound, verdict)
        if inbound.may_command:
            done = await self._commands.carry_out(inbound, verdict, follow=follow)
            if done is not None:
                return done
        return await self.take_in(inbound, follow=follow)

    async def take_in(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Put a message of somebody who may talk to its session, whatever it looks like; raises as receive() does."""
        typed = inbound.text
        if self._files is not None and inbound.files:
            if await self._sessions.is_known(inbound):
                # Nobody reads it again, but a text it must have.
                inbound = msgspec.structs.replace(inbound, text=inbound.text or inbound.files[0].kind.value)
            else:
                inbound = await self._files.kept(inbound)
        return await self._sessions.receive(inbound, typed=typed, follow=follow)

    async def edited(self, edit: InboundEdit) -> None:
        """Take in a change of a message; that of a stranger changes nothing."""
        if not self._gate.verdict(edit).is_admitted:
            return
        await self._edits.take(edit)

    async def pressed(self, press: Press) -> str:
        """Take in the use of a button: it is authorised like a message."""
        if not press.sender_name.isascii():
            press = msgspec.structs.replace(press, sender_name=_plain(press.sender_name))
        verdict = self._gate.verdict(press)
        if not verdict.is_admitted:
            raise await self._gate.turned_away(inbound_of(press), verdict)
        return await self._commands.pressed(press, verdict)


def _named(inbound: Inbound) -> Inbound:
    """The message with names that can be stored: half a character in one must not lose what was said."""
    source = msgspec.structs.replace(inbound.source, chat_name=_plain(inbound.source.chat_name))
    return msgspec.structs.replace(inbound, source=source, sender_name=_plain(inbound.sender_name))


def _plain(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
