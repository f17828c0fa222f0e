"""Made-up people: everybody is heard, nobody talks over an answer, and patience has an end."""

import random
from typing import Any

import pytest

from core.api.base import PlatformName
from core.api.errors import ConfigError
from core.api.sessions import ChatKind
from core.gateway.adapters.crowd import Crowd, Said
from core.gateway.adapters.people import scenario
from core.gateway.source import session_id

PLAIN: dict[str, Any] = {
    "names": ["ana", "bo"],
    "personas": [
        {
            "name": "plain",
            "openings": ["hello"],
            "otherwise": ["go on"],
            "replies": [{"when": "which .*\\?", "say": ["the first"]}],
            "turns": [2, 2],
            "gives_up_s": 100,
        }
    ],
}


def crowd(values: dict[str, Any] | None = None, *, people: int = 4, rate_per_s: float = 1.0, seed: int = 1) -> Crowd:
    """A crowd that begins at the instant 0."""
    numbers = iter(range(1_000_000))
    return Crowd(
        scenario(values or PLAIN, "test"),
        platform=PlatformName("sim"),
        people=people,
        rate_per_s=rate_per_s,
        now=0.0,
        random=random.Random(seed).random,
        new_id=lambda: f"m{next(numbers)}",
    )


def impatient(after_s: float = 5.0, at_most: int = 2) -> dict[str, Any]:
    """The plain scenario with people who do not like to wait."""
    persona = {**PLAIN["personas"][0], "impatience": {"after_s": after_s, "say": ["hello?"], "at_most": at_most}}
    return {**PLAIN, "personas": [persona]}


def heard(people: Crowd, until: float, step: float = 0.1, begin: float = 0.0) -> list[Said]:
    """Everything that is said up to an instant."""
    said: list[Said] = []
    for tick in range(int(begin / step), int(until / step) + 1):
        said += people.due(tick * step)
    return said


def test_everybody_speaks_before_anybody_speaks_twice() -> None:
    """Also when all are answered at once."""
    people = crowd(people=30, rate_per_s=10.0)
    order: list[int] = []
    for tick in range(100):
        for said in people.due(tick * 0.1):
            order.append(said.person)
            people.answered(said.inbound.native_id, "fine")
    assert sorted(order[:30]) == list(range(30))
    assert len(order) > 60


def test_nobody_speaks_while_their_message_is_unanswered() -> None:
    """Four people without an answer say four things, however long one listens."""
    said = heard(crowd(), 90.0)
    assert sorted(item.person for item in said) == [0, 1, 2, 3]


def test_the_rate_is_kept_on_average() -> None:
    """A thousand people at 5 messages a second say about 500 in 100 seconds."""
    said = heard(crowd(people=1000, rate_per_s=5.0), 100.0)
    assert 400 < len(said) < 600


def test_time_that_was_lost_is_not_made_up_for() -> None:
    """After a long stop there is no flood but about a second's worth."""
    people = crowd(people=1000, rate_per_s=10.0)
    people.due(0.0)
    assert len(people.due(50.0)) < 40


def test_a_silent_crowd_says_nothing() -> None:
    """With a rate of 0 there is nothing to wait for either."""
    people = crowd(rate_per_s=0.0)
    assert people.due(1000.0) == []
    assert people.pause_s(1000.0) is None


def test_a_seed_tells_the_same_story_again() -> None:
    """The same people say the same at the same time; another seed tells another story."""
    one, same, other = (heard(crowd(people=50, seed=seed), 20.0) for seed in (1, 1, 2))
    assert one == same
    assert [item.person for item in one] != [item.person for item in other]


def test_an_answer_decides_what_is_said_next() -> None:
    """The first reply whose expression is found, or else what is said otherwise; then a new matter."""
    people = crowd(people=1)
    texts: list[str] = []
    for tick, answer in enumerate(["Which one? Or WHICH OTHER?", "done", "fine", "fine"]):
        (said,) = people.due(tick * 50.0)
        texts.append(said.inbound.text)
        assert people.answered(said.inbound.native_id, answer)
    assert texts == ["hello", "the first", "hello", "go on"]


def test_an_answer_to_nobody_changes_nothing() -> None:
    """One that comes late, twice, or to an unknown message frees nobody."""
    people = crowd(people=1)
    (said,) = people.due(0.0)
    assert people.answered(said.inbound.native_id, "fine")
    (second,) = people.due(10.0)
    assert not people.answered(said.inbound.native_id, "fine")
    assert not people.answered("", "fine")
    assert people.waiting_count == 1
    assert people.answered(second.inbound.native_id, "fine")
    assert people.waiting_count == 0


def test_the_impatient_ask_again_but_not_for_ever() -> None:
    """So often and no more, then they give up and begin anew."""
    people = crowd(impatient(), people=1, rate_per_s=0.001)
    said = heard(people, 95.0)
    assert [item.inbound.text for item in said] == ["hello", "hello?", "hello?"]
    assert len({item.inbound.native_id for item in said}) == 3
    people.due(100.0)
    assert people.waiting_count == 0
    assert not people.answered(said[0].inbound.native_id, "at last")


def test_who_gives_up_first_asks_no_more() -> None:
    """Patience that ends before the first reminder leaves no reminder."""
    people = crowd(impatient(after_s=150.0), people=1, rate_per_s=0.001)
    assert len(heard(people, 120.0)) == 1
    assert people.waiting_count == 0


def test_any_of_the_messages_of_the_impatient_can_be_answered() -> None:
    """One answer is enough; those that follow are late."""
    people = crowd(impatient(), people=1, rate_per_s=0.001)
    said = heard(people, 6.0)
    assert people.answered(said[1].inbound.native_id, "fine")
    assert not people.answered(said[0].inbound.native_id, "fine")
    assert people.waiting_count == 0


def test_who_was_put_off_sends_the_same_message_again() -> None:
    """Under the same id, after the wait that was asked for, and then longer and longer."""
    people = crowd(people=1, rate_per_s=0.001)
    (said,) = people.due(0.0)
    people.put_off(0, 0.0, 30.0)
    assert heard(people, 29.0) == []
    assert people.due(30.0) == [said]
    people.taken(0)
    assert people.waiting_count == 1


def test_waits_grow_without_end_but_not_beyond_a_minute() -> None:
    """Backing off is exponential, with a cap."""
    people = crowd(people=1, rate_per_s=0.001)
    people.due(0.0)
    now, waits = 0.0, []
    for _ in range(10):
        people.put_off(0, now, 0.0)
        began = now
        while not people.due(now):
            now += 0.25
        waits.append(now - began)
    assert waits[0] <= 2.25
    assert 30.0 <= waits[-1] <= 60.25


def test_who_is_turned_away_stays_away_for_long() -> None:
    """The message is let go, and a new one comes only after patience ran out."""
    people = crowd(people=1, rate_per_s=10.0)
    people.due(0.0)
    people.turned_away(0, 0.0)
    assert heard(people, 99.0) == []
    (said,) = [*people.due(100.0), *people.due(101.0)]
    assert said.inbound.text == "hello"


def test_being_refused_after_an_answer_changes_nothing() -> None:
    """A late refusal finds nobody waiting and puts nobody into the line twice."""
    people = crowd(people=1, rate_per_s=10.0)
    (said,) = people.due(0.0)
    people.answered(said.inbound.native_id, "fine")
    people.put_off(0, 0.0, 5.0)
    people.turned_away(0, 0.0)
    assert len(heard(people, 3.0)) == 1


def test_every_person_has_one_session_of_their_own() -> None:
    """Whatever the kinds of chats; a group is shared by as many as the scenario says."""
    values = {**PLAIN, "chats": {"dm": 2, "group": 1, "thread": 1, "group_size": 3}}
    said = heard(crowd(values, people=60, rate_per_s=100.0), 5.0)
    assert len(said) == 60
    assert {item.inbound.source.kind for item in said} == {ChatKind.DM, ChatKind.GROUP, ChatKind.THREAD}
    assert len({(session_id(item.inbound.source), item.inbound.sender_id) for item in said}) == 60
    groups = [item.inbound.source.chat for item in said if item.inbound.source.kind is ChatKind.GROUP]
    assert max(groups.count(chat) for chat in groups) <= 3


def test_namesakes_can_be_told_apart() -> None:
    """Once the names are used up they get numbers."""
    names = {item.inbound.sender_name for item in heard(crowd(people=5), 60.0)}
    assert names == {"ana", "bo", "ana 2", "bo 2", "ana 3"}


def test_forgotten_alarms_do_not_pile_up() -> None:
    """A long quick conversation leaves a bounded memory behind."""
    people = crowd(people=10, rate_per_s=1000.0)
    for tick in range(2000):
        for said in people.due(tick * 0.01):
            people.answered(said.inbound.native_id, "fine")
    assert len(people._alarms) <= 1001
    assert people._senders == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": []}, "names"),
        ({"persona": []}, "persona"),
        ({"personas": []}, "personas"),
        ({"chats": {"dm": 0}}, "every kind of chat has the share 0"),
        ({"chats": {"dm": -1}}, "dm"),
        ({"personas": [{**PLAIN["personas"][0], "share": 0}]}, "every persona has the share 0"),
        ({"personas": [{**PLAIN["personas"][0], "turns": [3, 2]}]}, "end before they begin"),
        ({"personas": [{**PLAIN["personas"][0], "otherwise": []}]}, "otherwise"),
        ({"personas": [{**PLAIN["personas"][0], "gives_up_s": "soon"}]}, "gives_up_s"),
        ({"personas": [{**PLAIN["personas"][0], "replies": [{"when": "(", "say": ["x"]}]}]}, "regular expression"),
    ],
)
def test_a_scenario_that_cannot_be_played_is_refused(change: dict[str, Any], words: str) -> None:
    """The error names the file and what is wrong with which key."""
    with pytest.raises(ConfigError) as caught:
        scenario({**PLAIN, **change}, "mine.yaml")
    assert words in caught.value.message
    assert caught.value.facts["file"] == "mine.yaml"
