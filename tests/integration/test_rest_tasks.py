"""The agent API of a whole core: agents, tasks, runs and decisions over plain HTTP."""

import asyncio
from collections.abc import Container
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.rest_core import LIMIT_S, rest_core, until

COMMAND: dict[str, Any] = {
    "message": "hello",
    "agent_id": "main",
    "session_id": "http:dm:desk",
    "session_key": "telegram:8841",
    "deliver": False,
    "timeout_ms": 60_000,
    "policy": {"ask": "always", "security": "allowlist", "retry": {"max_attempts": 1, "delay_ms": 0}},
    "lane": "cron",
    "extra_system_prompt": "be short",
    "input_provenance": {"source": "cron", "message_id": "m-1", "correlation_id": "c-1"},
    "routing": {"to": "8841", "channel": "telegram", "thread_id": "7"},
    "attachments": [{"url": "file.txt"}],
    "idempotency_key": "k-1",
    "label": "nightly",
    "spawned_by": "boss",
    "hook_id": 3,
}


async def followed(client: httpx.AsyncClient, task_id: str, states: Container[str]) -> dict[str, Any]:
    """The task, once it is in one of these states: followed by its stream, each question waiting for what comes."""
    after = 0
    async with asyncio.timeout(LIMIT_S):
        while True:
            params = {"after": after, "wait_s": 5}
            batch = (await client.get(f"/api/tasks/{task_id}/stream", params=params)).json()
            after = batch["next_after"]
            found: dict[str, Any] = batch["task"]
            if found["state"] in states:
                return found


async def over(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    """The task, once it is over."""
    return await followed(client, task_id, {"done", "idle", "error", "cancelled", "dropped"})


async def asked(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    """The decision that a task waits for, once it does."""
    await followed(client, task_id, {"waiting"})
    views = (await client.get("/api/approvals", params={"open_only": "true"})).json()["approvals"]
    (view,) = [view for view in views if view["task_id"] == task_id]
    found: dict[str, Any] = view
    return found


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error object, which is all that a refusal holds."""
    body = answer.json()
    assert set(body) == {"error"}, body
    found: dict[str, Any] = body["error"]
    assert {"message", "type", "code"} <= set(found)
    return found


async def test_a_command_is_accepted_with_all_that_it_says(tmp_path: Path) -> None:
    """202 when it is new, 200 and the same task when it is repeated, 409 with another content."""
    async with rest_core(tmp_path / "home") as (_, client):
        new = await client.post("/api/tasks", json=COMMAND)
        assert new.status_code == 202, new.text
        body = new.json()
        assert (body["accepted"], body["idempotent_hit"]) == (True, False)
        assert set(body) == {"accepted", "idempotent_hit", "task", "run_id", "outcome"}
        task = body["task"]
        told = {key: task[key] for key in ("session_id", "session_key", "timeout_ms", "lane", "label", "spawned_by")}
        assert told == {key: COMMAND[key] for key in told}
        assert (task["agent"], task["text"], task["hook_id"], task["policy"]["ask"]) == ("main", "hello", 3, "always")
        assert (task["provenance"]["source"], task["routing"]["thread_id"]) == ("cron", "7")
        repeated = await client.post("/api/tasks", json=COMMAND)
        assert (repeated.status_code, repeated.json()["idempotent_hit"]) == (200, True)
        assert repeated.json()["task"]["id"] == task["id"]
        other = await client.post("/api/tasks", json={**COMMAND, "message": "bye"})
        assert (other.status_code, error_of(other)["code"]) == (409, "conflict")
        done = await over(client, task["id"])
        assert (done["state"], done["attempt_count"]) == ("done", 1)
        whole = (await client.get(f"/api/tasks/{task['id']}")).json()
        assert whole["task"]["attachments"] == [{"url": "file.txt"}]
        assert whole["task"]["extra_system_prompt"] == "be short"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt": "x"}, "prompt"),
        ({"message": None}, "message"),
        ({"message": "   "}, "message"),
        ({"timeout_ms": -1}, "timeout_ms"),
        ({"timeout_ms": "soon"}, "timeout_ms"),
        ({"policy": {"ask": "sometimes"}}, "policy.ask"),
        ({"policy": {"ask": "off", "colour": "red"}}, "policy.colour"),
        ({"policy": {"retry": {"max_attempts": 0}}}, "policy.retry.max_attempts"),
        ({"routing": {"too": "x"}}, "routing.too"),
        ({"input_provenance": {"source": "x" * 3000}}, "input_provenance.source"),
        ({"label": "x" * 300}, "label"),
        ({"session_id": "nowhere", "hook_id": 0}, "session_id"),
    ],
)
async def test_what_cannot_be_is_refused_by_the_name_of_its_field(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    """Nothing is accepted then, and the fix is named."""
    async with rest_core(tmp_path / "home") as (_, client):
        refused = await client.post("/api/tasks", json={**COMMAND, **change})
        assert refused.status_code == 400, refused.text
        error = error_of(refused)
        assert error["field"] == field, error
        assert error["fix"]
        assert (await client.get("/api/tasks")).json()["tasks"] == []


async def test_tasks_are_listed_by_filter_and_cursor(tmp_path: Path) -> None:
    """Pages follow one another without a repeat; several states may be asked for at once."""
    async with rest_core(tmp_path / "home") as (_, client):
        made = [
            (await client.post("/api/tasks", json={"message": f"n{number}", "label": "batch"})).json()["task"]["id"]
            for number in range(5)
        ]
        for task_id in made:
            await over(client, task_id)
        found: list[str] = []
        cursor = ""
        while True:
            params: dict[str, Any] = {"limit": 2, "cursor": cursor, "label": "batch", "state": "done,error"}
            page = (await client.get("/api/tasks", params=params)).json()
            found += [task["id"] for task in page["tasks"]]
            cursor = page["cursor"]
            if not page["has_more"]:
                break
        assert found == made[::-1]
        assert (await client.get("/api/tasks?state=queued&state=running")).json()["tasks"] == []
        bad = await client.get("/api/tasks", params={"limit": 1000})
        assert (bad.status_code, error_of(bad)["field"]) == (400, "limit")
        odd = await client.get("/api/tasks", params={"colour": "red"})
        assert (odd.status_code, error_of(odd)["field"]) == (400, "colour")


async def test_a_task_is_cancelled_tried_again_and_put_away(tmp_path: Path) -> None:
    """Each order has its receipt; what cannot be done says why."""
    async with rest_core(tmp_path / "home") as (_, client):
        stalled = (await client.post("/api/tasks", json={"message": "stall"})).json()["task"]["id"]
        cancelled = await client.post(f"/api/tasks/{stalled}/cancel", json={"reason": "enough"})
        assert (cancelled.status_code, cancelled.json()["task"]["state"]) == (200, "cancelled")
        again = await client.post(f"/api/tasks/{stalled}/retry")
        assert (again.status_code, error_of(again)["code"]) == (403, "refused")
        policy = {"retry": {"max_attempts": 1}}
        failed = (await client.post("/api/tasks", json={"message": "fail", "policy": policy})).json()["task"]["id"]
        assert (await over(client, failed))["state"] == "error"
        retried = await client.post(f"/api/tasks/{failed}/retry")
        assert (retried.status_code, retried.json()["task"]["state"]) == (202, "queued")
        await over(client, failed)
        archived = await client.post(f"/api/tasks/{failed}/archive")
        assert archived.json()["task"]["archived"] is not None
        assert failed not in [task["id"] for task in (await client.get("/api/tasks")).json()["tasks"]]
        only = (await client.get("/api/tasks", params={"archived": "only"})).json()["tasks"]
        assert [task["id"] for task in only] == [failed]
        await client.post(f"/api/tasks/{failed}/unarchive", json={})
        assert (await client.get("/api/tasks", params={"archived": "only"})).json()["tasks"] == []


async def test_runs_take_inputs_and_keep_a_log(tmp_path: Path) -> None:
    """An input says what became of it; the run's log is there afterwards."""
    async with rest_core(tmp_path / "home") as (_, client):
        work = {"message": "hello", "policy": {"interactive": True}}
        task_id = (await client.post("/api/tasks", json=work)).json()["task"]["id"]
        run_id = (await over(client, task_id))["target_run_id"]
        place = f"/api/runs/{run_id}"
        log = (await client.get(f"{place}/snapshots")).json()
        assert log["run_id"] == run_id
        assert log["snapshots"][-1]["state"] == "ok"
        assert (await client.get(f"{place}/interaction")).json()["state"] == "closed"
        body = {"message": "more", "queue_mode": "followup", "idempotency_key": "i-1"}
        sent = await client.post(f"{place}/inputs", json=body)
        assert (sent.status_code, sent.json()["outcome"]) == (202, "restarted")
        repeated = await client.post(f"{place}/inputs", json=body)
        assert (repeated.status_code, repeated.json()["idempotent_hit"]) == (200, True)
        await over(client, task_id)
        runs = (await client.get("/api/runs", params={"task_id": task_id})).json()["runs"]
        assert [run["task_id"] for run in runs] == [task_id, task_id]
        assert (await client.get(f"/api/runs/{run_id}/stream")).json()["items"]
        done = await client.post(f"{place}/cancel", json={})
        assert (done.status_code, error_of(done)["field"]) == (403, "run_id")
        odd = await client.post(f"{place}/inputs", json={**body, "mode": "steer"})
        assert (odd.status_code, error_of(odd)["field"]) == (400, "mode")


async def test_decisions_are_made_over_http(tmp_path: Path) -> None:
    """Looked at, answered once; the loser learns who won."""
    async with rest_core(tmp_path / "home") as (_, client):
        task_id = (await client.post("/api/tasks", json={"message": "act"})).json()["task"]["id"]
        view = await asked(client, task_id)
        place = f"/api/approvals/{view['id']}"
        assert (await client.get(place)).json()["target"] == "rm -rf victim"
        given = await client.post(f"{place}/answer", json={"allow": True, "digest": view["digest"], "reason": "fine"})
        assert (given.status_code, given.json()["state"]) == (200, "approved")
        late = await client.post(f"{place}/answer", json={"allow": False})
        error = error_of(late)
        assert (late.status_code, error["code"], error["facts"]["by"]) == (409, "decided", "http")
        assert (await over(client, task_id))["state"] == "done"
        second = (await client.post("/api/tasks", json={"message": "act"})).json()["task"]["id"]
        other = await asked(client, second)
        denied = await client.post("/api/approvals/deny", json={"approval_ids": [other["id"]], "reason": "no"})
        assert denied.json()["denied"] == [other["id"]]
        reask = await client.post(f"/api/approvals/{other['id']}/reask")
        assert reask.status_code in {403, 409}
        assert (await client.post("/api/approvals/deny", json={"approval_ids": []})).status_code == 400
        assert (await client.get("/api/approvals/nothing")).status_code == 404


async def test_agents_are_made_changed_paused_and_removed(tmp_path: Path) -> None:
    """All of a profile's life over HTTP; a wrong setting is named."""
    async with rest_core(tmp_path / "home") as (_, client):
        defaults = (await client.get("/api/agents/coder/defaults", params={"runner": "scripted"})).json()
        assert defaults["settings"]["runner"] == "scripted"
        settings = {"runner": "scripted", "scenario": "builtin:echo", "pace": 0}
        made = await client.post("/api/agents", json={"name": "coder", "settings": settings})
        assert (made.status_code, made.json()["name"]) == (201, "coder")
        bad = await client.post("/api/agents", json={"name": "odd", "settings": {"runner": "scripted", "pace": -1}})
        assert bad.status_code == 400
        assert "pace" in error_of(bad)["field"]
        version = made.json()["version"]
        changed = await client.patch(
            "/api/agents/coder", json={"settings": {"description": "writes"}, "version": version}
        )
        assert changed.json()["settings"]["description"] == "writes"
        stale = await client.patch("/api/agents/coder", json={"settings": {"seed": 1}, "version": version})
        assert (stale.status_code, error_of(stale)["code"]) == (409, "conflict")
        for word, body, key, value in (
            ("pause", {"reason": "lunch"}, "state", "paused"),
            ("resume", {}, "state", "ready"),
            ("limit", {"limit": 2}, "limit", 2),
            ("disable", {"reason": "old"}, "state", "disabled"),
            ("enable", {}, "state", "ready"),
        ):
            answer = await client.post(f"/api/agents/coder/{word}", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["pool"][key] == value, word
        task = await client.post("/api/tasks", json={"message": "two", "agent_id": "coder"})
        assert (await over(client, task.json()["task"]["id"]))["answer"] == "two"
        assert [agent["name"] for agent in (await client.get("/api/agents")).json()["profiles"]] == [
            "coder", "echo", "main",
        ]  # fmt: skip
        assert (await client.delete("/api/agents/coder")).json()["name"] == "coder"
        assert (await client.get("/api/agents/coder")).status_code == 404
        configured = await client.delete("/api/agents/main")
        assert (configured.status_code, error_of(configured)["code"]) == (403, "refused")


async def test_a_long_poll_waits_for_the_first_item_and_is_let_go_with_its_caller(tmp_path: Path) -> None:
    """What comes ends the wait; a caller who hangs up leaves no reader behind."""
    async with rest_core(tmp_path / "home") as (kernel, client):
        task_id = (await client.post("/api/tasks", json={"message": "act"})).json()["task"]["id"]
        view = await asked(client, task_id)
        readers = kernel.agents.tasking.streams._readers
        batch = (await client.get(f"/api/tasks/{task_id}/stream")).json()
        place = f"/api/tasks/{task_id}/stream?after={batch['next_after']}&wait_s=30"
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            waiting = group.create_task(client.get(place))
            await until(lambda: bool(readers))
            await client.post(f"/api/approvals/{view['id']}/answer", json={"allow": False})
        assert waiting.result().json()["items"]
        done = (await over(client, task_id))["state"]
        assert done == "done"
        after = (await client.get(f"/api/tasks/{task_id}/stream")).json()["next_after"]
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"/api/tasks/{task_id}/stream?after={after}&wait_s=30", timeout=0.5)
        await until(lambda: not readers)


async def test_the_key_is_asked_for_and_the_document_is_not(tmp_path: Path) -> None:
    """401 without it, and no word about what is there."""
    async with (
        rest_core(tmp_path / "home") as (_, client),
        httpx.AsyncClient(base_url=client.base_url, trust_env=False) as bare,
    ):
        assert (await bare.get("/api/tasks")).status_code == 401
        assert (await bare.post("/api/tasks", json=COMMAND)).status_code == 401
        assert (await bare.get("/api/nothing")).status_code == 401
        document = (await bare.get("/api/openapi.json")).json()
        assert document["openapi"] == "3.1.0"
        assert (await client.get("/api/nothing")).status_code == 404
        wrong = await client.put("/api/tasks", json={})
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, POST")
        form = await client.post("/api/tasks", data={"message": "x"})
        assert (form.status_code, error_of(form)["code"]) == (415, "unsupported_media_type")
        text = await client.post("/api/tasks", content=b"{", headers={"content-type": "application/json"})
        assert (text.status_code, error_of(text)["code"]) == (400, "malformed_json")
