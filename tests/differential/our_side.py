"""What we make of the generated cases."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from core.api.access import Verdict
from core.api.base import PlatformName
from core.api.errors import HermesError, InvalidInput
from core.api.pairings import ApprovePairing, RevokePairing
from core.api.sessions import ChatKind, Source
from core.gateway.access import Roll, Sender, same_id
from core.gateway.access_rules import access_of
from core.gateway.source import isolated, session_id
from core.platform_settings import ChatSettings
from core.settings import Settings
from tests.differential.cases import PLATFORMS, Case
from tests.support.pairing_rig import desk, key_of, message

_KINDS = {"dm": ChatKind.DM, "group": ChatKind.GROUP, "forum": ChatKind.GROUP, "channel": ChatKind.CHANNEL}


def _section(kind: str) -> type[ChatSettings]:
    base: Any = ChatSettings

    class Section(base, frozen=True, kw_only=True, tag_field="kind", tag=kind):  # type: ignore[misc]
        """A connection of that kind."""

    return Section


_SECTIONS = {kind: _section(kind)() for kind in PLATFORMS}


def _kind(case: Case) -> ChatKind:
    return _KINDS.get(case["kind"], ChatKind.THREAD)


def session_keys(cases: Sequence[Case], *, in_groups: bool, in_threads: bool) -> list[str]:
    """The session of each source; a key of its own for one that is refused."""
    found: list[str] = []
    for place, case in enumerate(cases):
        participant = case["alt"] or case["user"] or ""
        # An adapter names the chat of a direct message after its sender where the platform gives none.
        chat = case["chat"] or (participant if case["kind"] == "dm" else "")
        source = Source(
            platform=PlatformName(case["platform"]), kind=_kind(case), chat=chat, thread=case["thread"] or None
        )
        try:
            found.append(session_id(isolated(source, participant, in_groups=in_groups, in_threads=in_threads)))
        except InvalidInput:
            found.append(f"refused {place}")
    return found


def verdict(case: Case) -> tuple[Verdict, str]:
    """Whether it is let in, and what happens to a stranger there."""
    environment = {name: (value, f"environment {name}") for name, value in case["env"].items()}
    access = access_of(Settings(platforms=dict(_SECTIONS)), {}, environment)  # type: ignore[arg-type]
    source = case["source"]
    platform = PlatformName(source["platform"])
    roll = Roll()
    for user in case["paired"]:
        roll.put(platform, same_id(source["platform"], user), is_approved=True, is_blocked=False)
    sender = Sender(
        platform=platform,
        sender_id=source["user"] or "",
        chat_kind=_kind(source),
        chat=source["chat"],
        is_bot=source["bot"],
    )
    return access.verdict(sender, roll), "pair" if access.rules(platform).asks else "ignore"


def story(acts: Sequence[Case]) -> list[set[str]]:
    """Who is let in after each act."""

    async def lived() -> list[set[str]]:
        found: list[set[str]] = []
        async with desk() as made:
            for act in acts:
                if act["act"] == "ask":
                    await made.write(act["user"])
                elif act["act"] in {"approve", "revoke"}:
                    order = ApprovePairing if act["act"] == "approve" else RevokePairing
                    with contextlib.suppress(HermesError):
                        await made.order(order(pairing_id=key_of(act["user"])))
                elif act["act"] == "pass":
                    await made.pass_time(act["seconds"])
                verdicts = {user: made.parts.gate.verdict(message(user)) for user in "abcde"}
                found.append({user for user, verdict in verdicts.items() if verdict.is_admitted})
        return found

    return asyncio.run(lived())
