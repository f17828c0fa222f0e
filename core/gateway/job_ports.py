"""What jobs of the clock need of others: tasks and sessions, and a way for answers."""

from collections.abc import Mapping
from typing import Protocol

from core.api.base import DeliveryId, SessionId, TaskId
from core.api.tasks import StartTask, TaskDetail, TaskReceipt

MAKER = "cron"
"""Label of whoever made a task that came from a job."""


class Post(Protocol):
    """The way of an answer to a target such as home or telegram:8841."""

    def check(self, target: str) -> None:
        """Raises InvalidInput when it can never be one."""
        ...

    async def send(self, target: str, text: str, *, key: str) -> None:
        """Store it for delivery; once, however often it is called with that key.

        Raises Unavailable when it may work later, another HermesError when it will not.
        """
        ...

    def tag(self, key: str) -> str:
        """How the ids of deliveries of what was sent with that key begin, up to a dash."""
        ...


class Office(Protocol):
    """Tasks and sessions, as far as jobs use them."""

    async def start(self, order: StartTask, /) -> TaskReceipt:
        """Store a task."""
        ...

    async def find(self, task_id: TaskId, /) -> TaskDetail:
        """A task with its children. Raises NotFound."""
        ...

    async def dead(self) -> Mapping[DeliveryId, str]:
        """Deliveries that are dead now, the oldest 1,000 of what waits or is dead, with why."""
        ...

    async def anew(self, session_id: SessionId, /) -> bool:
        """Begin a new epoch in a session; also where there is none. False when something goes on in it."""
        ...
