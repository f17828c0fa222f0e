"""Who may talk: rules in five layers, decided by look-up, and how a verdict came about (pure).

The same table of rules decides and explains, so an explanation cannot differ from the decision.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from core.api.access import AccessStep, Rule, Tier, Verdict
from core.api.base import PlatformName
from core.api.sessions import ChatKind

EVERYBODY = "*"
"""In a list of ids: everybody."""

PAIRING = "pairing"
"""Origin of what operators decided about a sender."""

Person = Sequence[tuple[PlatformName, str]]
_NOBODY: Person = ()
_EMAIL = "email"


def same_id(kind: str, sender_id: str) -> str:
    """An id in the form in which ids of that kind of platform are compared: e-mail ignores the case of A to Z."""
    # Only A to Z: other letters fold into one another across alphabets, and would let strangers in.
    return (
        sender_id.encode(errors="surrogatepass").lower().decode(errors="surrogatepass") if kind == _EMAIL else sender_id
    )


class Sender(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who wrote where. aliases: further ids at the same connection. is_proved: the connection has proved the sender."""

    platform: PlatformName
    sender_id: str
    chat_kind: ChatKind = ChatKind.DM
    chat: str = ""
    aliases: Sequence[str] = ()
    is_bot: bool = False
    is_addressed: bool = True
    is_proved: bool = False


class AccountRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one connection. Lists map an id to the origin of its entry.

    allow_all: origin of that rule, "" where it is off. everywhere: what the global list means for this connection;
    everywhere_all: origin of the global allow-all, or "". bots: none, mentions or all. asks: a stranger's direct
    message becomes a request; asks_origin: why. places: where each rule stands, for those that do not fit.
    """

    platform: PlatformName
    kind: str
    allow_all: str = ""
    users: Mapping[str, str] = {}
    group_users: Mapping[str, str] = {}
    chats: Mapping[str, str] = {}
    everywhere: Mapping[str, str] = {}
    everywhere_all: str = ""
    bots: str = "none"
    admins: frozenset[str] = frozenset()
    asks: bool = False
    asks_origin: str = "default"
    places: Mapping[Rule, str] = {}


class Roll:
    """Who is paired and who is blocked, by connection and id; kept by the shell that owns the rows.

    unreadable: senders of whom nobody can tell. is_blind: nothing could be read, so nobody can tell of anybody.
    """

    def __init__(self) -> None:
        self.approved: dict[PlatformName, set[str]] = {}
        self.blocked: dict[PlatformName, set[str]] = {}
        self.is_unreadable: Callable[[PlatformName, str], bool] = _never
        self.is_blind = False

    def put(self, platform: PlatformName, sender_id: str, *, is_approved: bool, is_blocked: bool) -> None:
        """How an id stands from now on. sender_id: as same_id() gives it."""
        for group, belongs in ((self.approved, is_approved), (self.blocked, is_blocked)):
            if belongs:
                group.setdefault(platform, set()).add(sender_id)
            elif platform in group:
                group[platform].discard(sender_id)


_PLACES = {Rule.BLOCKED: PAIRING, Rule.UPSTREAM: "connection", Rule.PAIRED: PAIRING}


class _Fit(NamedTuple):
    origin: str
    text: str
    matched: str
    admits: bool


class _Asked(NamedTuple):
    """What the rules look at. ids: of the sender at this connection; person: of the sender everywhere."""

    sender: Sender
    rules: AccountRules
    ids: tuple[str, ...]
    person: Person
    roll: Roll


class Access:
    """All rules. people: ids that belong to one person, by each of them, as an operator says."""

    def __init__(
        self,
        accounts: Mapping[PlatformName, AccountRules],
        people: Mapping[tuple[PlatformName, str], Person] | None = None,
    ) -> None:
        self.accounts = accounts
        self.people = people or {}

    def rules(self, platform: PlatformName) -> AccountRules:
        """The rules of a connection; of one that is not configured: none that lets anybody in."""
        found = self.accounts.get(platform)
        return AccountRules(platform=platform, kind="") if found is None else found

    def verdict(self, sender: Sender, roll: Roll) -> Verdict:
        """May this sender talk there? The first rule that fits decides."""
        asked = self._asked(sender, roll)
        for rule, layer, fitting, _ in _TABLE:
            fit = fitting(asked)
            if fit is not None:
                return _verdict(asked, rule, layer, fit)
        return _denied(asked)

    def ids(self, sender: Sender) -> tuple[str, ...]:
        """All ids of the sender at this connection, as they are compared, the one it wrote with first."""
        return self._asked(sender, _NO_ROLL).ids

    def steps(self, sender: Sender, roll: Roll) -> Iterator[AccessStep]:
        """Every rule in order, and whether it fits."""
        asked = self._asked(sender, roll)
        is_decided = False
        for rule, layer, fitting, words in _TABLE:
            fit = None if is_decided else fitting(asked)
            yield AccessStep(
                rule=rule,
                layer=layer,
                fits=fit is not None,
                is_reached=not is_decided,
                origin=fit.origin if fit is not None else asked.rules.places.get(rule) or _PLACES.get(rule, "default"),
                text=fit.text if fit is not None else words,
            )
            is_decided = is_decided or fit is not None
        yield AccessStep(
            rule=Rule.DENY,
            layer=5,
            fits=not is_decided,
            is_reached=not is_decided,
            origin="default",
            text=f"nothing lets the sender in; {_stranger_words(asked)}",
        )

    def _asked(self, sender: Sender, roll: Roll) -> _Asked:
        platform = sender.platform
        rules = self.accounts.get(platform) or self.rules(platform)
        own = sender.sender_id if rules.kind != _EMAIL else same_id(rules.kind, sender.sender_id)
        if not sender.aliases and not self.people:
            return _Asked(sender, rules, (own,), _NOBODY, roll)
        ids = dict.fromkeys((own, *(same_id(rules.kind, alias) for alias in sender.aliases if alias.strip())))
        person: dict[tuple[PlatformName, str], None] = {}
        for one in tuple(ids):
            person.update(dict.fromkeys(self.people.get((platform, one), _NOBODY)))
        ids.update(dict.fromkeys(other for where, other in person if where == platform))
        return _Asked(sender, rules, tuple(ids), tuple(person), roll)


def _stranger_words(asked: _Asked) -> str:
    """What a message of somebody whom nothing lets in leads to."""
    if asked.sender.chat_kind is not ChatKind.DM:
        return "nobody is answered in shared chats"
    what = "a direct message becomes a request" if asked.rules.asks else "a direct message is ignored"
    return f"{what} ({asked.rules.asks_origin})"


def _never(_platform: PlatformName, _sender_id: str) -> bool:
    return False


_NO_ROLL = Roll()


def _denied(asked: _Asked) -> Verdict:
    return Verdict(
        is_admitted=False,
        rule=Rule.DENY,
        layer=5,
        origin="default",
        text=f"no rule lets {asked.sender.platform}:{asked.sender.sender_id} in",
    )


def _verdict(asked: _Asked, rule: Rule, layer: int, fit: _Fit) -> Verdict:
    return Verdict(
        is_admitted=fit.admits,
        rule=rule,
        layer=layer,
        origin=fit.origin,
        text=fit.text,
        matched=fit.matched,
        tier=_tier(asked) if fit.admits else Tier.USER,
    )


def _tier(asked: _Asked) -> Tier:
    admins = asked.rules.admins
    if not admins:
        # A program is nobody whom an operator would have meant by naming no admins.
        return Tier.USER if asked.sender.is_bot else Tier.ADMIN
    return Tier.ADMIN if EVERYBODY in admins or not admins.isdisjoint(asked.ids) else Tier.USER


def _blocked(asked: _Asked) -> _Fit | None:
    platform, roll = asked.sender.platform, asked.roll
    if roll.is_blind:
        return _Fit(PAIRING, "what was decided about senders cannot be read", "", admits=False)
    blocked = roll.blocked.get(platform)
    for one in asked.ids:
        if blocked and one in blocked:
            return _Fit(PAIRING, "an operator blocked the sender", one, admits=False)
        if roll.is_unreadable(platform, one):
            return _Fit(PAIRING, "what was decided about the sender cannot be read", one, admits=False)
    for where, other in asked.person:
        if other in roll.blocked.get(where, ()):
            return _Fit(PAIRING, "an operator blocked another id of the same person", f"{where}:{other}", admits=False)
        if roll.is_unreadable(where, other):
            return _Fit(PAIRING, "what was decided about the person cannot be read", f"{where}:{other}", admits=False)
    return None


def _upstream(asked: _Asked) -> _Fit | None:
    if not asked.sender.is_proved:
        return None
    return _Fit("connection", "the connection itself proves who writes", "", admits=True)


def _no_sender(asked: _Asked) -> _Fit | None:
    if asked.sender.sender_id.strip():
        return None
    return _Fit("default", "the message names no sender", "", admits=False)


def _bot(asked: _Asked) -> _Fit | None:
    sender, rules = asked.sender, asked.rules
    if not sender.is_bot:
        return None
    origin = rules.places.get(Rule.BOT, "default")
    if rules.bots == "all":
        return _Fit(origin, "programs are let in", rules.bots, admits=True)
    if rules.bots == "mentions" and sender.is_addressed:
        return _Fit(origin, "programs that address us are let in", rules.bots, admits=True)
    return _Fit(origin, f"programs are not let in (allow_bots is {rules.bots})", "", admits=False)


def _platform_all(asked: _Asked) -> _Fit | None:
    origin = asked.rules.allow_all
    return _Fit(origin, f"{asked.rules.platform} lets everybody in", "", admits=True) if origin else None


def _platform_list(asked: _Asked) -> _Fit | None:
    rules = asked.rules
    found = _listed(rules.users, asked.ids)
    if found is not None:
        return _Fit(found[1], f"on the list of {rules.platform}", found[0], admits=True)
    if asked.sender.chat_kind is ChatKind.DM:
        return None
    found = _listed(rules.group_users, asked.ids)
    if found is None:
        return None
    return _Fit(found[1], f"on the list for shared chats of {rules.platform}", found[0], admits=True)


def _chat_list(asked: _Asked) -> _Fit | None:
    sender, rules = asked.sender, asked.rules
    if sender.chat_kind is ChatKind.DM or not rules.chats or not sender.chat:
        return None
    found = _listed(rules.chats, (sender.chat,))
    return None if found is None else _Fit(found[1], "everybody in this chat is let in", found[0], admits=True)


def _paired(asked: _Asked) -> _Fit | None:
    approved = asked.roll.approved.get(asked.sender.platform)
    if approved:
        for one in asked.ids:
            if one in approved:
                return _Fit(PAIRING, "an operator let the sender in", one, admits=True)
    return None


def _global_list(asked: _Asked) -> _Fit | None:
    found = _listed(asked.rules.everywhere, asked.ids)
    return None if found is None else _Fit(found[1], "on the list for all connections", found[0], admits=True)


def _global_all(asked: _Asked) -> _Fit | None:
    origin = asked.rules.everywhere_all
    return _Fit(origin, "everybody is let in everywhere", "", admits=True) if origin else None


def _listed(entries: Mapping[str, str], ids: tuple[str, ...]) -> tuple[str, str] | None:
    if not entries:
        return None
    for one in ids:
        origin = entries.get(one)
        if origin is not None:
            return one, origin
    origin = entries.get(EVERYBODY)
    return None if origin is None else (EVERYBODY, origin)


_TABLE: tuple[tuple[Rule, int, Callable[[_Asked], _Fit | None], str], ...] = (
    (Rule.BLOCKED, 0, _blocked, "an operator blocked the sender"),
    (Rule.UPSTREAM, 0, _upstream, "the connection itself proves who writes"),
    (Rule.NO_SENDER, 0, _no_sender, "the message names no sender"),
    (Rule.BOT, 0, _bot, "the sender is a program"),
    (Rule.PLATFORM_ALLOW_ALL, 1, _platform_all, "the connection lets everybody in"),
    (Rule.PLATFORM_ALLOWLIST, 2, _platform_list, "on the list of the connection"),
    (Rule.CHAT_ALLOWLIST, 2, _chat_list, "everybody in this chat is let in"),
    (Rule.PAIRED, 3, _paired, "an operator let the sender in"),
    (Rule.GLOBAL_ALLOWLIST, 4, _global_list, "on the list for all connections"),
    (Rule.GLOBAL_ALLOW_ALL, 4, _global_all, "everybody is let in everywhere"),
)
