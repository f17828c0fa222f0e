"""What the name of a bot means: in a chat, or anywhere; what is decided and what is not (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from core.api.bindings import ANY_CHAT, Ambiguity, BindingView, Bot, Candidate, Resolution
from core.relay.bot_url import BadUrl, place_of, shown

K = TypeVar("K")

_SHOWN = 5


class Directory:
    """All bots of all bindings, by name and by origin. Whoever gives it bindings in any order gets the same answers."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[tuple[str, str], Candidate]] = {}
        self._by_origin: dict[str, dict[tuple[str, str, str], Candidate]] = {}
        self._bots: dict[tuple[str, str], tuple[Candidate, ...]] = {}

    def put(self, platform: str, chat: str, binding: BindingView | None) -> None:
        """How a chat is bound now; None when it is not any more."""
        key = (platform, chat)
        for candidate in self._bots.pop(key, ()):
            _drop(self._by_name, candidate.bot.name, key)
            _drop(self._by_origin, candidate.origin, (*key, candidate.bot.name))
        if binding is None:
            return
        found = tuple(_candidate(platform, chat, bot) for bot in binding.bots)
        self._bots[key] = found
        for candidate in found:
            self._by_name.setdefault(candidate.bot.name, {})[key] = candidate
            self._by_origin.setdefault(candidate.origin, {})[(*key, candidate.bot.name)] = candidate

    def bots_of(self, origin: str) -> Sequence[Candidate]:
        """All that lead to an origin, the most wanted first."""
        return _sorted(self._by_origin.get(origin, {}).values())

    def resolve(self, name: str, platform: str = "", chat: str = "", url: str = "") -> Resolution:
        """What a name means.

        In a chat its own binding counts; without one there, those for any chat. Of those that are left the lowest
        priority wins, and of equal ones those of a platform before those of all. url: only the one with that address.
        """
        everywhere = self._by_name.get(name, {})
        found = _sorted(_visible(everywhere, platform, chat))
        if url:
            found = [candidate for candidate in found if _is_at(candidate, url)]
        if not found:
            return Resolution(
                name=name, candidates=(), chosen=None, why=_why_nothing(name, platform, chat, url, everywhere)
            )
        enabled = [candidate for candidate in found if candidate.bot.enabled]
        if not enabled:
            why = f"{name} is disabled in {_place(found[0])}"
            return Resolution(name=name, candidates=tuple(found), chosen=None, why=why)
        wanted = _wanted(enabled, is_in_chat=bool(chat))
        if len({_target(candidate) for candidate in wanted}) > 1:
            return Resolution(name=name, candidates=tuple(found), chosen=None, why=_why_many(name, wanted))
        return Resolution(name=name, candidates=tuple(found), chosen=wanted[0])

    def ambiguities(self) -> tuple[Ambiguity, ...]:
        """Names that stand for several addresses where no chat is named, by name."""
        found: list[Ambiguity] = []
        for name in sorted(self._by_name):
            enabled = [candidate for candidate in _sorted(self._by_name[name].values()) if candidate.bot.enabled]
            targets = dict.fromkeys(_target(candidate) for candidate in enabled)
            if len(targets) > 1:
                is_decided = len({_target(candidate) for candidate in _wanted(enabled, is_in_chat=False)}) == 1
                urls = tuple(target[0] for target in targets)
                chats = tuple(_place(candidate) for candidate in enabled)
                found.append(Ambiguity(name=name, urls=urls, chats=chats, is_decided=is_decided))
        return tuple(found)


def _drop(index: dict[str, dict[K, Candidate]], name: str, key: K) -> None:
    rest = index[name]
    del rest[key]
    if not rest:
        del index[name]


def _candidate(platform: str, chat: str, bot: Bot) -> Candidate:
    try:
        where = place_of(bot.url, bot.protocol).origin
    except BadUrl:
        # A row of another version: it stands there, and every call to it says why it fails.
        where = bot.url
    return Candidate(platform=platform, chat=chat, bot=bot, origin=where)


def _breadth(candidate: Candidate) -> int:
    """0 for one chat, 1 for every chat of a platform, 2 for every chat there is."""
    return (candidate.chat == ANY_CHAT) + (candidate.platform == ANY_CHAT)


def _sorted(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The most wanted first; the rest of the order only makes it always the same."""
    return sorted(
        candidates,
        key=lambda one: (
            not one.bot.enabled,
            one.bot.priority,
            _breadth(one),
            one.platform,
            one.chat,
            one.bot.name,
        ),
    )


def _target(candidate: Candidate) -> tuple[str, str, str]:
    """What makes two bots the same: where, how and as whom it is spoken to."""
    bot = candidate.bot
    return bot.url, bot.protocol, bot.peer


def _visible(everywhere: Mapping[tuple[str, str], Candidate], platform: str, chat: str) -> list[Candidate]:
    """Those that a platform and a chat may mean; without a chat, all of the platform, or all."""
    if platform and chat:
        # A chat that has the bot itself, be it disabled, does not fall back on that of all.
        own = everywhere.get((platform, chat))
        wide = (everywhere.get(key) for key in ((platform, ANY_CHAT), (ANY_CHAT, ANY_CHAT)))
        return [one for one in wide if one is not None] if own is None else [own]
    if chat:
        own_of_all = [one for one in everywhere.values() if one.chat == chat]
        return own_of_all or [one for one in everywhere.values() if one.chat == ANY_CHAT]
    return [one for one in everywhere.values() if not platform or one.platform in {platform, ANY_CHAT}]


def _wanted(enabled: Sequence[Candidate], *, is_in_chat: bool) -> list[Candidate]:
    """Those of the lowest priority. For a chat the nearer of two bindings for any chat wins, too."""
    first = min(candidate.bot.priority for candidate in enabled)
    best = [candidate for candidate in enabled if candidate.bot.priority == first]
    if is_in_chat:
        nearest = min(_breadth(candidate) for candidate in best)
        best = [candidate for candidate in best if _breadth(candidate) == nearest]
    return best


def _is_at(candidate: Candidate, url: str) -> bool:
    try:
        return place_of(url, candidate.bot.protocol).url == candidate.bot.url
    except BadUrl:
        return False


def _place(candidate: Candidate) -> str:
    return f"{candidate.platform}:{candidate.chat}"


def _why_nothing(name: str, platform: str, chat: str, url: str, everywhere: dict[tuple[str, str], Candidate]) -> str:
    where = f" in {platform or 'any platform'}:{chat}" if chat else f" on {platform}" if platform else ""
    at = f" at {shown(url)}" if url else ""
    if not everywhere:
        return f"no bot {name} is bound to any chat"
    others = sorted(_place(candidate) for candidate in everywhere.values())
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return f"no bot {name}{at}{where}; it is bound in {', '.join(others[:_SHOWN])}{more}"


def _why_many(name: str, wanted: Sequence[Candidate]) -> str:
    places = [f"{candidate.bot.url} in {_place(candidate)}" for candidate in wanted[:_SHOWN]]
    more = f" and {len(wanted) - _SHOWN} more" if len(wanted) > _SHOWN else ""
    return f"{name} can be {', '.join(places)}{more}; name the chat or give one a lower priority"
