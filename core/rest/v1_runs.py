"""Runs over HTTP, as clients of a Hermes API of runs know them: begun, followed, answered, stopped."""

import contextlib
from typing import Any

import msgspec

from core.api.approvals import AnswerApproval, ApprovalView, DenyApprovals, GrantScope
from core.api.base import AgentName, ApprovalId, SessionId
from core.api.errors import AlreadyDecided, NotFound, Refused
from core.api.port import Hermes
from core.api.profiles import GetProfile
from core.api.sessions import GetSession
from core.api.tasks import CancelTask, GetTask, StartTask, TaskDetail
from core.http.asgi import header, respond
from core.rest.decoding import Anything, Nothing
from core.rest.fault import Fault
from core.rest.route import CALLER, Asked, Reply, Route
from core.rest.v1_status import DENY, SCOPES, choices, status_of
from core.rest.v1_stream import EVENTS_TYPE, Follower, read_approvals, read_status
from core.rest.v1_words import (
    OVER,
    Choice,
    Resolved,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStatus,
    Stopped,
    ask_of,
    name_of,
    run_id_of,
    session_of,
    task_id_of,
    unknown_run,
)

LABEL = "http"
DEFAULT_MODEL = "default"
KEY_HEADER = "Idempotency-Key"
_ONE = "/v1/runs/{run_id}"
_NO_HOOK = 0
_NAMES = {"text": "input", "extra_system_prompt": "instructions"}
_CHOICES = (*SCOPES, DENY)
_ALIASES = {"approve": "once", "approved": "once", "allow": "once"}
Plain = Asked[Nothing, Nothing]


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """after: id of the last event that was seen, as Last-Event-ID; None for the oldest that is kept."""

    after: int | None = None


async def _begin(asked: Asked[RunRequest, Nothing]) -> Reply:
    body, hermes = asked.body, asked.hermes
    ask = ask_of(body)
    agent, model = await _addressee(hermes, body)
    session_id = session_of((body.session_id or "").strip())
    told = [part for part in (body.instructions or "", ask.earlier) if part]
    if session_id and ask.earlier and await _entry_count(hermes, session_id) >= ask.earlier_count:
        told = [body.instructions or ""]
    receipt = await hermes.execute(
        StartTask(
            text=ask.text,
            agent=agent,
            model=model,
            session_id=session_id,
            extra_system_prompt="\n\n".join(told),
            timeout_ms=body.timeout_ms or 0,
            idempotency_key=body.idempotency_key or header(asked.scope, KEY_HEADER) or "",
            # Each is a run of its own, which can be stopped alone: it never joins one that goes on.
            hook_id=_NO_HOOK if session_id else None,
            label=LABEL,
        ),
        actor=CALLER,
    )
    task = receipt.task
    started = RunStarted(
        run_id=run_id_of(task.id), status="started", session_id=name_of(task.session_id), task_id=task.id
    )
    return Reply(started, 202)


async def _addressee(hermes: Hermes, body: RunRequest) -> tuple[AgentName | None, str]:
    """Which agent is meant, and which model of it. Raises Fault 404."""
    if body.agent:
        return AgentName(body.agent), body.model or ""
    if not body.model or body.model == DEFAULT_MODEL:
        return None, ""
    try:
        return (await hermes.query(GetProfile(name=AgentName(body.model)))).name, ""
    except NotFound:
        fix = "name an agent, or give `agent` and a model of it"
        message = f"there is no agent {body.model[:80]}"
        raise Fault(404, "model_not_found", message, field="model", value=body.model, fix=fix) from None


async def _entry_count(hermes: Hermes, session_id: str) -> int:
    """How much the session holds itself; 0 for one that is not there."""
    try:
        return (await hermes.query(GetSession(session_id=SessionId(session_id)))).session.entry_count
    except NotFound:
        return 0


async def _get(asked: Plain) -> Reply:
    return Reply(await read_status(asked.hermes, await _detail(asked)))


async def _events(asked: Asked[Nothing, EventsQuery]) -> None:
    after = asked.query.after
    last = header(asked.scope, "last-event-id")
    if after is None and last is not None:
        if not (last.isascii() and last.isdigit() and len(last) < 19):  # noqa: PLR2004 - fits into 64 bits
            raise Fault(400, "invalid_header", "Last-Event-ID is no id of ours", field="Last-Event-ID", value=last)
        after = int(last)
    detail = await _detail(asked)
    if asked.scope["method"] == "HEAD":
        await respond(asked.send, 200, b"", content_type=EVENTS_TYPE)
        return
    follower = Follower(
        asked.hermes,
        clock=asked.clock,
        task_id=detail.task.id,
        after=max(0, after or 0),
        send=asked.send,
        keepalive_s=asked.keepalive_s,
    )
    await follower.serve(asked.receive)


async def _decide(asked: Asked[Choice, Nothing]) -> Reply:
    body, run_id = asked.body, asked.path["run_id"]
    choice = _choice(body.choice)
    detail = await _detail(asked)
    if detail.task.ended is not None:
        raise Fault(409, "approval_not_active", f"run {run_id} is over", field="run_id", value=run_id)
    pending = await read_approvals(asked.hermes, detail)
    if body.approval_id:
        pending = [view for view in pending if view.id == body.approval_id]
    if not pending:
        raise _not_pending(run_id)
    if (body.all or body.resolve_all) and choice == DENY:
        denial = DenyApprovals(approval_ids=tuple(view.id for view in pending), reason=body.reason)
        ids: tuple[ApprovalId, ...] = (await asked.hermes.execute(denial, actor=CALLER)).denied
        if not ids:
            raise _not_pending(run_id)
    elif len(pending) > 1:
        found = tuple(str(view.id) for view in pending)
        text = f"{len(pending)} decisions wait, and it is not said which one is meant"
        fix = "give approval_id, or all with deny"
        raise Fault(409, "approval_ambiguous", text, field="approval_id", fix=fix, facts={"approval_ids": found})
    else:
        ids = (await _answer(asked, pending[0], choice),)
    return Reply(
        Resolved(
            object="hermes.run.approval_response", run_id=run_id, choice=choice, resolved=len(ids), approval_ids=ids
        )
    )


def _choice(given: str) -> str:
    """The choice that is meant. Raises Fault 400."""
    word = given.strip().lower()
    choice = _ALIASES.get(word, word)
    if choice not in _CHOICES:
        known = ", ".join(_CHOICES)
        text = f"choice must be one of {known}"
        raise Fault(400, "invalid_approval_choice", text, field="choice", value=given, fix=f"use one of {known}")
    return choice


async def _answer(asked: Asked[Choice, Nothing], view: ApprovalView, choice: str) -> ApprovalId:
    body = asked.body
    offered = choices(view)
    if choice not in offered:
        known = ", ".join(offered)
        text = f"{choice} is not offered here"
        raise Fault(400, "choice_not_offered", text, field="choice", value=choice, fix=f"use {known}")
    is_yes = choice != DENY
    scope = SCOPES.get(choice, GrantScope.ONCE)
    command = AnswerApproval(
        approval_id=view.id,
        allow=is_yes,
        reason=body.reason,
        digest=body.digest or view.digest,
        scope=scope,
        pattern=next((offer.pattern for offer in view.offers if is_yes and offer.scope is scope), ""),
        answer=body.answer,
    )
    try:
        return (await asked.hermes.execute(command, actor=CALLER)).id
    except AlreadyDecided as error:
        raise _not_pending(asked.path["run_id"]) from error


async def _stop(asked: Asked[Anything, Nothing]) -> Reply:
    detail = await _detail(asked)
    if status_of(detail.task, detail.runs[0] if detail.runs else None, is_asking=False) not in OVER:
        # Refused: it has ended at this moment.
        with contextlib.suppress(Refused):
            await asked.hermes.execute(CancelTask(task_id=detail.task.id, reason="stopped over HTTP"), actor=CALLER)
        detail = await _detail(asked)
    status = await read_status(asked.hermes, detail)
    return Reply(Stopped(run_id=status.run_id, status=status.status))


async def _detail(asked: Asked[Any, Any]) -> TaskDetail:
    """The task behind the handle. Raises Fault 404."""
    run_id = asked.path["run_id"]
    try:
        return await asked.hermes.query(GetTask(task_id=task_id_of(run_id)))
    except NotFound:
        raise unknown_run(run_id) from None


def _not_pending(run_id: str) -> Fault:
    return Fault(409, "approval_not_pending", f"nothing of run {run_id} waits for that decision", field="approval_id")


ROUTES: tuple[Route[Any, Any], ...] = (
    Route(
        name="beginRun",
        method="POST",
        path="/v1/runs",
        summary="Begin a run",
        answer=_begin,
        results={202: RunStarted},
        body=RunRequest,
        query=Nothing,
        refusals=(403, 404, 409, 429),
        names=_NAMES,
    ),
    Route(
        name="getRunStatus",
        method="GET",
        path=_ONE,
        summary="How a run stands",
        answer=_get,
        results={200: RunStatus},
        body=Nothing,
        query=Nothing,
    ),
    Route(
        name="followRun",
        method="GET",
        path=f"{_ONE}/events",
        summary="Events of a run as server-sent events, from the beginning or after Last-Event-ID",
        answer=_events,
        results={200: RunEvent},
        body=Nothing,
        query=EventsQuery,
        stream=RunEvent,
    ),
    Route(
        name="answerRun",
        method="POST",
        path=f"{_ONE}/approval",
        summary="Decide what a run waits for",
        answer=_decide,
        results={200: Resolved},
        body=Choice,
        query=Nothing,
        refusals=(403, 409),
    ),
    Route(
        name="stopRun",
        method="POST",
        path=f"{_ONE}/stop",
        summary="Stop a run; one that is over stays as it is",
        answer=_stop,
        results={200: Stopped},
        body=Anything,
        query=Nothing,
    ),
)
