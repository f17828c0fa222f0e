"""Connections to messaging platforms: states, views, queries, commands, events."""

from enum import StrEnum

from core.api.base import Command, Event, Mark, PlatformName, Query, Seq, View

TASKS_PLATFORM = PlatformName("tasks")
"""Platform of sessions that belong to a task alone."""

CRON_PLATFORM = PlatformName("cron")
"""Platform of sessions that belong to a job of the clock."""

RELAY_PLATFORM = PlatformName("relay")
"""Platform of sessions in which messages of peers are answered."""

GROUP_OWNER = "group"
"""Stands for the platform in `user` of a session that all in a chat share: `group:PLATFORM:CHAT`."""

RESERVED_PLATFORMS = frozenset({TASKS_PLATFORM, CRON_PLATFORM, RELAY_PLATFORM, GROUP_OWNER})
"""Names that no connection can have."""


class PlatformState(StrEnum):
    """How a connection stands. deaf: it seems to stand, and nothing comes through; conflict: somebody else has its
    account. paused: by an operator; off: the core is stopping.
    """

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DEAF = "deaf"
    CONFLICT = "conflict"
    DOWN = "down"
    PAUSED = "paused"
    OFF = "off"


TROUBLED = frozenset({PlatformState.DEAF, PlatformState.CONFLICT, PlatformState.DOWN})
"""States in which an account takes nothing in, though it should."""


class PlatformPause(View, frozen=True, kw_only=True):
    """Who paused a connection, why, and when (UTC seconds). It lasts over restarts."""

    by: str
    reason: str = ""
    at: float


class PlatformProbe(View, frozen=True, kw_only=True):
    """What came of asking a platform whether it hears us. latency_s: None when it did not answer; error: why."""

    asked: Mark
    latency_s: float | None = None
    error: str = ""


class PlatformView(View, frozen=True, kw_only=True):
    """A connection and the ages of what it did last. address: where it listens or what it talks to.

    heard: the last sign of life, with or without a message. last_error: one line; "" when the present state has none.
    identity: the account that it is, "" while that is not known. heard_every_s: at most so long between two signs of
    life while all is well, 0 where there is no such time; quiet_limit_s: silence after which it counts as deaf.
    failures: tries in a row that failed; next_try: when the next one begins, None while none is due.
    duplicate_count: messages that came again and were known. backlog: messages that wait to be sent.
    holder: who else has the account, where that is known. can_probe: whether it can be asked.
    """

    name: PlatformName
    kind: str
    version: int
    state: PlatformState
    since: Mark
    address: str = ""
    heard: Mark | None = None
    inbound: Mark | None = None
    outbound_ack: Mark | None = None
    inbound_count: int = 0
    outbound_count: int = 0
    refused_count: int = 0
    restart_count: int = 0
    last_error: str = ""
    identity: str = ""
    heard_every_s: float = 0.0
    quiet_limit_s: float = 0.0
    failures: int = 0
    next_try: Mark | None = None
    duplicate_count: int = 0
    backlog: int = 0
    holder: str = ""
    can_probe: bool = False
    probe: PlatformProbe | None = None
    pause: PlatformPause | None = None


class PlatformList(View, frozen=True, kw_only=True):
    """All connections by name."""

    platforms: tuple[PlatformView, ...]
    seq: Seq


class ListPlatforms(Query[PlatformList], frozen=True, kw_only=True):
    """All connections."""


class PausePlatform(Command[PlatformView], frozen=True, kw_only=True):
    """Take nothing in and send nothing until it is resumed, over restarts too; what is to be sent waits.

    Raises ConflictError when it is paused already.
    """

    platform: PlatformName
    reason: str = ""


class ResumePlatform(Command[PlatformView], frozen=True, kw_only=True):
    """End a pause and connect. Raises ConflictError when it is not paused."""

    platform: PlatformName


class ReconnectPlatform(Command[PlatformView], frozen=True, kw_only=True):
    """Let this connection go and connect anew, now; no other is touched. Raises ConflictError while it is paused."""

    platform: PlatformName


class ProbePlatform(Command[PlatformView], frozen=True, kw_only=True):
    """Ask the platform now whether it hears us, within ten seconds; the view's probe says what came of it.

    Raises Refused when it cannot be asked.
    """

    platform: PlatformName


class PlatformConnected(Event, frozen=True, kw_only=True):
    """A connection stands."""

    platform: PlatformView


class PlatformDisconnected(Event, frozen=True, kw_only=True):
    """A connection is gone; the view says why and since when."""

    platform: PlatformView


class PlatformDeaf(Event, frozen=True, kw_only=True):
    """A connection seemed to stand and nothing came through; it is connected anew by itself."""

    platform: PlatformView


class PlatformPaused(Event, frozen=True, kw_only=True):
    """An operator paused a connection."""

    platform: PlatformView


class PlatformResumed(Event, frozen=True, kw_only=True):
    """An operator ended a pause."""

    platform: PlatformView


class PlatformReconnecting(Event, frozen=True, kw_only=True):
    """An operator has a connection made anew."""

    platform: PlatformView


class PlatformProbed(Event, frozen=True, kw_only=True):
    """An operator had a platform asked; the view says what came of it."""

    platform: PlatformView


class PlatformActive(Event, frozen=True, kw_only=True):
    """New ages and counts of a connection. Live only, at most once a second for each."""

    platform: PlatformView
