"""Which addresses a bot may be called at, in all the ways that one can write them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.relay.addresses import ForbiddenError, host_of, literal_of, networks_of, permitted, place_of, refusal

LOOPBACK = networks_of(("127.0.0.0/8", "::1/128"))
PRIVATE = networks_of(("10.0.0.0/8", "fd00::/8"))


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"])
def test_an_address_of_the_whole_internet_may_be_called(text: str) -> None:
    """Nothing has to be allowed for it."""
    assert refusal(ipaddress.ip_address(text)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ],
)
def test_an_address_of_a_machine_or_a_network_alone_may_not_be_called(text: str) -> None:
    """Whatever disguise it comes in; the reason names it."""
    assert refusal(ipaddress.ip_address(text)).startswith(str(ipaddress.ip_address(text)))


def test_what_is_allowed_may_be_called_and_nothing_beside_it() -> None:
    """A network of the binding opens that network, and an address inside another one counts as the inner one."""
    assert refusal(ipaddress.ip_address("127.0.0.1"), LOOPBACK) == ""
    assert refusal(ipaddress.ip_address("::ffff:127.0.0.1"), LOOPBACK) == ""
    assert refusal(ipaddress.ip_address("64:ff9b::7f00:1"), LOOPBACK) == ""
    assert "private" in refusal(ipaddress.ip_address("10.0.0.1"), LOOPBACK)
    assert "that is 10.0.0.1" in refusal(ipaddress.ip_address("::ffff:10.0.0.1"), LOOPBACK)


@pytest.mark.parametrize("text", ["169.254.169.254", "fd00:ec2::254", "168.63.129.16"])
def test_where_clouds_give_away_credentials_is_not_opened_by_a_network_around_it(text: str) -> None:
    """Only the address by itself opens it."""
    wide = networks_of(("0.0.0.0/0", "::/0"))
    assert "credentials" in refusal(ipaddress.ip_address(text), wide)
    assert refusal(ipaddress.ip_address(text), networks_of((text,))) == ""


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"])
def test_what_stands_for_no_host_is_never_called(text: str) -> None:
    """No allow-list opens it."""
    assert refusal(ipaddress.ip_address(text), networks_of(("0.0.0.0/0", "::/0")))


def test_an_address_with_a_zone_is_not_called() -> None:
    """It means another host on every network card."""
    assert refusal(ipaddress.ip_address("fe80::1%eth0"), networks_of(("fe80::/10",)))


def test_of_several_addresses_those_that_may_are_called() -> None:
    """A host with a forbidden address beside a good one is called at the good one; with none it is refused."""
    good, bad = ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("127.0.0.1")
    assert permitted("bot.example", [bad, good], ()) == [good]
    with pytest.raises(ForbiddenError, match=r"bot\.example may not be called: 127\.0\.0\.1 is this machine itself"):
        permitted("bot.example", [bad], ())
    with pytest.raises(ForbiddenError, match="has no address"):
        permitted("bot.example", [], ())


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "017700000001",
        "0x",
        "1.2.3.4.5",
        "256.1.1.1",
        "127.0.0.1.",
        "0x7f.0.0.1",
        "١٢٧.0.0.1",
        "127。1",
        "1.2.3",
        "08.1.1.1",
        "4294967296",
    ],
)
def test_an_odd_way_to_write_an_address_is_refused(host: str) -> None:
    """Programs read them differently, so nobody can tell which host is meant."""
    with pytest.raises(ForbiddenError, match=r"odd way|no name of a host"):
        host_of(host)


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("\uff11\uff12\uff17.\uff10.\uff10.\uff11", "127.0.0.1"),
        ("①②⑦.⓪.⓪.①", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("::FFFF:127.0.0.1", "::ffff:7f00:1"),
        ("LocalHost", "localhost"),
        ("localhost.", "localhost"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("Bot_1.internal", "bot_1.internal"),
        ("0xbot.example", "0xbot.example"),
    ],
)
def test_a_host_is_called_by_what_it_means(host: str, meant: str) -> None:
    """Digits of other scripts are digits, and a name is in small letters of ASCII."""
    assert host_of(host) == meant


@pytest.mark.parametrize(
    "host",
    [
        "",
        "fe80::1%eth0",
        "fe80::1%25eth0",
        "127%2e0.0.1",
        "a b",
        "a..b",
        ".a",
        "a" * 64 + ".b",
        "é" * 200,
        "a/b",
        "::g",
        "a,b",
    ],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    """Zones, escapes, empty labels, letters that no host has."""
    with pytest.raises(ForbiddenError):
        host_of(host)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://bot.example/", "ftp cannot be called"),
        ("file:///etc/passwd", "file cannot be called"),
        ("//bot.example/", "no scheme"),
        ("http://", "no host"),
        ("http://user@bot.example/", "user name"),
        ("http://good.example@127.0.0.1/", "user name"),
        ("http://bot.example\\@127.0.0.1/", "backslash"),
        ("http://bot.example/#part", "fragment"),
        ("http://bot.example/\r\nX: y", "control characters"),
        ("http://bot.example/ x", "blanks"),
        ("http://bot.example:0/", "port"),
        ("http://bot.example:65536/", "port"),
        ("http://bot.example:8\uff10/", "port|read"),
        ("http://bot.example:+80/", "port"),
        ("http://[::1/", "malformed|brackets"),
        ("http://[127.0.0.1]/", "malformed|brackets"),
        ("http://[::1]x/", "malformed|brackets"),
        ("http://[::1%25lo]/", "malformed|zone"),
        ("http://::1/", "malformed|port|host"),
        ("http://" + "a" * 3000, "characters"),
    ],
)
def test_a_url_that_two_readers_could_understand_differently_is_refused(url: str, why: str) -> None:
    """Each with what is wrong with it."""
    with pytest.raises(ForbiddenError, match=why):
        place_of(url)


def test_a_url_is_taken_apart() -> None:
    """Host, port, path and query are as they are sent; the Host header has no port that goes without saying."""
    place = place_of("HTTPS://Bot.Example:443/a%20b/é?x=1&y=[")
    assert (place.scheme, place.host, place.port) == ("https", "bot.example", 443)
    assert place.target == "/a%20b/%C3%A9?x=1&y=%5B"
    assert place.authority == "bot.example"
    assert place_of("http://[::1]:8080").origin == "http://[::1]:8080"


@given(
    st.one_of(
        st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address), st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)
    )
)
def test_what_may_be_called_is_global_by_the_registry(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Python's own table of special addresses never forbids what is allowed here."""
    if not refusal(address):
        inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        real = inner or address
        assert (real.is_global and not real.is_multicast) or real in ipaddress.ip_network("64:ff9b::/96")


@given(st.text(max_size=60))
def test_no_host_is_read_as_an_address_of_this_machine_by_surprise(text: str) -> None:
    """A host is refused, a name, or an address in its usual form."""
    try:
        host = host_of(text)
    except ForbiddenError:
        return
    literal = literal_of(host)
    assert literal is None or str(literal) == host
    assert host.isascii()


def test_what_is_no_network_allows_nothing() -> None:
    """A mistake in the configuration opens nothing."""
    assert networks_of(("10.0.0.0/33", "all", "")) == ()
    assert refusal(ipaddress.ip_address("10.0.0.1"), PRIVATE) == ""
