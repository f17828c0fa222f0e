"""A Hermes home as it lies on the disk: opened for reading only, and read as far as it can be."""

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from core import atomic
from core.api.errors import InvalidInput
from core.config import dotenv

_SIZE_LIMIT_BYTES = 16 * 1024 * 1024
_LOCALTIME = Path("/etc/localtime")
_ZONES = "zoneinfo/"


class Paired(msgspec.Struct, frozen=True):
    """A sender that was approved there. file: where it stands, below the home. profile: it counts for, "" for none."""

    platform: str
    sender_id: str
    name: str
    approved_at: float
    file: str
    profile: str = ""


class HermesHome(msgspec.Struct, frozen=True):
    """What is there. config: the YAML as it is; env: names with value and line; timezone: of its jobs, "" unknown."""

    path: Path
    config: dict[str, Any]
    env: Mapping[str, tuple[str, int]]
    paired: tuple[Paired, ...]
    pending_count: int
    jobs: tuple[dict[str, Any], ...]
    aliases: dict[str, Any]
    profiles: tuple[str, ...]
    timezone: str
    problems: tuple[str, ...]


def read_home(path: Path) -> HermesHome:
    """Read a home. Nothing there is written, made or locked. Raises InvalidInput when it is no Hermes home."""
    try:
        names = {item.name for item in path.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        names = set[str]()
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror or error}",
            field="path",
            value=str(path),
            fix="let this user read it, or run this as its owner and with --home",
        ) from error
    if names.isdisjoint({"config.yaml", ".env", "gateway_state.json", "cron", "pairing"}):
        raise InvalidInput(
            f"{path} is no Hermes home: it holds neither config.yaml nor .env",
            field="path",
            value=str(path),
            fix="name the folder that HERMES_HOME points to, often ~/.hermes",
        )
    problems: list[str] = []
    config = _yaml(path / "config.yaml", problems)
    env, wrong = dotenv.read_whole(path)
    problems += [f"there, {problem}" for problem in wrong if "chmod" not in problem]
    profiles = tuple(sorted(item.name for item in _folder(path / "profiles") if item.is_dir()))
    paired, pending_count = _pairings(path, profiles, problems)
    stored: Any = _json(path / "cron" / "jobs.json", problems)
    listed: Any = mapping(stored).get("jobs") if isinstance(stored, dict) else stored
    jobs = _items(listed)
    aliases: Any = _json(path / "channel_aliases.json", problems)
    return HermesHome(
        path=path,
        config=config,
        env=env,
        paired=tuple(paired),
        pending_count=pending_count,
        jobs=tuple(mapping(job) for job in jobs if isinstance(job, dict)),
        aliases=mapping(aliases),
        profiles=profiles,
        timezone=_timezone(config, env),
        problems=tuple(problems),
    )


def mapping(value: Any) -> dict[str, Any]:
    """The value as a mapping with words as keys; empty for anything else."""
    if not isinstance(value, dict):
        return {}
    return {str(name): item for name, item in cast("dict[object, Any]", value).items()}


def _items(value: Any) -> list[Any]:
    given: Any = value
    return given if isinstance(value, list) else []


def word(value: Any) -> str:
    """A scalar as text; "" for nothing and for what is no scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    return str(value).strip() if isinstance(value, (str, int, float)) else ""


def _pairings(path: Path, profiles: tuple[str, ...], problems: list[str]) -> tuple[list[Paired], int]:
    """Approved senders of all stores, each once: the present folder wins over the old one."""
    folders = [path / "platforms" / "pairing", path / "pairing"]
    folders += [path / "profiles" / name / "pairing" for name in profiles]
    found: dict[tuple[str, str, str], Paired] = {}
    pending_count = 0
    for folder in folders:
        for file in _folder(folder):
            if file.name.endswith("-pending.json"):
                pending_count += len(mapping(_json(file, problems)))
            if not file.name.endswith("-approved.json"):
                continue
            platform = file.name.removesuffix("-approved.json")
            for sender_id, about in mapping(_json(file, problems)).items():
                facts = mapping(about)
                at = facts.get("approved_at", 0.0)
                is_time = isinstance(at, (int, float)) and math.isfinite(at)
                place = file.relative_to(path)
                profile = place.parts[1] if place.parts[0] == "profiles" else ""
                name = word(facts.get("user_name"))
                item = Paired(platform, sender_id, name, float(at) if is_time else 0.0, str(place), profile)
                found.setdefault((profile, platform, sender_id), item)
    return list(found.values()), pending_count


def _folder(path: Path) -> Iterator[Path]:
    try:
        yield from sorted(path.iterdir())
    except OSError:
        return


def _json(path: Path, problems: list[str]) -> Any:
    try:
        return json.loads(atomic.read(path, _SIZE_LIMIT_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror or error}")
    except (ValueError, RecursionError):
        problems.append(f"{path} is no JSON; nothing of it is taken")
    return {}


def _yaml(path: Path, problems: list[str]) -> dict[str, Any]:
    import yaml

    try:
        return mapping(yaml.safe_load(atomic.read(path, _SIZE_LIMIT_BYTES)))
    except FileNotFoundError:
        return {}
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror or error}")
    except (yaml.YAMLError, ValueError, RecursionError):
        # The library's own text quotes the line, which may hold a secret.
        problems.append(f"{path} is no YAML; nothing of it is taken")
    return {}


def _timezone(config: Mapping[str, Any], env: Mapping[str, tuple[str, int]]) -> str:
    """The zone that its jobs go by: its own setting, else that of this machine."""
    own = env.get("HERMES_TIMEZONE", ("", 0))[0] or word(config.get("timezone"))
    if own:
        return own
    try:
        return str(_LOCALTIME.resolve()).partition(_ZONES)[2]
    except OSError:
        return ""
