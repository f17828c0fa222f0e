"""Connections to messaging platforms: states, views, queries, events."""

from enum import StrEnum

from core.api.base import Event, Mark, PlatformName, Query, Seq, View

TASKS_PLATFORM = PlatformName("tasks")
"""Platform of sessions that belong to a task alone."""

GROUP_OWNER = "group"
"""Stands for the platform in `user` of a session that all in a chat share: `group:PLATFORM:CHAT`."""

RESERVED_PLATFORMS = frozenset({TASKS_PLATFORM, GROUP_OWNER})
"""Names that no connection can have."""


class PlatformState(StrEnum):
    """How a connection stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DOWN = "down"
    OFF = "off"


class PlatformView(View, frozen=True, kw_only=True):
    """A connection and the ages of what it did last. address: where it listens or what it talks to.

    last_error: one line; "" when the present state has none.
    """

    name: PlatformName
    kind: str
    version: int
    state: PlatformState
    since: Mark
    address: str = ""
    inbound: Mark | None = None
    outbound_ack: Mark | None = None
    inbound_count: int = 0
    outbound_count: int = 0
    refused_count: int = 0
    restart_count: int = 0
    last_error: str = ""


class PlatformList(View, frozen=True, kw_only=True):
    """All connections by name."""

    platforms: tuple[PlatformView, ...]
    seq: Seq


class ListPlatforms(Query[PlatformList], frozen=True, kw_only=True):
    """All connections."""


class PlatformConnected(Event, frozen=True, kw_only=True):
    """A connection stands."""

    platform: PlatformView


class PlatformDisconnected(Event, frozen=True, kw_only=True):
    """A connection is gone; the view says why and since when."""

    platform: PlatformView


class PlatformActive(Event, frozen=True, kw_only=True):
    """New ages and counts of a connection. Live only, at most once a second for each."""

    platform: PlatformView
