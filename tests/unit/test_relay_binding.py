"""What may be bound: every field is looked at, what is wrong is said with a fix, what is odd is said and kept."""

import pytest

from core.api.bindings import BOTS_LIMIT, NAME_LIMIT, BindingCheck, Bot, RelayProtocol
from core.api.errors import InvalidInput
from core.relay.addresses import literal_of, networks_of
from core.relay.addresses import refusal as refused
from core.relay.binding import check_bot, merged, normalised
from tests.support.binding_rig import a_bot


def checked(bot: Bot, platform: str = "slack", chat: str = "C1", networks: tuple[str, ...] = ()) -> BindingCheck:
    """What it would be."""
    return check_bot(platform, chat, bot, peers=("east",), networks=networks)


def fields(check: BindingCheck, *, is_fatal: bool = True) -> list[str]:
    """Of its problems."""
    return [problem.field for problem in check.problems if problem.is_fatal == is_fatal]


def test_a_bot_is_kept_with_its_address_and_networks_in_one_spelling() -> None:
    """The check says how."""
    bot = a_bot(url="HTTP://10.0.0.5/relay", networks=("10.0.0.0/8", "10.0.0.5", "10.0.0.0/8"), peer="east", priority=3)
    check = checked(bot)
    assert check.problems == ()
    assert check.bot == a_bot(url="http://10.0.0.5", networks=("10.0.0.0/8", "10.0.0.5/32"), peer="east", priority=3)
    assert check.origin == "http://10.0.0.5"


@pytest.mark.parametrize(
    ("field", "bot"),
    [
        ("name", a_bot("")),
        ("name", a_bot("x" * (NAME_LIMIT + 1))),
        ("name", a_bot("two words")),
        ("name", a_bot("tab\t")),
        ("name", a_bot("a=b")),
        ("name", a_bot("a:b")),
        ("name", a_bot("--all")),
        ("name", a_bot("\u202egpj")),
        ("url", a_bot(url="nowhere")),
        ("url", a_bot(url="http://0.0.0.0")),
        ("url", a_bot(url="http://224.0.0.1", networks=("224.0.0.0/4",))),
        ("peer", a_bot(peer="north")),
        ("priority", a_bot(priority=-1)),
        ("priority", a_bot(priority=10_001)),
        ("networks", a_bot(networks=("10.0.0.0/33",))),
        ("networks", a_bot(networks=("10.0.0.5/8",))),
        ("networks", a_bot(networks=("home",))),
        ("networks", a_bot(networks=tuple(f"10.0.{number}.0/24" for number in range(33)))),
    ],
)
def test_what_cannot_be_kept_is_told_with_its_field_and_a_fix(field: str, bot: Bot) -> None:
    """The same is raised when it is bound all the same."""
    check = checked(bot)
    assert fields(check) == [field]
    assert check.bot is None
    assert all(problem.fix for problem in check.problems)
    with pytest.raises(InvalidInput) as caught:
        normalised("slack", "C1", bot, peers=("east",))
    assert caught.value.facts["field"] == field
    assert caught.value.facts["fix"]


@pytest.mark.parametrize(
    ("platform", "chat", "field"),
    [
        ("Slack", "C1", "platform"),
        ("", "C1", "platform"),
        ("slack/x", "C1", "platform"),
        ("slack", "", "chat"),
        ("slack", " C1", "chat"),
        ("slack", "C\n1", "chat"),
        ("slack", "C" * 513, "chat"),
        ("*", "C1", "platform"),
    ],
)
def test_a_chat_that_cannot_be_is_refused(platform: str, chat: str, field: str) -> None:
    """A chat belongs to a platform; every chat of every platform is *:*."""
    assert fields(checked(a_bot(), platform, chat)) == [field]
    assert fields(checked(a_bot(), "*", "*")) == []
    assert fields(checked(a_bot(), "slack", "*")) == []


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Nobody mends a form one field at a time; what is fatal stands first."""
    check = checked(a_bot("a b", "x", peer="north", priority=-1, networks=("0.0.0.0/0",)), chat="")
    assert fields(check) == ["chat", "name", "peer", "priority", "url"]
    assert fields(check, is_fatal=False) == ["networks"]
    assert [problem.is_fatal for problem in check.problems] == [True] * 5 + [False]


@pytest.mark.parametrize(
    ("url", "option"),
    [
        ("http://127.0.0.1:8080", "--network 127.0.0.0/8"),
        ("http://localhost:8080", "--network 127.0.0.0/8 --network ::1/128"),
        ("http://bot.localhost", "--network 127.0.0.0/8 --network ::1/128"),
        ("http://[::1]", "--network ::1/128"),
        ("http://10.1.2.3", "--network 10.1.2.3/32"),
        ("https://192.168.1.9", "--network 192.168.1.9/32"),
        ("http://[fd00::5]", "--network fd00::5/128"),
        ("http://[::ffff:10.1.2.3]", "--network 10.1.2.3/32"),
        ("http://100.64.0.1", "--network 100.64.0.1/32"),
        ("http://169.254.169.254", "--network 169.254.169.254/32"),
    ],
)
def test_a_private_address_that_no_network_allows_is_told_with_the_option_that_does(url: str, option: str) -> None:
    """It is no error, since the configuration may allow it later; with the network that is named nothing is odd."""
    check = checked(a_bot(url=url))
    assert fields(check) == []
    (problem,) = check.problems
    assert option in problem.fix
    named = tuple(option.replace("--network ", "").split())
    assert checked(a_bot(url=url, networks=named)).problems == ()
    assert checked(a_bot(url=url), networks=named).problems == ()
    address = literal_of(url.split("/")[2].removesuffix(":8080").strip("[]"))
    assert address is None or not refused(address, networks_of(named))


def test_plain_http_to_the_world_is_told() -> None:
    """With a peer its token can be read, too. Nothing is said of https, of names without a domain, of allowed nets."""
    (odd,) = checked(a_bot(url="http://bot.example", peer="east")).problems
    assert not odd.is_fatal
    assert "token of east" in odd.problem
    assert odd.fix == "use https://bot.example"
    assert len(checked(a_bot(url="http://8.8.8.8")).problems) == 1
    assert checked(a_bot(url="https://bot.example", peer="east")).problems == ()
    assert checked(a_bot(url="http://security-bot:8080")).problems == ()
    assert checked(a_bot(url="http://bot.lan", networks=("10.0.0.0/8",))).problems == ()


def test_a_network_of_all_addresses_is_odd() -> None:
    """It lets a name lead to places that hand out secrets."""
    assert fields(checked(a_bot(networks=("0.0.0.0/0", "::/0"))), is_fatal=False) == ["networks", "networks"]


def test_no_secret_of_an_address_is_told() -> None:
    """Neither in the check nor in what is raised."""
    bot = a_bot(url="http://ann:s3cret@h/relay?token=s3cret")
    assert "s3cret" not in repr(checked(bot))
    with pytest.raises(InvalidInput) as caught:
        normalised("slack", "C1", bot, peers=())
    assert "s3cret" not in repr((caught.value.message, caught.value.facts))


def test_bots_are_added_to_those_of_a_chat_unless_they_replace_them() -> None:
    """Those of one name are the new ones; all stand by name."""
    before = (a_bot("a"), a_bot("b"))
    new = a_bot("b", "https://b.example", protocol=RelayProtocol.A2A)
    assert merged(before, [a_bot("c"), new], is_replacing=False) == (a_bot("a"), new, a_bot("c"))
    assert merged(before, [new], is_replacing=True) == (new,)


@pytest.mark.parametrize(
    ("bots", "field"),
    [
        ([], "bots"),
        ([a_bot("a"), a_bot("a")], "name"),
        ([a_bot(f"b{number}") for number in range(BOTS_LIMIT)], "bots"),
    ],
)
def test_no_bots_two_of_one_name_and_too_many_are_refused(bots: list[Bot], field: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidInput) as caught:
        merged((a_bot("z"),), bots, is_replacing=False)
    assert caught.value.facts["field"] == field
