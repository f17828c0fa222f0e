"""What a sender has running and waiting, and how it is stopped when access is taken back."""

from collections.abc import Callable

from core.api.base import Actor, PlatformName
from core.api.errors import ConflictError, HermesError
from core.api.session_queue import DropMessage
from core.gateway.lane import Lane
from core.gateway.lanes import Lanes
from core.gateway.operations import Operations


class SenderRuns:
    """Finds them by the id of whoever sent the message."""

    def __init__(self, lanes: Lanes, operations: Operations) -> None:
        self._lanes = lanes
        self._operations = operations

    async def stop(self, platform: PlatformName, is_them: Callable[[str], bool], reason: str, actor: Actor) -> int:
        """Let go what waits, and tell the runs to stop that answer them. Returns how many runs were told.

        is_them: whether a message is by them, by the id of whoever sent it.
        """
        stopped = 0
        for lane in list(self._lanes.in_memory()):
            view = lane.view
            if view is None or view.source.platform != platform:
                continue
            await self._drop(lane, is_them, reason, actor)
            live, run_id = lane.live, lane.guard.run_id
            if live is None or run_id is None:
                continue
            answered = [lane.waiting[item].sender_id for item in live.run.message_ids if item in lane.waiting]
            if not any(map(is_them, answered)):
                continue
            try:
                stopped += await self._operations.stop_run(lane, reason, actor, expected=run_id) is not None
            except ConflictError:
                continue  # It ended meanwhile.
        return stopped

    async def _drop(self, lane: Lane, is_them: Callable[[str], bool], reason: str, actor: Actor) -> None:
        for message_id in lane.guard.queue:
            waiting = lane.waiting.get(message_id)
            if waiting is None or not is_them(waiting.sender_id):
                continue
            try:
                await self._operations.drop_message(
                    DropMessage(session_id=lane.session_id, message_id=message_id, reason=reason), actor
                )
            except HermesError:
                continue  # Its turn came meanwhile, and is stopped with the run.
