"""Sharing work in a group: nobody unready is chosen, turns are fair, and a key stays where it is."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from core.mailbox.address import Pid, format_address, parse_address
from core.mailbox.balance import Balance, Member, choose

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,15}", fullmatch=True)
KEYS = [f"chat-{number}" for number in range(300)]


@st.composite
def members(draw: st.DrawFn) -> list[Member]:
    """A group in any condition."""
    names = draw(st.lists(NAMES, unique=True, max_size=8))
    return [Member(name, draw(st.integers(0, 50)), draw(st.booleans()), draw(st.booleans())) for name in names]


@given(st.sampled_from(Balance), members(), st.text(max_size=20), st.text(max_size=20))
def test_only_a_ready_member_is_chosen_and_one_is_whenever_there_is_one(
    balance: Balance, group: list[Member], key: str, last: str
) -> None:
    """Down, paused and closed ones are passed over, whatever the way of sharing."""
    chosen = choose(balance, group, key=key, last=last)
    if chosen is None:
        assert not any(member.is_ready for member in group)
    else:
        assert chosen in group
        assert chosen.is_ready


@given(st.sampled_from([Balance.ROUND_ROBIN, Balance.LEAST_LOADED]), members())
def test_a_full_member_is_chosen_only_when_all_are_full(balance: Balance, group: list[Member]) -> None:
    """Work goes where there is room."""
    chosen = choose(balance, group)
    if chosen is not None and not chosen.has_room:
        assert not any(member.is_ready and member.has_room for member in group)


@given(st.lists(NAMES, unique=True, min_size=1, max_size=8), st.integers(1, 5), st.text(max_size=5))
def test_in_turn_each_gets_the_same_share(names: list[str], rounds: int, last: str) -> None:
    """After whole rounds everybody had equally many."""
    group = [Member(name) for name in names]
    counts: Counter[str] = Counter()
    for _ in range(rounds * len(names)):
        chosen = choose(Balance.ROUND_ROBIN, group, last=last)
        assert chosen is not None
        counts[chosen.name] += 1
        last = chosen.name
    assert counts == dict.fromkeys(names, rounds)


@given(st.lists(st.lists(NAMES, unique=True, min_size=2, max_size=5), min_size=2, max_size=10))
def test_in_turn_nobody_is_chosen_twice_running_while_members_come_and_go(crews: list[list[str]]) -> None:
    """Whoever was last is not next, as long as there is another."""
    last = ""
    for names in crews:
        chosen = choose(Balance.ROUND_ROBIN, [Member(name) for name in names], last=last)
        assert chosen is not None
        assert chosen.name != last
        last = chosen.name


@given(members())
def test_the_least_loaded_has_nobody_below_it(group: list[Member]) -> None:
    """No ready member with room holds less."""
    chosen = choose(Balance.LEAST_LOADED, group)
    roomy = [member.depth for member in group if member.is_ready and member.has_room]
    if chosen is not None and roomy:
        assert chosen.depth == min(roomy)


@given(st.lists(NAMES, unique=True, min_size=2, max_size=8))
def test_a_member_that_leaves_moves_only_its_own_keys(names: list[str]) -> None:
    """All other keys stay with whom they had; and coming back it gets its own again."""
    before = {key: choose(Balance.STICKY, [Member(name) for name in names], key=key) for key in KEYS}
    gone, rest = names[0], [Member(name) for name in names[1:]]
    for key in KEYS:
        had = before[key]
        assert had is not None
        if had.name != gone:
            assert choose(Balance.STICKY, rest, key=key) == had


def test_sticky_shares_are_about_even() -> None:
    """Of 4 members none has less than half, or more than double, of its fair share of 2000 keys."""
    group = [Member(f"worker-{number}") for number in range(4)]
    chosen = [choose(Balance.STICKY, group, key=f"key {number}") for number in range(2000)]
    counts = Counter(member.name for member in chosen if member is not None)
    assert len(counts) == 4
    assert 250 < min(counts.values()) <= max(counts.values()) < 1000


@given(NAMES, st.integers(1, 10**17))
def test_every_pid_is_read_back_as_it_was_written(name: str, incarnation: int) -> None:
    """Text and value stand for each other."""
    pid = parse_address(f"{name}#{incarnation}")
    assert isinstance(pid, Pid)
    assert (pid.name, pid.incarnation, format_address(pid)) == (name, incarnation, f"{name}#{incarnation}")
