"""What of a Hermes home is taken, what is changed on the way, and what is not and why (pure)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.api.errors import ConfigError
from core.api.processes import ImportedPairing, ImportItem, Taken
from core.config import Config, shape
from core.config.hermes_keys import HERMES_KEYS
from core.config.text import KeyPath
from core.migration.connections import CONNECTIONS, Connection
from core.migration.hermes_home import HermesHome, mapping, word
from core.migration.job_plan import job_values, planned_jobs
from core.settings import Settings

_MODES = {"interrupt": "interrupt", "queue": "queue", "steer": "steer"}
_RESETS = {"idle", "daily", "both", "none"}
_SECRETS_WORDS = ("TOKEN", "KEY", "SECRET", "PASSWORD")


class Here(msgspec.Struct, frozen=True):
    """What is here already. written: keys that the file holds; env: what our `.env` holds, values are secrets."""

    values: dict[str, Any]
    written: frozenset[str]
    env: Mapping[str, str]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, home: Path, found: tuple[Config | None, tuple[ConfigError, ...]]) -> "Here":
        """A home as it is. Raises ConfigError when its configuration cannot be used: nothing can be added to it."""
        from core.config import dotenv

        config, errors = found
        if config is None:
            raise errors[0]
        values = {".".join(path): value for path, value, _ in shape.leaves(config.settings, Settings)}
        written = frozenset(key for key, origin in config.origins.items() if origin.startswith("config.yaml:"))
        env = {name: value for name, (value, _) in dotenv.read(home).items()}
        # As YAML gives them: lists and no tuples, words and no members of enums.
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(values))
        return cls(plain, written, env, config.problems)


class Plan(msgspec.Struct):
    """What would be written. config: by path; env: names with their secret values, which nobody else sees."""

    items: tuple[ImportItem, ...] = ()
    config: dict[KeyPath, Any] = {}
    env: dict[str, str] = {}
    pairings: tuple[ImportedPairing, ...] = ()


class Planner:
    """Collects what is to be done with each thing. unfit: keys that cannot be used here, with the reason."""

    def __init__(self, there: HermesHome, here: Here, unfit: Mapping[str, str]) -> None:
        self.there = there
        self.here = here
        self._unfit = unfit
        self.items: list[ImportItem] = []
        self.config: dict[KeyPath, Any] = {}
        self.env: dict[str, str] = {}
        self.used: set[str] = set()
        self.platforms: set[str] = set()

    def note(self, kind: str, source: str, target: str, verdict: Taken, why: str = "") -> None:
        """A line of the table."""
        self.items.append(ImportItem(kind=kind, source=source, target=target, verdict=verdict, why=why))

    def set(self, kind: str, source: str, path: KeyPath, value: Any, why: str = "") -> None:
        """A value of the configuration is to be set, unless it is so already or somebody chose another here."""
        key = ".".join(path)
        if self.here.values.get(key) == value:
            self.note(kind, source, key, Taken.HAVE)
        elif key in self.here.written:
            self.note(kind, source, key, Taken.SKIP, "another value is set here")
        elif why_not := self.unfit(key):
            self.note(kind, source, "", Taken.SKIP, why_not)
        else:
            self.config[path] = value
            self.note(kind, source, key, Taken.CHANGE if why else Taken.TAKE, why)

    def secret(self, name: str, value: str, source: str) -> None:
        """A secret is to be put into `.env`."""
        if (known := self.here.env.get(name)) is not None:
            verdict, why = (Taken.HAVE, "") if known == value else (Taken.SKIP, "another value is there")
            self.note("secret", source, f".env: {name}", verdict, why)
        else:
            self.env[name] = value
            self.note("secret", source, f".env: {name}", Taken.TAKE)

    def job(self, source: str, name: str, values: Mapping[str, Any], why: str) -> None:
        """A job is to be set, unless one of its name is here."""
        key = f"cron.{name}"
        if f"{key}.schedule" in self.here.values:
            self.note("job", source, key, Taken.HAVE)
            return
        if why_not := self.unfit(key):
            self.note("job", source, "", Taken.SKIP, why_not)
            return
        self.config.update(job_values(values, name))
        self.note("job", source, key, Taken.CHANGE if why else Taken.TAKE, why)

    def unfit(self, key: str) -> str:
        """Why a key, or one below it, cannot be used here; "" when it can."""
        found = (why for name, why in self._unfit.items() if name == key or name.startswith(f"{key}."))
        return next(found, "")

    def variable(self, name: str) -> str:
        """The value of a variable there, which counts as looked at; "" when it is not set."""
        self.used.add(name)
        return self.there.env.get(name, ("", 0))[0].strip()

    def place(self, name: str) -> str:
        """Where a variable stands there."""
        return f".env:{self.there.env[name][1]} {name}" if name in self.there.env else name


def planned(there: HermesHome, here: Here, unfit: Mapping[str, str]) -> Plan:
    """What is to be done with everything there. unfit: keys that cannot be used here, with the reason."""
    planner = Planner(there, here, unfit)
    for connection in CONNECTIONS:
        _plan_connection(planner, connection)
    _plan_general(planner)
    _plan_others(planner)
    known = {str(name).split(".")[1] for name in here.values if name.startswith("platforms.")}
    planned_jobs(planner, platforms=planner.platforms | known)
    pairings = _plan_pairings(planner, planner.platforms | known)
    _plan_rest(planner)
    return Plan(tuple(planner.items), planner.config, planner.env, pairings)


def _plan_connection(planner: Planner, connection: Connection) -> None:
    name = connection.platform
    section = mapping(mapping(planner.there.config.get("platforms")).get(name))
    facts = connection.facts(planner.variable, section)
    if facts is None:
        return
    if (missing := facts.missing) or word(section.get("enabled")) == "false":
        why = f"{missing} is not set there" if missing else "it is switched off there"
        planner.note("connection", f"platforms.{name}", "", Taken.SKIP, why)
        return
    unfit = (why for path in facts.required if (why := planner.unfit(".".join(("platforms", name, *path)))))
    if why_not := next(unfit, ""):
        planner.note("connection", f"platforms.{name}", "", Taken.SKIP, why_not)
        return
    planner.platforms.add(name)
    is_here = f"platforms.{name}.kind" in planner.here.values
    if is_here:
        planner.note("connection", f"platforms.{name}", f"platforms.{name}", Taken.HAVE)
    else:
        verdict = Taken.CHANGE if connection.note else Taken.TAKE
        planner.note("connection", f"platforms.{name}", f"platforms.{name}", verdict, connection.note)
        planner.config["platforms", name, "kind"] = name
    for variable, value in facts.secrets.items():
        planner.secret(variable, value, planner.place(variable))
    for path, value in facts.required.items():
        if not is_here:
            planner.config["platforms", name, *path] = value
    for source, path, value in facts.optional:
        planner.set("list" if isinstance(value, list) else "setting", source, ("platforms", name, *path), value)


def _plan_general(planner: Planner) -> None:
    config = planner.there.config
    users = [item.strip() for item in planner.variable("GATEWAY_ALLOWED_USERS").split(",") if item.strip()]
    if users:
        everywhere = [item if item == "*" else f"*:{item}" for item in users]
        source = planner.place("GATEWAY_ALLOWED_USERS")
        planner.set("list", source, ("access", "allowed_users"), everywhere, "ids count at every connection")
    if planner.variable("GATEWAY_ALLOW_ALL_USERS").lower() in {"true", "1", "yes"}:
        planner.set("list", planner.place("GATEWAY_ALLOW_ALL_USERS"), ("access", "allow_all"), value=True)
    for key, path in (
        ("group_sessions_per_user", ("sessions", "per_user_in_groups")),
        ("thread_sessions_per_user", ("sessions", "per_user_in_threads")),
    ):
        if isinstance(value := config.get(key), bool):
            planner.set("setting", f"config.yaml: {key}", path, value)
    mode = word(mapping(config.get("display")).get("busy_input_mode"))
    if mode in _MODES:
        planner.set("setting", "config.yaml: display.busy_input_mode", ("sessions", "mode"), _MODES[mode])
    behaviour = word(config.get("unauthorized_dm_behavior"))
    if behaviour in {"pair", "ignore"}:
        planner.set("setting", "config.yaml: unauthorized_dm_behavior", ("access", "unauthorised"), behaviour)
    _plan_resets(planner, mapping(config.get("session_reset")))
    drain = mapping(config.get("agent")).get("restart_drain_timeout")
    if isinstance(drain, (int, float)) and not isinstance(drain, bool) and 0 < drain <= 3600:  # noqa: PLR2004 - our bound
        planner.set("setting", "config.yaml: agent.restart_drain_timeout", ("core", "drain_s"), float(drain))


def _plan_resets(planner: Planner, section: Mapping[str, Any]) -> None:
    mode = word(section.get("mode"))
    if mode in _RESETS:
        planner.set("setting", "config.yaml: session_reset.mode", ("sessions", "reset", "mode"), mode)
    minutes = section.get("idle_minutes")
    if isinstance(minutes, (int, float)) and not isinstance(minutes, bool) and 0 < minutes <= 525_600:  # noqa: PLR2004
        source = "config.yaml: session_reset.idle_minutes"
        planner.set("setting", source, ("sessions", "reset", "idle_s"), float(minutes) * 60, "in seconds here")
    hour = section.get("at_hour")
    if isinstance(hour, int) and not isinstance(hour, bool) and 0 <= hour <= 23:  # noqa: PLR2004 - hours of a day
        planner.set("setting", "config.yaml: session_reset.at_hour", ("sessions", "reset", "at_hour"), hour)
    if isinstance(notify := section.get("notify"), bool):
        planner.set("setting", "config.yaml: session_reset.notify", ("sessions", "reset", "notify"), notify)


def _plan_others(planner: Planner) -> None:
    """Connections and settings that this version has no place for."""
    taken = {connection.platform for connection in CONNECTIONS}
    for name in mapping(planner.there.config.get("platforms")):
        if name not in taken:
            planner.note("connection", f"config.yaml: platforms.{name}", "", Taken.SKIP, "no such connection here yet")
    told = {item.source for item in planner.items}
    for path in _leaf_paths(planner.there.config):
        known = HERMES_KEYS.get(path) or HERMES_KEYS.get(path.partition(".")[0])
        if known is None or f"config.yaml: {path}" in told or path.startswith("platforms."):
            continue
        why = f"{known.ours} is the key here" if known.ours else known.note
        planner.note("setting", f"config.yaml: {path}", "", Taken.SKIP, why)


def _leaf_paths(tree: Mapping[str, Any], above: str = "") -> list[str]:
    found: list[str] = []
    for name, value in tree.items():
        path = f"{above}{name}"
        below = mapping(value)
        found += _leaf_paths(below, f"{path}.") if below and path not in HERMES_KEYS else [path]
    return found


def _plan_pairings(planner: Planner, platforms: set[str]) -> tuple[ImportedPairing, ...]:
    found: list[ImportedPairing] = []
    for item in planner.there.paired:
        source = f"{item.file}: {item.sender_id}"
        if item.profile:
            planner.note("pairing", source, "", Taken.SKIP, f"it counts for profile {item.profile} alone")
            continue
        if item.platform not in platforms:
            planner.note("pairing", source, "", Taken.SKIP, f"no connection is called {item.platform} here")
            continue
        found.append(
            ImportedPairing(
                platform=item.platform, sender_id=item.sender_id, sender_name=item.name, approved_at=item.approved_at
            )
        )
        planner.note("pairing", source, f"pairing {item.platform}:{item.sender_id}", Taken.TAKE)
    if planner.there.pending_count:
        planner.note(
            "pairing",
            f"{planner.there.pending_count} requests that wait",
            "",
            Taken.SKIP,
            "their codes hold for an hour, there; they ask again",
        )
    return tuple(found)


def _plan_rest(planner: Planner) -> None:
    for name, names in planner.there.aliases.items():
        for chat in mapping(names):
            planner.note(
                "alias", f"channel_aliases.json: {name}:{chat}", "", Taken.SKIP, "chats are named by the platform"
            )
    for name in planner.there.profiles:
        planner.note(
            "profile",
            f"profiles/{name}",
            "",
            Taken.SKIP,
            f"a home of its own: hermes-console --profile {name} import hermes {planner.there.path}/profiles/{name}",
        )
    for name in planner.there.env:
        if name not in planner.used:
            is_secret = any(item in name for item in _SECRETS_WORDS)
            why = "a secret that nothing taken here needs" if is_secret else "nothing here reads it"
            planner.note("variable", planner.place(name), "", Taken.SKIP, why)
