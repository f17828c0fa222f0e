"""Decisions on what a run waits for, over /v1/runs: never about another question than the one that is meant."""

import json
from typing import Any

import msgspec
import pytest

from core.api.approvals import (
    AnswerApproval,
    ApprovalList,
    ApprovalState,
    ApprovalView,
    BulkDenial,
    DenyApprovals,
    GrantOffer,
    GrantScope,
    ListApprovals,
)
from core.api.base import ApprovalId, RunId, Seq, TaskId
from core.api.errors import AlreadyDecided
from core.api.tasks import CancelTask, GetTask, TaskDetail, TaskReceipt, TaskState
from core.rest.app import RestApp
from core.secrets import Secret
from tests.support.canned_hermes import CannedHermes
from tests.support.clocks import FakeClock
from tests.support.fake_work import task, task_run
from tests.support.http_calls import BEARER, KEY, Answer, call, guarded
from tests.support.views import NOW, ago, approval

PLACE = "/v1/runs/run_task-1/approval"


def asked(name: str, **more: Any) -> ApprovalView:
    """An open decision of the task."""
    return approval(name, task_id=TaskId("task-1"), **more)


class Desk:
    """A run, what it waits for, and the app before it."""

    def __init__(self, *views: ApprovalView, state: TaskState = TaskState.WAITING) -> None:
        self.views = list(views)
        self.state = state
        self.hermes = CannedHermes(
            {
                GetTask: lambda _: self.detail(),
                ListApprovals: lambda query: ApprovalList(approvals=tuple(self.views), seq=Seq(0)),
                AnswerApproval: self.answer,
                DenyApprovals: self.deny,
                CancelTask: self.cancel,
            }
        )
        self.app = guarded(RestApp(self.hermes, clock=FakeClock(), key=Secret(KEY)))
        self.is_late = False

    def detail(self) -> TaskDetail:
        """The task."""
        ended = None if self.state is TaskState.WAITING else NOW
        view = task(state=self.state, ended=ended)
        return TaskDetail(task=view, runs=(task_run(),), attempts=(), children=(), seq=Seq(0))

    def answer(self, command: AnswerApproval) -> ApprovalView:
        """Somebody else may have been first."""
        if self.is_late:
            raise AlreadyDecided("too late", by="ana", outcome="denied")
        view = next(view for view in self.views if view.id == command.approval_id)
        return msgspec.structs.replace(view, state=ApprovalState.APPROVED)

    def deny(self, command: DenyApprovals) -> BulkDenial:
        """As ordered, or all too late."""
        ids = command.approval_ids
        return BulkDenial(denied=(), too_late=ids) if self.is_late else BulkDenial(denied=ids, too_late=())

    def cancel(self, _: CancelTask) -> TaskReceipt:
        """Stopping."""
        self.state = TaskState.CANCELLED
        return TaskReceipt(task=self.detail().task)

    async def post(self, path: str = PLACE, **body: Any) -> Answer:
        """Order something."""
        headers = {**BEARER, "content-type": "application/json"}
        return await call(self.app, "POST", path, headers, json.dumps(body).encode())

    @property
    def orders(self) -> list[Any]:
        """What the core was told to do."""
        return [command for command, _ in self.hermes.ordered]


async def test_the_one_that_waits_is_answered_with_its_digest() -> None:
    """What was shown is what is decided: a question that changed meanwhile is a conflict there."""
    desk = Desk(asked("a-1"), approval("other", run_id=RunId("run-9")))
    answer = await desk.post(choice="once", reason="fine")
    assert answer.json() == {
        "object": "hermes.run.approval_response",
        "run_id": "run_task-1",
        "choice": "once",
        "resolved": 1,
        "approval_ids": ["a-1"],
    }
    (order,) = desk.orders
    assert (order.approval_id, order.allow, order.digest, order.scope) == ("a-1", True, "0123456789abcdef", "once")
    await desk.post(choice="deny", digest="f" * 16)
    assert (desk.orders[-1].allow, desk.orders[-1].digest) == (False, "f" * 16)


async def test_several_that_wait_are_never_guessed_at() -> None:
    """409 with their ids and no order, whatever the choice; with an id it is that one."""
    desk = Desk(asked("a-2", asked=ago(10)), asked("a-1", asked=ago(20)))
    for body in ({"choice": "once"}, {"choice": "deny"}, {"choice": "once", "all": True}):
        answer = await desk.post(**body)
        error = answer.json()["error"]
        assert (answer.status, error["code"]) == (409, "approval_ambiguous")
        assert error["facts"]["approval_ids"] == ["a-1", "a-2"]
    assert desk.orders == []
    assert (await desk.post(choice="once", approval_id="a-2")).json()["approval_ids"] == ["a-2"]
    assert [order.approval_id for order in desk.orders] == ["a-2"]


async def test_all_can_be_denied_at_once() -> None:
    """There is no such yes. What was too late does not count."""
    desk = Desk(asked("a-1", asked=ago(20)), asked("a-2", asked=ago(10)))
    answer = await desk.post(choice="deny", all=True, reason="no")
    assert (answer.status, answer.json()["resolved"]) == (200, 2)
    (order,) = desk.orders
    assert (order.approval_ids, order.reason) == (("a-1", "a-2"), "no")
    assert (await desk.post(choice=" Deny ", resolve_all=True)).json()["resolved"] == 2
    desk.is_late = True
    assert (await desk.post(choice="deny", all=True)).status == 409


async def test_a_wider_yes_repeats_the_pattern_of_its_offer() -> None:
    """And only where there is an offer."""
    offers = (
        GrantOffer(scope=GrantScope.SESSION, pattern="exec:ls *"),
        GrantOffer(scope=GrantScope.ALWAYS, pattern="exec:ls"),
    )
    desk = Desk(asked("a-1", offers=offers))
    for choice, scope, pattern in (("session", "session", "exec:ls *"), ("always", "always", "exec:ls")):
        assert (await desk.post(choice=choice)).status == 200
        assert (desk.orders[-1].scope, desk.orders[-1].pattern) == (scope, pattern)
    bare = Desk(asked("a-1"))
    refused = await bare.post(choice="always")
    assert (refused.status, refused.json()["error"]["code"]) == (400, "choice_not_offered")
    assert refused.json()["error"]["fix"] == "use once, deny"
    assert bare.orders == []


@pytest.mark.parametrize("body", [{}, {"choice": "yes"}, {"choice": 1}, {"choice": "once", "all": "maybe"}])
async def test_what_is_no_choice_is_refused(body: dict[str, Any]) -> None:
    """With the field's name, before anything is looked up."""
    desk = Desk(asked("a-1"))
    answer = await desk.post(**body)
    assert answer.status == 400
    assert answer.json()["error"]["field"] in {"choice", "all"}
    assert (desk.orders, desk.hermes.asked) == ([], [])


async def test_what_no_longer_waits_is_a_conflict() -> None:
    """Nothing is pending, another run's is named, or somebody else was first."""
    assert (await Desk().post(choice="once")).json()["error"]["code"] == "approval_not_pending"
    over = await Desk(asked("a-1"), state=TaskState.DONE).post(choice="once")
    assert (over.status, over.json()["error"]["code"]) == (409, "approval_not_active")
    foreign = Desk(asked("a-1"), approval("other", run_id=RunId("run-9")))
    assert (await foreign.post(choice="once", approval_id="other")).status == 409
    late = Desk(asked("a-1"))
    late.is_late = True
    answer = await late.post(choice="once")
    assert (answer.status, answer.json()["error"]["code"]) == (409, "approval_not_pending")


@pytest.mark.parametrize("word", ["approve", "Approved", "allow"])
async def test_other_words_for_a_yes_mean_this_once(word: str) -> None:
    """As other gateways take them; never a wider one."""
    desk = Desk(asked("a-1"))
    assert (await desk.post(choice=word)).json()["choice"] == "once"
    assert (desk.orders[-1].allow, desk.orders[-1].scope) == (True, "once")


async def test_a_question_is_answered_in_words() -> None:
    """The words go along with the yes."""
    desk = Desk(asked("a-1"))
    await desk.post(choice="once", answer="the red one", approval_id=ApprovalId("a-1"))
    assert desk.orders[-1].answer == "the red one"


async def test_stop_cancels_what_goes_on_and_nothing_that_is_over() -> None:
    """A run that was completed stays so."""
    desk = Desk()
    answer = await desk.post("/v1/runs/run_task-1/stop")
    assert answer.json() == {"run_id": "run_task-1", "status": "stopping"}
    assert [type(order) for order in desk.orders] == [CancelTask]
    over = Desk(state=TaskState.IDLE)
    assert (await over.post("/v1/runs/run_task-1/stop", why="late")).json()["status"] == "completed"
    assert over.orders == []
