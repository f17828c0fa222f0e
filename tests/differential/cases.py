"""Generated cases for hermes-agent and for us: the same seed gives the same cases."""

import itertools
import random
from typing import Any

Case = dict[str, Any]

SEED = 19
PLATFORMS = ("telegram", "discord", "slack", "signal", "matrix", "email")
_USERS = ("42", "7", "a@b.c", "A@B.C", "a", "u:1", "@bob:m.org", "*")
_DM_CHATS = ("5", "5:7", "42", "!r:m.org", "a@b.c", "")
_SHARED = (("group", "-100"), ("group", "-100:17"), ("channel", "998"), ("forum", "-555"), ("thread", "112"))
_LISTS = ("ALLOWED_USERS", "GROUP_ALLOWED_USERS", "GROUP_ALLOWED_CHATS")
_FLAG_WORDS = ("true", "1", "yes", "TRUE", "on", "false", "0", "")


def _source(platform: str, kind: str, chat: str, **more: Any) -> Case:
    base: Case = {"platform": platform, "kind": kind, "chat": chat, "thread": None, "user": None, "alt": None}
    return {**base, "bot": False, **more}


def key_cases(count: int = 900) -> list[Case]:
    """Sources, each to be keyed under all four settings of who shares a session."""
    rng = random.Random(SEED)
    found: list[Case] = []
    for _ in range(count):
        platform = rng.choice(PLATFORMS)
        user = rng.choice((None, *_USERS))
        alt = rng.choice((None, None, None, "uuid-9"))
        thread = rng.choice((None, None, "7", "17", "m.org"))
        if rng.random() < 0.4:
            found.append(_source(platform, "dm", rng.choice(_DM_CHATS), thread=thread, user=user, alt=alt))
            continue
        kind, chat = rng.choice(_SHARED)
        chat = rng.choice((chat, chat, chat, ""))
        found.append(_source(platform, kind, chat, thread=thread, user=user, alt=alt))
    return found


def verdict_cases(count: int = 3_000) -> list[Case]:
    """Environment, who is paired, and a source."""
    rng = random.Random(SEED + 1)
    found: list[Case] = []
    for _ in range(count):
        platform = rng.choice(PLATFORMS)
        env: dict[str, str] = {}
        for name in _names(platform):
            if rng.random() < 0.3:
                env[name] = _value(rng, name)
        kind, chat = ("dm", "5") if rng.random() < 0.5 else rng.choice(_SHARED)
        user = rng.choice((None, "", *_USERS))
        source = _source(platform, kind, chat, user=user, bot=rng.random() < 0.15)
        found.append({"env": env, "paired": rng.sample(_USERS, rng.choice((0, 0, 1, 2))), "source": source})
    return found


def _names(platform: str) -> list[str]:
    prefix = platform.upper()
    own = [f"{prefix}_ALLOWED_USERS", f"{prefix}_ALLOW_ALL_USERS"]
    if platform == "telegram":
        own += [f"{prefix}_{suffix}" for suffix in _LISTS[1:]]
    if platform in {"telegram", "discord", "slack"}:
        own.append(f"{prefix}_ALLOW_BOTS")
    other = "SIGNAL_ALLOWED_USERS" if platform != "signal" else "MATRIX_ALLOW_ALL_USERS"
    return [*own, "GATEWAY_ALLOWED_USERS", "GATEWAY_ALLOW_ALL_USERS", other]


def _value(rng: random.Random, name: str) -> str:
    if name.endswith("ALLOW_ALL_USERS"):
        return rng.choice(_FLAG_WORDS)
    if name.endswith("ALLOW_BOTS"):
        return rng.choice(("none", "mentions", "all", "ALL"))
    pool: tuple[str, ...] = ("42", "7", "a@b.c", "a", "u:1", "@bob:m.org", "*", "99")
    if name.endswith("GROUP_ALLOWED_CHATS"):
        pool = ("-100", "-100:17", "-555", "112", "998", "*")
    elif name.endswith("GROUP_ALLOWED_USERS"):
        pool = (*pool, "-100", "-555")
    words = rng.sample(pool, rng.choice((1, 1, 2, 3)))
    return rng.choice((",", ", ", " , ")).join(words)


def pairing_cases(count: int = 400, length: int = 12) -> list[list[Case]]:
    """Histories of one platform: strangers ask, operators decide, time passes."""
    rng = random.Random(SEED + 2)
    found: list[list[Case]] = []
    for _ in range(count):
        story: list[Case] = []
        for _ in range(length):
            act = rng.choice(("ask", "ask", "ask", "approve", "approve", "approve", "revoke", "wrong", "pass"))
            story.append(
                {
                    "act": act,
                    "user": rng.choice(("a", "b", "c", "d", "e")),
                    "seconds": rng.choice((1, 60, 599, 600, 3599, 3600)) if act == "pass" else 0,
                }
            )
        found.append(story)
    return found


FLAGS = tuple(itertools.product((True, False), repeat=2))
"""group_sessions_per_user, thread_sessions_per_user."""
