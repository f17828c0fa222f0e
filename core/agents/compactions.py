"""Summaries of what was said earlier: asked of the agent or made by rule, within a deadline, and never for ever."""

import asyncio
from collections.abc import Sequence

import msgspec

from core.agent_settings import AgentSettings
from core.agents import compaction
from core.agents.compaction import Plan
from core.agents.runner import Runner
from core.api.base import EntryId, SessionId
from core.api.errors import HermesError
from core.api.runs import Compacted, CompactionState
from core.api.transcripts import EntryKind, EntryView

_SUMMARY_ID = EntryId("summary")


class Compactions:
    """Remembers for each session how often in a row it did not help."""

    def __init__(self) -> None:
        self._tries: dict[SessionId, int] = {}

    def find_plan(
        self, session_id: SessionId, history: Sequence[EntryView], settings: AgentSettings, *, is_manual: bool
    ) -> Plan | None:
        """What to shorten now; None when nothing needs it, or it did not help twice."""
        if not is_manual and self._tries.get(session_id, 0) >= compaction.TRIES:
            return None
        return compaction.plan(history, settings.compaction, is_manual=is_manual)

    async def carry_out(self, session_id: SessionId, plan: Plan, settings: AgentSettings, runner: Runner) -> Compacted:
        """Make the summary. Never raises but CancelledError: a failure is said in what it returns."""
        tries = self._tries.get(session_id, 0)
        try:
            async with asyncio.timeout(settings.compaction.timeout_s):
                summary, is_digest = await _summary(plan, settings, runner)
        except TimeoutError:
            limit_s = settings.compaction.timeout_s
            found = compaction.failure(plan, f"no summary came within {limit_s:g} s", tries=tries)
        except HermesError as error:
            found = compaction.failure(plan, error.message, tries=tries)
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the turn goes on without a summary
            found = compaction.failure(plan, f"the runner failed with {type(error).__name__}", tries=tries)
        else:
            found = compaction.result(plan, summary, is_digest=is_digest, tries=tries)
        if found.tries:
            self._tries[session_id] = found.tries
        else:
            self._tries.pop(session_id, None)
        return found

    def forget(self, session_id: SessionId) -> None:
        """Count afresh: the session begins anew."""
        self._tries.pop(session_id, None)

    def shortened(self, plan: Plan, found: Compacted) -> Sequence[EntryView]:
        """The history that the agent is given after it."""
        if found.state is not CompactionState.DONE:
            return (*plan.older, *plan.tail)
        summary = msgspec.structs.replace(
            plan.older[-1],
            id=_SUMMARY_ID,
            kind=EntryKind.SUMMARY,
            author="core",
            text=found.summary,
            tool=None,
            message_id=None,
            covers_until=found.covers_until,
        )
        return (summary, *plan.tail)


async def _summary(plan: Plan, settings: AgentSettings, runner: Runner) -> tuple[str, bool]:
    if runner.capabilities.summarizes:
        text = await runner.summarize(compaction.spoken(plan.older), model=settings.fast_model)
        if text.strip():
            return text, False
    return compaction.digest(plan.older), True
