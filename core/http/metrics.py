"""The facts of the core as metrics (pure)."""

from collections.abc import Iterable, Sequence

from core.api.platforms import PlatformState, PlatformView
from core.api.sessions import SessionState
from core.api.system import HealthView
from core.http.exposition import Metric, counter, gauge


def metrics(health: HealthView, platforms: Sequence[PlatformView], oldest_head_age_s: float) -> tuple[Metric, ...]:
    """Every metric that /metrics shows. oldest_head_age_s: of the message that waits longest, 0 for none."""
    return (*_core(health), *_work(health, oldest_head_age_s), *_platforms(health, platforms))


def _core(health: HealthView) -> Iterable[Metric]:
    yield Metric("hermes_build_info", "gauge", "The running version.", (({"version": health.version}, 1),))
    yield gauge("hermes_uptime_seconds", "Time since the core started.", health.now.mono - health.started.mono)
    yield gauge("hermes_draining", "1 while the core takes nothing in.", health.is_draining)
    yield gauge("hermes_loop_lag_p99_seconds", "Lag of the core's loop in the last minute, p99.", health.loop_lag_p99_s)
    yield gauge(
        "hermes_loop_lag_max_seconds", "Lag of the core's loop in the last minute, largest.", health.loop_lag_max_s
    )
    yield gauge("hermes_commit_p99_seconds", "Time of a commit to the store, p99.", health.commit_p99_s)
    yield counter("hermes_commits_total", "Commits since the core started.", health.commit_count)
    if health.last_commit is not None:
        age_s = health.now.mono - health.last_commit.mono
        yield gauge("hermes_last_commit_age_seconds", "Time since the last commit.", age_s)
    yield gauge("hermes_store_bytes", "Size of the store.", health.store_bytes)
    yield gauge("hermes_journal_seq", "Place of the last stored event.", health.seq)
    services = tuple(({"service": item.name}, float(item.restart_count)) for item in health.services)
    yield Metric("hermes_service_restarts_total", "counter", "Restarts of a long-lived part of the core.", services)


def _work(health: HealthView, oldest_head_age_s: float) -> Iterable[Metric]:
    states = tuple(({"state": state.value}, float(health.state_counts.get(state.value, 0))) for state in SessionState)
    yield Metric("hermes_sessions", "gauge", "Sessions by state.", states)
    yield gauge("hermes_messages_queued", "Messages that wait for a run.", health.queued_count)
    yield gauge("hermes_queue_oldest_head_age_seconds", "Age of the message that waits longest.", oldest_head_age_s)
    yield gauge("hermes_runs_running", "Runs that go on.", health.running_count)
    yield gauge("hermes_approvals_open", "Decisions that wait for the operator.", health.open_approval_count)
    yield gauge("hermes_deliveries_pending", "Answers on their way.", health.delivery_count)
    yield gauge("hermes_deliveries_dead", "Answers that never arrived.", health.dead_count)


def _platforms(health: HealthView, platforms: Sequence[PlatformView]) -> Iterable[Metric]:
    labelled = [({"platform": str(item.name), "kind": item.kind}, item) for item in platforms]
    counts = (
        ("hermes_platform_inbound_total", "Messages taken in.", "inbound_count"),
        ("hermes_platform_outbound_total", "Answers sent.", "outbound_count"),
        ("hermes_platform_refused_total", "Messages refused.", "refused_count"),
        ("hermes_platform_restarts_total", "Restarts of the connection.", "restart_count"),
    )
    for name, doc, field in counts:
        samples = tuple((labels, float(getattr(item, field))) for labels, item in labelled)
        yield Metric(name, "counter", doc, samples)
    up = tuple((labels, float(item.state is PlatformState.CONNECTED)) for labels, item in labelled)
    yield Metric("hermes_platform_connected", "gauge", "1 while the connection stands.", up)
    ages = tuple((labels, health.now.mono - item.inbound.mono) for labels, item in labelled if item.inbound is not None)
    yield Metric("hermes_platform_inbound_age_seconds", "gauge", "Time since the last message taken in.", ages)
