"""Far sides that are told that nobody wants a message any more."""

from core.api.relay_tasks import AttemptResult
from core.relay.calling import Calling
from core.relay.targets import Targets, Way
from core.relay.task import RelayTask
from core.relay.wire import Reply
from core.supervisor import Supervisor


class Recalls:
    """Such calls. They pass the pause and the breaker of their target like every other."""

    def __init__(self, *, supervisor: Supervisor, targets: Targets, calling: Calling) -> None:
        self._supervisor = supervisor
        self._targets = targets
        self._calling = calling

    def tell(self, task: RelayTask) -> None:
        """The far side may have a message that is canceled here: tell it, if it can be told."""
        self._supervisor.spawn(f"relay cancel:{task.id}", self.recall(task))

    async def recall(self, task: RelayTask) -> Reply:
        """What it says to that; CUT_OFF when nothing may be sent to it now."""
        way = self._targets.ask(task.origin)
        if not isinstance(way, Way):
            return Reply(result=AttemptResult.CUT_OFF, error=f"nothing may be sent to {task.origin} for now")
        reply = Reply(result=AttemptResult.CUT_OFF)
        try:
            reply = await self._calling.cancel(task)
        finally:
            self._targets.settle(way, reply)
        return reply
