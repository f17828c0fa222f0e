"""A runner that is kept: what it is made of, who uses it, how it shows (pure)."""

import msgspec

from core.agent_settings import AgentSettings
from core.agents.profile import kind_of, policy_of, runner_fingerprint
from core.agents.runner import Runner
from core.api.base import AgentName, Mark, RunId, SessionId
from core.api.policies import ExecutionPolicy
from core.api.runs import RunnerState, RunnerView

_FACTS = 32
_FACT_LIMIT = 1000


class Tally(msgspec.Struct):
    """Counts of an agent since the start. compacted, unasked: counted by whoever drives its runs."""

    reaped_count: int = 0
    reset_count: int = 0
    compacted_count: int = 0
    unasked_count: int = 0


class Make(msgspec.Struct, frozen=True):
    """What all runners of one state of a profile share. fingerprint: of what a runner is made of."""

    agent: AgentName
    settings: AgentSettings
    kind: str
    fingerprint: str
    policy: ExecutionPolicy


class Kept(msgspec.Struct):
    """A runner, and who uses it. runner: None until it is made, and once it is let go.

    is_stale: to be let go once its turn is over. shown: how it looked last.
    """

    make: Make
    model: str
    user: str
    generation: int
    since: Mark
    active: Mark
    run_id: RunId | None
    runner: Runner | None = None
    is_open: bool = False
    is_busy: bool = True
    is_stale: bool = False
    mode: str = ""
    asks: bool = True
    shown: RunnerView | None = None


def make_of(agent: AgentName, settings: AgentSettings) -> Make:
    """What the runners of an agent are made of."""
    kind = kind_of(settings)
    policy = policy_of(settings)
    return Make(agent, settings, kind, runner_fingerprint(settings), policy)


def fits(kept: Kept, make: Make, model: str) -> bool:
    """Whether an idle runner can take a turn of these settings and that model."""
    is_same = kept.make.agent == make.agent and kept.make.fingerprint == make.fingerprint and kept.model == model
    return is_same and not kept.is_stale and is_alive(kept)


def is_alive(kept: Kept) -> bool:
    """Whether the runner can take another turn."""
    try:
        return kept.runner is not None and kept.runner.is_alive
    except Exception:  # noqa: BLE001 - one that cannot even say so is not
        return False


def state_of(kept: Kept) -> RunnerState:
    """In a word; a busy one that is to be replaced after its turn is stale."""
    if kept.is_stale:
        return RunnerState.STALE
    if not kept.is_open:
        return RunnerState.OPENING
    if kept.is_busy:
        return RunnerState.BUSY
    return RunnerState.IDLE if is_alive(kept) else RunnerState.DEAD


def runner_view(session_id: SessionId, kept: Kept) -> RunnerView:
    """As an operator sees it."""
    state, facts, shown = state_of(kept), _facts(kept.runner), kept.shown
    # Asked for with every change of its session, and mostly as it was.
    if (
        shown is not None
        and shown.state is state
        and shown.active is kept.active
        and (shown.run_id, shown.mode, shown.asks) == (kept.run_id, kept.mode, kept.asks)
        and shown.facts == facts
    ):
        return shown
    kept.shown = RunnerView(
        session_id=session_id,
        agent=kept.make.agent,
        kind=kept.make.kind,
        state=state,
        generation=kept.generation,
        since=kept.since,
        active=kept.active,
        model=kept.model,
        mode=kept.mode,
        asks=kept.asks,
        user=kept.user,
        run_id=kept.run_id,
        facts=facts,
    )
    return kept.shown


def _facts(runner: Runner | None) -> dict[str, str]:
    if runner is None:
        return {}
    try:
        found = dict(runner.describe())
        said = ("".join(found), "".join(found.values()))
    except Exception:  # noqa: BLE001 - a runner that fails here is shown all the same
        return {}
    # What is short, as nearly all of it, is taken as it is.
    if len(found) <= _FACTS and max(map(len, said)) <= _FACT_LIMIT:
        return found
    return {name[:_FACT_LIMIT]: value[:_FACT_LIMIT] for name, value in list(found.items())[:_FACTS]}
