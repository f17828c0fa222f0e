"""Decisions over HTTP: listed, answered, denied, asked again."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from core.api.approvals import (
    AnswerApproval,
    ApprovalList,
    ApprovalView,
    BulkDenial,
    DenyApprovals,
    GetApproval,
    GrantScope,
    ListApprovals,
    ReaskApproval,
)
from core.api.base import ApprovalId
from core.rest.decoding import Nothing
from core.rest.route import Asked, Reply, Route

_ONE = "/api/approvals/{approval_id}"
Plain = Asked[Nothing, Nothing]


class ApprovalsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which approvals."""

    open_only: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision. digest: of what was looked at. pattern: as it was offered, for a scope beyond once."""

    allow: bool
    option_id: str = ""
    reason: str = ""
    digest: str = ""
    scope: GrantScope = GrantScope.ONCE
    pattern: str = ""
    answer: str = ""
    remember_s: float = 0.0


class Denial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several to be denied at once."""

    approval_ids: Annotated[tuple[str, ...], Meta(min_length=1, max_length=500)]
    reason: str = ""


def _id(asked: Asked[Any, Any]) -> ApprovalId:
    return ApprovalId(asked.path["approval_id"])


async def _list(asked: Asked[Nothing, ApprovalsQuery]) -> Reply:
    query = ListApprovals(open_only=asked.query.open_only, limit=asked.query.limit)
    return await asked.look(query)


async def _get(asked: Plain) -> Reply:
    return await asked.look(GetApproval(approval_id=_id(asked)))


async def _answer(asked: Asked[Answer, Nothing]) -> Reply:
    body = asked.body
    command = AnswerApproval(
        approval_id=_id(asked),
        allow=body.allow,
        option_id=body.option_id,
        reason=body.reason,
        digest=body.digest,
        scope=body.scope,
        pattern=body.pattern,
        answer=body.answer,
        remember_s=body.remember_s,
    )
    return await asked.order(command)


async def _deny(asked: Asked[Denial, Nothing]) -> Reply:
    ids = tuple(ApprovalId(item) for item in asked.body.approval_ids)
    command = DenyApprovals(approval_ids=ids, reason=asked.body.reason)
    return await asked.order(command)


async def _reask(asked: Plain) -> Reply:
    return await asked.order(ReaskApproval(approval_id=_id(asked)), 202)


ROUTES: tuple[Route[Any, Any], ...] = (
    Route(
        name="listApprovals",
        method="GET",
        path="/api/approvals",
        summary="Decisions, the open ones first by their deadlines",
        answer=_list,
        results={200: ApprovalList},
        body=Nothing,
        query=ApprovalsQuery,
    ),
    Route(
        name="denyApprovals",
        method="POST",
        path="/api/approvals/deny",
        summary="Say no to several at once",
        answer=_deny,
        results={200: BulkDenial},
        body=Denial,
        query=Nothing,
        refusals=(403, 404, 409),
    ),
    Route(
        name="getApproval",
        method="GET",
        path=_ONE,
        summary="One decision",
        answer=_get,
        results={200: ApprovalView},
        body=Nothing,
        query=Nothing,
    ),
    Route(
        name="answerApproval",
        method="POST",
        path=f"{_ONE}/answer",
        summary="Decide; the first answer wins, a later one is a conflict",
        answer=_answer,
        results={200: ApprovalView},
        body=Answer,
        query=Nothing,
        refusals=(403, 409),
    ),
    Route(
        name="reaskApproval",
        method="POST",
        path=f"{_ONE}/reask",
        summary="Have an orphaned one asked again",
        answer=_reask,
        results={202: ApprovalView},
        body=Nothing,
        query=Nothing,
        refusals=(403, 409),
    ),
)
