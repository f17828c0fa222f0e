"""What chat commands need of others, and what they are handed: one order by one person in one chat."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

from core.api.access import Tier, Verdict
from core.api.base import Actor, Command, MessageId, Query, R, SessionId, V
from core.api.chat_commands import CommandOutcome
from core.api.sessions import Source
from core.gateway.command import Command as TableCommand
from core.gateway.platform import Accepted, Inbound
from core.platform_settings import ChatSettings


class Facade(Protocol):
    """The core as an operator has it: whoever orders in a chat can do no more than that, and by the same way."""

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Carry out an order. Raises HermesError."""
        ...

    async def query(self, query: Query[V]) -> V:
        """Answer a question. Raises HermesError."""
        ...

    @property
    def words(self) -> frozenset[type]:
        """Every order and question that somebody handles."""
        ...


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One order by one person. rest: what followed the name. source: of the session that it acts on.

    command_id: of this use of the command. sender_ids: every id that this person is known by at that connection.
    """

    inbound: Inbound
    verdict: Verdict
    command: TableCommand
    rest: str
    session_id: SessionId
    source: Source
    command_id: MessageId
    actor: Actor
    chat: ChatSettings
    sender_ids: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """Whether they may do what is not theirs, too."""
        return self.verdict.tier is Tier.ADMIN


class Reply(msgspec.Struct, frozen=True):
    """What is answered. text: "" for nothing. later: work that takes long, whose own answer follows."""

    text: str
    outcome: CommandOutcome = CommandOutcome.DONE
    reason: str = ""
    later: "Callable[[], Awaitable[Reply]] | None" = None


PutIn = Callable[[Inbound], Awaitable[Accepted]]
"""Takes in a message that a command has become; see intake.Intake.take_in."""

Handler = Callable[[Call], Awaitable[Reply]]
"""Carries out one command. What it raises as HermesError is answered, and then nothing was changed."""

Handlers = Mapping[str, Handler]
"""Handlers by the name of their command."""


def refused(text: str) -> Reply:
    """Whoever ordered it may not. Nothing was changed."""
    return Reply(text, CommandOutcome.REFUSED, text)


def failed(text: str) -> Reply:
    """It could not be done. Nothing was changed."""
    return Reply(text, CommandOutcome.FAILED, text)
