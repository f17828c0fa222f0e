"""A circuit breaker written a second time from its documented rules, to compare with: plain, mutable, in thousandths.

Time is whole milliseconds, answers are words, and nothing is shared with the breaker of the core.
"""


class BreakerOracle:
    """One breaker. Rules as in the settings of the core's, durations in milliseconds."""

    def __init__(self, **rules: int) -> None:
        self.failures_allowed = rules.get("failures", 5)
        self.open_ms = rules.get("open_ms", 30_000)
        self.places = rules.get("probes", 1)
        self.interval_ms = rules.get("interval_ms", 0)
        self.probe_deadline_ms = rules.get("probe_deadline_ms", 0)
        self.growth = rules.get("growth", 1)
        self.cap_ms = rules.get("cap_ms", 300_000)
        self.calm_ms = rules.get("calm_ms", 300_000)
        self.flap_count = rules.get("flap_count", 3)
        self.flap_ms = rules.get("flap_ms", 600_000)
        self.now = rules.get("now", 0)
        self.word = "closed"
        self.age = 1
        self.end: int | None = self.now + self.interval_ms if self.interval_ms else None
        self.tally = [0, 0, 0, 0, 0]
        self.out: dict[int, int | None] = {}
        self.calls = 0
        self.refusals = 0
        self.openings = 0
        self.closed_at = self.now
        self.trips: list[int] = []
        self.forced = ""

    def look(self) -> None:
        """What time alone does."""
        if self.end is not None and self.now > self.end:
            if self.word == "open":
                self._become("half_open")
            else:
                self.age += 1
                self.tally = [0, 0, 0, 0, 0]
                self.end = self.now + self.interval_ms
            return
        for call in [call for call, limit in self.out.items() if limit is not None and self.now > limit]:
            del self.out[call]
            self.tally[0] -= 1

    def ask(self) -> tuple[int, int] | str:
        """A call: its generation and number, or the refusal."""
        self.look()
        if self.word == "open":
            self.refusals += 1
            return "held" if self.forced == "held" else "open"
        if self.word == "half_open" and self.tally[0] >= self.places:
            self.refusals += 1
            return "probing"
        self.calls += 1
        self.tally[0] += 1
        if self.word == "half_open":
            self.out[self.calls] = self.now + self.probe_deadline_ms if self.probe_deadline_ms else None
        return self.age, self.calls

    def tell(self, call: tuple[int, int], how: str) -> None:
        """How a call went: success, failure or neutral."""
        self.look()
        age, number = call
        if age != self.age or (self.word == "half_open" and number not in self.out):
            return
        self.out.pop(number, None)
        if how == "neutral":
            self.tally[0] -= 1
        elif how == "success":
            self.tally[1] += 1
            self.tally[3] += 1
            self.tally[4] = 0
            if self.word == "half_open" and self.tally[3] >= self.places:
                self._become("closed")
                self.closed_at = self.now
        else:
            self.tally[2] += 1
            self.tally[4] += 1
            self.tally[3] = 0
            if self.word == "half_open":
                self._open(again=True)
            elif self.tally[4] >= self.failures_allowed and self.forced == "":
                self.trips.append(self.now)
                recent = [at for at in self.trips if self.now - at <= self.flap_ms]
                is_soon = self.now - self.closed_at <= self.calm_ms or len(recent) >= self.flap_count
                self._open(again=self.openings > 0 and is_soon)

    def order(self, what: str) -> None:
        """An operator's order: reset, held, disabled or probe."""
        if what == "probe":
            self.look()
            if self.word == "open" and self.end is not None:
                self._become("half_open")
            return
        self._become("open" if what == "held" else "closed")
        self.forced = "" if what == "reset" else what
        if self.word == "closed":
            self.closed_at = self.now
        if what == "reset":
            self.openings = 0
            self.trips = []

    def _open(self, *, again: bool) -> None:
        self.openings = self.openings + 1 if again else 1
        length = self.open_ms
        for _ in range(self.openings - 1):
            length = min(length * self.growth, max(self.cap_ms, self.open_ms))
        self._become("open")
        self.end = self.now + length

    def _become(self, word: str) -> None:
        self.word = word
        self.age += 1
        self.tally = [0, 0, 0, 0, 0]
        self.out = {}
        self.end = self.now + self.interval_ms if word == "closed" and self.interval_ms else None
