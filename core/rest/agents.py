"""Agents over HTTP: what they are, made, changed, let work, paused."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from core.api.base import AgentName
from core.api.profiles import (
    CreateProfile,
    DeleteProfile,
    DeleteReceipt,
    DisableProfile,
    EnableProfile,
    GetDefaultProfile,
    GetProfile,
    LimitAgent,
    ListProfiles,
    PauseAgent,
    ProfileDefaults,
    ProfileList,
    ProfileView,
    ResumeAgent,
    SyncProfile,
    UpdateProfile,
)
from core.rest.decoding import Nothing
from core.rest.route import Asked, Reply, Route

_ONE = "/api/agents/{name}"


class NewAgent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent to be made. settings: as in YAML; what is left out gets its default."""

    name: str
    settings: dict[str, Any]


class AgentChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Top-level settings to be changed; null takes one back to its default. version: that was looked at, 0 is any."""

    settings: dict[str, Any]
    version: int = 0


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, for the record."""

    reason: str = ""


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many runs may go on at a time; 0 is what the profile says."""

    limit: int


class DefaultsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which runner; empty is the product's default one."""

    runner: str = ""


Plain = Asked[Nothing, Nothing]


def _name(asked: Asked[Any, Any]) -> AgentName:
    return AgentName(asked.path["name"])


async def _list(asked: Plain) -> Reply:
    return await asked.look(ListProfiles())


async def _get(asked: Plain) -> Reply:
    return await asked.look(GetProfile(name=_name(asked)))


async def _defaults(asked: Asked[Nothing, DefaultsQuery]) -> Reply:
    query = GetDefaultProfile(name=_name(asked), runner=asked.query.runner)
    return await asked.look(query)


async def _create(asked: Asked[NewAgent, Nothing]) -> Reply:
    command = CreateProfile(name=AgentName(asked.body.name), settings=asked.body.settings)
    return await asked.order(command, 201)


async def _update(asked: Asked[AgentChange, Nothing]) -> Reply:
    body = asked.body
    command = UpdateProfile(name=_name(asked), settings=body.settings, version=body.version)
    return await asked.order(command)


async def _delete(asked: Plain) -> Reply:
    return await asked.order(DeleteProfile(name=_name(asked)))


async def _enable(asked: Plain) -> Reply:
    return await asked.order(EnableProfile(name=_name(asked)))


async def _disable(asked: Asked[Reason, Nothing]) -> Reply:
    command = DisableProfile(name=_name(asked), reason=asked.body.reason)
    return await asked.order(command)


async def _sync(asked: Plain) -> Reply:
    return await asked.order(SyncProfile(name=_name(asked)))


async def _pause(asked: Asked[Reason, Nothing]) -> Reply:
    command = PauseAgent(name=_name(asked), reason=asked.body.reason)
    return await asked.order(command)


async def _resume(asked: Plain) -> Reply:
    return await asked.order(ResumeAgent(name=_name(asked)))


async def _limit(asked: Asked[Limit, Nothing]) -> Reply:
    command = LimitAgent(name=_name(asked), limit=asked.body.limit)
    return await asked.order(command)


_PLAIN: dict[str, Any] = {"body": Nothing, "query": Nothing}
_VIEW: dict[str, Any] = {"results": {200: ProfileView}, "query": Nothing}

_ORDERS: tuple[tuple[str, str, Callable[[Asked[Any, Any]], Awaitable[Reply]], type[Any]], ...] = (
    ("enable", "Let an agent work again", _enable, Nothing),
    ("disable", "Let an agent's runs end and begin no other", _disable, Reason),
    ("sync", "Read an agent's file again and put it to use", _sync, Nothing),
    ("pause", "Begin no run; what waits keeps its place", _pause, Reason),
    ("resume", "Begin runs again, also of one that is degraded", _resume, Nothing),
    ("limit", "Let at most so many runs go on", _limit, Limit),
)

ROUTES: tuple[Route[Any, Any], ...] = (
    Route(
        name="listAgents",
        method="GET",
        path="/api/agents",
        summary="All agents",
        answer=_list,
        results={200: ProfileList},
        **_PLAIN,
    ),
    Route(
        name="createAgent",
        method="POST",
        path="/api/agents",
        summary="Make an agent",
        answer=_create,
        results={201: ProfileView},
        body=NewAgent,
        query=Nothing,
        refusals=(403, 409),
    ),
    Route(name="getAgent", method="GET", path=_ONE, summary="One agent", answer=_get, body=Nothing, **_VIEW),
    Route(
        name="updateAgent",
        method="PATCH",
        path=_ONE,
        summary="Change settings of an agent",
        answer=_update,
        body=AgentChange,
        refusals=(403, 409),
        **_VIEW,
    ),
    Route(
        name="deleteAgent",
        method="DELETE",
        path=_ONE,
        summary="Remove an agent of the store",
        answer=_delete,
        results={200: DeleteReceipt},
        refusals=(403, 409),
        **_PLAIN,
    ),
    Route(
        name="getAgentDefaults",
        method="GET",
        path=f"{_ONE}/defaults",
        summary="What a new agent of that name would be",
        answer=_defaults,
        results={200: ProfileDefaults},
        body=Nothing,
        query=DefaultsQuery,
    ),
    *(
        Route(
            name=f"{word}Agent",
            method="POST",
            path=f"{_ONE}/{word}",
            summary=summary,
            answer=answer,
            body=body,
            refusals=(403, 409),
            **_VIEW,
        )
        for word, summary, answer, body in _ORDERS
    ),
)
