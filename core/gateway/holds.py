"""Orders that need a session to themselves: nothing begins meanwhile, though messages are still taken in.

And what an order may act on: a session that is free, a message that waits.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from core.api.base import MessageId, SessionId
from core.api.errors import NotFound, Refused, StoreError
from core.gateway.lane import Lane, Waiting
from core.gateway.ports import Agents
from core.gateway.session import held
from core.gateway.turns import Turns

FORGET_LIMIT_S = 15.0
"""How long an order waits for a runner to go."""


@asynccontextmanager
async def held_lane(turns: Turns, lane: Lane) -> AsyncGenerator[None]:
    """Have nothing begin in a session. The last of several orders lets what waits begin."""
    async with lane.lock:
        lane.hold_count += 1
        lane.guard = held(lane.guard, is_held=True)
    try:
        yield
    finally:
        async with lane.lock:
            lane.hold_count -= 1
            if not lane.hold_count:
                lane.guard = held(lane.guard, is_held=False)
                if lane.view is not None:
                    # What cannot begin now is looked at again soon; the order itself is done.
                    with contextlib.suppress(StoreError):
                        await turns.commit_next(lane, lane.view, lane.guard)


def check_free(lane: Lane, what: str) -> None:
    """Raises Refused while a run goes on. what: could not be done, in words."""
    if lane.guard.run_id is not None:
        raise Refused(
            f"a run goes on, so nothing was {what}",
            rule="no run at that time",
            holder=lane.guard.run_id,
            fix="wait for its end, or interrupt it",
        )


def queued(lane: Lane, message_id: MessageId) -> Waiting:
    """A message that waits. Raises Refused for one that is being answered, NotFound for any other."""
    if message_id in lane.guard.running:
        raise Refused("that message is being answered", rule="queued messages only", fix="interrupt the run instead")
    found = lane.waiting.get(message_id)
    if found is None or message_id not in lane.guard.queue:
        raise NotFound("no such message waits in this session", noun="message", id=message_id)
    return found


async def forgotten(agents: Agents, session_id: SessionId) -> None:
    """Have the session's runner go. One that takes too long is left to the agents, and never used again."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FORGET_LIMIT_S):
            await agents.forget(session_id)
