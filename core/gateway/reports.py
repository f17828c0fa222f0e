"""What a run reports while it goes on: kept, shown live, and passed to those who follow it."""

import msgspec

from core.api.base import EntryId, Event
from core.api.runs import (
    ActionRequested,
    ActionSettled,
    Compacted,
    ModeReported,
    Phase,
    PhaseChanged,
    PlanReported,
    RunLogged,
    RunOutcome,
    RunReport,
    TextDelta,
    ThoughtDelta,
    ToolReported,
    UsageReported,
)
from core.api.sessions import EntryAdded, RunOutput, SessionView
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock, mark
from core.gateway.compactions import Compactions
from core.gateway.lane import Lane, Live
from core.gateway.lanes import Lanes
from core.gateway.outcome import THOUGHT_LIMIT, text_entry, tool_entry
from core.ids import IdSource
from core.journal import Journal

_SHOW_EVERY_S = 0.5
_REMARKED = frozenset({"warning", "error"})


class Reports:
    """Takes reports in. Text is shown at once; finished pieces go to the transcript as they finish."""

    def __init__(self, *, lanes: Lanes, journal: Journal, clock: Clock, ids: IdSource) -> None:
        self._lanes = lanes
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._compactions = Compactions(lanes=lanes, clock=clock, ids=ids)

    async def take(self, lane: Lane, live: Live, report: RunReport) -> None:
        """Take one report of the run that holds the lane; those of a run that lost its lease change nothing.

        May be called again after StoreError.
        """
        if not self._lanes.may_write(lane, live):
            return
        if isinstance(report, TextDelta) and live.needs_break:
            live.needs_break = False
            report = TextDelta(text="\n\n" + report.text)
        match report:
            case TextDelta() | ThoughtDelta():
                self._written(lane, live, report)
            case ToolReported():
                await self._tool(lane, live, report)
            case ActionRequested() | ActionSettled():
                await self._action(lane, live, report)
            case Compacted():
                await self._compacted(lane, live, report)
            case RunLogged(level=level, text=text):
                if level in _REMARKED:
                    await self._add(lane, live, [self._entry(lane, live, EntryKind.SYSTEM, text)])
            case _:
                self._changed(lane, live, report)
        for message_id in lane.guard.running:
            for follower in lane.followers.get(message_id, ()):
                follower.push(report)

    def _changed(self, lane: Lane, live: Live, report: RunReport) -> None:
        match report:
            case PhaseChanged():
                if report.phase is Phase.ADMITTING is live.run.phase and report.waits_for == live.run.waits_for:
                    # It was shown so when it began.
                    return
                live.run = msgspec.structs.replace(
                    live.run,
                    phase=report.phase,
                    phase_since=mark(self._clock),
                    tool=report.tool,
                    retry=report.retry,
                    waits_for=report.waits_for,
                )
                self._lanes.publish(lane)
            case PlanReported(steps=steps):
                live.run = msgspec.structs.replace(live.run, plan=steps)
                self._lanes.publish(lane)
            case UsageReported(usage=usage):
                live.run = msgspec.structs.replace(live.run, usage=usage)
            case ModeReported(mode=mode, asks=asks):
                live.run = msgspec.structs.replace(live.run, mode=mode, asks=asks)
                self._lanes.publish(lane)
            case _:
                return

    async def _action(self, lane: Lane, live: Live, report: ActionRequested | ActionSettled) -> None:
        if isinstance(report, ActionRequested):
            live.actions[report.action_id] = report.title
        else:
            title = live.actions.get(report.action_id, "a decision")
            await self._add(lane, live, [self._entry(lane, live, EntryKind.APPROVAL, f"{report.outcome}: {title}")])
            live.actions.pop(report.action_id, None)
        lane.open_approvals = len(live.actions)
        self._lanes.publish(lane)

    def closing_entries(self, view: SessionView, live: Live, result: RunOutcome) -> tuple[EntryView, ...]:
        """What the end of a run leaves in the transcript: thought, text, and why it failed."""
        entries: list[EntryView] = []
        if live.thought:
            entries.append(self._text(view, live, EntryKind.THOUGHT, "".join(live.thought)[:THOUGHT_LIMIT]))
        if text := "".join(live.text).strip():
            entries.append(self._text(view, live, EntryKind.AGENT, text, partial=not result.answered))
        if result.error:
            entries.append(self._text(view, live, EntryKind.SYSTEM, f"run ended: {result.stop.value}: {result.error}"))
        return tuple(entries)

    def _written(self, lane: Lane, live: Live, report: TextDelta | ThoughtDelta) -> None:
        now = mark(self._clock)
        live.model_byte = now
        is_thought = isinstance(report, ThoughtDelta)
        offset = live.thought_length if is_thought else live.answer_length
        if isinstance(report, ThoughtDelta):
            live.thought.append(report.text)
            live.thought_length += len(report.text)
        else:
            live.text.append(report.text)
            live.answer.append(report.text)
            live.answer_length += len(report.text)
        output = RunOutput(
            session_id=lane.session_id, run_id=live.run.id, offset=offset, text=report.text, is_thought=is_thought
        )
        self._journal.publish(str(lane.session_id), output)
        if now.mono - live.shown_at >= _SHOW_EVERY_S:
            live.shown_at = now.mono
            self._lanes.publish(lane)

    async def _tool(self, lane: Lane, live: Live, report: ToolReported) -> None:
        call = report.call
        live.tool_event = mark(self._clock)
        if not call.status.is_final:
            live.calls[call.id] = call
            self._lanes.publish(lane)
            return
        view = self._lanes.view(lane)
        entries: list[EntryView] = []
        said = "".join(live.text).strip()
        if said:
            entries.append(self._text(view, live, EntryKind.AGENT, said))
        entries.append(
            tool_entry(
                call,
                entry_id=self._new_id(),
                at=self._clock.now(),
                author=view.agent,
                epoch=view.epoch,
                run_id=live.run.id,
            )
        )
        await self._add(lane, live, entries)
        live.calls.pop(call.id, None)
        if said:
            live.text.clear()
            live.needs_break = True

    async def _compacted(self, lane: Lane, live: Live, report: Compacted) -> None:
        async with lane.lock:
            if self._lanes.may_write(lane, live):
                await self._compactions.keep(lane, report, run_id=live.run.id)

    async def _add(self, lane: Lane, live: Live, entries: list[EntryView]) -> None:
        async with lane.lock:
            if not self._lanes.may_write(lane, live):
                return

            def events(after: SessionView) -> list[Event]:
                return [EntryAdded(session=after, entry=entry) for entry in entries]

            await self._lanes.commit(
                lane,
                base=self._lanes.view(lane),
                guard=lane.guard,
                waiting=lane.waiting,
                entries=entries,
                events=events,
                correlation=live.run.message_ids[0],
            )

    def _entry(self, lane: Lane, live: Live, kind: EntryKind, text: str) -> EntryView:
        return self._text(self._lanes.view(lane), live, kind, text)

    def _text(self, view: SessionView, live: Live, kind: EntryKind, text: str, *, partial: bool = False) -> EntryView:
        return text_entry(
            kind,
            text,
            entry_id=self._new_id(),
            at=self._clock.now(),
            author="core" if kind is EntryKind.SYSTEM else view.agent,
            epoch=view.epoch,
            run_id=live.run.id,
            partial=partial,
        )

    def _new_id(self) -> EntryId:
        return EntryId(self._ids.new_id())
