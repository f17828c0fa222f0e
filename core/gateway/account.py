"""One account on its way out: whether it may send now, to which chat, and what its answers mean for the next (no I/O).

`now` is monotonic seconds. Three things hold an account up: the far side asked to wait (hold), our own rate (bucket),
too many failures in a row (breaker). A chat has a hold and a bucket of its own, which hold up nobody else.
"""

import math
from collections import deque
from collections.abc import Callable

import msgspec

from core.api.base import MailId, Mark
from core.breaker import Breaker, BreakerState, Outcome, Ticket, admitted, fresh, refreshed, settled, wait_s
from core.breaker_settings import BreakerSettings
from core.gateway.delivery import Failure, asked_s, one_line
from core.gateway.platform import PlatformErrorKind
from core.limiter import Bucket, Rate, given_back, taken, tokens
from core.limiter import wait_s as rate_wait_s

_CHATS_KEPT = 1000
_PROBE_GAP_S = 1.0


class Hold(msgspec.Struct, frozen=True):
    """The far side wants to be left alone until then."""

    until: Mark
    why: str


class Way(msgspec.Struct, frozen=True):
    """A message that may go out. is_probe: it tries out an account that failed before. began: monotonic seconds."""

    chat: str
    ticket: Ticket
    is_probe: bool
    began: float


class Limits(msgspec.Struct, frozen=True):
    """What an account may send."""

    rate: Rate = Rate()
    chat_rate: Rate = Rate()


class Account:
    """The state of one account. random: gives a number in [0, 1).

    spared: messages that were put off for the account's sake alone, and can go out once it may send again.
    """

    def __init__(
        self, now: float, settings: BreakerSettings, random: Callable[[], float], limits: Limits | None = None
    ) -> None:
        self.settings = settings
        self.limits = limits or Limits()
        self.breaker: Breaker = fresh(now, settings)
        self.hold: Hold | None = None
        self.error = ""
        self.sent_count = 0
        self.in_flight = 0
        self.spared: set[MailId] = set()
        self._stood = -math.inf
        self._random = random
        self._bucket = Bucket()
        self._chats: dict[str, Bucket] = {}
        self._chat_holds: dict[str, float] = {}
        # Places that the gate gave away and no message has used yet.
        self._given: deque[tuple[Ticket, bool]] = deque()

    # -- the gate

    def wait_s(self, now: float) -> float:
        """Seconds until a message may go out; 0 now, infinity until something else changes."""
        return max(self.held_s(now), rate_wait_s(self._bucket, self.limits.rate, now), self.broken_s(now))

    def held_s(self, now: float) -> float:
        """Seconds that the far side still wants to be left alone."""
        if self.hold is not None and self.hold.until.mono <= now:
            self.hold = None
        return 0.0 if self.hold is None else self.hold.until.mono - now

    def broken_s(self, now: float) -> float:
        """Seconds until the breaker lets one through."""
        return wait_s(self.breaker, now, self.settings)

    def is_shut(self, now: float) -> bool:
        """Whether more than its own rate keeps it from sending."""
        return self.held_s(now) > 0 or self.broken_s(now) > 0

    def limited_s(self, now: float) -> float:
        """Seconds until our own rate lets one through."""
        return rate_wait_s(self._bucket, self.limits.rate, now)

    def tokens(self, now: float) -> float:
        """Messages that our own rate lets through now."""
        return tokens(self._bucket, self.limits.rate, now)

    def admit(self, now: float) -> bool:
        """Give a place to a message, to be used by begun()."""
        if self.wait_s(now):
            return False
        bucket = taken(self._bucket, self.limits.rate, now)
        if bucket is None:
            return False
        self.breaker, answer = admitted(self.breaker, now, self.settings)
        if not isinstance(answer, Ticket):
            return False
        self._bucket = bucket
        self._given.append((answer, self.breaker.state is BreakerState.HALF_OPEN))
        return True

    def vacated(self, now: float) -> None:
        """Whoever had places is gone."""
        while self._given:
            self._take_back(self._given.popleft()[0], now)

    def not_used(self, now: float) -> None:
        """A message that had a place is nothing to be sent."""
        if self._given:
            self._take_back(self._given.popleft()[0], now)

    def begun(self, chat: str, now: float) -> Way | float:
        """Use a place for a message to a chat. The way, or seconds until it may go out; then the place is free again.

        0 leaves it to the gate.
        """
        if not self._given and not self.admit(now):
            return 0.0
        ticket, is_probe = self._given.popleft()
        chat_s = self._chat_wait_s(chat, now)
        # What came in between: another message was told to wait, or was the failure that opened the breaker.
        came_between = self.held_s(now) > 0 or self._is_open(now)
        if came_between or chat_s:
            self._take_back(ticket, now)
            return 0.0 if came_between else chat_s
        if self.limits.chat_rate.is_limit:
            self._chats[chat] = taken(self._chats.get(chat, Bucket()), self.limits.chat_rate, now) or Bucket()
            self._forget_chats(now)
        self.in_flight += 1
        return Way(chat, ticket, is_probe, now)

    # -- what came of it

    def arrived(self, way: Way, now: float) -> None:
        """The platform took it."""
        self.in_flight -= 1
        self.sent_count += 1
        self.error = ""
        self._settle(way, Outcome.SUCCESS, now)

    def failed(self, way: Way, failure: Failure, now: Mark) -> bool:
        """The platform did not take it. True when that is the account's affair, so that no attempt is used up."""
        self.in_flight -= 1
        self.error = one_line(failure.error)
        wait_s = asked_s(failure)
        if failure.kind in {PlatformErrorKind.REFUSED, PlatformErrorKind.GONE} or failure.is_for_chat:
            # It answered, and well: only this chat does not want it.
            self._settle(way, Outcome.SUCCESS, now.mono)
            if wait_s is not None:
                self._chat_holds[way.chat] = max(now.mono + wait_s, self._chat_holds.get(way.chat, 0.0))
                self._forget_chats(now.mono)
            return False
        if failure.kind is PlatformErrorKind.RETRY_AFTER and wait_s is not None:
            self._settle(way, Outcome.NEUTRAL, now.mono)
            self._hold(Hold(Mark(now.at + wait_s, now.mono + wait_s), self.error), now.mono)
            return True
        if failure.kind is PlatformErrorKind.RETRY_AFTER and way.began < self._stood:
            # It went out over a connection that is gone: that tells nothing of the one that stands now.
            self._settle(way, Outcome.NEUTRAL, now.mono)
            return True
        self._settle(way, Outcome.FAILURE, now.mono, self.error)
        return way.is_probe

    def let_go(self, way: Way, now: float) -> None:
        """It was cut off: nobody knows."""
        self.in_flight -= 1
        self._settle(way, Outcome.NEUTRAL, now)

    def put_off_s(self, chat: str, now: float) -> float:
        """How long to put off a message that failed through no fault of its own: behind those that wait."""
        delay_s = max(self.wait_s(now), self._chat_wait_s(chat, now))
        return _PROBE_GAP_S if math.isinf(delay_s) else delay_s + (_PROBE_GAP_S if self._is_open(now) else 0.0)

    # -- operators, and the connection

    def lift(self) -> Hold | None:
        """Forget what the far side asked for. None when it asked for nothing."""
        hold, self.hold = self.hold, None
        return hold

    def lift_chat(self, chat: str) -> None:
        """The same for one chat."""
        self._chat_holds.pop(chat, None)

    def stands(self, now: float) -> None:
        """Its connection stands again: whatever failed over the one before, the next message tries it out."""
        self._stood = now
        self.probe_now(now)

    def probe_now(self, now: float) -> None:
        """Let the next message through as a probe, if a breaker that decides by itself is open."""
        if self._is_open(now) and self.breaker.expires is not None:
            self.breaker = msgspec.structs.replace(self.breaker, expires=math.nextafter(now, -math.inf))

    # -- inside

    def _is_open(self, now: float) -> bool:
        self.breaker = refreshed(self.breaker, now, self.settings)
        return self.breaker.state is BreakerState.OPEN

    def _hold(self, hold: Hold, now: float) -> None:
        if self.held_s(now) < hold.until.mono - now:
            self.hold = hold

    def _settle(self, way: Way, outcome: Outcome, now: float, error: str = "") -> None:
        self.breaker = settled(self.breaker, way.ticket, outcome, now, self.settings, self._random, error=error)

    def _take_back(self, ticket: Ticket, now: float) -> None:
        self._bucket = given_back(self._bucket, self.limits.rate)
        self.breaker = settled(self.breaker, ticket, Outcome.NEUTRAL, now, self.settings, self._random)

    def _chat_wait_s(self, chat: str, now: float) -> float:
        bucket_s = rate_wait_s(self._chats.get(chat, Bucket()), self.limits.chat_rate, now)
        return max(bucket_s, self._chat_holds.get(chat, 0.0) - now, 0.0)

    def _forget_chats(self, now: float) -> None:
        if len(self._chats) > _CHATS_KEPT:
            self._chats = {chat: bucket for chat, bucket in self._chats.items() if bucket.full_at > now}
        if len(self._chat_holds) > _CHATS_KEPT:
            self._chat_holds = {chat: until for chat, until in self._chat_holds.items() if until > now}
