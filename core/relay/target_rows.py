"""Targets as they are kept: in memory all of them, in the store what must outlast a start."""

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from core.api.base import Mark
from core.api.bindings import Bot
from core.api.errors import ConfigError, NotFound
from core.api.relay_tasks import RelayAttempt, RelayDirection
from core.breaker import Breaker, BreakerMode, restored
from core.breaker_settings import BreakerSettings
from core.clock import Clock, mark, rebased
from core.relay.bindings import Bindings
from core.relay.bot_url import BadUrl
from core.relay.bot_url import origin as origin_of
from core.relay.mail_names import mailbox_of
from core.relay.peers import Peers
from core.relay.target import Hold, Target
from core.relay.task import RelayTask
from core.store.base import Put, Store

_ROWS = "relay_target/"
_PAGE_ROWS = 500
_ORIGINS_CACHED = 10_000


class Known:
    """A target with what belongs to it besides its own state.

    mailbox: in which its messages wait. told: its breaker as screens know it. version: of its view, grows with each.
    shown_mono: of the last one. kept_mono: when it was last stored. timed_mono: when the end of a wait will be shown,
    infinity for never. bots: all that lead there, best first.
    """

    def __init__(self, target: Target, mailbox: str) -> None:
        self.target = target
        self.mailbox = mailbox
        self.told = target.breaker
        self.version = 0
        self.shown_mono = -math.inf
        self.kept_mono = -math.inf
        self.timed_mono = math.inf
        self.bots: tuple[Bot, ...] = ()
        self.fingerprint = ""
        self.fingerprint_since: Mark | None = None

    @property
    def peer(self) -> str:
        """Whose credentials are sent there."""
        return next((bot.peer for bot in self.bots if bot.peer), "")


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A target as it is stored. saved: on the clock of the start that wrote it, as all of its instants."""

    saved: Mark
    breaker: Breaker
    hold: Hold | None = None
    fingerprint: str = ""
    fingerprint_since: Mark | None = None
    last_ok: Mark | None = None


class TargetRows:
    """All targets by origin. in_flight_limit: calls to one at a time. random: in [0, 1)."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        bindings: Bindings,
        peers: Peers,
        settings: BreakerSettings,
        random: Callable[[], float],
        in_flight_limit: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._bindings = bindings
        self._peers = peers
        self._random = random
        self._in_flight_limit = in_flight_limit
        self._by_origin: dict[str, Known] = {}
        self.settings = settings

    def get(self, origin: str) -> Known:
        """The target, made when it is not there yet."""
        known = self._by_origin.get(origin)
        return self._make(origin) if known is None else known

    def find(self, origin: str) -> Known | None:
        """The target, if it is there."""
        return self._by_origin.get(origin)

    def demand(self, origin: str) -> Known:
        """The target. Raises NotFound."""
        known = self._by_origin.get(origin)
        if known is None:
            raise NotFound(f"no bot is at {origin}", noun="target", id=origin, fix="see `relay targets`")
        return known

    def names(self) -> list[str]:
        """All origins in order."""
        return sorted(self._by_origin)

    def all(self) -> Collection[str]:
        """All origins as they come."""
        return tuple(self._by_origin)

    def forget(self, origin: str) -> Put:
        """Drop one: what to write for it."""
        self._by_origin.pop(origin, None)
        return Put(_ROWS + origin, None)

    def put(self, origin: str) -> Put:
        """What to write of one."""
        known = self._by_origin.get(origin)
        if known is None:
            return Put(_ROWS + origin, None)
        target, now = known.target, mark(self._clock)
        known.kept_mono = now.mono
        row = _Row(
            saved=now,
            breaker=target.breaker,
            hold=target.hold,
            fingerprint=known.fingerprint,
            fingerprint_since=known.fingerprint_since,
            last_ok=target.last_ok,
        )
        return Put(_ROWS + origin, msgspec.json.encode(row))

    async def open(self, has_mail: Callable[[str], bool]) -> list[Put]:
        """Read what an earlier start left: what to write now. Raises StoreError.

        has_mail: whether messages to an origin are under way; with none of them and unbound it is forgotten.
        """
        after = ""
        while page := await self._store.scan(_ROWS, after=after, limit=_PAGE_ROWS):
            after = page[-1].key
            for row in page:
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                    self._restore(row.key.removeprefix(_ROWS), _rows.decode(row.body))
        before = {origin: known.fingerprint for origin, known in self._by_origin.items()}
        changed, unbound = self.follow()
        left = [self.forget(origin) for origin in unbound if self.is_idle(origin) and not has_mail(origin)]
        # Of all that is bound, nothing else of a row can be other than an earlier start left it.
        other = [origin for origin in changed if before.get(origin) != self._by_origin[origin].fingerprint]
        return [*left, *(self.put(origin) for origin in other)]

    def recall(self, tasks: Iterable[RelayTask]) -> None:
        """Take up the attempts of messages of an earlier start."""
        went = (task for task in tasks if task.direction is RelayDirection.OUT)
        for attempt in sorted((item for task in went for item in task.attempts), key=_ended_at):
            known = self._by_origin.get(_origin(attempt.url) or "")
            if known is not None:
                ended = Mark(_ended_at(attempt), 0.0)
                known.target.recalled(attempt, rebased(ended, self._clock))

    def is_idle(self, origin: str) -> bool:
        """Whether nobody would miss it, were it not for messages: it is unbound, and no operator decides for it."""
        known = self._by_origin.get(origin)
        if known is None:
            return True
        return not known.bots and not known.target.in_flight and known.target.breaker.mode is BreakerMode.AUTOMATIC

    def follow(self) -> tuple[list[str], list[str]]:
        """Go by the bindings as they are now: targets that are other than before, and those that are bound no more."""
        bound = self._bound()
        changed = [origin for origin, bots in bound.items() if self._bind(origin, bots)]
        unbound = [origin for origin in self._by_origin if origin not in bound]
        for origin in unbound:
            self._bind(origin, ())
        return changed, unbound

    def _bound(self) -> Mapping[str, Sequence[Bot]]:
        found: dict[str, list[Bot]] = {}
        for view in self._bindings.all():
            for bot in view.bots:
                if (origin := _origin(bot.url)) is not None:
                    found.setdefault(origin, []).append(bot)
        return found

    def _bind(self, origin: str, bots: Sequence[Bot]) -> bool:
        known = self._by_origin.get(origin)
        is_new = known is None
        known = known or self._make(origin)
        ordered = tuple(sorted(bots, key=_rank))
        is_other = is_new or known.bots != ordered
        known.bots = ordered
        fingerprint = self._fingerprint(known.peer)
        if fingerprint != known.fingerprint:
            known.fingerprint, is_other = fingerprint, True
            known.fingerprint_since = mark(self._clock) if fingerprint else None
        return is_other

    def _fingerprint(self, peer: str) -> str:
        try:
            return self._peers.outgoing(peer).fingerprint if peer else ""
        except (NotFound, ConfigError):
            # It says so itself when it is called; here is only nothing to show.
            return ""

    def _make(self, origin: str) -> Known:
        now = self._clock.monotonic()
        target = Target(now, self.settings, self._random, in_flight_limit=self._in_flight_limit)
        known = self._by_origin[origin] = Known(target, mailbox_of(origin))
        return known

    def _restore(self, origin: str, row: _Row) -> None:
        known, now = self.get(origin), mark(self._clock)
        known.kept_mono = now.mono
        target = known.target
        target.breaker = known.told = restored(row.breaker, row.saved, now)
        if row.hold is not None and row.hold.until.at > now.at:
            # A clock that was set back since makes it no longer.
            left_s = min(row.hold.until.at - now.at, row.hold.until.mono - row.saved.mono)
            target.hold = Hold(Mark(now.at + left_s, now.mono + left_s), row.hold.why)
        target.last_ok = None if row.last_ok is None else rebased(row.last_ok, self._clock)
        known.fingerprint = row.fingerprint
        since = row.fingerprint_since
        known.fingerprint_since = None if since is None else rebased(since, self._clock)


@lru_cache(maxsize=_ORIGINS_CACHED)
def _origin(url: str) -> str | None:
    try:
        return origin_of(url)
    except BadUrl:
        return None


def _ended_at(attempt: RelayAttempt) -> float:
    return attempt.began.at + attempt.latency_s


def _rank(bot: Bot) -> tuple[int, str, str]:
    return bot.priority, bot.name, bot.url


_rows = msgspec.json.Decoder(_Row)
