"""Trails: what a conversation sends on, limits of turns, and the graph of who relays to whom."""

import pytest

from core.api.base import Mark, Seq, SessionId
from core.api.errors import StoreError
from core.api.relay_tasks import RelayDirection, RelayReason, RelayState, RelayTaskId
from core.ids import IdSource
from core.journal import Journal
from core.relay.instances import own_name
from core.relay.task import RelayTask
from core.relay.trails import Trails
from core.relay.wire import Trail
from core.relay_settings import RelaySettings
from core.store.base import Put
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle
from tests.support.outbox import FullStore
from tests.support.relay_inbound import a_message, receiving

CHAT = SessionId("telegram:dm:1")
WORK = SessionId("relay:dm:b:c1")


def trails(clock: FakeClock | None = None, name: str = "a", **rules: float) -> Trails:
    """Those of a core called a."""
    return Trails(RelaySettings(name=name, **rules), clock or FakeClock())  # type: ignore[arg-type]  # whole numbers


def task(number: int, created: Mark, trail: Trail, **values: object) -> RelayTask:
    """A message of an earlier start."""
    fields = {
        "id": RelayTaskId(f"t{number}"),
        "wire_id": f"t{number}",
        "direction": RelayDirection.OUT,
        "state": RelayState.WORKING,
        "text": "hello",
        "created": created,
        "trail": trail,
        "name": "b",
        **values,
    }
    return RelayTask(**fields)  # type: ignore[arg-type]  # of the right kinds


def test_a_message_of_nobody_s_conversation_begins_one() -> None:
    """Named by its own id, and our name stands at its beginning."""
    assert trails().of_session(None, "t1") == Trail(conversation="t1", hops=0, path=("a",))


def test_all_that_a_chat_sends_is_one_conversation_of_bots() -> None:
    """Also when nothing came in: what a bot answers may make it send again. After the window another begins."""
    clock = FakeClock()
    known = trails(clock, turn_window_s=60)
    assert known.of_session(CHAT, "t1").conversation == "t1"
    clock.step(50.0)
    assert known.of_session(CHAT, "t2") == Trail(conversation="t1", path=("a",))
    clock.step(61.0)
    assert known.of_session(CHAT, "t3").conversation == "t3"


def test_what_answers_a_message_goes_on_where_that_came_from() -> None:
    """The conversation stays, the way grows by one; another message binds it anew."""
    known = trails()
    known.bind(WORK, Trail(conversation="c", hops=2, path=("x", "y")))
    assert known.of_session(WORK, "t1") == Trail(conversation="c", hops=3, path=("x", "y", "a"))
    known.bind(WORK, Trail(conversation="d"))
    assert known.of_session(WORK, "t2") == Trail(conversation="d", hops=1, path=("a",))


def test_a_chain_of_bots_ends_at_the_limit_of_hops() -> None:
    """The fifth bot may send it to a sixth, and that to nobody."""
    sixth = trails(name="f")
    heard = Trail(conversation="c", hops=5, path=tuple("abcde"))
    assert sixth.refusal(heard, "agent") == ""
    sixth.bind(WORK, heard)
    why = sixth.refusal(sixth.of_session(WORK, "t"), "g")
    assert why == "loop: a > b > c > d > e > f > g is longer than 5 hops (relay.hop_limit)"


def test_two_bots_that_ask_each_other_end_after_one_question_back() -> None:
    """A > B > A is a question back; what comes to A once more is refused with its path."""
    known = trails()
    assert known.refusal(Trail(conversation="c", hops=2, path=("a", "b")), "agent") == ""
    why = known.refusal(Trail(conversation="c", hops=4, path=("a", "b", "a", "b")), "agent")
    assert why == "loop: a > b > a > b > agent would pass through a 3 times; 2 are the limit"


def test_a_core_may_relay_to_itself_but_not_for_ever() -> None:
    """Its own address is a bot like others, once."""
    known = trails()
    heard = Trail(conversation="c", hops=1, path=("a",))
    assert known.refusal(heard, "agent") == ""
    known.bind(WORK, heard)
    onward = known.of_session(WORK, "t")
    assert known.refusal(onward, "me") == ""
    known.bind(WORK, Trail(conversation="c", hops=2, path=("a", "a")))
    assert "would pass through a 3 times" in known.refusal(known.of_session(WORK, "t"), "me")


def test_a_conversation_has_so_many_turns_within_a_window() -> None:
    """Those that were refused take none; it goes on when the window has moved; other conversations are not touched."""
    clock = FakeClock()
    known = trails(clock, turn_limit=3, turn_window_s=60)
    trail = Trail(conversation="c", path=("b",), hops=1)
    for _ in range(3):
        assert known.refusal(trail, "agent") == ""
        clock.step(10.0)
    why = known.refusal(trail, "agent")
    assert why == "loop: b > agent would be more than 3 messages of one conversation within 1 min (relay.turn_limit)"
    assert known.refusal(Trail(conversation="d"), "agent") == ""
    clock.step(30.0)
    assert known.refusal(trail, "agent") == ""
    assert known.refusal(trail, "agent") != ""


def test_what_is_sent_on_for_a_peer_without_trails_is_one_conversation_with_it() -> None:
    """It may send as many as it likes; what they make us send has a limit, and other peers are not touched."""
    known = trails(turn_limit=3)
    refused: list[str] = []
    for number in range(6):
        heard = Trail(conversation=f"wire-{number}")
        assert known.refusal(heard, "agent", peer="old") == ""
        known.bind(WORK, heard)
        refused.append(known.refusal(known.of_session(WORK, "t"), "old-bot"))
    assert [bool(why) for why in refused] == [False] * 3 + [True] * 3
    assert "relay.turn_limit" in refused[-1]
    assert known.refusal(Trail(conversation="wire-x"), "agent", peer="other") == ""
    known.bind(WORK, Trail(conversation="wire-x"))
    assert known.refusal(known.of_session(WORK, "t"), "bot") == ""


def test_a_message_that_could_not_be_kept_takes_no_turn() -> None:
    """Else one that is sent again until the disk has room would end as a loop; and nothing is given back twice."""
    known = trails(turn_limit=2)
    for trail, peer in ((Trail(conversation="c", hops=1, path=("b",)), "b"), (Trail(conversation="w"), "old")):
        for _ in range(10):
            assert known.refusal(trail, "agent", peer=peer) == ""
            known.not_taken(trail, peer=peer)
        known.not_taken(trail, peer=peer)
        assert [known.refusal(trail, "agent", peer=peer) == "" for _ in range(3)] == [True, True, False]
    onward = Trail(conversation="w", hops=1, path=("a",))
    for _ in range(10):
        assert known.refusal(onward, "bot") == ""
        known.not_taken(onward)


def test_no_peer_takes_the_turns_of_another() -> None:
    """Neither when both call a conversation the same, as those do that know no trails, nor by a name made up for it."""
    known = trails(turn_limit=3)
    plain, made_up = Trail(conversation="main"), Trail(conversation="alpha/", hops=1, path=("m",))
    for trail in (plain, made_up):
        while not known.refusal(trail, "agent", peer="mallory"):
            pass
    heard = Trail(conversation="x")
    for trail in (plain, heard):
        assert known.refusal(trail, "agent", peer="alpha") == ""
    known.bind(WORK, heard)
    assert known.refusal(known.of_session(WORK, "t"), "bot") == ""


def test_conversations_that_are_quiet_for_longest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a limit, and whoever makes up new ones does not lift that of the one that speaks."""
    monkeypatch.setattr("core.relay.trails._CONVERSATIONS_KEPT", 10)
    known = trails(turn_limit=20)
    for number in range(200):
        known.refusal(Trail(conversation=f"made-up-{number}"), "agent")
        known.refusal(Trail(conversation="loop"), "agent")
    assert known.refusal(Trail(conversation="loop"), "agent") != ""
    assert known.refusal(Trail(conversation="made-up-0"), "agent") == ""


def test_sessions_and_edges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first."""
    monkeypatch.setattr("core.relay.trails._EDGES_KEPT", 10)
    monkeypatch.setattr("core.relay.trails._SESSIONS_KEPT", 10)
    known = trails()
    for number in range(50):
        known.noted(f"s{number}", "b", is_failed=False)
        known.of_session(SessionId(f"s{number}"), f"t{number}")
    assert [edge.source for edge in known.graph(Seq(1)).edges] == [f"s{number}" for number in range(49, 39, -1)]
    assert known.of_session(SessionId("s0"), "new").conversation == "new"


def test_the_graph_counts_of_the_last_day_the_latest_first() -> None:
    """What is older is gone, an edge without anything left too."""
    clock = FakeClock()
    known = trails(clock)
    known.noted("old", "b", is_failed=True)
    known.noted("chat", "b", is_failed=True)
    clock.step(20 * 3600.0)
    known.noted("chat", "b", is_failed=False)
    known.noted("", "b", is_failed=False)
    clock.step(5 * 3600.0)
    graph = known.graph(Seq(7), {"b": "open"})
    assert [(edge.source, edge.sent, edge.failed, edge.breaker) for edge in graph.edges] == [
        ("a", 1, 0, "open"),
        ("chat", 1, 0, "open"),
    ]
    assert (graph.seq, graph.hop_limit, graph.turn_limit, graph.window_s) == (7, 5, 20, 86_400.0)


def test_an_edge_that_tripped_says_why_and_where_for_a_day() -> None:
    """The last path is kept."""
    clock = FakeClock()
    known = trails(clock)
    known.noted("b", "agent", is_failed=True, why="loop: ...", trail=Trail(conversation="c", path=("a", "b")))
    (edge,) = known.graph(Seq(1)).edges
    assert (edge.is_tripped, edge.why, edge.path, edge.failed) == (True, "loop: ...", ("a", "b", "agent"), 1)
    clock.step(86_401.0)
    known.noted("b", "agent", is_failed=False)
    (edge,) = known.graph(Seq(1)).edges
    assert (edge.is_tripped, edge.why, edge.path, edge.sent) == (False, "", (), 1)


def test_turns_and_conversations_go_on_after_a_restart() -> None:
    """As far as messages are under way; those before the window count no more."""
    clock = FakeClock()
    known = trails(clock, turn_limit=3, turn_window_s=60)
    now = clock.now()
    out = Trail(conversation="c", hops=2, path=("x", "a"))
    mine = Trail(conversation="m", path=("a",))
    known.open(
        [
            task(1, Mark(now - 30.0, 5e6), out, session_id=WORK),
            task(2, Mark(now - 300.0, 5e6), out, session_id=WORK),
            task(3, Mark(now - 20.0, 5e6), mine, session_id=CHAT),
            task(4, Mark(now - 10.0, 5e6), out, direction=RelayDirection.IN, peer="hq", name="hq"),
        ]
    )
    assert known.of_session(WORK, "new") == Trail(conversation="c", hops=2, path=("x", "a"))
    assert known.of_session(CHAT, "new") == mine
    assert known.refusal(out, "b") == ""
    assert "relay.turn_limit" in known.refusal(out, "b")
    edges = {(edge.source, edge.target): edge.sent for edge in known.graph(Seq(1)).edges}
    assert edges == {(WORK, "b"): 2, (CHAT, "b"): 1, ("hq", "a"): 1}


def test_what_a_peer_without_trails_made_us_send_counts_after_a_restart_too() -> None:
    """Else whoever is caught in a loop with it would begin anew with each start."""
    clock = FakeClock()
    known = trails(clock, turn_limit=3)
    now = clock.now()
    earlier: list[RelayTask] = []
    for number in range(3):
        heard = Trail(conversation=f"wire-{number}")
        onward = Trail(conversation=heard.conversation, hops=1, path=("a",))
        came = Mark(now - 60.0 + 2 * number, 5e6)
        went = Mark(came.at + 1.0, 5e6)
        earlier.append(task(2 * number, came, heard, direction=RelayDirection.IN, peer="old", session_id=WORK))
        earlier.append(task(2 * number + 1, went, onward, session_id=WORK, peer="old"))
    known.open(reversed(earlier))
    heard = Trail(conversation="wire-9")
    assert known.refusal(heard, "agent", peer="old") == ""
    known.bind(WORK, heard)
    assert "relay.turn_limit" in known.refusal(known.of_session(WORK, "t"), "old-bot")


def test_a_loop_that_ended_is_marked_after_a_restart_and_took_no_turn() -> None:
    """With its path; what is older than the graph looks back is left out."""
    clock = FakeClock()
    known = trails(clock, turn_limit=1)
    now = clock.now()
    loop = Trail(conversation="c", hops=2, path=("x", "a"))
    dead = {"state": RelayState.DEAD, "reason": RelayReason.LOOP, "error": "loop: x > a > b", "sender": "ana"}
    known.open([task(1, Mark(now - 60.0, 1.0), loop, **dead), task(2, Mark(now - 90_000.0, 1.0), loop)])
    (edge,) = known.graph(Seq(1)).edges
    assert (edge.source, edge.target, edge.sent, edge.failed) == ("ana", "b", 1, 1)
    assert (edge.is_tripped, edge.why, edge.path) == (True, "loop: x > a > b", ("x", "a", "b"))
    assert known.refusal(loop, "b") == ""


async def test_a_core_without_a_name_of_its_own_has_letters_of_its_own() -> None:
    """Drawn once for its store; a name of the configuration stands as it is; damaged letters are drawn anew."""
    clock = FakeClock()
    names: list[str] = []
    for store in (MemoryStore(), MemoryStore()):
        journal, ids = Journal(store, clock), IdSource(clock)
        first = await own_name(RelaySettings(), store=store, journal=journal, ids=ids)
        assert first == await own_name(RelaySettings(), store=store, journal=journal, ids=ids)
        assert await own_name(RelaySettings(name="hq"), store=store, journal=journal, ids=ids) == "hq"
        names.append(first)
        await journal.commit([Put("relay_instance", b"{")], [])
        assert (await own_name(RelaySettings(), store=store, journal=journal, ids=ids)).startswith("hermes-console~")
    assert len(set(names)) == 2


async def test_a_message_that_the_store_does_not_take_is_no_turn_of_its_conversation() -> None:
    """A good peer sends it again until it is taken."""
    store = FullStore()
    async with receiving(store) as rig:
        store.is_full = True
        with pytest.raises(StoreError):
            await rig.inbound.take(a_message())
        assert [peer for peer, _ in rig.trails.given_back] == ["ana"]
        store.is_full = False
        await rig.inbound.take(a_message())
        assert len(rig.trails.given_back) == 1
        await until_idle()
