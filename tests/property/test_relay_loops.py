"""Bots that send everything on to each other: it ends, and whoever ends it says why."""

from collections import Counter, deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.api.base import SessionId
from core.relay.loops import VISIT_LIMIT, Limits, before, begun, onward, passed, refusal, way_words
from core.relay.trails import Trails
from core.relay.wire import Trail
from core.relay_settings import RelaySettings
from tests.support.clocks import FakeClock

NAMES = "abcdef"
GRAPHS = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)), max_size=6)
WORDS = ("relay.hop_limit", "would pass through", "relay.turn_limit")


class Town:
    """Bots of which each sends what it gets on to all that it knows. keeps: those that hand trails on."""

    def __init__(self, graph: dict[str, set[str]], keeps: set[str], **rules: Any) -> None:
        self.graph = graph
        self.keeps = keeps
        clock = FakeClock()
        self.trails = {name: Trails(RelaySettings(name=name, **rules), clock) for name in NAMES}
        self.refusals: list[str] = []
        self.taken: Counter[str] = Counter()
        self._queue: deque[tuple[str, str, Trail]] = deque()

    def run(self, first: str, most: int) -> int:
        """Let a chat of the first one send a message; how many were sent until all is quiet, `most` at most."""
        sent = 0
        self._send_all(first, SessionId("chat"))
        while self._queue and sent < most:
            source, target, trail = self._queue.popleft()
            sent += 1
            here = self.trails[target]
            # A message without a trail is a conversation of its own.
            heard = Trail(conversation=f"wire {sent}")
            if source in self.keeps:
                # What a peer says of hops is never less than what its path shows; see trail.read_trail.
                heard = Trail(conversation=trail.conversation, hops=passed(trail), path=trail.path)
            why = here.refusal(heard, "agent", peer=source)
            if why:
                self.refusals.append(why)
                continue
            self.taken[target] += 1
            session = SessionId(f"relay:dm:{source}:{heard.conversation}")
            here.bind(session, heard)
            self._send_all(target, session)
        return sent

    def _send_all(self, name: str, session: SessionId) -> None:
        here = self.trails[name]
        for target in sorted(self.graph.get(name, ())):
            trail = here.of_session(session, "0123")
            why = here.refusal(trail, target)
            if why:
                self.refusals.append(why)
            else:
                self._queue.append((name, target, trail))


@settings(max_examples=60)
@given(graph=GRAPHS, first=st.sampled_from(NAMES), hops=st.integers(1, 6), turns=st.integers(1, 30))
def test_any_graph_of_six_bots_that_forward_everything_ends_within_the_limits(
    graph: dict[str, set[str]], first: str, hops: int, turns: int
) -> None:
    """No bot takes part in more messages than the limit of turns, and each refusal names its path and its limit."""
    town = Town(graph, set(NAMES), hop_limit=hops, turn_limit=turns)
    sent = town.run(first, 100_000)
    assert sent <= len(NAMES) * turns
    assert all(count <= turns for count in town.taken.values())
    for why in town.refusals:
        assert why.startswith("loop: ")
        assert " > " in why
        assert any(word in why for word in WORDS)


@settings(max_examples=60)
@given(graph=GRAPHS, keeps=st.sets(st.sampled_from(NAMES)), first=st.sampled_from(NAMES))
def test_bots_that_forget_where_a_message_came_from_do_not_keep_it_going(
    graph: dict[str, set[str]], keeps: set[str], first: str
) -> None:
    """All that is sent on because of such a peer has one limit of turns, besides the conversations that keep theirs."""
    town = Town(graph, keeps, turn_limit=5)
    of_a_bot = 5 * (len(NAMES) + 1)
    begun_anew = of_a_bot * len(NAMES)
    assert town.run(first, 100_000) <= begun_anew * 5 * len(NAMES)
    if not keeps:
        assert town.run(first, 100_000) <= of_a_bot * len(NAMES)


TRAILS = st.builds(
    Trail,
    conversation=st.text(max_size=10),
    hops=st.integers(0, 200),
    path=st.lists(st.sampled_from(NAMES), max_size=120).map(tuple),
)


@given(trail=TRAILS, own=st.sampled_from(NAMES))
def test_sending_on_always_brings_a_message_nearer_to_a_limit(trail: Trail, own: str) -> None:
    """Whatever the trail says; and the step can be taken back."""
    after = onward(trail, own)
    assert passed(after) == passed(trail) + 1
    assert after.path == (*trail.path, own)
    assert before(after).path == trail.path
    assert before(after).conversation == trail.conversation


@given(trail=TRAILS, turns=st.integers(0, 30), hops=st.integers(1, 10), limit=st.integers(1, 30))
def test_a_message_goes_on_only_within_all_three_limits(trail: Trail, turns: int, hops: int, limit: int) -> None:
    """And then it does go on."""
    why = refusal(trail, "t", own="a", turns=turns, limits=Limits(hops=hops, turns=limit, window_s=60.0))
    visits = trail.path.count("a") + (trail.path[-1:] != ("a",))
    assert bool(why) == (passed(trail) > hops or visits > VISIT_LIMIT or turns >= limit)
    assert not why or way_words(trail, "t") in why


def test_a_path_is_shown_with_what_is_not_known_of_it() -> None:
    """Hops without names count as unknown, and of a long one the end is shown."""
    assert way_words(begun("c", "a"), "b") == "a > b"
    assert way_words(Trail(conversation="c", hops=3, path=("x",)), "b") == "(2 unknown) > x > b"
    assert way_words(Trail(conversation="c", path=tuple("a" * 20)), "b").startswith("(9 more) > a > a")
