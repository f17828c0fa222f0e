"""Waits for a run's reports, a caller who may hang up, and silence, all at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum

from core.api.runs import Phase, PhaseChanged, RunReport, TurnEnded
from core.http.asgi import Receive, hung_up

# What a follower can hold back before it merges, with room to spare.
_BUFFERED_LIMIT = 8192


class Ending(StrEnum):
    """How the waiting ended. left: the caller hung up, before the run began or while it went on."""

    ENDED = "ended"
    LEFT_WAITING = "left_waiting"
    LEFT_RUNNING = "left_running"


async def follow(
    reports: AsyncIterator[RunReport],
    receive: Receive,
    *,
    silence_s: float,
    take: Callable[[RunReport | None], Awaitable[None]],
) -> Ending:
    """Pass every report to `take`, and None whenever nothing came for silence_s seconds.

    Returns when the run has ended or the caller is gone. The reports are closed in any case,
    which leaves the run as it is.
    """
    try:
        async with asyncio.TaskGroup() as group:
            hangup = group.create_task(hung_up(receive))
            upcoming = group.create_task(_next(reports))
            has_begun = False
            try:
                while True:
                    done, _ = await asyncio.wait(
                        {hangup, upcoming}, timeout=silence_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    if upcoming in done:
                        report = upcoming.result()
                        if report is None:
                            return Ending.ENDED
                        has_begun = has_begun or _is_running(report)
                        await take(report)
                        upcoming = group.create_task(_next(reports))
                    elif hangup in done:
                        break
                    else:
                        await take(None)
                # The run may have ended in the same breath, and the next one is somebody else's.
                for _ in range(_BUFFERED_LIMIT):
                    done, _ = await asyncio.wait({upcoming}, timeout=0)
                    if not done:
                        break
                    report = upcoming.result()
                    if report is None or isinstance(report, TurnEnded):
                        return Ending.ENDED
                    has_begun = has_begun or _is_running(report)
                    upcoming = group.create_task(_next(reports))
                return Ending.LEFT_RUNNING if has_begun else Ending.LEFT_WAITING
            finally:
                hangup.cancel()
                upcoming.cancel()
    finally:
        close = getattr(reports, "aclose", None)
        if close is not None:
            await close()


async def _next(reports: AsyncIterator[RunReport]) -> RunReport | None:
    return await anext(reports, None)


def _is_running(report: RunReport) -> bool:
    return not (isinstance(report, PhaseChanged) and report.phase is Phase.QUEUED)
