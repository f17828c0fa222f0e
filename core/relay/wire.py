"""What the relay asks of a protocol, and what came of it. The same for all protocols."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from core.api.bindings import Bot
from core.api.relay_targets import TargetFinding
from core.api.relay_tasks import AttemptResult, RelayState
from core.relay.peers import Credentials

ASKS_BACK = "it asks back; answer with another message in the same conversation"
"""Error of a message whose answer is a question. It is completed: the far side answered, and waits for no one else."""

NO_QUESTION = "It needs to know more, and does not say what."
"""Such an answer without words."""


NAME_LIMIT = 200
"""Characters of what the far side calls a task or a conversation."""


def far_name(text: str | None) -> str:
    """Such a name, "" for one that cannot be kept: it would stand in every view of the message."""
    return text if text is not None and len(text) <= NAME_LIMIT and text.isprintable() else ""


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message has been. hops: bots that it passed, 0 for one that begins here. path: their names, the first
    first; conversation: the same for all that follow from one message.
    """

    conversation: str
    hops: int = 0
    path: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One message for the far side. id: of the task, which the far side may know it by. remote_id: what the far side
    called it in an earlier answer. attempt: from 1. limit_s: for all of it.
    """

    id: str
    bot: Bot
    text: str
    trail: Trail
    credentials: Credentials
    created_at: float
    attempt: int
    limit_s: float
    sender: str = ""
    context: str = ""
    remote_id: str = ""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call.

    state: of the task over there once it has it: working, completed, failed or canceled; None when it was not
    delivered. is_silent: it has it and will never say more; with failed, because it lost it. status: of HTTP, 0
    without. retry_after_s: what it asked for. is_gone: it says that nobody is there any more.
    """

    result: AttemptResult
    status: int = 0
    error: str = ""
    state: RelayState | None = None
    answer: str = ""
    remote_id: str = ""
    context: str = ""
    retry_after_s: float | None = None
    is_gone: bool = False
    is_silent: bool = False


class Adapter(Protocol):
    """A protocol. No method raises but CancelledError: what goes wrong is a Reply."""

    async def send(self, call: Call) -> Reply:
        """Deliver the message. Done again with the same id, it is the same message."""
        ...

    async def ask(self, call: Call) -> Reply:
        """How far the task is over there."""
        ...

    async def cancel(self, call: Call) -> Reply:
        """Tell the far side to stop."""
        ...

    async def look(self, call: Call) -> tuple[Sequence[TargetFinding], str]:
        """Whether the far side would take a message, from its address to who it says it is, without sending one."""
        ...
