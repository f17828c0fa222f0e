"""A crowd of made-up people: when they speak, what they say to an answer, and when they lose patience.

Nothing here reads a clock or draws a number by itself: `now` is monotonic seconds and
`random` gives numbers in [0, 1), so a seed tells the same story again.
"""

import heapq
import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from core.api.base import PlatformName
from core.api.sessions import ChatKind, Source
from core.gateway.adapters.people import Persona, Scenario
from core.gateway.platform import Inbound

_READ_LIMIT = 4000
_CATCH_UP_S = 1.0
_BACKOFF_CAP_S = 60.0
_SHORTEST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 1.0
_ALARMS_KEPT = 1000


class Mood(StrEnum):
    """What somebody is doing. resting: turned away or put off, and trying again later."""

    FREE = "free"
    WAITING = "waiting"
    RESTING = "resting"


class Said(msgspec.Struct, frozen=True):
    """A message that somebody sends now. person: their number."""

    person: int
    inbound: Inbound


class _Person(msgspec.Struct):
    number: int
    persona: Persona
    source: Source
    sender_id: str
    name: str
    mood: Mood = Mood.FREE
    stamp: int = 0
    turns_left: int = 0
    nudge_count: int = 0
    refusal_count: int = 0
    since: float = 0.0
    following: str = ""
    unsaid: Inbound | None = None
    unanswered: list[str] = msgspec.field(default_factory=list[str])


class Crowd:
    """Everybody on one platform. Nobody has more than one message unanswered, but for the impatient.

    The longest silent speaks next, so everybody is heard before anybody is heard twice.
    """

    def __init__(
        self,
        story: Scenario,
        *,
        platform: PlatformName,
        people: int,
        rate_per_s: float,
        now: float,
        random: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._story = story
        self._platform = platform
        self._rate_per_s = rate_per_s
        self._random = random
        self._new_id = new_id
        self._patterns = {
            reply.when: re.compile(reply.when, re.IGNORECASE) for persona in story.personas for reply in persona.replies
        }
        self._persons: dict[int, _Person] = {}
        self._free: deque[int] = deque(_shuffled(people, random))
        self._alarms: list[tuple[float, int, int]] = []
        self._alarm_limit = _ALARMS_KEPT
        self._next_at = now
        self._senders: dict[str, int] = {}

    @property
    def waiting_count(self) -> int:
        """People who wait for an answer."""
        return sum(person.mood is Mood.WAITING for person in self._persons.values())

    def pause_s(self, now: float) -> float | None:
        """How long to wait before due() is worth asking; None is for ever."""
        if not self._rate_per_s and not self._alarms:
            return None
        due = [self._alarms[0][0]] if self._alarms else []
        if self._rate_per_s:
            due.append(self._next_at if self._free else now + 1 / self._rate_per_s)
        return min(max(min(due) - now, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)

    def due(self, now: float) -> Sequence[Said]:
        """What is said by now."""
        said: list[Said] = []
        while self._alarms and self._alarms[0][0] <= now:
            _, number, stamp = heapq.heappop(self._alarms)
            person = self._persons[number]
            if person.stamp == stamp:
                said += self._alarmed(person, now)
        # Whoever was held up does not make up for more than a moment of it.
        self._next_at = max(self._next_at, now - _CATCH_UP_S)
        while self._rate_per_s and self._next_at <= now and self._free:
            said.append(self._speak(self._person(self._free.popleft()), now))
            self._next_at -= math.log(1.0 - self._random()) / self._rate_per_s
        return said

    def taken(self, number: int) -> None:
        """A message was taken in."""
        self._persons[number].refusal_count = 0

    def put_off(self, number: int, now: float, wait_s: float) -> None:
        """A message was not taken in and may be sent again after wait_s; longer each time."""
        person = self._persons[number]
        if person.mood is not Mood.WAITING:
            return
        person.refusal_count += 1
        person.mood = Mood.RESTING
        backoff_s = min(_BACKOFF_CAP_S, 2.0 ** min(person.refusal_count, 10))
        self._set_alarm(person, now + max(wait_s, backoff_s * (0.5 + self._random() / 2)))

    def turned_away(self, number: int, now: float) -> None:
        """A message will never be taken in; its sender lets it be for a long while."""
        person = self._persons[number]
        if person.mood is not Mood.WAITING:
            return
        self._end(person)
        person.mood = Mood.RESTING
        self._set_alarm(person, now + person.persona.gives_up_s)

    def answered(self, reply_to: str, text: str) -> bool:
        """An answer arrived to the message of that id. One that nobody waits for changes nothing: False."""
        number = self._senders.get(reply_to)
        if number is None:
            return False
        person = self._persons[number]
        person.turns_left -= 1
        person.following = self._follow_up(person, text) if person.turns_left > 0 else ""
        self._set_free(person)
        return True

    def _alarmed(self, person: _Person, now: float) -> Sequence[Said]:
        if person.mood is Mood.RESTING:
            if person.unsaid is None:
                self._set_free(person)
                return ()
            person.mood, person.since = Mood.WAITING, now
            self._watch(person, now)
            return (Said(person.number, person.unsaid),)
        impatience = person.persona.impatience
        is_over = now >= person.since + person.persona.gives_up_s
        if not is_over and impatience is not None and person.nudge_count < impatience.at_most:
            person.nudge_count += 1
            self._watch(person, now)
            return (Said(person.number, self._message(person, self._pick(impatience.say))),)
        person.following = ""
        self._set_free(person)
        return ()

    def _speak(self, person: _Person, now: float) -> Said:
        text = person.following
        if not text:
            fewest, most = person.persona.turns
            person.turns_left = fewest + int(self._random() * (most - fewest + 1))
            text = self._pick(person.persona.openings)
        person.mood, person.since, person.nudge_count = Mood.WAITING, now, 0
        person.unsaid = self._message(person, text)
        self._watch(person, now)
        return Said(person.number, person.unsaid)

    def _watch(self, person: _Person, now: float) -> None:
        """Set the alarm for what comes next when no answer does."""
        persona, impatience = person.persona, person.persona.impatience
        gives_up_at = person.since + persona.gives_up_s
        if impatience is not None and person.nudge_count < impatience.at_most:
            self._set_alarm(person, min(now + impatience.after_s, gives_up_at))
        else:
            self._set_alarm(person, gives_up_at)

    def _set_alarm(self, person: _Person, at: float) -> None:
        person.stamp += 1
        heapq.heappush(self._alarms, (at, person.number, person.stamp))
        if len(self._alarms) > self._alarm_limit:
            self._alarms = [alarm for alarm in self._alarms if self._persons[alarm[1]].stamp == alarm[2]]
            heapq.heapify(self._alarms)
            self._alarm_limit = max(_ALARMS_KEPT, 2 * len(self._alarms))

    def _set_free(self, person: _Person) -> None:
        self._end(person)
        self._free.append(person.number)

    def _end(self, person: _Person) -> None:
        person.stamp += 1
        person.mood, person.refusal_count, person.unsaid = Mood.FREE, 0, None
        for native_id in person.unanswered:
            del self._senders[native_id]
        person.unanswered.clear()

    def _message(self, person: _Person, text: str) -> Inbound:
        native_id = self._new_id()
        person.unanswered.append(native_id)
        self._senders[native_id] = person.number
        return Inbound(
            platform=self._platform,
            source=person.source,
            sender_id=person.sender_id,
            sender_name=person.name,
            text=text,
            native_id=native_id,
        )

    def _follow_up(self, person: _Person, answer: str) -> str:
        # Searching is bounded, for a scenario may hold a slow expression and an answer may be long.
        read = answer[:_READ_LIMIT]
        for reply in person.persona.replies:
            if self._patterns[reply.when].search(read):
                return self._pick(reply.say)
        return self._pick(person.persona.otherwise)

    def _pick(self, lines: Sequence[str]) -> str:
        return lines[int(self._random() * len(lines))]

    def _person(self, number: int) -> _Person:
        person = self._persons.get(number)
        if person is None:
            person = self._persons[number] = self._new_person(number)
        return person

    def _new_person(self, number: int) -> _Person:
        story = self._story
        first = story.names[number % len(story.names)]
        # Once the names are used up, a number tells namesakes apart.
        name = first if number < len(story.names) else f"{first} {number // len(story.names) + 1}"
        sender_id = f"u{number}"
        shares = {ChatKind.DM: story.chats.dm, ChatKind.GROUP: story.chats.group, ChatKind.THREAD: story.chats.thread}
        kind = list(shares)[_drawn(list(shares.values()), _spread(number))]
        block = number // story.chats.group_size
        if kind is ChatKind.GROUP:
            source = Source(platform=self._platform, kind=kind, chat=f"g{block}", chat_name=f"group {block + 1}")
        elif kind is ChatKind.THREAD:
            source = Source(
                platform=self._platform, kind=kind, chat=f"c{block}", thread=f"t{number}", chat_name=f"topic of {name}"
            )
        else:
            source = Source(platform=self._platform, kind=kind, chat=sender_id, chat_name=name)
        persona = story.personas[_drawn([item.share for item in story.personas], _spread(number * 7 + 3))]
        return _Person(number=number, persona=persona, source=source, sender_id=sender_id, name=name)


def _shuffled(count: int, random: Callable[[], float]) -> list[int]:
    order = list(range(count))
    for place in range(count - 1, 0, -1):
        other = int(random() * (place + 1))
        order[place], order[other] = order[other], order[place]
    return order


def _spread(number: int) -> float:
    """A number in [0, 1) for each person, evenly spread and always the same."""
    return (number * 0.6180339887498949) % 1.0


def _drawn(shares: Sequence[float], draw: float) -> int:
    """The place of the share that `draw`, in [0, 1), falls on."""
    left = draw * sum(shares)
    for place, share in enumerate(shares):
        left -= share
        if left < 0:
            return place
    return max(place for place, share in enumerate(shares) if share > 0)
