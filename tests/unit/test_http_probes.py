"""Liveness and metrics: what they say about a core that works, and about one that does not."""

import asyncio
import json
import re
from typing import Any

import msgspec
import pytest

from core.api.base import Mark, PlatformName, Seq
from core.api.errors import StoreError
from core.api.platforms import PlatformState, PlatformView
from core.api.system import HealthView, ServiceView
from core.http.exposition import Metric, text
from core.http.liveness import liveness
from core.http.probes import probes_app
from core.secrets import Secret
from tests.support.http_calls import BEARER, KEY, call, guarded

NOW = Mark(1_700_000_000.0, 1000.0)

HEALTH = HealthView(
    version="0.1.0",
    pid=7,
    boot=3,
    home="/home/ana/.hermes",
    now=NOW,
    started=Mark(NOW.at - 500, 500.0),
    seq=Seq(42),
    session_count=5,
    state_counts={"idle": 3, "running": 2},
    queued_count=4,
    running_count=2,
    open_approval_count=1,
    delivery_count=6,
    dead_count=1,
    loop_lag_p99_s=0.002,
    loop_lag_max_s=0.03,
    last_commit=Mark(NOW.at - 3, 997.0),
    commit_p99_s=0.004,
    commit_count=99,
    store_url="sqlite:core.db",
    store_bytes=4096,
    http_url="http://127.0.0.1:8642",
    key_file="secrets/api_key",
    is_draining=False,
    services=(ServiceView(name="http", state="running", since=NOW, restart_count=2),),
    problems=(),
)
PLATFORM = PlatformView(
    name=PlatformName('a"p\\i\n'),
    kind="api_server",
    version=1,
    state=PlatformState.CONNECTED,
    since=NOW,
    inbound=Mark(NOW.at - 10, 990.0),
    inbound_count=12,
    outbound_count=11,
    refused_count=1,
)


def changed(**fields: Any) -> HealthView:
    """The health of a core that differs in these fields."""
    return msgspec.structs.replace(HEALTH, **fields)


def probes(health: HealthView | Exception = HEALTH, *, key: str | None = None) -> Any:
    """Both probes behind the guard."""

    async def answer() -> HealthView:
        if isinstance(health, Exception):
            raise health
        return health

    app = probes_app(answer, lambda: (PLATFORM,), lambda: 2.5, metrics_key=None if key is None else Secret(key))
    return guarded(app)


async def test_a_core_that_works_is_alive() -> None:
    """200, with ages and without secrets or paths."""
    answer = await call(probes(), "GET", "/healthz")
    assert answer.status == 200
    assert answer.json() == {
        "status": "ok",
        "late": [],
        "version": "0.1.0",
        "uptime_s": 500.0,
        "loop_lag_p99_s": 0.002,
        "last_commit_age_s": 3.0,
        "is_draining": False,
    }


@pytest.mark.parametrize(
    ("health", "late"),
    [
        (changed(loop_lag_p99_s=1.5), "loop: p99 lag 1.500 s is over 1 s"),
        (changed(last_commit=Mark(0.0, 900.0)), "store: the last commit is 100 s old, over 60 s"),
        (changed(last_commit=None), "store: the last commit is 500 s old, over 60 s"),
        (
            changed(services=(ServiceView(name="http", state="failed", since=NOW),)),
            "service: http has failed",
        ),
    ],
)
async def test_a_core_that_is_late_says_with_what(health: HealthView, late: str) -> None:
    """503, and each overdue thing by its name."""
    answer = await call(probes(health), "GET", "/healthz")
    assert (answer.status, answer.json()["status"], answer.json()["late"]) == (503, "late", [late])


def test_a_core_that_has_just_started_needs_no_commit_yet() -> None:
    """The start counts as one."""
    assert liveness(changed(last_commit=None, started=Mark(NOW.at - 5, 995.0))).status == "ok"


async def test_a_core_that_cannot_tell_is_late() -> None:
    """An error on the way to the answer is an answer."""
    answer = await call(probes(StoreError("locked\nby another")), "GET", "/healthz")
    assert (answer.status, answer.json()["late"]) == (503, ["core: locked by another"])


async def test_a_core_that_does_not_answer_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe has an end of its own."""
    monkeypatch.setattr("core.http.probes._ANSWER_LIMIT_S", 0.01)

    async def never() -> HealthView:
        await asyncio.Event().wait()
        return HEALTH

    app = guarded(probes_app(never, tuple, lambda: 0.0, metrics_key=None))
    answer = await call(app, "GET", "/healthz")
    assert (answer.status, json.loads(answer.body)["status"]) == (503, "late")


SAMPLE = re.compile(r'^([a-z0-9_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$')


async def test_metrics_are_well_formed_text() -> None:
    """HELP and TYPE stand once before the samples of each metric, and names are ours."""
    answer = await call(probes(), "GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    shown = answer.body.decode()
    assert shown.endswith("\n")
    seen: list[str] = []
    current = ""
    for line in shown.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in seen
            seen.append(current)
        elif line.startswith("# TYPE "):
            assert line.split()[2:] in [[current, "gauge"], [current, "counter"]]
            assert line.endswith("counter") == current.endswith("_total")
        else:
            match = SAMPLE.match(line)
            assert match is not None, line
            assert match[1] == current
    assert all(name.startswith("hermes_") for name in seen)


async def test_metrics_hold_the_facts() -> None:
    """Each with its labels, and hostile names escaped."""
    shown = (await call(probes(), "GET", "/metrics")).body.decode().splitlines()
    labels = 'platform="a\\"p\\\\i\\n",kind="api_server"'
    for line in (
        'hermes_sessions{state="running"} 2',
        'hermes_sessions{state="failed"} 0',
        "hermes_messages_queued 4",
        "hermes_runs_running 2",
        "hermes_approvals_open 1",
        "hermes_deliveries_pending 6",
        "hermes_deliveries_dead 1",
        "hermes_loop_lag_p99_seconds 0.002",
        "hermes_loop_lag_max_seconds 0.03",
        "hermes_commit_p99_seconds 0.004",
        "hermes_commits_total 99",
        "hermes_uptime_seconds 500",
        "hermes_queue_oldest_head_age_seconds 2.5",
        'hermes_service_restarts_total{service="http"} 2',
        f"hermes_platform_inbound_total{{{labels}}} 12",
        f"hermes_platform_outbound_total{{{labels}}} 11",
        f"hermes_platform_refused_total{{{labels}}} 1",
        f"hermes_platform_inbound_age_seconds{{{labels}}} 10",
        f"hermes_platform_connected{{{labels}}} 1",
    ):
        assert line in shown


def test_numbers_that_are_none_have_their_words() -> None:
    """Prometheus knows three of them."""
    samples = tuple(({"n": str(number)}, number) for number in (float("nan"), float("inf"), -float("inf"), 1e300))
    lines = text([Metric("m", "gauge", "d\n\\", samples)]).splitlines()
    assert lines[0] == "# HELP m d\\n\\\\"
    assert [line.split()[-1] for line in lines[2:]][:3] == ["NaN", "+Inf", "-Inf"]


async def test_metrics_need_the_key_where_others_can_call() -> None:
    """Health does not."""
    app = probes(key=KEY)
    assert (await call(app, "GET", "/metrics")).error()["code"] == "invalid_api_key"
    assert (await call(app, "GET", "/metrics", BEARER)).status == 200
    assert (await call(app, "GET", "/healthz")).status == 200


async def test_probes_take_get_only() -> None:
    """And know no other path."""
    for path in ("/healthz", "/metrics"):
        answer = await call(probes(), "POST", path)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert (await call(probes(), "GET", "/healthz/x")).status == 404
