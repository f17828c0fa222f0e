"""Who may talk to the agents, and why: verdicts that name their rule, views, queries."""

from enum import StrEnum

from core.api.base import PlatformName, Query, Seq, View
from core.api.sessions import ChatKind


class Rule(StrEnum):
    """What decided about a sender. The first that fits, in this order; blocked and no_sender come before all layers.

    upstream: the connection has proved the sender itself, as a signed webhook or the HTTP API does.
    """

    BLOCKED = "blocked"
    UPSTREAM = "upstream"
    NO_SENDER = "no_sender"
    BOT = "bot"
    PLATFORM_ALLOW_ALL = "platform_allow_all"
    PLATFORM_ALLOWLIST = "platform_allowlist"
    CHAT_ALLOWLIST = "chat_allowlist"
    PAIRED = "paired"
    GLOBAL_ALLOWLIST = "global_allowlist"
    GLOBAL_ALLOW_ALL = "global_allow_all"
    DENY = "deny"


class Tier(StrEnum):
    """What a sender may order by command. Everybody is an admin where no admins are named."""

    ADMIN = "admin"
    USER = "user"


class Verdict(View, frozen=True, kw_only=True):
    """May this sender talk here? layer: 1 to 5 as documented, 0 for what comes before them.

    origin: where the rule stands: `config.yaml:LINE`, `.env:LINE`, `environment NAME`, `pairing`, `default`.
    text: the rule in words. matched: the entry that fits the sender, "" when the rule names nobody.
    """

    is_admitted: bool
    rule: Rule
    layer: int
    origin: str
    text: str
    matched: str = ""
    tier: Tier = Tier.USER


class AccessStep(View, frozen=True, kw_only=True):
    """One rule of the explanation, in order. is_reached: False for those that nobody asked any more."""

    rule: Rule
    layer: int
    fits: bool
    is_reached: bool
    origin: str
    text: str


class AccessExplanation(View, frozen=True, kw_only=True):
    """A verdict and how it came about. aliases: other ids of the same person that were looked at too."""

    platform: PlatformName
    sender_id: str
    chat: str
    verdict: Verdict
    steps: tuple[AccessStep, ...]
    aliases: tuple[str, ...] = ()


class ExplainAccess(Query[AccessExplanation], frozen=True, kw_only=True):
    """Why would this sender be let in or not? Changes nothing. chat: "" asks about a direct chat."""

    platform: PlatformName
    sender_id: str
    chat: str = ""
    chat_kind: ChatKind = ChatKind.DM


class AdmittedView(View, frozen=True, kw_only=True):
    """Somebody, or everybody, that a rule lets in. platform: "" for all; sender_id: "*" for everybody there."""

    platform: PlatformName
    sender_id: str
    sender_name: str
    rule: Rule
    origin: str
    tier: Tier
    since_at: float | None = None


class AdmittedPage(View, frozen=True, kw_only=True):
    """Who is let in, by platform and id. total: on all pages."""

    admitted: tuple[AdmittedView, ...]
    total: int
    seq: Seq


class ListAdmitted(Query[AdmittedPage], frozen=True, kw_only=True):
    """Everyone who is admitted, and why. limit: 1 to 1,000. offset: how many to leave out."""

    limit: int = 200
    offset: int = 0
