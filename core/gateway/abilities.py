"""What some platforms can do besides receiving and sending: each ability a protocol that an adapter may implement."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from core.api.sessions import Source


@runtime_checkable
class Types(Protocol):
    """A platform that can show that somebody is writing."""

    async def typing(self, source: Source, *, is_on: bool) -> None:
        """Show or hide the sign. Raises PlatformError, which changes nothing."""
        ...


@runtime_checkable
class Fetches(Protocol):
    """A platform that can hand out the files of its messages."""

    def fetch(self, ref: str) -> AsyncIterator[bytes]:
        """The contents of a file in pieces. Raises PlatformError."""
        ...


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """A chat that the account can write to. name: for people, data like any text from outside."""

    source: Source
    name: str


@runtime_checkable
class ListsChats(Protocol):
    """A platform that knows the chats it is in."""

    async def chats(self) -> Sequence[Chat]:
        """All of them. Raises PlatformError."""
        ...


@runtime_checkable
class Probes(Protocol):
    """A platform that can be asked whether it still hears us, apart from the stream of messages."""

    async def probe(self) -> None:
        """Ask, with the account's own credential. Raises PlatformError when it does not answer, or not us."""
        ...


@runtime_checkable
class Hears(Protocol):
    """A platform that gives a sign of life again and again, such as the answer to each poll, also without a message."""

    @property
    def heard_every_s(self) -> float:
        """At most so long between two signs while all is well; 0 while that is not known."""
        ...


class CommandHint(msgspec.Struct, frozen=True, kw_only=True):
    """A slash command for the menu of a platform. name: without the slash."""

    name: str
    text: str


@runtime_checkable
class OffersCommands(Protocol):
    """A platform with a menu of commands."""

    async def offer_commands(self, commands: Sequence[CommandHint]) -> None:
        """Put them in place of what was offered before. Raises PlatformError."""
        ...


@runtime_checkable
class HasCredential(Protocol):
    """A platform that only one program at a time may connect to with its credential."""

    @property
    def credential(self) -> tuple[str, str]:
        """What kind of account, and what tells it from others; nobody can derive the credential from it."""
        ...
