"""Far sides of the relay and the peers that call us: health, tests, the pause of all, who relays to whom."""

from enum import StrEnum

from core.api.base import Command, Event, Mark, Query, Seq, View
from core.api.bindings import Bot, RelayProtocol
from core.api.breakers import BreakerView

RELAY = "relay"
"""Owner of the breakers of the relay; they are named by origin."""


class TargetView(View, frozen=True, kw_only=True):
    """An origin that messages go to. bots: names that lead there.

    success_rate: 0 to 1 of the last attempts, sample_count of them; None without any. p50_s, p95_s: of those that got
    an answer. waiting: not yet delivered, in_flight of them being sent; working: delivered and unanswered. oldest: of
    what waits. held: until when the far side asked to be left alone. fingerprint: the first digits of a hash of the
    credential that is sent; fingerprint_since: since when it is that one.
    """

    origin: str
    version: int
    bots: tuple[str, ...]
    protocols: tuple[RelayProtocol, ...]
    breaker: BreakerView
    waiting: int = 0
    in_flight: int = 0
    working: int = 0
    dead: int = 0
    oldest: Mark | None = None
    sample_count: int = 0
    success_rate: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    last_ok: Mark | None = None
    last_error: str = ""
    last_status: int = 0
    held: Mark | None = None
    held_why: str = ""
    peer: str = ""
    fingerprint: str = ""
    fingerprint_since: Mark | None = None
    is_bound: bool = True


class RelayPause(View, frozen=True, kw_only=True):
    """Whether the relay is stopped. sending: attempts that still go on; working: delivered and not answered yet;
    running: messages that agents here work on; waiting: that will go out when it goes on. version: grows.
    """

    version: int
    is_paused: bool
    since: Mark | None = None
    by: str = ""
    reason: str = ""
    sending: int = 0
    working: int = 0
    running: int = 0
    waiting: int = 0


class PeerView(View, frozen=True, kw_only=True):
    """Who may call us, from the configuration. key_count: of signatures, two while one replaces the other.

    fingerprints: of what it may prove itself with; taken, repeated, refused: since the start of the core. in_flight:
    messages of it that agents work on. problem: why it cannot be used, such as a secret that is missing.
    """

    name: str
    version: int
    agent: str
    key_count: int
    has_bearer: bool
    fingerprints: tuple[str, ...] = ()
    taken: int = 0
    repeated: int = 0
    refused: int = 0
    in_flight: int = 0
    rate_per_min: int = 0
    last_seen: Mark | None = None
    callback: str = ""
    problem: str = ""


class TargetList(View, frozen=True, kw_only=True):
    """All targets by origin, all peers by name. listening: where peers reach us, "" when nothing is served."""

    targets: tuple[TargetView, ...]
    peers: tuple[PeerView, ...]
    pause: RelayPause
    listening: str
    seq: Seq


class ListTargets(Query[TargetList], frozen=True, kw_only=True):
    """All targets and peers."""


class TargetStep(StrEnum):
    """What a check of a target looks at, in this order."""

    ADDRESS = "address"
    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    IDENTITY = "identity"


class TargetFinding(View, frozen=True, kw_only=True):
    """What came of one step. is_ok: None when it was not reached or does not apply. detail: in words."""

    step: TargetStep
    is_ok: bool | None
    seconds: float
    detail: str = ""


class TargetReport(View, frozen=True, kw_only=True):
    """What a check of a target found. No agent has done anything for it. identity: as the far side calls itself."""

    bot: Bot
    origin: str
    is_ok: bool
    findings: tuple[TargetFinding, ...]
    latency_s: float
    identity: str = ""


class CheckTarget(Command[TargetReport], frozen=True, kw_only=True):
    """Look whether a bot could be reached, without an agent's turn and without touching its breaker.

    name: of a bot, where it is bound; or a whole bot that need not be bound yet. Raises NotFound, ConflictError for
    several that fit, InvalidInput.
    """

    name: str = ""
    platform: str = ""
    chat: str = ""
    bot: Bot | None = None


class PauseRelay(Command[RelayPause], frozen=True, kw_only=True):
    """Send nothing and take nothing from peers until somebody resumes, also over a restart. Twice changes nothing."""

    reason: str = ""


class ResumeRelay(Command[RelayPause], frozen=True, kw_only=True):
    """Go on. Raises ConflictError when nothing is paused."""


class RelayEdge(View, frozen=True, kw_only=True):
    """Who relays to whom. source: a conversation, an agent or a peer; target: a bot or an agent here.

    sent, failed: within window_s of the graph. is_tripped: it hit a limit of loops in that time; path: then, the last.
    """

    source: str
    target: str
    sent: int
    failed: int
    last: Mark
    is_tripped: bool = False
    why: str = ""
    path: tuple[str, ...] = ()
    breaker: str = ""


class RelayGraph(View, frozen=True, kw_only=True):
    """All that relayed lately. hop_limit, turn_limit: what ends a loop."""

    edges: tuple[RelayEdge, ...]
    window_s: float
    hop_limit: int
    turn_limit: int
    seq: Seq


class GetRelayGraph(Query[RelayGraph], frozen=True, kw_only=True):
    """Who relays to whom."""


class TargetActive(Event, frozen=True, kw_only=True):
    """New counts and ages of a target. Live only, at most once a second for each."""

    target: TargetView


class TargetGone(Event, frozen=True, kw_only=True):
    """An origin is no target any more: no bot is bound there, and nothing is under way to it. Live only."""

    origin: str


class TargetHeld(Event, frozen=True, kw_only=True):
    """A far side asked to be left alone; the view says until when."""

    target: TargetView


class PeerActive(Event, frozen=True, kw_only=True):
    """New counts of a peer. Live only, at most once a second for each."""

    peer: PeerView


class RelayPaused(Event, frozen=True, kw_only=True):
    """Somebody stopped the relay."""

    pause: RelayPause


class RelayResumed(Event, frozen=True, kw_only=True):
    """The relay goes on."""

    pause: RelayPause


class TargetChecked(Event, frozen=True, kw_only=True):
    """Somebody checked a target."""

    report: TargetReport
