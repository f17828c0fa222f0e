"""The shape of the configuration: every key with its type, bounds, default and meaning."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.agent_settings import AgentSettings, ScriptedSettings
from core.api.sessions import Mode
from core.automation_settings import HookSettings, JobSettings
from core.platform_settings import ApiServerSettings, LoopbackSettings, PlatformSettings, WebhookSettings
from core.relay_settings import RelaySettings
from core.section import Name, SecretRef, Section


class HttpSettings(Section, frozen=True, kw_only=True):
    """The local HTTP endpoint: OpenAI-compatible API, webhooks, health and metrics."""

    enabled: Annotated[bool, Meta(description="whether the endpoint is opened at all")] = True
    host: Annotated[str, Meta(description="address to listen on; other than loopback only with a key")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port; 0 takes a free one")] = 8642
    key: Annotated[SecretRef, Meta(description="bearer key of the API, as env:NAME or file:PATH")] = (
        "file:secrets/api_key"
    )
    body_limit_bytes: Annotated[int, Meta(ge=1024, le=104_857_600, description="largest request body")] = 1_048_576
    body_timeout_s: Annotated[float, Meta(gt=0, le=600, description="longest time to send a body")] = 30.0
    idle_timeout_s: Annotated[float, Meta(gt=0, le=3600, description="idle connections are closed after")] = 75.0
    header_timeout_s: Annotated[float, Meta(gt=0, le=600, description="longest time to send the headers")] = 10.0


class StoreSettings(Section, frozen=True, kw_only=True):
    """Where everything is kept."""

    url: Annotated[str, Meta(description="sqlite:PATH (relative to the home) or memory:")] = "sqlite:core.db"


class ResetMode(StrEnum):
    """When a conversation is over by itself."""

    NONE = "none"
    IDLE = "idle"
    DAILY = "daily"
    BOTH = "both"


class ResetSettings(Section, frozen=True, kw_only=True):
    """When the next message begins a new conversation. The old one stays on record and can be taken up again."""

    mode: Annotated[ResetMode, Meta(description="none, idle: after a quiet time, daily: at an hour, or both")] = (
        ResetMode.NONE
    )
    idle_s: Annotated[float, Meta(gt=0, le=31_536_000, description="quiet time after which it is over")] = 86_400.0
    at_hour: Annotated[int, Meta(ge=0, le=23, description="hour at which a day begins")] = 4
    timezone: Annotated[str, Meta(description="of at_hour, as Europe/Berlin; empty is the machine's")] = ""
    notify: Annotated[bool, Meta(description="whether the people in the chat are told")] = True


class SessionSettings(Section, frozen=True, kw_only=True):
    """How conversations are kept apart and queued."""

    queue_limit: Annotated[int, Meta(ge=1, le=100_000, description="messages that may wait in one session")] = 32
    mode: Annotated[Mode, Meta(description="what a message does to a busy session")] = Mode.QUEUE
    collect_s: Annotated[
        float, Meta(gt=0, le=600, description="quiet time after which collected messages are answered together")
    ] = 2.0
    burst_s: Annotated[
        float,
        Meta(
            ge=0, le=10, description="lines typed this fast after each other wait as one message; 0 leaves them apart"
        ),
    ] = 0.35
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="runs of one message when the core dies under it")] = 3
    history_limit: Annotated[int, Meta(ge=0, le=10_000, description="entries that a run is given")] = 200
    text_limit: Annotated[int, Meta(ge=1, le=10_000_000, description="longest inbound text, in characters")] = 200_000
    per_user_in_groups: Annotated[bool, Meta(description="each member of a group has a session of their own")] = True
    per_user_in_threads: Annotated[bool, Meta(description="the same inside threads")] = False
    reset: ResetSettings = ResetSettings()
    reset_at: Annotated[
        dict[Name, ResetSettings], Meta(description="the same for single connections, by their names")
    ] = msgspec.field(default_factory=dict[Name, ResetSettings])


class DeliverySettings(Section, frozen=True, kw_only=True):
    """How answers are sent."""

    max_attempts: Annotated[int, Meta(ge=1, le=100, description="attempts before a delivery is dead")] = 12
    base_s: Annotated[float, Meta(gt=0, description="first wait of the backoff")] = 1.0
    cap_s: Annotated[float, Meta(gt=0, description="longest wait of the backoff")] = 300.0
    timeout_s: Annotated[float, Meta(gt=0, description="longest time of one attempt; 64 KiB of files add a second")] = (
        30.0
    )
    breaker_failures: Annotated[
        int, Meta(ge=1, le=1_000_000, description="failures of an account in a row after which it is left alone")
    ] = 5
    breaker_open_s: Annotated[
        float, Meta(ge=0.001, le=86_400, description="first time that it is left alone; doubles while it fails")
    ] = 30.0
    breaker_open_cap_s: Annotated[float, Meta(ge=0.001, le=86_400, description="longest time of that")] = 300.0
    refresh_chats_s: Annotated[
        float, Meta(ge=1, le=86_400, description="how often platforms are asked for their chats")
    ] = 300.0
    keep_ids_s: Annotated[
        float, Meta(ge=60, le=31_536_000, description="how long the ids of sent messages are known")
    ] = 604_800.0


class ConsoleSettings(Section, frozen=True, kw_only=True):
    """The screen."""

    on_quit: Annotated[Literal["ask", "stop", "keep"], Meta(description="what q does to an embedded core")] = "ask"
    on_hangup: Annotated[Literal["stop", "keep"], Meta(description="what a closed terminal does to it")] = "keep"
    theme: Annotated[Literal["auto", "dark", "light", "contrast", "ansi"], Meta(description="colours")] = "auto"
    announce: Annotated[
        Literal["both", "bell", "title", "none"],
        Meta(description="how the terminal tells that somebody waits for a decision: bell, window title, both, none"),
    ] = "both"
    keys: Annotated[dict[str, str], Meta(description="keys by action id, as session.inject: ctrl+i")] = msgspec.field(
        default_factory=dict[str, str]
    )
    read_only: Annotated[bool, Meta(description="take every key away that changes something")] = False


class AccessSettings(Section, frozen=True, kw_only=True):
    """Who may talk at all connections; each connection adds its own lists."""

    allow_all: Annotated[bool, Meta(description="let everybody in, everywhere")] = False
    allowed_users: Annotated[
        tuple[str, ...], Meta(description="senders that are let in, as PLATFORM:ID; *:ID is that id everywhere")
    ] = ()
    unauthorised: Annotated[
        Literal["pair", "ignore"] | None,
        Meta(description="a stranger's direct message; null is pair where nobody is listed, else ignore"),
    ] = None
    aliases: Annotated[
        dict[Name, tuple[str, ...]], Meta(description="one person's ids, as PLATFORM:ID, by a name of your choice")
    ] = msgspec.field(default_factory=dict[Name, tuple[str, ...]])


class FileSettings(Section, frozen=True, kw_only=True):
    """Files that come with messages or go with them; kept in files/ of the home."""

    limit_bytes: Annotated[int, Meta(ge=1, le=1_073_741_824, description="largest file that is taken or sent")] = (
        20_971_520
    )
    most: Annotated[int, Meta(ge=1, le=100, description="files of one message")] = 20
    deadline_s: Annotated[float, Meta(gt=0, le=3600, description="longest time to fetch those of one message")] = 60.0
    keep_s: Annotated[float, Meta(ge=60, le=315_360_000, description="files are removed after that")] = 2_592_000.0


class CoreSettings(Section, frozen=True, kw_only=True):
    """Limits of the core."""

    drain_s: Annotated[float, Meta(ge=0, le=3600, description="time that runs get to end at a stop")] = 10.0
    journal_keep: Annotated[int, Meta(ge=1000, description="events kept in the journal")] = 1_000_000
    approval_limit_s: Annotated[float, Meta(gt=0, description="an unanswered approval expires after")] = 3600.0


def _default_agents() -> dict[str, Any]:
    return {"main": ScriptedSettings()}


def _default_platforms() -> dict[str, Any]:
    return {"local": LoopbackSettings(), "api": ApiServerSettings(), "hooks": WebhookSettings()}


class Settings(Section, frozen=True, kw_only=True):
    """The whole configuration. Every key has a default; an empty file is a working core."""

    core: CoreSettings = CoreSettings()
    http: HttpSettings = HttpSettings()
    store: StoreSettings = StoreSettings()
    sessions: SessionSettings = SessionSettings()
    deliveries: DeliverySettings = DeliverySettings()
    access: AccessSettings = AccessSettings()
    files: FileSettings = FileSettings()
    default_agent: Annotated[Name, Meta(description="agent that answers where none is named")] = "main"
    agents: Annotated[dict[Name, AgentSettings], Meta(description="agents by name")] = msgspec.field(
        default_factory=_default_agents
    )
    platforms: Annotated[dict[Name, PlatformSettings], Meta(description="connections by name")] = msgspec.field(
        default_factory=_default_platforms
    )
    hooks: HookSettings = HookSettings()
    cron: Annotated[dict[Name, JobSettings], Meta(description="jobs that begin by the clock, by name")] = msgspec.field(
        default_factory=dict[Name, JobSettings]
    )
    relay: RelaySettings = RelaySettings()
    console: ConsoleSettings = ConsoleSettings()


# msgspec crashes when two threads are the first to use a type; here it is used once under the import lock.
msgspec.json.Decoder(Settings)
