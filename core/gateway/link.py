"""One configured connection, what is known of it, and how that is shown (no I/O)."""

import math

from core.api.base import Mark, PlatformName
from core.api.platforms import PlatformPause, PlatformProbe, PlatformState, PlatformView
from core.gateway.abilities import Hears, Probes
from core.gateway.deafness import quiet_limit_s
from core.gateway.delivery import one_line
from core.gateway.platform import Platform
from core.platform_settings import PlatformSettings

_REFUSAL_LIMIT = 100


class Link:
    """One connection. version grows with every shown change.

    pause: by an operator, None when nobody did. life: number of the present try; settled_life: of the last one that
    was watched for a conflict. contested: monotonic time at which somebody else last had the account. busy_count:
    things that were handed in and are being dealt with.
    """

    def __init__(self, name: PlatformName, section: PlatformSettings, since: Mark) -> None:
        self.name = name
        self.settings = section
        self.kind = str(type(section).__struct_config__.tag)
        self.platform: Platform | None = None
        self.state = PlatformState.CONNECTING
        self.since = since
        self.version = 1
        self.address = ""
        self.heard: Mark | None = None
        self.inbound: Mark | None = None
        self.outbound_ack: Mark | None = None
        self.inbound_count = 0
        self.outbound_count = 0
        self.refused_count = 0
        self.duplicate_count = 0
        self.restart_count = 0
        self.last_error = ""
        self.failures = 0
        self.next_try: Mark | None = None
        self.holder = ""
        self.probe: PlatformProbe | None = None
        self.pause: PlatformPause | None = None
        self.life = 0
        self.settled_life = 0
        self.busy_count = 0
        self.contested = -math.inf
        self.shown_mono = -math.inf
        self.is_showing = False
        self._refusals: set[str] = set()

    @property
    def service(self) -> str:
        """What the supervisor calls the task that keeps it."""
        return f"platform:{self.name}"

    @property
    def heard_every_s(self) -> float:
        """How often its adapter expects a sign of life; 0 when it does not say."""
        return max(0.0, self.platform.heard_every_s) if isinstance(self.platform, Hears) else 0.0

    @property
    def can_probe(self) -> bool:
        """Whether the platform can be asked."""
        return isinstance(self.platform, Probes)

    def change(self, state: PlatformState, error: str, now: Mark) -> None:
        """Go to a state. error: why, "" when nothing is wrong."""
        if self.state is not state:
            self.since = now
        self.state = state
        self.last_error = one_line(error)
        self.version += 1

    def is_new_refusal(self, reason: str) -> bool:
        """Whether nothing was refused for this reason before; the first hundred reasons are kept."""
        if not reason or reason in self._refusals or len(self._refusals) >= _REFUSAL_LIMIT:
            return False
        self._refusals.add(reason)
        return True

    def view(self, backlog: int = 0) -> PlatformView:
        """The connection as it is now. backlog: of its outbox."""
        return PlatformView(
            name=self.name,
            kind=self.kind,
            version=self.version,
            state=self.state,
            since=self.since,
            address=self.address,
            heard=self.heard,
            inbound=self.inbound,
            outbound_ack=self.outbound_ack,
            inbound_count=self.inbound_count,
            outbound_count=self.outbound_count,
            refused_count=self.refused_count,
            restart_count=self.restart_count,
            last_error=self.last_error,
            identity=self.address.partition(" at ")[0] if " at " in self.address else "",
            heard_every_s=self.heard_every_s,
            quiet_limit_s=quiet_limit_s(self.heard_every_s),
            # They are remembered for a while, so that a line that breaks again and again is given more time.
            failures=0 if self.state is PlatformState.CONNECTED else self.failures,
            next_try=self.next_try,
            duplicate_count=self.duplicate_count,
            backlog=backlog,
            holder=self.holder,
            can_probe=self.can_probe,
            probe=self.probe,
            pause=self.pause,
        )
