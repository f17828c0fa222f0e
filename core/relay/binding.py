"""What a binding may be: bots in the form in which they are kept, what is wrong with one (pure)."""

import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence

from core.api.bindings import (
    ANY_CHAT,
    BOTS_LIMIT,
    NAME_LIMIT,
    BindingCheck,
    BindingProblem,
    Bot,
)
from core.api.errors import InvalidInput
from core.relay.addresses import IpNetwork, Place, literal_of, meant
from core.relay.addresses import refusal as refused
from core.relay.bot_url import BadUrl, origin, place_of, shown

__all__ = ["CHAT_LIMIT", "NETWORKS_LIMIT", "PRIORITY_LIMIT", "check_bot", "check_key", "merged", "normalised", "origin"]

CHAT_LIMIT = 512
"""Characters of the id of a chat."""

NETWORKS_LIMIT = 32
"""Networks of one bot."""

PRIORITY_LIMIT = 10_000
"""Priorities go from 0 to this."""

_PLATFORM = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_SEPARATORS = "=:,/\\*\"'`"
"""Not in names: they stand around them in orders, commands of chats, and tables."""
_SHOWN = 60
_LOOPBACK_NAME = re.compile(r"(?:.+\.)?localhost")
_LOOPBACKS = ("127.0.0.1", "::1")


def check_bot(platform: str, chat: str, bot: Bot, *, peers: Collection[str], networks: Sequence[str]) -> BindingCheck:
    """What a bot would be in a binding. peers: that there are; networks: that every bot may be in."""
    problems = [*check_key(platform, chat), *_name_problems(bot.name), *_peer_problems(bot.peer, peers)]
    if not 0 <= bot.priority <= PRIORITY_LIMIT:
        what = f"the priority must be 0 to {PRIORITY_LIMIT}"
        problems.append(_problem("priority", str(bot.priority), what, "use 100 unless another bot has its name"))
    allowed, wrong = _networks(bot.networks)
    problems += wrong
    try:
        place = place_of(bot.url, bot.protocol)
    except BadUrl as error:
        problems.append(_problem("url", shown(bot.url), error.problem, error.fix))
        return BindingCheck(problems=_ordered(problems), bot=None)
    problems += _place_problems(place, bot.peer, [*allowed, *_networks(networks)[0]])
    if any(problem.is_fatal for problem in problems):
        return BindingCheck(problems=_ordered(problems), bot=None, origin=place.origin)
    kept = Bot(
        name=bot.name,
        url=place.url,
        protocol=bot.protocol,
        peer=bot.peer,
        priority=bot.priority,
        networks=tuple(str(network) for network in allowed),
        enabled=bot.enabled,
    )
    return BindingCheck(problems=_ordered(problems), bot=kept, origin=place.origin)


def normalised(platform: str, chat: str, bot: Bot, *, peers: Collection[str]) -> Bot:
    """A bot as it is kept. Raises InvalidInput with the first thing that is wrong."""
    found = check_bot(platform, chat, bot, peers=peers, networks=())
    if found.bot is None:
        raise refusal(found.problems)
    return found.bot


def refusal(problems: Iterable[BindingProblem]) -> InvalidInput:
    """What is raised for the first of them that is fatal."""
    first = next(problem for problem in problems if problem.is_fatal)
    return InvalidInput(first.problem, field=first.field, value=first.value, fix=first.fix)


def check_key(platform: str, chat: str) -> list[BindingProblem]:
    """What is wrong with a platform and a chat as the place of a binding."""
    found: list[BindingProblem] = []
    if platform != ANY_CHAT and not _PLATFORM.fullmatch(platform):
        fix = f"write it in small letters as in the configuration, or {ANY_CHAT} for all"
        what = "a platform is a name of a-z 0-9 _ . - with at most 64 letters"
        found.append(_problem("platform", platform, what, fix))
    if not chat or len(chat) > CHAT_LIMIT or not chat.isprintable() or chat != chat.strip():
        what = f"a chat is an id of 1 to {CHAT_LIMIT} characters without any that cannot be seen"
        found.append(_problem("chat", chat, what, f"take it from `sessions list`, or write {ANY_CHAT} for every chat"))
    elif platform == ANY_CHAT and chat != ANY_CHAT:
        what = "a chat is one of a platform, and no platform is named"
        found.append(_problem("platform", platform, what, f"name the platform, or write {ANY_CHAT} as the chat too"))
    return found


def merged(before: Sequence[Bot], more: Sequence[Bot], *, is_replacing: bool) -> tuple[Bot, ...]:
    """The bots of a chat by name: those named as they are now, the others as before unless all are replaced.

    Raises InvalidInput for none at all, a name that stands twice, and too many.
    """
    if not more:
        raise InvalidInput("no bot is named", field="bots", value="", fix="name at least one: security-bot=http://...")
    named: dict[str, Bot] = {}
    for bot in more:
        if bot.name in named:
            what = f"{bot.name} is named twice"
            raise InvalidInput(what, field="name", value=bot.name, fix="give each bot of a chat a name of its own")
        named[bot.name] = bot
    after = named if is_replacing else {**{bot.name: bot for bot in before}, **named}
    if len(after) > BOTS_LIMIT:
        what = f"a chat can have {BOTS_LIMIT} bots, and these would be {len(after)}"
        raise InvalidInput(what, field="bots", value=len(after), fix="remove some first")
    return in_order(after.values())


def in_order(bots: Iterable[Bot]) -> tuple[Bot, ...]:
    """By name, as they are kept and shown."""
    return tuple(sorted(bots, key=lambda bot: bot.name))


def _problem(field: str, value: str, problem: str, fix: str, *, is_fatal: bool = True) -> BindingProblem:
    clean = "".join(letter if letter.isprintable() else "\ufffd" for letter in value[: 10 * _SHOWN])
    if field != "url" and len(clean) > _SHOWN:
        clean = clean[: _SHOWN - 1] + "…"
    return BindingProblem(field=field, value=clean, problem=problem, fix=fix, is_fatal=is_fatal)


def _ordered(problems: list[BindingProblem]) -> tuple[BindingProblem, ...]:
    """Fatal ones first."""
    return tuple(sorted(problems, key=lambda problem: not problem.is_fatal))


def _name_problems(name: str) -> list[BindingProblem]:
    if not name or len(name) > NAME_LIMIT:
        return [_problem("name", name, f"a bot has a name of 1 to {NAME_LIMIT} characters", "as security-bot")]
    if not name.isprintable() or any(letter.isspace() for letter in name):
        what = "the name of a bot holds no space and nothing that cannot be seen"
        return [_problem("name", name, what, "join its words with -")]
    found = sorted(set(name) & set(_SEPARATORS))
    if found:
        return [_problem("name", name, f"the name of a bot cannot hold {' '.join(found)}", "join its words with -")]
    if name.startswith("-"):
        return [_problem("name", name, "the name of a bot cannot begin with -", "begin it with a letter")]
    return []


def _peer_problems(peer: str, peers: Collection[str]) -> list[BindingProblem]:
    if not peer or peer in peers:
        return []
    known = ", ".join(sorted(peers)[:10])
    fix = f"use one of {known}" if known else "add it to relay.peers in the configuration"
    return [_problem("peer", peer, "relay.peers has no such entry", fix)]


# -- networks ----------------------------------------------------------------------------------------------------------


def _networks(texts: Sequence[str]) -> tuple[list[IpNetwork], list[BindingProblem]]:
    """Those that can be read, sorted, and what is wrong."""
    found: set[IpNetwork] = set()
    problems: list[BindingProblem] = []
    for text in texts:
        try:
            found.add(ipaddress.ip_network(text))
        except ValueError:
            problems.append(_network_problem(text))
    if len(found) > NETWORKS_LIMIT:
        what = f"a bot can have {NETWORKS_LIMIT} networks, and these are {len(found)}"
        problems.append(_problem("networks", str(len(found)), what, "name larger ones"))
    for network in sorted(found, key=_network_order):
        if network.prefixlen == 0:
            what = "this is every address there is, also those that clouds hand secrets out at"
            fix = "name the network that the bot is in"
            problems.append(_problem("networks", str(network), what, fix, is_fatal=False))
    return sorted(found, key=_network_order), problems


def _network_order(network: IpNetwork) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _network_problem(text: str) -> BindingProblem:
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return _problem("networks", text, "this is no network", "write it as 10.0.0.0/8 or fd00::/8")
    single = f"{text.partition('/')[0]}/{meant.max_prefixlen}"
    return _problem(
        "networks",
        text,
        "this is an address with the length of a network",
        f"write {meant} for the network, or {single} for that address alone",
    )


# -- what is odd about an address --------------------------------------------------------------------------------------


def _place_problems(place: Place, peer: str, allowed: Sequence[IpNetwork]) -> list[BindingProblem]:
    """What will come of calling it there, as far as its address tells. Names are not looked up."""
    if _LOOPBACK_NAME.fullmatch(place.host):
        ours = [address for address in map(literal_of, _LOOPBACKS) if address is not None]
        if any(not refused(address, allowed) for address in ours):
            return []
        return [_unreachable(place, "this machine itself", "--network 127.0.0.0/8 --network ::1/128")]
    address = literal_of(place.host)
    why = "" if address is None else refused(address, allowed)
    if address is not None and why:
        alone = ipaddress.ip_network(meant(address))
        if refused(address, [alone]):
            what = f"nothing can be called there: {why}"
            return [_problem("url", place.url, what, "write the address of the bot itself")]
        network = "127.0.0.0/8" if alone.version == 4 and alone.is_loopback else str(alone)  # noqa: PLR2004
        return [_unreachable(place, why, f"--network {network}")]
    if place.scheme == "http" and "." in place.host and not allowed:
        what = "whoever is on the way can read what is sent" + (f", the token of {peer} too" if peer else "")
        return [_problem("url", place.url, what, f"use https://{place.host}", is_fatal=False)]
    return []


def _unreachable(place: Place, why: str, options: str) -> BindingProblem:
    what = f"it will be refused when it is called: {why}, and no network that the bot may be in holds it"
    return _problem("networks", place.url, what, f"allow it with {options}", is_fatal=False)
