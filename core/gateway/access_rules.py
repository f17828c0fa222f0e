"""The rules of access as the configuration and the environment names of hermes-agent give them (pure)."""

from collections.abc import Iterable, Mapping
from typing import Literal

from core.api.access import Rule
from core.api.base import PlatformName
from core.gateway.access import EVERYBODY, Access, AccountRules, Person, same_id
from core.platform_settings import ChatSettings, PlatformSettings
from core.section import Section
from core.settings import AccessSettings, Settings

Environment = Mapping[str, tuple[str, str]]
"""Values of environment names with their origin, such as `environment NAME` or `.env:LINE`."""

_YES = frozenset({"true", "1", "yes"})
_PREFIXES = {"qqbot": "QQ"}
_EMAIL = "email"
_GLOBAL_LIST = "GATEWAY_ALLOWED_USERS"
_GLOBAL_ALL = "GATEWAY_ALLOW_ALL_USERS"


def access_of(settings: Settings, origins: Mapping[str, str], environment: Environment) -> Access:
    """All rules in force. Lists of the configuration and of the environment are joined; none narrows another."""
    people = _people(settings)
    everywhere = _everywhere(settings, people, origins, environment)
    everywhere_all = _flag(settings.access.allow_all, "access.allow_all", _GLOBAL_ALL, origins, environment)
    accounts = {
        PlatformName(name): _Account(PlatformName(name), section, origins, environment).rules(
            settings.access, everywhere, everywhere_all
        )
        for name, section in settings.platforms.items()
    }
    return Access(accounts, people)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _flag(value: object, key: str, name: str, origins: Mapping[str, str], environment: Environment) -> str:
    """The origin of an allow-all that is on, "" when it is off."""
    if value:
        return _origin(origins, key)
    given, origin = environment.get(name, ("", ""))
    return origin if given.strip().lower() in _YES else ""


def _origin(origins: Mapping[str, str], key: str) -> str:
    found = origins.get(key, "default")
    return f"environment {found.removeprefix('env ')}" if found.startswith("env ") else found


def kind_of(section: Section) -> str:
    """The kind of a connection, such as telegram."""
    return str(type(section).__struct_config__.tag)


def _people(settings: Settings) -> dict[tuple[PlatformName, str], Person]:
    """All ids of a person, by each of them. An id without a connection stands for that id at every one."""
    found: dict[tuple[PlatformName, str], dict[tuple[PlatformName, str], None]] = {}
    for entries in settings.access.aliases.values():
        ids = dict.fromkeys(one for entry in entries for one in _places(entry, settings))
        for one in ids:
            found.setdefault(one, {}).update(ids)
    return {one: tuple(ids) for one, ids in found.items()}


def _places(entry: str, settings: Settings) -> Iterable[tuple[PlatformName, str]]:
    """Connections and ids that `PLATFORM:ID` names; an id may hold colons itself."""
    platform, _, sender_id = entry.partition(":")
    for name, section in settings.platforms.items():
        if platform.strip() in {EVERYBODY, name} and sender_id.strip():
            yield PlatformName(name), same_id(kind_of(section), sender_id.strip())


def _everywhere(
    settings: Settings,
    people: Mapping[tuple[PlatformName, str], Person],
    origins: Mapping[str, str],
    environment: Environment,
) -> dict[tuple[PlatformName, str], str]:
    """The global list by connection and id; it is about persons, so one id of theirs stands for all."""
    given, given_origin = environment.get(_GLOBAL_LIST, ("", ""))
    origin = _origin(origins, "access.allowed_users")
    entries = [
        (f"{EVERYBODY}:{one}" if one.strip() == EVERYBODY else one, origin) for one in settings.access.allowed_users
    ]
    entries += [(f"{EVERYBODY}:{word}", given_origin) for word in _words(given)]
    listed: dict[tuple[PlatformName, str], str] = {}
    for entry, place in entries:
        for one in _places(entry, settings):
            listed.setdefault(one, place)
    found = dict(listed)
    for one, place in listed.items():
        for other in people.get(one, ()):
            found.setdefault(other, place)
    return found


class _Account:
    """Reads the lists of one connection."""

    def __init__(
        self, name: PlatformName, section: PlatformSettings, origins: Mapping[str, str], environment: Environment
    ) -> None:
        self._name = name
        self._kind = kind_of(section)
        self._chat = section if isinstance(section, ChatSettings) else ChatSettings()
        self._origins = origins
        self._environment = environment
        self._prefix = _PREFIXES.get(self._kind, self._kind.upper())

    def rules(
        self, access: AccessSettings, everywhere: Mapping[tuple[PlatformName, str], str], everywhere_all: str
    ) -> AccountRules:
        """The rules of this connection, the global ones as they apply here among them."""
        users = self._listed("allowed_users", self._chat.allowed_users, "ALLOWED_USERS")
        group_users, chats = self._shared()
        here = {one: origin for (platform, one), origin in everywhere.items() if platform == self._name}
        bots, bots_origin = self._bots()
        has_lists = bool(users or group_users or chats or here)
        asks, asks_origin = self._asks(access, has_lists=has_lists)
        return AccountRules(
            platform=self._name,
            kind=self._kind,
            allow_all=_flag(
                self._chat.allow_all,
                self._key("allow_all"),
                f"{self._prefix}_ALLOW_ALL_USERS",
                self._origins,
                self._environment,
            ),
            users=users,
            group_users=group_users,
            chats=chats,
            everywhere=here,
            everywhere_all=everywhere_all,
            bots=bots,
            admins=frozenset(self._same(one) for one in self._chat.admins),
            asks=asks,
            asks_origin=asks_origin,
            places={
                Rule.BOT: bots_origin,
                Rule.PLATFORM_ALLOW_ALL: self._place("allow_all"),
                Rule.PLATFORM_ALLOWLIST: next(iter(users.values()), self._place("allowed_users")),
                Rule.CHAT_ALLOWLIST: next(iter(chats.values()), self._place("allowed_chats")),
                Rule.PAIRED: "pairing",
                Rule.GLOBAL_ALLOWLIST: next(iter(here.values()), _origin(self._origins, "access.allowed_users")),
                Rule.GLOBAL_ALLOW_ALL: _origin(self._origins, "access.allow_all"),
            },
        )

    def _key(self, field: str) -> str:
        return f"platforms.{self._name}.{field}"

    def _place(self, field: str) -> str:
        return _origin(self._origins, self._key(field))

    def _same(self, one: str) -> str:
        return same_id(self._kind, one.strip())

    def _listed(self, field: str, entries: Iterable[str], suffix: str) -> dict[str, str]:
        origin = self._place(field)
        found = {self._same(one): origin for one in entries if one.strip()}
        given, origin = self._environment.get(f"{self._prefix}_{suffix}", ("", ""))
        for word in _words(given):
            found.setdefault(self._same(word), origin)
        return found

    def _shared(self) -> tuple[dict[str, str], dict[str, str]]:
        """Senders and chats that are let in in shared chats."""
        users = self._listed("group_allowed_users", self._chat.group_allowed_users, "GROUP_ALLOWED_USERS")
        origin = self._place("allowed_chats")
        chats = {one.strip(): origin for one in self._chat.allowed_chats if one.strip()}
        given, origin = self._environment.get(f"{self._prefix}_GROUP_ALLOWED_CHATS", ("", ""))
        for word in _words(given):
            chats.setdefault(word, origin)
        # What hermes-agent takes for chats in a list of users: all of QQ's, and Telegram's negative numbers.
        moved = [one for one in users if self._kind == "qqbot" or (self._kind == "telegram" and one.startswith("-"))]
        for one in moved:
            chats.setdefault(one, users.pop(one))
        return users, chats

    def _bots(self) -> tuple[str, str]:
        place = self._place("allow_bots")
        given, origin = self._environment.get(f"{self._prefix}_ALLOW_BOTS", ("", ""))
        word = given.strip().lower()
        if place == "default" and word in {"none", "mentions", "all"}:
            return word, origin
        return self._chat.allow_bots, place

    def _asks(self, access: AccessSettings, *, has_lists: bool) -> tuple[bool, str]:
        """Whether a stranger's direct message becomes a request, and why."""
        chosen: tuple[tuple[Literal["pair", "ignore"] | None, str], ...] = (
            (self._chat.unauthorised, self._place("unauthorised")),
            (access.unauthorised, _origin(self._origins, "access.unauthorised")),
        )
        for value, origin in chosen:
            if value is not None:
                return value == "pair", origin
        if self._kind == _EMAIL:
            return False, "default: e-mail from strangers is ignored"
        if has_lists:
            return False, "default: somebody is listed, so strangers are ignored"
        return True, "default: nobody is listed, so strangers may ask"
