"""The shape of the configuration: every key with its type, bounds, default and meaning."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.agent_settings import AgentSettings, ScriptedSettings
from core.api.sessions import Mode
from core.section import Name, SecretRef, Section, Url


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


PlatformMode = Annotated[
    Mode | None, Meta(description="what a message does to a busy session; null is the agent's own, or sessions.mode")
]


class LoopbackSettings(Section, frozen=True, kw_only=True, tag_field="kind", tag="loopback"):
    """The console's own chat: conversations that an operator opens here."""

    agent: Annotated[str | None, Meta(description="agent that answers; null is the default one")] = None
    mode: PlatformMode = None


class SimulatedSettings(Section, frozen=True, kw_only=True, tag_field="kind", tag="simulated"):
    """People made up by a scenario: for demos, training and load tests."""

    agent: Annotated[str | None, Meta(description="agent that answers; null is the default one")] = None
    mode: PlatformMode = None
    people: Annotated[int, Meta(ge=1, le=1_000_000, description="number of chats")] = 20
    rate_per_s: Annotated[float, Meta(ge=0, le=100_000, description="messages a second, all together")] = 0.5
    scenario: Annotated[str, Meta(description="builtin:NAME or a YAML file (relative to the home)")] = "builtin:people"
    seed: Annotated[int, Meta(description="of its random choices")] = 0
    send_failure_ratio: Annotated[float, Meta(ge=0, le=1, description="share of answers that fail at first")] = 0.0
    send_s: Annotated[float, Meta(ge=0, le=600, description="longest time that taking an answer takes")] = 0.0
    blocked_ratio: Annotated[float, Meta(ge=0, le=1, description="share of direct chats that block the bot")] = 0.0
    gone_ratio: Annotated[float, Meta(ge=0, le=1, description="share of chats that are gone when answered")] = 0.0
    outage_s: Annotated[float, Meta(ge=0, description="outages: no answer is taken for so long; 0 for none")] = 0.0
    outage_first_s: Annotated[float, Meta(ge=0, description="from the start to the first outage")] = 0.0
    outage_every_s: Annotated[
        float, Meta(ge=0, description="from the begin of one outage to the next; 0 for a single one")
    ] = 0.0


class ApiServerSettings(Section, frozen=True, kw_only=True, tag_field="kind", tag="api_server"):
    """OpenAI-compatible endpoint under /v1."""

    agent: Annotated[str | None, Meta(description="agent behind the model name `default`")] = None
    mode: PlatformMode = None
    keepalive_s: Annotated[float, Meta(gt=0, description="a comment keeps a silent stream open")] = 15.0


class WebhookRoute(Section, frozen=True, kw_only=True):
    """One signed way in: POST /webhooks/NAME."""

    secret: Annotated[SecretRef, Meta(description="of the HMAC-SHA256 signature, as env:NAME or file:PATH")]
    agent: Annotated[str | None, Meta(description="agent that answers; null is the default one")] = None
    template: Annotated[str, Meta(description="text for the agent; {a.b} is a field of the JSON body")] = "{text}"
    chat: Annotated[str, Meta(description="chat of the session; {a.b} is a field of the JSON body")] = "default"
    tolerance_s: Annotated[float, Meta(gt=0, le=86_400, description="largest age of a signature")] = 300.0
    reply_url: Annotated[Url | None, Meta(description="where answers are posted, signed")] = None
    rate_per_minute: Annotated[int, Meta(ge=1, le=1_000_000, description="requests accepted a minute")] = 600


class WebhookSettings(Section, frozen=True, kw_only=True, tag_field="kind", tag="webhook"):
    """Signed HTTP in and out."""

    agent: Annotated[str | None, Meta(description="agent that answers where a route names none")] = None
    mode: PlatformMode = None
    routes: Annotated[dict[Name, WebhookRoute], Meta(description="routes by name")] = msgspec.field(
        default_factory=dict[Name, WebhookRoute]
    )


PlatformSettings = LoopbackSettings | SimulatedSettings | ApiServerSettings | WebhookSettings


class SessionSettings(Section, frozen=True, kw_only=True):
    """How conversations are kept apart and queued."""

    queue_limit: Annotated[int, Meta(ge=1, le=100_000, description="messages that may wait in one session")] = 32
    mode: Annotated[Mode, Meta(description="what a message does to a busy session")] = Mode.QUEUE
    collect_s: Annotated[
        float, Meta(gt=0, le=600, description="quiet time after which collected messages are answered together")
    ] = 2.0
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="runs of one message when the core dies under it")] = 3
    history_limit: Annotated[int, Meta(ge=0, le=10_000, description="entries that a run is given")] = 200
    text_limit: Annotated[int, Meta(ge=1, le=10_000_000, description="longest inbound text, in characters")] = 200_000
    per_user_in_groups: Annotated[bool, Meta(description="each member of a group has a session of their own")] = True
    per_user_in_threads: Annotated[bool, Meta(description="the same inside threads")] = False


class DeliverySettings(Section, frozen=True, kw_only=True):
    """How answers are sent."""

    max_attempts: Annotated[int, Meta(ge=1, le=100, description="attempts before a delivery is dead")] = 12
    base_s: Annotated[float, Meta(gt=0, description="first wait of the backoff")] = 1.0
    cap_s: Annotated[float, Meta(gt=0, description="longest wait of the backoff")] = 300.0
    timeout_s: Annotated[float, Meta(gt=0, description="longest time of one attempt")] = 30.0


class ConsoleSettings(Section, frozen=True, kw_only=True):
    """The screen."""

    on_quit: Annotated[Literal["ask", "stop", "keep"], Meta(description="what q does to an embedded core")] = "ask"
    on_hangup: Annotated[Literal["stop", "keep"], Meta(description="what a closed terminal does to it")] = "keep"
    theme: Annotated[Literal["auto", "dark", "light", "contrast", "ansi"], Meta(description="colours")] = "auto"
    keys: Annotated[dict[str, str], Meta(description="keys by action id, as session.inject: ctrl+i")] = msgspec.field(
        default_factory=dict[str, str]
    )
    read_only: Annotated[bool, Meta(description="take every key away that changes something")] = False


class CoreSettings(Section, frozen=True, kw_only=True):
    """Limits of the core."""

    drain_s: Annotated[float, Meta(ge=0, le=3600, description="time that runs get to end at a stop")] = 10.0
    journal_keep: Annotated[int, Meta(ge=1000, description="events kept in the journal")] = 1_000_000
    approval_limit_s: Annotated[float, Meta(gt=0, description="an unanswered approval expires after")] = 3600.0


def _default_agents() -> dict[str, Any]:
    return {"main": ScriptedSettings()}


def _default_platforms() -> dict[str, Any]:
    return {"local": LoopbackSettings(), "api": ApiServerSettings(), "hooks": WebhookSettings()}


class TimetableEntry(Section, frozen=True, kw_only=True):
    """A task that is started again and again while the core runs; left out while the one before is not over."""

    text: Annotated[str, Meta(min_length=1, max_length=200_000, description="what is to be done")]
    every_s: Annotated[float, Meta(ge=1, le=31_536_000, description="from one start to the next")]
    first_s: Annotated[
        float, Meta(ge=0, le=31_536_000, description="from the start of the core to the first; 0 is every_s")
    ] = 0.0
    agent: Annotated[str | None, Meta(description="agent that does it; null is the default one")] = None
    lane: Annotated[str, Meta(max_length=64, description="lane of the agent")] = "cron"
    label: Annotated[str, Meta(max_length=64, description="a word to find it by; empty is the name")] = ""
    parts: Annotated[tuple[str, ...], Meta(max_length=32, description="further tasks, made below it")] = ()


class Settings(Section, frozen=True, kw_only=True):
    """The whole configuration. Every key has a default; an empty file is a working core."""

    core: CoreSettings = CoreSettings()
    http: HttpSettings = HttpSettings()
    store: StoreSettings = StoreSettings()
    sessions: SessionSettings = SessionSettings()
    deliveries: DeliverySettings = DeliverySettings()
    default_agent: Annotated[Name, Meta(description="agent that answers where none is named")] = "main"
    agents: Annotated[dict[Name, AgentSettings], Meta(description="agents by name")] = msgspec.field(
        default_factory=_default_agents
    )
    platforms: Annotated[dict[Name, PlatformSettings], Meta(description="connections by name")] = msgspec.field(
        default_factory=_default_platforms
    )
    timetable: Annotated[dict[Name, TimetableEntry], Meta(description="tasks that begin by the clock, by name")] = (
        msgspec.field(default_factory=dict[Name, TimetableEntry])
    )
    console: ConsoleSettings = ConsoleSettings()


# msgspec crashes when two threads are the first to use a type; here it is used once under the import lock.
msgspec.json.Decoder(Settings)
