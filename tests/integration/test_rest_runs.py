"""/v1/runs of a whole core: with plain HTTP, and driven by our own runner for such an API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec

from core.agent_settings import HermesRunsSettings
from core.agents.adapters.hermes_runs import HermesRunsRunner
from core.agents.runner import Decision, TurnRequest
from core.api.approvals import ListApprovals
from core.api.base import Seq, SessionId
from core.api.platforms import PlatformConnected
from core.api.runs import ActionRequested, ActionSettled, RunReport, Stop, ToolReported, ToolStatus
from core.clock import SystemClock
from core.kernel import Kernel
from tests.support.agent_parts import end_of, runner_context, text_of, turn_request
from tests.support.rest_core import Events, begin, follow, rest_core, status_of


@asynccontextmanager
async def driven(home: Path) -> AsyncIterator[tuple[HermesRunsRunner, Kernel, httpx.AsyncClient]]:
    """Our own runner, in front of our own API of runs."""
    async with rest_core(home / "home") as (kernel, client):
        settings = msgspec.convert(
            {"base_url": f"{kernel.gateway.http.url}/v1", "key": "env:KEY", "runner": "hermes_runs"}, HermesRunsSettings
        )
        runner = HermesRunsRunner(settings, runner_context(SystemClock(), home))
        await runner.open()
        try:
            yield runner, kernel, client
        finally:
            await runner.close()


async def played(runner: HermesRunsRunner, request: TurnRequest, decision: Decision) -> list[RunReport]:
    """A turn in which every question gets the same answer."""
    reports: list[RunReport] = []
    async with asyncio.timeout(20):
        async for report in runner.turn(request):
            reports.append(report)
            if isinstance(report, ActionRequested):
                assert await runner.decide(report.action_id, decision)
    return reports


YES = Decision(allow=True, option_id="once")
NO = Decision(allow=False, option_id="deny")


async def test_our_own_runner_has_a_turn(tmp_path: Path) -> None:
    """Text and tokens come through; the next turn goes on in the same session there."""
    async with driven(tmp_path) as (runner, kernel, _client):
        reports = await played(runner, turn_request("hello"), YES)
        assert text_of(reports) == "You said hello"
        assert end_of(reports).stop is Stop.END_TURN
        assert (end_of(reports).usage.input_tokens, end_of(reports).usage.output_tokens) == (7, 3)
        again = await played(runner, turn_request("again"), YES)
        assert text_of(again) == "You said again"
        assert kernel.gateway.lanes.session_count == 1


async def test_our_own_runner_approves(tmp_path: Path) -> None:
    """The exact command is shown, the yes reaches the agent there, and its tool call is reported once."""
    async with driven(tmp_path) as (runner, _kernel, _client):
        reports = await played(runner, turn_request("act"), YES)
        (asked,) = [item for item in reports if isinstance(item, ActionRequested)]
        assert asked.target == "rm -rf victim"
        assert asked.tool == "exec"
        (settled,) = [item for item in reports if isinstance(item, ActionSettled)]
        assert (settled.action_id, settled.outcome) == (asked.action_id, "approved")
        assert text_of(reports) == "I shall remove it. \n\nRemoved."
        ends = [item for item in reports if isinstance(item, ToolReported) and item.call.status.is_final]
        assert [item.call.status for item in ends] == [ToolStatus.COMPLETED]
        assert end_of(reports).stop is Stop.END_TURN


async def test_our_own_runner_denies_one_after_the_other(tmp_path: Path) -> None:
    """Two questions with one title are two questions."""
    async with driven(tmp_path) as (runner, kernel, _client):
        reports = await played(runner, turn_request("twice"), NO)
        assert [item.target for item in reports if isinstance(item, ActionRequested)] == ["rm -rf one", "rm -rf two"]
        assert [item.outcome for item in reports if isinstance(item, ActionSettled)] == ["denied", "denied"]
        assert text_of(reports) == "no one no two"
        approvals = (await kernel.query(ListApprovals())).approvals
        assert {(view.state.value, view.decided_by) for view in approvals} == {("denied", "http")}


async def test_our_own_runner_stops(tmp_path: Path) -> None:
    """A cancelled turn stops the run there, also while it waits for a decision."""
    async with driven(tmp_path) as (runner, kernel, client):
        for text in ("stall", "act"):
            reports: list[RunReport] = []
            is_told = False
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                async for report in runner.turn(turn_request(text)):
                    reports.append(report)
                    is_due = isinstance(report, ActionRequested) if text == "act" else bool(text_of(reports))
                    if is_due and not is_told:
                        is_told = True
                        group.create_task(runner.cancel("enough"))
            assert end_of(reports).stop is Stop.CANCELLED
        assert (await kernel.query(ListApprovals(open_only=True))).approvals == ()
        tasks = (await client.get("/api/tasks")).json()["tasks"]
        assert [task["state"] for task in tasks] == ["cancelled", "cancelled"]


async def test_a_run_is_followed_to_its_end_and_looked_up(tmp_path: Path) -> None:
    """Events, then a last comment; afterwards the status holds the answer."""
    async with rest_core(tmp_path / "home") as (_, client):
        run_id = await begin(client, "think")
        told = await follow(client, run_id)
        assert told.names() == [
            "reasoning.available",
            "tool.started",
            "tool.completed",
            "message.delta",
            "run.completed",
        ]
        assert told.text() == "Done."
        assert told.events[-1]["output"] == "Done."
        assert [line for line in told.lines if line][-1] == ": stream closed"
        assert {event["run_id"] for event in told.events} == {run_id}
        status = await status_of(client, run_id)
        assert (status["status"], status["output"], status["last_event"]) == ("completed", "Done.", "run.completed")
        assert status["created_at"] <= status["started_at"] <= status["ended_at"]


async def test_several_readers_see_the_same_and_one_goes_on_where_it_was(tmp_path: Path) -> None:
    """A second reader hears all of it, and one that comes back hears what it missed and nothing twice."""
    async with rest_core(tmp_path / "home") as (_, client):
        run_id = await begin(client, "act")
        first = await follow(client, run_id, until="approval.request")
        second = await follow(client, run_id, until="approval.request")
        assert [event["event"] for event in first.events] == [event["event"] for event in second.events]
        seen = first.ids[-2] if first.lines[-2].startswith("data") else first.ids[-1]
        answer = await client.post(f"/v1/runs/{run_id}/approval", json={"choice": "once"})
        assert answer.json()["resolved"] == 1
        rest = await follow(client, run_id, after=seen)
        whole = await follow(client, run_id)
        assert first.text() + rest.text() == whole.text() == "I shall remove it. \n\nRemoved."
        assert "approval.responded" in rest.names()
        assert "approval.request" not in rest.names()
        assert whole.names()[-1] == rest.names()[-1] == "run.completed"
        late = await follow(client, run_id, after=whole.ids[-1])
        assert late.names() == ["run.completed"]


async def test_a_decision_over_http_is_checked_and_made_once(tmp_path: Path) -> None:
    """A bad word is 400, one that is not offered too, and a second answer finds nothing."""
    async with rest_core(tmp_path / "home") as (kernel, client):
        run_id = await begin(client, "act")
        place = f"/v1/runs/{run_id}/approval"
        told = await follow(client, run_id, until="approval.request")
        asked = told.events[-1]
        assert asked["command"] == "rm -rf victim"
        assert {"once", "deny"} <= set(asked["choices"])
        status = await status_of(client, run_id)
        assert (status["status"], status["last_event"]) == ("waiting_for_approval", "approval.request")
        assert status["pending_approvals"][0]["approval_id"] == asked["approval_id"]
        bad = await client.post(place, json={"choice": "perhaps"})
        assert (bad.status_code, bad.json()["error"]["field"]) == (400, "choice")
        other = await client.post(place, json={"choice": "once", "approval_id": "another"})
        assert (other.status_code, other.json()["error"]["code"]) == (409, "approval_not_pending")
        stale = await client.post(place, json={"choice": "once", "digest": "0" * 16})
        assert (stale.status_code, stale.json()["error"]["code"]) == (409, "conflict")
        good = await client.post(place, json={"choice": "deny", "all": True})
        assert good.json()["approval_ids"] == [asked["approval_id"]]
        assert (good.json()["choice"], good.json()["resolved"]) == ("deny", 1)
        again = await client.post(place, json={"choice": "once"})
        assert again.status_code == 409
        assert again.json()["error"]["code"] in {"approval_not_pending", "approval_not_active"}
        assert (await follow(client, run_id)).events[-1]["output"].endswith("I left it.")
        (view,) = (await kernel.query(ListApprovals())).approvals
        assert (view.state.value, view.decided_by) == ("denied", "http")


async def test_a_wider_yes_stores_what_was_offered(tmp_path: Path) -> None:
    """`session` repeats the pattern that was shown, and the next question of the same is not asked."""
    async with rest_core(tmp_path / "home") as (_, client):
        run_id = await begin(client, "act", session_id="desk")
        asked = (await follow(client, run_id, until="approval.request")).events[-1]
        assert "session" in asked["choices"]
        answer = await client.post(f"/v1/runs/{run_id}/approval", json={"choice": "session"})
        assert answer.status_code == 200, answer.text
        assert (await follow(client, run_id)).names()[-1] == "run.completed"
        second = await begin(client, "act", session_id="desk")
        told = await follow(client, second)
        assert "approval.request" not in told.names()
        assert told.text().endswith("Removed.")


async def test_stop_ends_a_run_and_leaves_one_that_is_over(tmp_path: Path) -> None:
    """The events end with run.cancelled; a run that was completed stays so."""
    async with rest_core(tmp_path / "home") as (_, client):
        run_id = await begin(client, "stall")
        events = Events()
        await follow(client, run_id, until="message.delta", events=events)
        stopped = await client.post(f"/v1/runs/{run_id}/stop", json={"why": "enough"})
        assert stopped.json()["status"] in {"stopping", "cancelled"}
        assert (await follow(client, run_id)).names()[-1] == "run.cancelled"
        assert (await status_of(client, run_id))["status"] == "cancelled"
        done = await begin(client, "hello")
        await follow(client, done)
        assert (await client.post(f"/v1/runs/{done}/stop")).json() == {"run_id": done, "status": "completed"}


async def test_a_failure_is_told_as_one(tmp_path: Path) -> None:
    """With its reason, after the tries that the policy allows."""
    async with rest_core(tmp_path / "home") as (_, client):
        run_id = await begin(client, "fail")
        end = (await follow(client, run_id)).events[-1]
        assert (end["event"], end["error"], end["code"]) == ("run.failed", "out of luck", "unlucky")
        assert (await status_of(client, run_id))["status"] == "failed"


async def test_runs_of_one_session_keep_their_order_and_are_runs_of_their_own(tmp_path: Path) -> None:
    """The second waits for the first, and stopping the first leaves the second."""
    async with rest_core(tmp_path / "home") as (kernel, client):
        first = await begin(client, "stall", session_id="my chat")
        await follow(client, first, until="message.delta")
        second = await begin(client, "hello", session_id="my chat")
        assert first != second
        status = await status_of(client, second)
        assert (status["status"], status["session_id"]) == ("queued", "my chat")
        await client.post(f"/v1/runs/{first}/stop")
        assert (await follow(client, second)).events[-1]["output"] == "You said hello"
        found = (await client.get("/api/tasks", params={"label": "http"})).json()["tasks"]
        assert {task["session_id"] for task in found} == {SessionId("http:dm:my%20chat")}
        assert kernel.gateway.deliveries.waiting_count + kernel.gateway.deliveries.dead_count == 0


async def test_the_same_key_gives_the_same_run(tmp_path: Path) -> None:
    """As a header or in the body; with another text it is a conflict that names the field."""
    async with rest_core(tmp_path / "home") as (_, client):
        first = await begin(client, "hello", idempotency_key="k-1")
        assert await begin(client, "hello", idempotency_key="k-1") == first
        again = await client.post("/v1/runs", json={"input": "hello"}, headers={"idempotency-key": "k-1"})
        assert again.json()["run_id"] == first
        other = await client.post("/v1/runs", json={"input": "bye", "idempotency_key": "k-1"})
        assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")


async def test_what_is_sent_may_be_more_than_is_known(tmp_path: Path) -> None:
    """Messages as input, an agent as model, unknown fields; what cannot be is refused by its name."""
    async with rest_core(tmp_path / "home") as (_, client):
        said = [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}]
        run_id = await begin(client, "", input=said, model="echo", temperature=0.5)
        assert (await follow(client, run_id)).events[-1]["output"] == "b"
        for body, status, field in (
            ({"input": "  "}, 400, "input"),
            ({"session_id": "x"}, 400, "input"),
            ({"input": "a", "session_id": "x" * 513}, 400, "session_id"),
            ({"input": "a", "model": "nobody"}, 404, "model"),
            ({"input": "a", "timeout_ms": -1}, 400, "timeout_ms"),
            ({"input": [{"role": "assistant", "content": "a"}]}, 400, "input"),
        ):
            refused = await client.post("/v1/runs", json=body)
            assert (refused.status_code, refused.json()["error"]["field"]) == (status, field), refused.text
        assert (await client.get("/v1/runs/run_nothing")).json()["error"]["code"] == "run_not_found"
        for path in ("/v1/runs/run_nothing", "/v1/runs/nothing", "/v1/runs/run_/events"):
            assert (await client.get(path)).status_code == 404
        bare = httpx.AsyncClient(base_url=client.base_url, trust_env=False)
        async with bare:
            assert (await bare.get(f"/v1/runs/{run_id}")).status_code == 401


async def test_what_was_said_before_is_taken_along_where_the_session_does_not_hold_it(tmp_path: Path) -> None:
    """In a session that is new or knows less; one that holds it is not told again."""
    said = [{"role": "user", "content": "my cat is Tom"}, {"role": "assistant", "content": "noted"}]
    async with rest_core(tmp_path / "home") as (_, client):
        for history, is_told in ((said, True), (said, False), (said * 20, True)):
            more = {"session_id": "desk", "instructions": "be kind", "conversation_history": history}
            run_id = await begin(client, "hello", **more)
            await follow(client, run_id)
            task = (await client.get(f"/api/tasks/{run_id.removeprefix('run_')}")).json()["task"]
            assert task["extra_system_prompt"].startswith("be kind")
            assert ("user: my cat is Tom" in task["extra_system_prompt"]) is is_told


async def test_an_answer_is_whole_however_long_it_is(tmp_path: Path) -> None:
    """A task keeps the first of it; the status and the last event have all."""
    text = "long " + "x" * 15_000
    async with rest_core(tmp_path / "home") as (_, client):
        run_id = await begin(client, text)
        told = await follow(client, run_id)
        assert told.text().endswith(text)
        assert told.events[-1]["output"] == told.text()
        assert (await status_of(client, run_id))["output"] == told.text()
        head = await client.head(f"/v1/runs/{run_id}/events")
        assert head.headers["content-type"].startswith("text/event-stream")


async def test_the_chat_endpoint_beside_it_still_answers(tmp_path: Path) -> None:
    """Two apps share /v1: the longer prefix is ours."""
    async with rest_core(tmp_path / "home") as (kernel, client):
        async with asyncio.timeout(20):
            async for record in kernel.subscribe(after=Seq(0)):
                if isinstance(record.event, PlatformConnected) and record.event.platform.name == "api":
                    break
        assert {model["id"] for model in (await client.get("/v1/models")).json()["data"]} >= {"main", "echo"}
