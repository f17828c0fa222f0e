"""The sections of the configuration that describe connections to platforms."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.api.sessions import Mode
from core.section import Name, SecretRef, Section, Url

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
    strangers: Annotated[bool, Meta(description="nobody has proved who they are: access rules apply to them")] = False
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


Senders = Annotated[tuple[str, ...], Meta(description='ids of senders, as the platform gives them; "*" is everybody')]


class ChatSettings(Section, frozen=True, kw_only=True):
    """What every connection to people has: who may talk there, what they may order, and where news go."""

    agent: Annotated[str | None, Meta(description="agent that answers; null is the default one")] = None
    mode: PlatformMode = None
    allow_all: Annotated[bool, Meta(description="let everybody in")] = False
    allowed_users: Senders = ()
    group_allowed_users: Annotated[
        tuple[str, ...], Meta(description="senders that are let in in shared chats only")
    ] = ()
    allowed_chats: Annotated[tuple[str, ...], Meta(description="shared chats in which everybody is let in")] = ()
    allow_bots: Annotated[
        Literal["none", "mentions", "all"],
        Meta(description="programs that are let in: none, those that address us, all"),
    ] = "none"
    unauthorised: Annotated[
        Literal["pair", "ignore"] | None,
        Meta(description="a stranger's direct message: pair asks an operator; null is access.unauthorised"),
    ] = None
    admins: Annotated[
        tuple[str, ...], Meta(description="senders that may use every command; empty makes everybody one")
    ] = ()
    user_commands: Annotated[
        tuple[str, ...], Meta(description="commands for all others; help, whoami and status are always theirs")
    ] = ("new", "stop", "queue", "steer", "resume", "branch", "approve", "deny", "agents", "model")
    approvers: Annotated[
        tuple[str, ...], Meta(description="senders that may answer approvals; empty is whoever may use the commands")
    ] = ()
    own_approvals: Annotated[bool, Meta(description="whether a sender may approve what the own message led to")] = True
    shared_chats: Annotated[
        Literal["mentions", "all"], Meta(description="what is heard in shared chats: what addresses us, or everything")
    ] = "mentions"
    home_chat: Annotated[str, Meta(description="chat for news and results without an origin; empty for none")] = ""
    home_thread: Annotated[str, Meta(description="thread of home_chat; empty for none")] = ""
    rate_per_s: Annotated[
        Annotated[float, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="messages a second; 0 for any number, null is the platform's"),
    ] = None
    burst: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="messages at once before that; null is the platform's"),
    ] = None
    chat_rate_per_s: Annotated[
        Annotated[float, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="the same to one chat; null is the platform's"),
    ] = None


class TelegramSettings(ChatSettings, frozen=True, kw_only=True, tag_field="kind", tag="telegram"):
    """A bot of Telegram, over its Bot API."""

    token: Annotated[SecretRef, Meta(description="of the bot, from @BotFather, as env:NAME or file:PATH")]
    base_url: Annotated[Url, Meta(description="of the Bot API; a server of your own has another")] = (
        "https://api.telegram.org"
    )
    poll_s: Annotated[float, Meta(ge=1, le=50, description="how long the server holds a poll open")] = 30.0
    webhook_url: Annotated[
        Url | None,
        Meta(description="public address of /telegram/NAME of our HTTP endpoint, in place of polling"),
    ] = None
    webhook_secret: Annotated[
        SecretRef | None, Meta(description="by which calls of webhook_url prove themselves, as env:NAME or file:PATH")
    ] = None
    trust_usernames: Annotated[
        bool, Meta(description="let @name in lists of senders count; a name can change hands, an id cannot")
    ] = False


MailSecurity = Annotated[
    Literal["ssl", "starttls", "none"],
    Meta(description="TLS from the start, TLS asked for, or none, which only servers of this machine may have"),
]
Port = Annotated[int, Meta(ge=1, le=65_535)]


class MailServer(Section, frozen=True, kw_only=True):
    """A server for mail."""

    host: Annotated[str, Meta(min_length=1, description="name of the server")]
    port: Annotated[Port, Meta(description="its port")] = 993
    security: MailSecurity = "ssl"


class SmtpServer(MailServer, frozen=True, kw_only=True):
    """The server that takes mail; 587 is the port for starttls."""

    port: Annotated[Port, Meta(description="its port")] = 465


class EmailSettings(ChatSettings, frozen=True, kw_only=True, tag_field="kind", tag="email"):
    """A mailbox: read over IMAP, answered over SMTP."""

    address: Annotated[str, Meta(description="our address; senders write to it, answers come from it")]
    name: Annotated[str, Meta(description="shown with the address; empty for none")] = ""
    imap: Annotated[MailServer, Meta(description="where mail is read")]
    smtp: Annotated[SmtpServer, Meta(description="where answers are handed over")]
    user: Annotated[str, Meta(description="whom both servers know us as; empty is the address")] = ""
    password: Annotated[SecretRef, Meta(description="of that user, as env:NAME or file:PATH")]
    ca_file: Annotated[str, Meta(description="PEM file of the servers' own authority (relative to the home)")] = ""
    folder: Annotated[str, Meta(min_length=1, description="folder that is read")] = "INBOX"
    poll_s: Annotated[
        float, Meta(ge=1, le=1_740, description="longest time between two looks; the server tells of mail in between")
    ] = 60.0
    trust: Annotated[
        Literal["authenticated", "none"],
        Meta(
            description="believe a sender that our own server has proved; none believes everybody: closed systems only"
        ),
    ] = "authenticated"
    authserv_id: Annotated[
        str, Meta(description="name by which our own server signs Authentication-Results; needed to prove senders")
    ] = ""
    threads: Annotated[
        Literal["sender", "thread"], Meta(description="one session for each sender, or for each of their threads")
    ] = "sender"
    replies_per_thread_per_hour: Annotated[int, Meta(ge=1, le=10_000, description="more wait: against loops")] = 30
    deadline_s: Annotated[float, Meta(gt=0, le=300, description="longest wait for an answer of a mail server")] = 30.0
    mail_bytes: Annotated[int, Meta(ge=10_000, le=200_000_000, description="larger mail is not read")] = 26_214_400
    file_bytes: Annotated[int, Meta(ge=0, le=200_000_000, description="largest file to send")] = 15_000_000
    mark_seen: Annotated[bool, Meta(description="mark as seen what was taken in")] = True
    html: Annotated[bool, Meta(description="send answers as HTML too, beside the plain text")] = True


class MatrixSettings(ChatSettings, frozen=True, kw_only=True, tag_field="kind", tag="matrix"):
    """An account at a Matrix homeserver. It needs a token or a password, not both."""

    homeserver: Annotated[Url, Meta(description="base address of its client API, such as https://matrix.example.org")]
    user_id: Annotated[
        str,
        Meta(
            pattern=r"^@[^\s:]+:\S+$",
            extra={"form": "an id such as @bot:example.org"},
            description="of the account, such as @bot:example.org",
        ),
    ]
    token: Annotated[SecretRef | None, Meta(description="access token, as env:NAME or file:PATH")] = None
    password: Annotated[
        SecretRef | None, Meta(description="in place of a token: it signs in at each start, as env:NAME or file:PATH")
    ] = None
    device: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{1,64}$",
            extra={"form": "1 to 64 of A-Z a-z 0-9 _ -"},
            description="id of the device that a password signs in as",
        ),
    ] = "HERMESCONSOLE"
    auto_join: Annotated[
        Literal["none", "allowed", "direct", "all"],
        Meta(description="invitations that are followed: none, of listed senders, also every direct chat, all"),
    ] = "direct"
    sync_timeout_s: Annotated[float, Meta(ge=1, le=300, description="how long the server holds a poll open")] = 30.0
    read_receipts: Annotated[bool, Meta(description="mark as read what was taken in")] = True


PlatformSettings = (
    LoopbackSettings
    | SimulatedSettings
    | ApiServerSettings
    | WebhookSettings
    | TelegramSettings
    | EmailSettings
    | MatrixSettings
)
