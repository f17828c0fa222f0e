"""The peers that call us: how often each may, and what came of it."""

import msgspec

from core.api.base import Mark
from core.api.relay_targets import PeerActive, PeerView
from core.api.relay_tasks import RelayRefused
from core.clock import Clock, mark
from core.journal import Journal
from core.limiter import Bucket, Rate, taken, wait_s
from core.relay.incoming import RefusedMessage
from core.relay.paced import Paced
from core.relay.peers import Peers
from core.supervisor import Supervisor

READS_PER_ORDER = 10
"""Questions about messages that a peer may ask for each message or order that it may send."""

SUBJECT = "relay"
"""Of events that are about no message."""

_MINUTE_S = 60.0
_WHY_LIMIT = 200


class _Caller:
    """One peer since the start of the core."""

    def __init__(self, rate_per_min: int) -> None:
        self.orders = Rate(rate_per_min / _MINUTE_S, rate_per_min)
        self.reads = Rate(READS_PER_ORDER * rate_per_min / _MINUTE_S, READS_PER_ORDER * rate_per_min)
        self.order_bucket = self.read_bucket = Bucket()
        self.taken = self.repeated = self.refused = 0
        self.version = 1
        self.last_seen: Mark | None = None
        self.working: set[str] = set()


class Callers:
    """All of them. What is told live is told at most once a second for each peer and cause."""

    def __init__(self, *, peers: Peers, journal: Journal, clock: Clock, supervisor: Supervisor) -> None:
        self._peers = peers
        self._journal = journal
        self._clock = clock
        self._callers = {name: _Caller(peers.settings_of(name).rate_per_min) for name in peers.names()}
        self._causes: dict[tuple[str, int, str], str] = {}
        self._active = Paced[str](clock, supervisor, self._tell_active)
        self._refusals = Paced[tuple[str, int, str]](clock, supervisor, self._tell_refused)

    def admit(self, peer: str, *, is_read: bool = False) -> None:
        """Count a request. is_read: it only asks, and such have a bound of their own. Raises RefusedMessage 429."""
        caller = self._callers.get(peer)
        if caller is None:
            return
        now = self._clock.monotonic()
        caller.last_seen = mark(self._clock)
        rate = caller.reads if is_read else caller.orders
        bucket = caller.read_bucket if is_read else caller.order_bucket
        after = taken(bucket, rate, now)
        if after is None:
            what = "questions" if is_read else "messages"
            left_s = wait_s(bucket, rate, now)
            raise RefusedMessage(429, "rate", f"{rate.burst} {what} a minute are taken from you", left_s)
        if is_read:
            caller.read_bucket = after
        else:
            caller.order_bucket = after

    def working(self, peer: str) -> int:
        """Messages of a peer that agents work on."""
        caller = self._callers.get(peer)
        return 0 if caller is None else len(caller.working)

    def begun(self, peer: str, task_id: str) -> None:
        """An agent is to work on a message."""
        if (caller := self._callers.get(peer)) is not None:
            caller.working.add(task_id)
            self._note(peer, caller)

    def ended(self, peer: str, task_id: str) -> None:
        """No agent works on it any more."""
        if (caller := self._callers.get(peer)) is not None and task_id in caller.working:
            caller.working.discard(task_id)
            self._note(peer, caller)

    def took(self, peer: str) -> None:
        """A message was taken."""
        if (caller := self._callers.get(peer)) is not None:
            caller.taken += 1
            self._note(peer, caller)

    def repeated(self, peer: str) -> None:
        """It had come before."""
        if (caller := self._callers.get(peer)) is not None:
            caller.repeated += 1
            self._note(peer, caller)

    def refused(self, peer: str, status: int, code: str, why: str) -> None:
        """A request was not taken. peer: "" for nobody who is known. code: one of few words."""
        if (caller := self._callers.get(peer)) is not None:
            caller.refused += 1
            self._note(peer, caller)
        cause = (peer, status, code)
        self._causes[cause] = why[:_WHY_LIMIT]
        self._refusals.note(cause)

    def views(self) -> list[PeerView]:
        """All peers with their counts, by name."""
        return [self._view(name) for name in self._callers]

    def _note(self, peer: str, caller: _Caller) -> None:
        caller.version += 1
        self._active.note(peer)

    def _view(self, peer: str) -> PeerView:
        caller = self._callers[peer]
        return msgspec.structs.replace(
            self._peers.view(peer, version=caller.version),
            taken=caller.taken,
            repeated=caller.repeated,
            refused=caller.refused,
            in_flight=len(caller.working),
            last_seen=caller.last_seen,
        )

    def _tell_active(self, peer: str, _count: int) -> None:
        self._journal.publish(SUBJECT, PeerActive(peer=self._view(peer)))

    def _tell_refused(self, cause: tuple[str, int, str], count: int) -> None:
        peer, status, _ = cause
        self._journal.publish(SUBJECT, RelayRefused(peer=peer, status=status, why=self._causes[cause], count=count))
