"""Reports between a run and its one reader: never too many, and the run never waits for the reader."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator

from core.api.runs import (
    PhaseChanged,
    PlanReported,
    RunLogged,
    RunReport,
    TextDelta,
    ThoughtDelta,
    ToolReported,
    TurnEnded,
    UsageReported,
)

_MERGE_LIMIT = 2048
_BUFFER_LIMIT = 4096
_NEWEST_COUNTS = (PlanReported, UsageReported, PhaseChanged)


class Reports:
    """A bounded buffer: unread text is merged, unread states give way to newer ones, remarks are let go."""

    def __init__(self) -> None:
        self._unread: deque[RunReport] = deque()
        self._wake = asyncio.Event()
        self.is_ended = False

    def __len__(self) -> int:
        return len(self._unread)

    def push(self, report: RunReport) -> None:
        """Add a report. After TurnEnded nothing more is taken."""
        if self.is_ended:
            return
        self.is_ended = isinstance(report, TurnEnded)
        merged = self._merged(report)
        if merged is not None:
            self._unread[-1] = merged
        elif len(self._unread) < _BUFFER_LIMIT or not isinstance(report, RunLogged):
            if len(self._unread) >= _BUFFER_LIMIT:
                self._make_room(report)
            self._unread.append(report)
        self._wake.set()

    def _merged(self, report: RunReport) -> RunReport | None:
        last = self._unread[-1] if self._unread else None
        if isinstance(report, TextDelta) and isinstance(last, TextDelta):
            text = last.text + report.text
            return TextDelta(text=text) if len(text) <= _MERGE_LIMIT else None
        if isinstance(report, ThoughtDelta) and isinstance(last, ThoughtDelta):
            text = last.text + report.text
            return ThoughtDelta(text=text) if len(text) <= _MERGE_LIMIT else None
        if isinstance(report, _NEWEST_COUNTS) and type(last) is type(report):
            return report
        if isinstance(report, ToolReported) and isinstance(last, ToolReported) and last.call.id == report.call.id:
            return report
        return None

    def _make_room(self, report: RunReport) -> None:
        """Let one report go that a newer one replaces, or a remark, so that the buffer does not grow."""
        for place, old in enumerate(self._unread):
            if isinstance(old, RunLogged) or _replaces(report, old):
                del self._unread[place]
                return

    async def read(self) -> AsyncIterator[RunReport]:
        """Reports in order, until TurnEnded has been given out."""
        while True:
            while self._unread:
                report = self._unread.popleft()
                yield report
                if isinstance(report, TurnEnded):
                    return
            self._wake.clear()
            await self._wake.wait()


def _replaces(report: RunReport, old: RunReport) -> bool:
    if isinstance(report, ToolReported):
        return isinstance(old, ToolReported) and old.call.id == report.call.id
    return isinstance(report, _NEWEST_COUNTS) and type(old) is type(report)


async def let_go(reports: AsyncIterator[RunReport]) -> None:
    """Close an iterator that was not read to its end, if it can be closed."""
    if isinstance(reports, AsyncGenerator):
        await reports.aclose()
