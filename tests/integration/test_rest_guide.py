"""The guide to agents over HTTP: each of its curl lines is run on a core, and does what the page says."""

import asyncio
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from core.rest.app import ROUTES
from tests.support.agent_parts import KEY
from tests.support.rest_core import begin, follow, rest_core, until
from tests.support.tree import ROOT

TEXT = (ROOT / "docs" / "guide" / "http_agents.md").read_text(encoding="utf-8")
LINES: list[str] = re.findall(r"^    curl (.+)$", TEXT, re.MULTILINE)
CURL = ROOT / "tests" / "support" / "curl.py"


async def curl(line: str, places: dict[str, str]) -> str:
    """What a line prints, with the names of the page filled in."""
    for name, value in places.items():
        line = line.replace(f"${name}", value)
    assert "$" not in line, line
    job = await asyncio.create_subprocess_exec(sys.executable, CURL, *shlex.split(line), stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(30):
        out, _ = await job.communicate()
    assert job.returncode == 0, line
    return out.decode()


async def test_each_line_of_the_guide_runs(tmp_path: Path) -> None:
    """In the order of the page; none is refused."""
    assert len(LINES) == len(set(LINES)) >= 13
    async with rest_core(tmp_path / "home") as (kernel, client):
        run_id = await begin(client, "act")
        await follow(client, run_id, until="approval.request")
        places = {"URL": kernel.gateway.http.url, "KEY": KEY, "RUN": run_id}
        answers: dict[str, Any] = {}
        # The events of a run end with it, so they are read when it has been answered.
        for line in sorted(LINES, key=lambda line: "/events" in line or "/stop" in line):
            if "$TASK" not in line:
                answers[line] = await curl(line, places)
        first = next(line for line in LINES if "/api/tasks -H" in line)
        places["TASK"] = json.loads(answers[first])["task"]["id"]
        for line in LINES:
            if "$TASK" in line and "/cancel" not in line:
                answers[line] = await curl(line, places)
        stalled = (await client.post("/api/tasks", json={"message": "stall"})).json()["task"]["id"]
        (cancel,) = [line for line in LINES if "/cancel" in line]
        answers[cancel] = await curl(cancel, places | {"TASK": stalled})
        assert set(answers) == set(LINES)
        for line, answer in answers.items():
            if "/events" in line:
                assert answer.rstrip().endswith(": stream closed")
                assert '"run.completed"' in answer
            else:
                assert not isinstance(json.loads(answer).get("error"), dict), f"{line}: {answer}"
        await until(lambda: kernel.agents.tasking.dispatch.waiting_count == 0)


def test_the_guide_names_only_paths_that_are_served() -> None:
    """Each path of its lines is a route, or the document."""
    known = [re.compile(re.sub(r"{\w+}", r"[$\\w]+", route.path)) for route in ROUTES]
    for line in LINES:
        path = re.search(r"\$URL(/[^ ?\"]+)", line)
        assert path is not None, line
        assert path[1] == "/api/openapi.json" or any(place.fullmatch(path[1]) for place in known), line
