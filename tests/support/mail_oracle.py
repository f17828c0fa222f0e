"""What a mailbox promises, said once more with lists and dicts: a list for each line, a search for everything.

Written from the documents and not from the code. It does not choose the next message; it says whether
the one that was chosen could be, and whether one should have been.
"""

import dataclasses
from collections.abc import Callable

from core.api.mail import DeadReason
from core.api.mailboxes import Guarantee, MailboxPolicy, Overflow
from core.mailbox.message import Draft, Mail
from tests.support.mail_stage import LUCK

Match = Callable[[Mail], bool]

_POISON = 2


class Broken(AssertionError):
    """A promise that was not kept."""


def insist(truth: bool, promise: str) -> None:
    """Raises Broken with the promise when it does not hold."""
    if not truth:
        raise Broken(promise)


@dataclasses.dataclass(eq=False)
class Letter:
    """One message. state: queued, delayed, out, dead. until: of its lease."""

    id: int
    sender: str
    line: str
    key: str
    is_once: bool
    expires: float
    due: float = 0.0
    state: str = "queued"
    attempt: int = 0
    is_put_off: bool = False
    crashes: int = 0
    until: float = 0.0
    reason: DeadReason | None = None


class Oracle:
    """One mailbox. Times are seconds of one clock that goes on over restarts."""

    def __init__(self, policy: MailboxPolicy) -> None:
        self.policy = policy
        self.now = 0.0
        self.live: dict[int, Letter] = {}
        self.dead: dict[int, Letter] = {}
        self.lines: dict[str, list[Letter]] = {}
        self.known: dict[str, tuple[int, float, bool]] = {}
        self.last_id = self.last_stored_id = 0
        self.is_paused = False
        self.paused_until = 0.0
        self.count: dict[str, int] = dict.fromkeys(
            ("accepted", "done", "expired", "dropped", "duplicates", "rejected", "redelivered", "stale"), 0
        )

    # -- in

    def duplicate_of(self, draft: Draft) -> int:
        """Id of the message that a draft repeats, 0 when it is a new one."""
        mail_id, until, _ = self.known.get(draft.key, (0, 0.0, False)) if draft.key else (0, 0.0, False)
        return mail_id if until > self.now else 0

    @property
    def is_full(self) -> bool:
        """Whether there is no room."""
        return bool(self.policy.capacity) and len(self.live) >= self.policy.capacity

    def refuses(self) -> bool:
        """Whether one more message is refused with an error."""
        if not self.is_full or self.policy.overflow in {Overflow.DROP_NEWEST, Overflow.DEAD_LETTER}:
            return False
        return self.policy.overflow is not Overflow.DROP_OLDEST or all(m.state == "out" for m in self.live.values())

    def post(self, mail_id: int, draft: Draft) -> None:
        """It was accepted with that id."""
        insist(mail_id > self.last_id, f"ids grow: {mail_id} came after {self.last_id}")
        self.last_id = mail_id
        ttl_s = self.policy.ttl_s if draft.ttl_s is None else draft.ttl_s
        once = (draft.guarantee or self.policy.guarantee) is Guarantee.AT_MOST_ONCE
        expires = self.now + ttl_s if ttl_s else 0.0
        letter = Letter(mail_id, draft.sender, draft.order_key or draft.sender, draft.key, once, expires)
        self._come(letter, self.now + draft.delay_s if draft.delay_s else 0.0)

    def redrive(self, dead_id: int, new_id: int) -> None:
        """A dead letter came in once more."""
        insist(new_id > self.last_id, f"ids grow: {new_id} came after {self.last_id}")
        self.last_id = new_id
        old = self.dead.pop(dead_id)
        self.count["dropped"] += 1
        expires = self.now + self.policy.ttl_s if self.policy.ttl_s else 0.0
        self._come(Letter(new_id, old.sender, old.line, "", old.is_once, expires), 0.0)

    def _come(self, letter: Letter, due: float) -> None:
        self.count["accepted"] += 1
        if self.is_full:
            if self.policy.overflow is Overflow.DROP_NEWEST:
                self.count["dropped"] += 1
                return
            if self.policy.overflow is Overflow.DEAD_LETTER:
                self._remember(letter)
                self._die(letter, DeadReason.OVERFLOW)
                return
            insist(self.policy.overflow is Overflow.DROP_OLDEST, "a full mailbox accepts nothing")
            self.drop(min(mail_id for mail_id, other in self.live.items() if other.state != "out"))
        self._remember(letter)
        self.live[letter.id] = letter
        if due:
            letter.state, letter.due = "delayed", due
        else:
            self.lines.setdefault(letter.line, []).append(letter)

    def _remember(self, letter: Letter) -> None:
        if not letter.is_once:
            self.last_stored_id = letter.id
        if letter.key and self.policy.dedupe_s:
            self.known[letter.key] = (letter.id, self.now + self.policy.dedupe_s, letter.is_once)

    # -- out

    def ready(self, match: Match | None, mails: dict[int, Mail]) -> set[int]:
        """Ids of messages that may be given out now. mails: all of them, for the matches."""
        limit = self.policy.in_flight_limit
        out = sum(letter.state == "out" for letter in self.live.values())
        if self.is_paused or (limit and out >= limit):
            return set()
        return {letter.id for letter in self.live.values() if self._may_go(letter, match, mails)}

    def _may_go(self, letter: Letter, match: Match | None, mails: dict[int, Mail]) -> bool:
        if letter.state != "queued" or (match is not None and not match(mails[letter.id])):
            return False
        if not self.policy.ordered:
            return True
        line = self.lines[letter.line]
        earlier = line[: line.index(letter)]
        return not earlier if match is None else not any(match(mails[other.id]) for other in earlier)

    def take(self, mail: Mail, match: Match | None, mails: dict[int, Mail]) -> None:
        """That one was given out."""
        insist(mail.id in self.ready(match, mails), f"m-{mail.id} could not go out now")
        letter = self.live[mail.id]
        letter.state = "out"
        letter.attempt += 1
        letter.until = self.now + self.policy.visibility_s
        self.count["redelivered"] += letter.attempt > 1
        insist(mail.attempt == letter.attempt, f"m-{mail.id} is delivery {mail.attempt}, not {letter.attempt}")

    # -- settled

    def ack(self, mail_id: int) -> None:
        """Its holder is done with it."""
        insist(self.live[mail_id].state == "out", f"m-{mail_id} was out")
        self._leave(self.live.pop(mail_id))
        self.count["done"] += 1

    def fail(self, mail_id: int, delay_s: float | None) -> None:
        """A delivery failed."""
        letter = self.live[mail_id]
        if letter.is_once:
            self._end(letter, "dropped")
        elif letter.attempt >= self.policy.max_deliveries:
            self.bury(mail_id, DeadReason.MAX_DELIVERIES)
        else:
            policy = self.policy
            wait_s = min(policy.retry_cap_s, policy.retry_base_s * 2.0 ** (letter.attempt - 1)) * LUCK
            self._back(letter, wait_s if delay_s is None else delay_s)

    def release(self, mail_id: int) -> None:
        """It was given back."""
        self._back(self.live[mail_id], 0.0)

    def put_off(self, mail_id: int, delay_s: float) -> None:
        """It came too early: that was no delivery, and it keeps its place."""
        letter = self.live[mail_id]
        letter.attempt -= 1
        self._back(letter, delay_s)
        letter.is_put_off = letter.state == "delayed"

    def bury(self, mail_id: int, reason: DeadReason) -> None:
        """It died."""
        letter = self.live.pop(mail_id)
        self._leave(letter)
        self._die(letter, reason)

    def drop(self, mail_id: int) -> None:
        """It was let go, waiting or dead."""
        if self.dead.pop(mail_id, None) is None:
            self._leave(self.live.pop(mail_id))
        self.count["dropped"] += 1

    def extend(self, mail_id: int, visibility_s: float) -> None:
        """Its holder is alive."""
        self.live[mail_id].until = self.now + visibility_s

    # -- time

    def advance(self, delta_s: float) -> None:
        """Leases end, then times to live, then delays."""
        self.now += delta_s
        for letter in [m for m in self.live.values() if m.state == "out" and m.until <= self.now]:
            self.fail(letter.id, None)
        for letter in [m for m in self.live.values() if m.state != "out" and 0 < m.expires <= self.now]:
            self._expire(letter)
        due = [m for m in self.live.values() if m.state == "delayed" and m.due <= self.now]
        for letter in sorted(due, key=lambda m: (m.due, m.id)):
            letter.state, letter.due = "queued", 0.0
            if letter.is_put_off:
                letter.is_put_off = False
                continue
            if not letter.attempt:
                self.lines.setdefault(letter.line, []).append(letter)
        if self.paused_until and self.paused_until <= self.now:
            self.is_paused, self.paused_until = False, 0.0

    def crash(self) -> None:
        """The core died and started again; everything was stored that is stored at all."""
        self.known = {key: known for key, known in self.known.items() if not known[2]}
        # Ids of messages that were in memory only may come again.
        self.last_id = self.last_stored_id
        for letter in [m for m in self.live.values() if m.is_once]:
            del self.live[letter.id]
        self.dead = {mail_id: letter for mail_id, letter in self.dead.items() if not letter.is_once}
        self.count = dict.fromkeys(self.count, 0) | {"accepted": len(self.live) + len(self.dead)}
        for letter in [m for m in self.live.values() if m.state == "out"]:
            letter.crashes += 1
            if letter.crashes >= _POISON:
                self.bury(letter.id, DeadReason.POISON)
            elif letter.attempt >= self.policy.max_deliveries:
                self.bury(letter.id, DeadReason.MAX_DELIVERIES)
            else:
                letter.state, letter.due = "queued", 0.0
        for letter in [m for m in self.live.values() if m.is_put_off]:
            letter.state, letter.due, letter.is_put_off = "queued", 0.0, False
        self._line_up()

    def set_policy(self, policy: MailboxPolicy) -> None:
        """Other rules."""
        is_other = policy.ordered is not self.policy.ordered
        self.policy = policy
        if is_other:
            self._line_up()

    def _line_up(self) -> None:
        self.lines = {}
        for letter in sorted(self.live.values(), key=lambda m: m.id):
            if letter.state != "delayed" or letter.attempt or letter.is_put_off:
                self.lines.setdefault(letter.line, []).append(letter)

    # -- inside

    def _back(self, letter: Letter, delay_s: float) -> None:
        if 0 < letter.expires <= self.now:
            self._expire(letter)
            return
        letter.state, letter.due = ("delayed", self.now + delay_s) if delay_s else ("queued", 0.0)

    def _expire(self, letter: Letter) -> None:
        if self.policy.keep_expired:
            self.bury(letter.id, DeadReason.EXPIRED)
        else:
            self._end(letter, "expired")

    def _die(self, letter: Letter, reason: DeadReason) -> None:
        letter.state, letter.reason = "dead", reason
        self.dead[letter.id] = letter

    def _end(self, letter: Letter, count: str) -> None:
        del self.live[letter.id]
        self._leave(letter)
        self.count[count] += 1

    def _leave(self, letter: Letter) -> None:
        line = self.lines.get(letter.line, [])
        if letter in line:
            line.remove(letter)
