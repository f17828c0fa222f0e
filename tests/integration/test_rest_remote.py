"""The HTTP side knows a Hermes and nothing behind it: over a core on a socket it is the same."""

import ast
import asyncio
import json
from pathlib import Path
from typing import Any

from core.clock import SystemClock
from core.connect import attach
from core.rest.app import RestApp
from core.secrets import Secret
from tests.support.http_calls import BEARER, KEY, Caller, call, guarded
from tests.support.rest_core import rest_core
from tests.support.tree import ROOT

ALLOWED = ("core.api", "core.http", "core.clock", "core.rest", "core.secrets")


async def test_a_run_is_begun_decided_and_followed_over_a_socket(tmp_path: Path) -> None:
    """Only the port is used: order, question, and a look at the stream that waits over there."""
    async with rest_core(tmp_path / "home"):
        remote = await attach(tmp_path / "home")
        try:
            app = guarded(RestApp(remote, clock=SystemClock(), key=Secret(KEY)))

            async def post(path: str, **body: Any) -> Any:
                headers = {**BEARER, "content-type": "application/json"}
                return (await call(app, "POST", path, headers, json.dumps(body).encode())).json()

            run_id = (await post("/v1/runs", input="act"))["run_id"]
            reader = Caller("GET", f"/v1/runs/{run_id}/events", BEARER)
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                group.create_task(reader.make(app))
                await reader.until(b"approval.request")
                assert (await post(f"/v1/runs/{run_id}/approval", choice="deny"))["resolved"] == 1
            assert b"run.completed" in reader.answer.body
            refused = await call(app, "GET", "/api/tasks/nothing", BEARER)
            assert (refused.status, refused.json()["error"]["code"]) == (404, "not_found")
        finally:
            await remote.close()


def test_it_imports_nothing_but_the_facade_http_and_the_clock() -> None:
    """So that it can stand before any Hermes, near or far."""
    foreign = {
        f"{path.name}: {node.module}"
        for path in (ROOT / "core" / "rest").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(("core", "console"))
        if not node.module.startswith(ALLOWED)
    }
    assert foreign == set()
