"""What a caller reads who waits for the answer: the reports of a run, as they come and never too many."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from core.api.runs import RunReport, TextDelta, TurnEnded

_MERGE_FROM = 64
_BUFFER_LIMIT = 4096


class Follower:
    """A bounded buffer between a run and one reader.

    A slow reader never slows the run: text is merged, and other reports but the last are let go.
    """

    def __init__(self) -> None:
        self._reports: deque[RunReport] = deque()
        self._wake = asyncio.Event()
        self._is_ended = False

    def push(self, report: RunReport) -> None:
        """Add a report. After TurnEnded nothing more is taken."""
        if self._is_ended:
            return
        last = self._reports[-1] if self._reports else None
        if isinstance(report, TextDelta) and isinstance(last, TextDelta) and len(self._reports) >= _MERGE_FROM:
            self._reports[-1] = TextDelta(text=last.text + report.text)
        elif isinstance(report, TextDelta | TurnEnded) or len(self._reports) < _BUFFER_LIMIT:
            self._reports.append(report)
        self._is_ended = isinstance(report, TurnEnded)
        self._wake.set()

    async def reports(self) -> AsyncIterator[RunReport]:
        """Reports in order, until TurnEnded has been given out."""
        while True:
            while self._reports:
                report = self._reports.popleft()
                yield report
                if isinstance(report, TurnEnded):
                    return
            self._wake.clear()
            await self._wake.wait()
