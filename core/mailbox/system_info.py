"""What the system tells agents by mail: starts, stops, health checks, shutdown, ends of watched peers (pure)."""

from typing import Any

import msgspec

from core.api.errors import InvalidInput
from core.api.mail import MailKind
from core.mailbox.message import Draft, Mail

SYSTEM_SENDER = "system"


class AgentStarted(msgspec.Struct, frozen=True, tag="agent_started"):
    """An agent runs. agent: its pid."""

    agent: str


class AgentStopped(msgspec.Struct, frozen=True, tag="agent_stopped"):
    """An agent's run is over. reason: `normal`, or why it failed."""

    agent: str
    reason: str


class HealthCheck(msgspec.Struct, frozen=True, tag="health_check"):
    """Somebody asks whether the agent takes its mail; acknowledging it is the answer. asked_at: UTC seconds."""

    asked_at: float


class SystemShutdown(msgspec.Struct, frozen=True, tag="system_shutdown"):
    """Nothing new is taken in; what is queued is still given out until the deadline."""

    reason: str


class Custom(msgspec.Struct, frozen=True, tag="custom"):
    """Anything else that a system wants to tell. data: anything JSON can hold."""

    name: str
    data: Any = None


class Down(msgspec.Struct, frozen=True, tag="down"):
    """A monitored agent is not running. ref: what monitor() returned. reason: `noproc` when it never ran."""

    ref: int
    agent: str
    reason: str


class Exit(msgspec.Struct, frozen=True, tag="exit"):
    """A linked agent has ended, told to one that traps exits."""

    agent: str
    reason: str


Info = AgentStarted | AgentStopped | HealthCheck | SystemShutdown | Custom | Down | Exit


def info_draft(info: Info, *, sender: str = SYSTEM_SENDER, ttl_s: float | None = None, to: str = "") -> Draft:
    """The message that tells it.

    sender: the peer it is about, so that it stands behind what that peer sent. to: the run that it is for.
    """
    fields: dict[str, Any] = msgspec.to_builtins(info)
    return Draft(
        payload=fields,
        sender=sender,
        kind=MailKind.INFO,
        message_type=fields["type"],
        ttl_s=ttl_s,
        headers={"to": to} if to else None,
    )


def info_of(mail: Mail) -> Info:
    """What a message of the system says. Raises InvalidInput for any other message."""
    if mail.kind is MailKind.INFO:
        try:
            info: Info = msgspec.convert(mail.payload, Info)
        except msgspec.ValidationError:
            pass
        else:
            return info
    raise InvalidInput(
        f"m-{mail.id} is no message of the system",
        field="kind",
        value=mail.kind,
        fix="look at the message's kind and type before reading it",
    )
