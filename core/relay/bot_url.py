"""The address of a bot as it is kept, one spelling for each, and the origin that it belongs to (pure)."""

import re
from urllib.parse import quote

from core.api.bindings import RelayProtocol
from core.relay.addresses import ForbiddenError, Place, host_and_port

URL_LIMIT = 2_000
"""Characters of an address."""

_SCHEME = re.compile(r"(https?)://", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DOTS = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)
_PATH_SAFE = "/%:@!$&'()*+,;=-._~"
_SHOWN = 200
_EXAMPLE = "write it as http://host:8080 or https://host/path"

_TAILS = {RelayProtocol.HOTPLEX: "/relay", RelayProtocol.A2A: "/.well-known/agent-card.json"}
"""What people write behind the address, and a protocol adds by itself."""


class BadUrl(Exception):
    """It cannot be the address of a bot. problem: why, in words; fix: what to write. Neither holds a secret."""

    def __init__(self, problem: str, fix: str = _EXAMPLE) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix


def place_of(url: str, protocol: RelayProtocol = RelayProtocol.HOTPLEX) -> Place:
    """Where an address leads. Done with its own url again, it gives the same. Raises BadUrl."""
    _check_letters(url)
    found = _SCHEME.match(url)
    if found is None:
        raise _without_scheme(url)
    scheme = found[1].lower()
    rest = url[found.end() :]
    _check_extras(rest)
    authority, slash, path = rest.partition("/")
    _check_name(authority)
    try:
        host, port = host_and_port(scheme, authority)
    except ForbiddenError as error:
        raise BadUrl(str(error), error.fix or _EXAMPLE) from None
    return Place(scheme, host, port, _path(slash + path, protocol))


def origin(url: str) -> str:
    """Scheme, host and port of an address, such as http://10.0.0.5:8080. Raises BadUrl."""
    return place_of(url).origin


def shown(url: str) -> str:
    """An address for people, without what may be a secret in it."""
    head = re.split(r"[?#]", url[: 10 * _SHOWN], maxsplit=1)
    text = head[0] + ("?…" if len(head) > 1 else "")
    if "@" in text:
        scheme = _OTHER_SCHEME.match(text)
        text = (scheme[0] if scheme else "") + "…@" + text.rpartition("@")[2]
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _check_letters(url: str) -> None:
    if not url:
        raise BadUrl("the address is empty")
    if len(url) > URL_LIMIT:
        raise BadUrl(f"the address has {len(url)} characters; at most {URL_LIMIT} are possible", "write less")
    if not url.isprintable() or " " in url:
        raise BadUrl("the address holds a space, a control character or a mark that cannot be seen", "take it out")
    if "\\" in url:
        raise BadUrl("the address holds a backslash, which programs read in two ways", "write / in its place")


def _without_scheme(url: str) -> BadUrl:
    other = _OTHER_SCHEME.match(url)
    if other is not None:
        return BadUrl(f"{other[1].lower()}:// is not spoken to bots", "use http:// or https://")
    if "@" in url or re.match(r"https?:", url, re.IGNORECASE):
        return BadUrl("the address does not begin with http:// or https:// and a host")
    return BadUrl("the address does not begin with http:// or https://", f"write http://{shown(url).lstrip('/')}")


def _check_extras(rest: str) -> None:
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        fix = "take it out, and name a peer of relay.peers: its token is sent as a header"
        raise BadUrl("the address holds a user name or a password", fix)
    if "#" in rest:
        raise BadUrl("the address holds a fragment (#...), which no server gets to see", "take it out")
    if "?" in rest:
        raise BadUrl("the address holds a query (?...), and what is called stands behind it", "take it out")


def _check_name(authority: str) -> None:
    """What is asked of a name beyond what can be called. Raises BadUrl."""
    host = authority.partition(":")[0]
    if not host or host.startswith("["):
        return
    name = host.lower() if host.isascii() else _in_ascii(host)
    if not all(_LABEL.fullmatch(label) for label in name.removesuffix(".").split(".")):
        raise BadUrl(f"{host[:60]!r} cannot be the name of a host", "use letters, digits, - and dots")


def _in_ascii(host: str) -> str:
    """A name in letters of other scripts as resolvers know it, where all rules for that agree."""
    fix = "write it in its form for machines, which begins with xn--"
    try:
        coded = host.lower().encode("idna").decode("ascii").lower()
        back = coded.encode("ascii").decode("idna")
    except UnicodeError:
        raise BadUrl(f"{host[:60]!r} cannot be the name of a host", fix) from None
    # Old and new rules read some letters, such as the German sharp s, as different hosts.
    if coded.isascii() and back == host.lower() and "xn--" in coded:
        return coded
    raise BadUrl(f"{host[:60]!r} can be read as the name of another host", fix)


def _path(path: str, protocol: RelayProtocol) -> str:
    if _PERCENT.search(path):
        raise BadUrl("a % in the address is not followed by two hexadecimal digits", "write %25 for a % itself")
    path = _shortened(quote(path, safe=_PATH_SAFE), _TAILS[protocol])
    parts = path.split("/")[1:]
    if not all(parts):
        raise BadUrl("the address has // in its path", "write one / there")
    if any(_DOTS.fullmatch(part) for part in parts):
        raise BadUrl("the address has . or .. as a part of its path", "write the path that is meant")
    return path


def _shortened(path: str, tail: str) -> str:
    while True:
        shorter = path.rstrip("/").removesuffix(tail)
        if shorter == path:
            return path
        path = shorter
