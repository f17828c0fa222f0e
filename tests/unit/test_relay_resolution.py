"""What a name means: the chat decides, then priority; what neither decides is said, and never guessed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import Mark
from core.api.bindings import BindingView, Bot, RelayProtocol
from core.relay.resolution import Directory
from tests.support.binding_rig import a_bot

A, B, C = "https://a.example", "https://b.example", "https://c.example"


def bound(*chats: tuple[str, Bot]) -> Directory:
    """Bindings, written as PLATFORM:CHAT with a bot."""
    directory = Directory()
    places: dict[str, list[Bot]] = {}
    for place, bot in chats:
        places.setdefault(place, []).append(bot)
    for place, bots in places.items():
        platform, _, chat = place.partition(":")
        directory.put(platform, chat, view(platform, chat, *bots))
    return directory


def view(platform: str, chat: str, *bots: Bot) -> BindingView:
    """A binding."""
    now = Mark(0.0, 0.0)
    return BindingView(platform=platform, chat=chat, version=1, bots=bots, created=now, changed=now)


def url_of(directory: Directory, *asked: str) -> str | None:
    """Where a name leads."""
    chosen = directory.resolve(*asked).chosen
    return None if chosen is None else chosen.bot.url


def test_a_chat_means_its_own_binding_before_those_for_any_chat() -> None:
    """Whatever their priorities."""
    directory = bound(("slack:C1", a_bot(url=A, priority=900)), ("slack:*", a_bot(url=B)), ("*:*", a_bot(url=C)))
    assert url_of(directory, "alpha", "slack", "C1") == A
    assert url_of(directory, "alpha", "slack", "C2") == B
    assert url_of(directory, "alpha", "telegram", "C1") == C


def test_of_two_for_any_chat_the_lower_priority_wins_and_then_the_nearer() -> None:
    """A platform is nearer than everything."""
    assert url_of(bound(("slack:*", a_bot(url=A)), ("*:*", a_bot(url=B))), "alpha", "slack", "C1") == A
    directory = bound(("slack:*", a_bot(url=A)), ("*:*", a_bot(url=B, priority=5)))
    assert url_of(directory, "alpha", "slack", "C1") == B


def test_a_chat_does_not_reach_what_is_bound_to_another() -> None:
    """It is told where the bot is."""
    found = bound(("slack:C1", a_bot()), ("slack:C2", a_bot())).resolve("alpha", "slack", "C9")
    assert found.chosen is None
    assert found.candidates == ()
    assert found.why == "no bot alpha in slack:C9; it is bound in slack:C1, slack:C2"


def test_without_a_chat_two_addresses_of_one_name_are_no_guess() -> None:
    """The lowest priority decides when it is one's alone."""
    directory = bound(("slack:C1", a_bot(url=A)), ("telegram:C1", a_bot(url=B)), ("slack:C3", a_bot("beta")))
    found = directory.resolve("alpha")
    assert found.chosen is None
    assert [candidate.bot.url for candidate in found.candidates] == [A, B]
    assert A in found.why
    assert "telegram:C1" in found.why
    assert url_of(directory, "alpha", "telegram") == B
    assert url_of(directory, "alpha", "telegram", "C1") == B
    assert url_of(directory, "alpha", "", "C1") is None
    (ambiguity,) = directory.ambiguities()
    assert (ambiguity.name, ambiguity.urls, ambiguity.chats) == ("alpha", (A, B), ("slack:C1", "telegram:C1"))
    assert not ambiguity.is_decided


def test_priority_decides_and_the_ambiguity_stays_listed() -> None:
    """So that an operator sees that a name without a chat goes to one of several."""
    directory = bound(("slack:C1", a_bot(url=A)), ("telegram:C1", a_bot(url=B, priority=1)), ("slack:C2", a_bot(url=A)))
    assert url_of(directory, "alpha") == B
    (ambiguity,) = directory.ambiguities()
    assert ambiguity.urls == (B, A)
    assert ambiguity.chats == ("telegram:C1", "slack:C1", "slack:C2")
    assert ambiguity.is_decided


def test_one_address_in_several_chats_is_one_target() -> None:
    """With the same protocol and the same credentials; with others it is not the same."""
    directory = bound(("slack:C1", a_bot(url=A)), ("slack:C2", a_bot(url=A)))
    assert url_of(directory, "alpha") == A
    assert directory.ambiguities() == ()
    for other in (a_bot(url=A, peer="east"), a_bot(url=A, protocol=RelayProtocol.A2A)):
        directory.put("slack", "C2", view("slack", "C2", other))
        assert url_of(directory, "alpha") is None
        assert len(directory.ambiguities()) == 1


def test_a_disabled_bot_is_never_meant_and_its_chat_does_not_fall_back() -> None:
    """Who disables a bot in a chat does not want the one of everybody there."""
    directory = bound(("slack:C1", a_bot(url=A, enabled=False)), ("*:*", a_bot(url=B)))
    assert directory.resolve("alpha", "slack", "C1").why == "alpha is disabled in slack:C1"
    assert url_of(directory, "alpha", "slack", "C1") is None
    assert url_of(directory, "alpha", "slack", "C2") == B
    assert url_of(directory, "alpha") == B
    assert directory.ambiguities() == ()


def test_an_address_chooses_among_those_of_the_name() -> None:
    """In any spelling, and only of those that the chat may reach."""
    directory = bound(("slack:C1", a_bot(url=A)), ("slack:C2", a_bot(url=B)))
    assert directory.resolve("alpha", url="HTTPS://B.example/relay").chosen is not None
    assert url_of(directory, "alpha", "", "", B) == B
    assert url_of(directory, "alpha", "slack", "C1", B) is None
    assert url_of(directory, "alpha", "", "", "https://evil.example") is None
    assert "https://evil.example" in directory.resolve("alpha", url="https://evil.example").why
    assert url_of(directory, "alpha", "", "", "no address") is None


def test_a_name_that_is_bound_nowhere_is_told_so() -> None:
    """Without a list of others."""
    assert bound(("slack:C1", a_bot())).resolve("gamma").why == "no bot gamma is bound to any chat"


def test_all_bots_of_an_origin_are_found() -> None:
    """Disabled ones too, whatever the path."""
    directory = bound(
        ("slack:C1", a_bot("one", A + "/x")), ("slack:C1", a_bot("two", A, enabled=False)), ("*:*", a_bot("three", B))
    )
    assert [candidate.bot.name for candidate in directory.bots_of(A)] == ["one", "two"]
    assert directory.bots_of(C) == []
    directory.put("slack", "C1", None)
    assert directory.bots_of(A) == []


def test_an_address_that_cannot_be_read_stays_listed() -> None:
    """One that another version stored."""
    directory = bound(("slack:C1", a_bot(url="gopher://h")))
    assert url_of(directory, "alpha") == "gopher://h"
    assert len(directory.bots_of("gopher://h")) == 1


PLACES = ["slack:C1", "slack:C2", "telegram:C1", "slack:*", "telegram:*", "*:*"]
BOTS = st.builds(
    a_bot,
    st.just("alpha"),
    st.sampled_from([A, B]),
    priority=st.sampled_from([1, 100]),
    peer=st.sampled_from(["", "east"]),
    enabled=st.booleans(),
)


@given(st.dictionaries(st.sampled_from(PLACES), BOTS), st.randoms(use_true_random=False))
def test_the_order_in_which_bindings_were_made_changes_no_answer(bindings: dict[str, Bot], random: object) -> None:
    """Nor does what was bound in between; and who is chosen is enabled, visible, and of no higher priority."""
    chats = list(bindings.items())
    one = bound(*chats)
    other = bound(*((place, a_bot(url=C)) for place in PLACES))
    for place in PLACES:
        platform, _, chat = place.partition(":")
        other.put(platform, chat, None)
    random.shuffle(chats)  # type: ignore[attr-defined]
    for place, bot in chats:
        platform, _, chat = place.partition(":")
        other.put(platform, chat, view(platform, chat, bot))
    assert one.ambiguities() == other.ambiguities()
    for platform, chat in itertools.product(["", "slack", "telegram", "matrix"], ["", "C1", "C2", "C9"]):
        found = one.resolve("alpha", platform, chat)
        assert found == other.resolve("alpha", platform, chat)
        assert (found.chosen is None) == bool(found.why)
        if found.chosen is not None:
            assert found.chosen.bot.enabled
            assert found.chosen in found.candidates
            assert not platform or found.chosen.platform in {platform, "*"}
            assert not chat or found.chosen.chat in {chat, "*"}


@pytest.mark.parametrize("chat", ["C1", "*"])
def test_a_binding_that_is_gone_leaves_nothing_behind(chat: str) -> None:
    """Neither its names nor its origins."""
    directory = bound((f"slack:{chat}", a_bot("alpha")), (f"slack:{chat}", a_bot("beta")))
    directory.put("slack", chat, view("slack", chat, a_bot("beta", B)))
    assert url_of(directory, "alpha") is None
    assert url_of(directory, "beta") == B
    assert directory.bots_of(A) == []
