"""Runs inside the environment of hermes-agent: cases as JSON from stdin, what it makes of them to stdout."""

import json
import os
import sys
import tempfile
from typing import Any

HOME = tempfile.mkdtemp(prefix="peer-")
os.environ["HERMES_HOME"] = HOME
os.environ["HOME"] = HOME

import logging  # noqa: E402

import gateway.pairing as peer_pairing  # noqa: E402
from gateway.authz_mixin import GatewayAuthorizationMixin  # noqa: E402
from gateway.config import Platform  # noqa: E402
from gateway.session import SessionSource, build_session_key  # noqa: E402

logging.disable(logging.CRITICAL)
_SUFFIXES = ("_ALLOWED_USERS", "_ALLOW_ALL_USERS", "_ALLOWED_CHATS", "_ALLOW_BOTS")


class Runner(GatewayAuthorizationMixin):
    """As much of the peer's runner as authorization looks at."""

    def __init__(self, paired: list[str]) -> None:
        self.adapters: dict[Any, Any] = {}
        self.config = None
        self.pairing_store = self
        self._paired = set(paired)

    def is_approved(self, platform: str, user_id: str) -> bool:
        """What its pairing store says."""
        return user_id in self._paired


def source_of(case: dict[str, Any]) -> SessionSource:
    """The peer's source."""
    return SessionSource(
        platform=Platform(case["platform"]),
        chat_id=case["chat"],
        chat_type=case["kind"],
        user_id=case["user"],
        thread_id=case["thread"],
        user_id_alt=case["alt"],
        is_bot=case["bot"],
    )


def keys(work: dict[str, Any]) -> list[list[str]]:
    """The key of each source under each setting."""
    sources = [source_of(case) for case in work["sources"]]
    return [
        [build_session_key(source, group_sessions_per_user=g, thread_sessions_per_user=t) for source in sources]
        for g, t in work["flags"]
    ]


def verdicts(cases: list[dict[str, Any]]) -> list[list[Any]]:
    """Whether each is let in, and what happens to a stranger there."""
    found = []
    for case in cases:
        for name in [name for name in os.environ if name.endswith(_SUFFIXES)]:
            del os.environ[name]
        os.environ.update(case["env"])
        runner = Runner(case["paired"])
        source = source_of(case["source"])
        found.append([runner._is_user_authorized(source), runner._get_unauthorized_dm_behavior(source.platform)])
    return found


class Clock:
    """The time of the peer's pairing store."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        """Seconds."""
        return self.now


def story(acts: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """After each act: who is let in, and why an act had no effect."""
    clock = peer_pairing.time = Clock()
    store, platform = peer_pairing.PairingStore(), f"story{number}"
    codes: dict[str, str] = {}
    found = []
    for act in acts:
        user, why = act["user"], ""
        clock.now += act["seconds"]
        store._cleanup_expired(platform)
        pending = store._load_json(store._pending_path(platform))
        if act["act"] == "ask" and not store.is_approved(platform, user):
            if store._is_locked_out(platform):
                why = "locked"
            elif store._is_rate_limited(platform, user):
                why = "rate"
            elif len(pending) >= peer_pairing.MAX_PENDING_PER_PLATFORM:
                why = "quota"
            code = store.generate_code(platform, user, user)
            if code is not None:
                codes[user] = code
        elif act["act"] == "approve" and not store.is_approved(platform, user):
            is_pending = any(entry["user_id"] == user for entry in pending.values())
            why = "locked" if store._is_locked_out(platform) else "" if is_pending else "no code"
            store.approve_code(platform, codes.get(user, "NNNNNNNN"))
        elif act["act"] == "revoke":
            store.revoke(platform, user)
        elif act["act"] == "wrong":
            store.approve_code(platform, "NNNNNNNN")
        found.append({"in": [name for name in "abcde" if store.is_approved(platform, name)], "why": why})
    return found


def main() -> None:
    """All three kinds of cases."""
    work = json.load(sys.stdin)
    stories = [story(acts, number) for number, acts in enumerate(work["stories"])]
    result = {"keys": keys(work), "verdicts": verdicts(work["verdicts"]), "stories": stories}
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    sys.stdout.flush()
    # The peer leaves threads behind that would keep the process.
    os._exit(0)


main()
