"""One origin that messages go to: whether it may be called now, and what its answers mean for the next call (no I/O).

`now` is monotonic seconds. Two things hold it up: the far side asked to be left alone (hold), too many failures in a
row (breaker). Besides it gets only so many calls at a time.
"""

import math
from collections import deque
from collections.abc import Callable

import msgspec

from core.api.base import Mark
from core.api.relay_tasks import AttemptResult, RelayAttempt
from core.breaker import Breaker, BreakerState, Outcome, Ticket, admitted, fresh, refreshed, settled, wait_s
from core.breaker_settings import BreakerSettings
from core.relay.health import Health
from core.relay.outcome import is_retried, outcome_of
from core.relay.wire import Reply

RETRY_AFTER_CAP_S = 3600.0
"""However long a far side asks to be left alone, it is for no longer than that."""

_TEXT_LIMIT = 300
_TOLD_S = 1.0


class Hold(msgspec.Struct, frozen=True):
    """The far side wants to be left alone until then."""

    until: Mark
    why: str


class Target:
    """The state of one origin. random: gives a number in [0, 1). in_flight_limit: calls at a time.

    is_clear: nothing holds it up, known without asking; it is False as soon as there is anything to look at.
    """

    def __init__(
        self, now: float, settings: BreakerSettings, random: Callable[[], float], *, in_flight_limit: int
    ) -> None:
        self._settings = settings
        self._random = random
        self._in_flight_limit = in_flight_limit
        self._breaker = fresh(now, settings)
        self._hold: Hold | None = None
        # Places that the gate gave away and no message has used yet.
        self._given: deque[Ticket] = deque()
        self.in_flight = 0
        self.health = Health()
        self.last_ok: Mark | None = None
        self.last_error = ""
        self.last_status = 0
        self.is_clear = True
        self._look()

    @property
    def breaker(self) -> Breaker:
        """As it was when something last happened to it."""
        return self._breaker

    @breaker.setter
    def breaker(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._look()

    @property
    def hold(self) -> Hold | None:
        """What the far side asked for, also when that is over."""
        return self._hold

    @hold.setter
    def hold(self, hold: Hold | None) -> None:
        self._hold = hold
        self._look()

    # -- the gate

    def wait_s(self, now: float) -> float:
        """Seconds until a message may go out; 0 now, infinity until something else changes."""
        if self.is_clear:
            return 0.0
        if self.in_flight + len(self._given) >= self._in_flight_limit:
            return math.inf
        return max(self.held_s(now), self.broken_s(now))

    def held_s(self, now: float) -> float:
        """Seconds that the far side still wants to be left alone."""
        if self._hold is not None and self._hold.until.mono <= now:
            self.hold = None
        return 0.0 if self._hold is None else self._hold.until.mono - now

    def broken_s(self, now: float) -> float:
        """Seconds until the breaker lets one through."""
        breaker = self._breaker
        if breaker.state is BreakerState.OPEN and breaker.expires is not None and breaker.expires > now:
            # The same as below, sooner: whoever is shut out asks often.
            return breaker.expires - now
        return wait_s(breaker, now, self._settings)

    def admit(self, now: float) -> bool:
        """Give a place to a message, to be used by begun()."""
        if self.wait_s(now):
            return False
        ticket = self._ticket(now)
        if ticket is None:
            return False
        self._given.append(ticket)
        self._look()
        return True

    def refuse(self, now: float) -> None:
        """Something that wants out is not let through: count it, when that is the breaker's doing."""
        if self.broken_s(now) > 0:
            self._ticket(now)

    def vacated(self, now: float) -> None:
        """Whoever had places is gone."""
        while self._given:
            self._take_back(self._given.popleft(), now)
        self._look()

    def not_used(self, now: float) -> None:
        """A message that had a place is nothing to be sent."""
        if self._given:
            self._take_back(self._given.popleft(), now)
            self._look()

    def begun(self, now: float) -> Ticket | None:
        """Use a place for a message. None leaves it to the gate, with the place free again."""
        if not self._given and not self.admit(now):
            return None
        ticket = self._given.popleft()
        self._breaker = refreshed(self._breaker, now, self._settings)
        # What came in between: another message was told to wait, or was the failure that opened the breaker.
        if self.held_s(now) > 0 or self._is_void(ticket):
            self._take_back(ticket, now)
            self._look()
            return None
        self.in_flight += 1
        self._look()
        return ticket

    def asked(self, now: float) -> Ticket | float:
        """Let a call through that is no message, such as a question. Else seconds until one may, maybe infinity."""
        wait = 0.0 if self.is_clear else max(self.held_s(now), self.broken_s(now))
        if wait == 0.0 and (ticket := self._ticket(now)) is not None:
            return ticket
        self.refuse(now)
        return wait or self.broken_s(now)

    # -- what came of it

    def settled(self, ticket: Ticket, reply: Reply, now: Mark, *, began: float, is_message: bool = True) -> bool:
        """An answer, or what came instead of one. True when the far side asks to be left alone for longer than yet.

        began: monotonic seconds. is_message: it took one of the places of messages.
        """
        if is_message:
            self.in_flight -= 1
        outcome = outcome_of(reply)
        error = _error_of(reply)
        self._breaker = settled(self._breaker, ticket, outcome, now.mono, self._settings, self._random, error=error)
        is_longer = False
        if outcome is not Outcome.NEUTRAL:
            if is_message:
                # Questions are many and cheap: they would hide how messages fare.
                self._sample(reply, now.mono - began)
            if reply.result is AttemptResult.DELIVERED:
                self.last_ok = now
            self._say(reply, error)
            is_longer = self._is_asked_to_wait(reply, error, now)
        elif reply.result is not AttemptResult.CUT_OFF:
            self.last_error = error
        self._look()
        return is_longer

    def recalled(self, attempt: RelayAttempt, ended: Mark) -> None:
        """An attempt of an earlier start, as the books have it: for the health, the breaker knows its own."""
        reply = Reply(result=attempt.result, status=attempt.status, error=attempt.error)
        if outcome_of(reply) is Outcome.NEUTRAL:
            return
        self._sample(reply, attempt.latency_s)
        if reply.result is AttemptResult.DELIVERED and (self.last_ok is None or self.last_ok.at < ended.at):
            self.last_ok = ended
        self._say(reply, _error_of(reply))

    def refresh(self, now: float) -> None:
        """Let time do its part."""
        self._breaker = refreshed(self._breaker, now, self._settings)
        self.held_s(now)
        self._look()

    # -- inside

    def _sample(self, reply: Reply, latency_s: float) -> None:
        is_ok = reply.result is AttemptResult.DELIVERED
        self.health.add(is_ok=is_ok, latency_s=latency_s if reply.status else None)

    def _say(self, reply: Reply, error: str) -> None:
        self.last_status = reply.status
        self.last_error = "" if reply.result is AttemptResult.DELIVERED else error

    def _is_asked_to_wait(self, reply: Reply, error: str, now: Mark) -> bool:
        asked_s = reply.retry_after_s
        if asked_s is None or not asked_s > 0 or not is_retried(reply):
            return False
        asked_s = min(asked_s, RETRY_AFTER_CAP_S)
        before_s = self.held_s(now.mono)
        if asked_s <= before_s:
            return False
        self._hold = Hold(Mark(now.at + asked_s, now.mono + asked_s), error)
        return asked_s > before_s + _TOLD_S

    def _ticket(self, now: float) -> Ticket | None:
        self._breaker, answer = admitted(self._breaker, now, self._settings)
        return answer if isinstance(answer, Ticket) else None

    def _is_void(self, ticket: Ticket) -> bool:
        breaker = self._breaker
        if ticket.generation != breaker.generation:
            return True
        is_probe = breaker.state is BreakerState.HALF_OPEN
        return is_probe and all(probe.number != ticket.number for probe in breaker.probing)

    def _take_back(self, ticket: Ticket, now: float) -> None:
        self._breaker = settled(self._breaker, ticket, Outcome.NEUTRAL, now, self._settings, self._random)

    def _look(self) -> None:
        breaker = self._breaker
        self.is_clear = (
            breaker.state is BreakerState.CLOSED
            and breaker.expires is None
            and self._hold is None
            and self.in_flight + len(self._given) < self._in_flight_limit
        )


def _error_of(reply: Reply) -> str:
    return " ".join(reply.error.split())[:_TEXT_LIMIT] or (f"HTTP {reply.status}" if reply.status else "")
