"""Health, configuration, the journal, shutdown: views, queries, commands, events."""

from core.api.base import ActorKind, Command, Event, Mark, Query, Record, Seq, View


class ServiceView(View, frozen=True, kw_only=True):
    """A long-lived part of the core. state: starting, running, restarting, failed or stopped."""

    name: str
    state: str
    since: Mark
    restart_count: int = 0
    last_error: str = ""


class HealthView(View, frozen=True, kw_only=True):
    """How the core is, by the ages of what it did and not by a word.

    now: the core's clocks at the answer. boot: number of this start of the core.
    loop_lag_p99_s, loop_lag_max_s: over the last minute. last_commit: None before the first.
    http_url: "" while the HTTP endpoint is not up; problems: one line each, worst first.
    """

    version: str
    pid: int
    boot: int
    home: str
    now: Mark
    started: Mark
    seq: Seq
    session_count: int
    state_counts: dict[str, int]
    queued_count: int
    running_count: int
    open_approval_count: int
    delivery_count: int
    dead_count: int
    loop_lag_p99_s: float
    loop_lag_max_s: float
    last_commit: Mark | None
    commit_p99_s: float
    commit_count: int
    store_url: str
    store_bytes: int
    http_url: str
    key_file: str
    is_draining: bool
    services: tuple[ServiceView, ...]
    problems: tuple[str, ...]


class GetHealth(Query[HealthView], frozen=True, kw_only=True):
    """How the core is."""


class SettingView(View, frozen=True, kw_only=True):
    """One value of the configuration. value: *** for a secret. origin: default, file:line, env NAME or .env:line."""

    key: str
    value: str
    origin: str
    doc: str = ""


class ConfigView(View, frozen=True, kw_only=True):
    """The configuration in force, in the order of its keys. problems: what is wrong and keeps nothing from starting."""

    file: str
    settings: tuple[SettingView, ...]
    problems: tuple[str, ...] = ()


class GetConfig(Query[ConfigView], frozen=True, kw_only=True):
    """The configuration in force."""


class EventPage(View, frozen=True, kw_only=True):
    """Records in the order of the journal. reached: with `actors`, how far was looked; ask on from there."""

    records: tuple[Record, ...]
    head: Seq
    reached: Seq | None = None


class ListEvents(Query[EventPage], frozen=True, kw_only=True):
    """The newest stored records, or those before `before`, or those after `after`.

    subject: only records about that entity; "" for all. limit: 1 to 5,000. actors: only what such caused, empty for
    all; then at most 20,000 records are looked through, and the page says how far that was.
    """

    before: Seq | None = None
    after: Seq | None = None
    subject: str = ""
    limit: int = 500
    actors: tuple[ActorKind, ...] = ()


class ShutdownReceipt(View, frozen=True, kw_only=True):
    """What the drain waits for. running: runs that are given until the deadline to end."""

    running: int
    queued: int
    drain_s: float


class Shutdown(Command[ShutdownReceipt], frozen=True, kw_only=True):
    """Stop the core: take nothing in, give runs drain_s seconds, keep what is queued."""

    reason: str = ""
    drain_s: float = 10.0


class CoreStarted(Event, frozen=True, kw_only=True):
    """The core is up. recovered_runs: runs of the start before that were cut off."""

    boot: int
    version: str
    recovered_runs: int
    queued: int


class ShutdownStarted(Event, frozen=True, kw_only=True):
    """The core takes nothing in any more."""

    reason: str


class AlarmRaised(Event, frozen=True, kw_only=True):
    """A part of the core failed. what: its name."""

    what: str
    error: str
    service: ServiceView | None = None


class UnknownEvent(Event, frozen=True, kw_only=True):
    """A stored fact that this version cannot read. name: its tag, "" when there is none; body: the record as stored."""

    name: str
    body: str
