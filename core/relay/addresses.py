"""Which addresses a bot may be called at, and how hosts are written (pure, no look-up of names)."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote, urlsplit

import msgspec

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

URL_LIMIT = 2_048
"""Characters of a URL that is called."""

_HOST_LIMIT = 253
_PORTS = {"http": 80, "https": 443}
_HOST_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
_PATH_LETTERS = "/%:@!$&'()*+,;=~-._?"
_PORT_LIMIT = 65_535


class ForbiddenError(Exception):
    """An address may not be called, or is none. Says which and why. fix: what to write instead, "" for nothing."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.fix = fix


class Place(msgspec.Struct, frozen=True):
    """A URL taken apart. host: a name in ASCII, or an IP address without brackets. target: path and query.

    A target that is kept, and to which more is added before it is called, has no slash at its end and may be "".
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """As the Host header has it, after the scheme."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """All of it."""
        return self.origin + self.target

    @property
    def authority(self) -> str:
        """Host, and port where it is not that of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def _nets(*texts: str) -> tuple[IpNetwork, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_NEVER = {
    "stands for no host": _nets("0.0.0.0/32", "::/128"),
    "is a multicast address": _nets("224.0.0.0/4", "ff00::/8"),
    "is the broadcast address": _nets("255.255.255.255/32"),
}
_SPECIAL = {
    "is this machine itself": _nets("127.0.0.0/8", "::1/128"),
    "is link-local": _nets("169.254.0.0/16", "fe80::/10"),
    "is private": _nets("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10", "64:ff9b:1::/48"),
    "is shared by customers of a provider": _nets("100.64.0.0/10"),
    "is for examples": _nets("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    "is a tunnel (Teredo)": _nets("2001::/32"),
    "is a tunnel (6to4)": _nets("2002::/16", "192.88.99.0/24"),
    "is reserved": _nets("0.0.0.0/8", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "2001::/23"),
}
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Where clouds give credentials to whoever asks from inside.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.169.253",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)


def place_of(url: str) -> Place:
    """A URL taken apart, strictly: what two readers could understand in two ways is refused.

    Raises ForbiddenError.
    """
    if len(url) > URL_LIMIT:
        raise ForbiddenError(f"the address has more than {URL_LIMIT} characters")
    if any(letter <= " " or letter in "\\\x7f" for letter in url):
        raise ForbiddenError("the address has blanks, control characters or a backslash in it")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ForbiddenError("the address cannot be read: its host is malformed") from None
    if parts.scheme not in _PORTS:
        raise ForbiddenError(f"{parts.scheme or 'no scheme'} cannot be called: http and https can")
    if "@" in parts.netloc:
        raise ForbiddenError("the address has a user name in it")
    if "#" in url:
        raise ForbiddenError("the address has a fragment")
    host, port = host_and_port(parts.scheme, parts.netloc)
    path = quote(parts.path or "/", safe=_PATH_LETTERS)
    target = f"{path}?{quote(parts.query, safe=_PATH_LETTERS)}" if parts.query else path
    return Place(parts.scheme, host, port, target)


def host_and_port(scheme: str, authority: str) -> tuple[str, int]:
    """What stands between the scheme and the path, without a user name. Raises ForbiddenError."""
    if authority.startswith("["):
        host, bracket, rest = authority[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            what = "an address of version 6 stands in brackets that are closed, and only a port after them"
            raise ForbiddenError(what, "write http://[::1]:8080")
        digits = rest[1:]
    else:
        host, _, digits = authority.partition(":")
        if ":" in digits:
            what = "the address has two colons in its host and port"
            raise ForbiddenError(what, "put an address of version 6 in brackets: [::1]")
    return host_of(host), _port(digits) if digits else _PORTS[scheme]


def _port(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len("65535") and 0 < int(digits) <= _PORT_LIMIT):
        raise ForbiddenError(f"{digits[:20]!r} is no port", f"use 1 to {_PORT_LIMIT}")
    return int(digits)


def host_of(text: str) -> str:
    """A host as it is called: a name in lower case and ASCII, or an IP address as it is usually written.

    Raises ForbiddenError for what is none, and for odd ways to write an IPv4 address: some programs read 0177.0.0.1 as
    127.0.0.1 and some do not.
    """
    if not text:
        raise ForbiddenError("the address has no host")
    if "%" in text:
        what = f"host {text[:80]!r} has a zone, which means something on one machine only, or an escape in it"
        raise ForbiddenError(what, "take the % and what follows it out")
    if ":" in text:
        try:
            return str(ipaddress.IPv6Address(text))
        except ValueError:
            what = f"host {text[:80]!r} is no address of version 6"
            raise ForbiddenError(what, "write it as [2001:db8::1]") from None
    name = _ascii(text)
    _check_name(text, name)
    if not _ends_in_number(name):
        return name.removesuffix(".")
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        what = f"host {text[:80]!r} is an odd way to write an IP address: a spelling that hides where it leads"
        fix = "write it as four numbers of 0 to 255 without leading zeros, as 10.0.0.5"
        raise ForbiddenError(what, fix) from None


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    try:
        return text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ForbiddenError(f"host {text[:80]!r} is no name of a host") from None


def _check_name(text: str, name: str) -> None:
    if len(name) > _HOST_LIMIT or not _HOST_LETTERS.issuperset(name):
        raise ForbiddenError(f"host {text[:80]!r} is no name of a host")
    labels = name.removesuffix(".").split(".")
    if any(not label or len(label) > 63 for label in labels):  # noqa: PLR2004 - of the domain name system
        raise ForbiddenError(f"host {text[:80]!r} is no name of a host")


def _ends_in_number(name: str) -> bool:
    last = name.removesuffix(".").rpartition(".")[2]
    if last.startswith("0x"):
        return all(letter in "0123456789abcdef" for letter in last[2:])
    return last.isdigit()


def literal_of(host: str) -> IpAddress | None:
    """The IP address that a host of `host_of` is; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def networks_of(texts: tuple[str, ...]) -> tuple[IpNetwork, ...]:
    """Networks by what the configuration calls them; what is none allows nothing."""
    found: list[IpNetwork] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue
    return tuple(found)


def meant(address: IpAddress) -> IpAddress:
    """Whom an address really reaches: the IPv4 one inside a mapped or translated IPv6 one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def refusal(address: IpAddress, allowed: Sequence[IpNetwork] = ()) -> str:
    """Why an address may not be called, "" when it may.

    Only unicast addresses of the whole internet may, and those in allowed. An address from which clouds give away
    credentials must be allowed by itself, not by a network around it.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return f"{address} holds for one network card only"
    real = meant(address)
    words = f"{address}" if real == address else f"{address}, that is {real},"
    why = _why(real, _NEVER)
    if why:
        return f"{words} {why}"
    mine = [network for network in allowed if real in network]
    if real in _METADATA:
        alone = any(network.prefixlen == network.max_prefixlen for network in mine)
        return "" if alone else f"{words} gives away credentials of this machine"
    if mine:
        return ""
    why = _why(real, _SPECIAL)
    if not why and isinstance(real, ipaddress.IPv6Address) and real not in _GLOBAL_6:
        why = "is reserved"
    return f"{words} {why}" if why else ""


def _why(address: IpAddress, table: dict[str, tuple[IpNetwork, ...]]) -> str:
    return next((why for why, networks in table.items() if any(address in network for network in networks)), "")


def permitted(host: str, addresses: Sequence[IpAddress], allowed: Sequence[IpNetwork]) -> list[IpAddress]:
    """Those of a host's addresses that may be called, in their order. Raises ForbiddenError when there are none."""
    found = [address for address in addresses if not refusal(address, allowed)]
    if found:
        return found
    if not addresses:
        raise ForbiddenError(f"{host} has no address")
    why = refusal(addresses[0], allowed)
    where = "" if literal_of(host) == addresses[0] else f"{host} may not be called: "
    raise ForbiddenError(f"{where}{why}; allow its network for this bot if it is meant")
