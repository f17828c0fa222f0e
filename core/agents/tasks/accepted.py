"""Which idempotency keys were used, for what, and what came of it (pure): one key, one effect."""

from hashlib import blake2b

import msgspec

from core.api.base import AgentName, RunId, TaskId
from core.api.errors import ConflictError
from core.api.sessions import Mode, Outcome
from core.api.tasks import StartTask

_encode = msgspec.msgpack.Encoder().encode


class Known(msgspec.Struct, frozen=True, gc=False):
    """What was done under a key. content: fingerprint of what was asked. run_id: that took it as an input."""

    content: str
    task_id: TaskId
    outcome: Outcome = Outcome.QUEUED
    run_id: RunId | None = None


class Accepted:
    """Keys of commands and inputs, per agent. A key counts for as long as its task is kept."""

    __slots__ = ("_by_key", "_by_task")

    def __init__(self) -> None:
        self._by_key: dict[str, Known] = {}
        # One text where a task has one key, as nearly all: a list for each would keep the collector busy.
        self._by_task: dict[TaskId, str | list[str]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, agent: AgentName, key: str, content: str) -> Known | None:
        """What was done under the key; None for a new one. Raises ConflictError when it was used for something else."""
        known = self._by_key.get(place_of(agent, key))
        if known is not None and known.content != content:
            raise ConflictError(
                f"the key {key!r} was used for another content",
                key=key,
                expected=known.content,
                found=content,
                fix="use a key of its own for each command and input",
            )
        return known

    def remember(self, agent: AgentName, key: str, known: Known) -> None:
        """Note what was done under a key."""
        place = place_of(agent, key)
        is_new = place not in self._by_key
        self._by_key[place] = known
        if not is_new:
            return
        before = self._by_task.get(known.task_id)
        if before is None:
            self._by_task[known.task_id] = place
        elif isinstance(before, list):
            before.append(place)
        else:
            self._by_task[known.task_id] = [before, place]

    def forget_task(self, task_id: TaskId) -> None:
        """A task is gone, and its keys with it."""
        for place in self.places_of(task_id):
            del self._by_key[place]
        self._by_task.pop(task_id, None)

    def places_of(self, task_id: TaskId) -> list[str]:
        """The keys under which something was done for a task, each with its agent."""
        found = self._by_task.get(task_id, [])
        return list(found) if isinstance(found, list) else [found]


def place_of(agent: AgentName, key: str) -> str:
    """A key with its agent."""
    return f"{agent}\0{key}"


def content_of_command(command: StartTask, agent: AgentName) -> str:
    """Fingerprint of a command, its key left out. agent: that it is for, named or not."""
    return _digest(
        (
            "command",
            agent,
            command.text,
            command.session_id,
            command.session_key,
            command.hook_id,
            command.deliver,
            command.timeout_ms,
            command.policy,
            command.lane,
            command.extra_system_prompt,
            command.model,
            command.queue_mode,
            command.provenance,
            command.routing,
            command.attachments,
            command.label,
            command.spawned_by,
            command.parent_id,
        )
    )


def content_of_input(run_id: RunId, text: str, mode: Mode) -> str:
    """Fingerprint of an input."""
    return _digest(("input", run_id, text, mode))


def _digest(said: tuple[object, ...]) -> str:
    return blake2b(_encode(said), digest_size=8).hexdigest()
