"""Chat commands about what the agent does now: stop it, put more to it, have something done beside it."""

from collections.abc import Sequence

import msgspec

from core.api.base import RunId
from core.api.errors import ConflictError, NotFound, Refused
from core.api.session_queue import DropMessage
from core.api.sessions import ChatKind, MessageState, Mode, ResetReceipt, ResetSession, SessionView
from core.api.tasks import ListTasks, Routing, StartTask, TaskFilter, TaskState, TaskView
from core.clock import Clock
from core.gateway.command_ports import Call, Facade, Handlers, PutIn, Reply, refused
from core.gateway.command_text import runs_text
from core.gateway.lane import Lane
from core.gateway.lanes import Lanes
from core.gateway.operations import Operations
from core.gateway.platform import Accepted

RUNS_LIMIT = 12
_UNDER_WAY = (TaskState.RUNNING, TaskState.WAITING, TaskState.QUEUED)
_TRIES = 3
_OWN_TURNS = "own turns only"
NOT_THEIRS = "What runs now is somebody else's; only they or an admin may stop it."


class Rights:
    """Whose a turn and a waiting message are: everybody's own, and an admin's all."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    @staticmethod
    def owns_all(call: Call) -> bool:
        """Whether everything in the session is theirs: they are alone in it, or an admin."""
        source = call.source
        return call.is_admin or source.kind is ChatKind.DM or source.user is not None

    def refusal(self, call: Call, lane: Lane) -> Reply | None:
        """The answer to who may not stop what runs; None when they may, or nothing runs."""
        if lane.guard.run_id is None or self.owns_all(call):
            return None
        first = lane.waiting.get(lane.guard.running[0]) if lane.guard.running else None
        if first is not None and first.sender_id in call.sender_ids:
            return None
        return refused(f"{NOT_THEIRS} Nothing was changed.")

    async def reset(self, call: Call, order: ResetSession) -> ResetReceipt | Reply:
        """Begin a session anew; the answer instead when a turn that they may not stop has begun meanwhile."""

        def check(lane: Lane) -> None:
            if self.refusal(call, lane) is not None:
                raise Refused(NOT_THEIRS, rule=_OWN_TURNS)

        try:
            return await self._operations.reset_session(order, call.actor, check=check)
        except Refused as error:
            if error.facts.get("rule") != _OWN_TURNS:
                raise
            return refused(f"{NOT_THEIRS} Nothing was changed.")

    async def drop(self, call: Call, lane: Lane) -> int:
        """Let waiting messages go: all of them, or only the own ones. Returns how many."""
        is_all = self.owns_all(call)
        wanted = [
            item
            for item in lane.guard.queue
            if item in lane.waiting and (is_all or lane.waiting[item].sender_id in call.sender_ids)
        ]
        dropped = 0
        for message_id in reversed(wanted):
            order = DropMessage(
                session_id=lane.session_id, message_id=message_id, reason=f"/{call.command.name} by {call.actor.name}"
            )
            try:
                await self._operations.drop_message(order, call.actor)
            except (NotFound, Refused):
                # Its turn has begun meanwhile; that is stopped next.
                continue
            dropped += 1
        return dropped


class WorkCommands:
    """Acts on runs and on what waits for one."""

    def __init__(
        self,
        *,
        facade: Facade,
        lanes: Lanes,
        put_in: PutIn,
        operations: Operations,
        rights: Rights,
        clock: Clock,
    ) -> None:
        self._facade = facade
        self._lanes = lanes
        self._put_in = put_in
        self._operations = operations
        self._rights = rights
        self._clock = clock

    @property
    def handlers(self) -> Handlers:
        """What it carries out."""
        return {
            "stop": self.stop,
            "queue": self.queue,
            "steer": self.steer,
            "background": self.background,
            "agents": self.agents,
        }

    async def stop(self, call: Call) -> Reply:
        """Stop what runs, and let go what waits unless only the turn is meant."""
        try:
            lane = await self._lanes.existing(call.session_id)
        except NotFound:
            return Reply("Nothing runs here.")
        if refusal := self._rights.refusal(call, lane):
            return refusal
        is_turn_only = call.rest.lower() == "turn"
        dropped = 0 if is_turn_only else await self._rights.drop(call, lane)
        run_id = await self._stopped(call, lane)
        left = len(lane.guard.queue)
        parts = ["Stopped." if run_id is not None else "Nothing ran."]
        if dropped:
            parts.append(f"{dropped} waiting {'messages were' if dropped > 1 else 'message was'} let go.")
        if left:
            parts.append(f"{left} {'messages still wait' if left > 1 else 'message still waits'}.")
        return Reply(" ".join(parts))

    async def queue(self, call: Call) -> Reply:
        """Have it answered in a turn of its own, after all that waits."""
        accepted = await self._put(call, Mode.QUEUE)
        behind = accepted.position
        return Reply(f"It waits behind {behind} {'others' if behind > 1 else 'other'}." if behind else "")

    async def steer(self, call: Call) -> Reply:
        """Put it into the turn that goes on."""
        accepted = await self._put(call, Mode.STEER)
        lane = self._lanes.find(call.session_id)
        waiting = None if lane is None else lane.waiting.get(accepted.message_id)
        if waiting is None or waiting.message.state is MessageState.RUNNING:
            return Reply("")
        if waiting.message.state is MessageState.STEERED:
            return Reply("It was put into the turn that goes on.")
        why = f": {waiting.message.mode_reason}" if waiting.message.mode_reason else ""
        return Reply(f"It waits for a turn of its own{why}.")

    async def background(self, call: Call) -> Reply:
        """Give it to the agent as a task whose answer comes to this chat."""
        lane = self._lanes.find(call.session_id)
        agent = lane.view.agent if lane is not None and lane.view is not None else None
        place = call.inbound.source
        order = StartTask(
            text=call.rest,
            agent=agent,
            deliver=True,
            idempotency_key=call.command_id,
            label="background",
            spawned_by=call.actor.name,
            routing=Routing(
                channel=place.platform,
                to=place.chat,
                thread_id=place.thread or "",
                group_id="" if place.kind is ChatKind.DM else place.chat,
                reply_to=call.inbound.native_id,
            ),
        )
        receipt = await self._facade.execute(order, actor=call.actor)
        return Reply(
            f"It is being done beside this conversation, as task `{receipt.task.id[-6:]}`; the result comes here."
        )

    async def agents(self, call: Call) -> Reply:
        """What runs: of everybody for admins, else what is in this session or was ordered by whoever asks."""
        views = [
            lane.view for lane in self._lanes.in_memory() if lane.guard.run_id is not None and lane.view is not None
        ]
        if not call.is_admin:
            views = [view for view in views if view.id == call.session_id]
        views.sort(key=_began)
        tasks = await self._tasks(call)
        return Reply(runs_text(views[:RUNS_LIMIT], tasks, self._clock.monotonic()))

    async def _tasks(self, call: Call) -> Sequence[TaskView]:
        if ListTasks not in self._facade.words:
            return ()
        by = "" if call.is_admin else call.actor.name
        only = TaskFilter(states=_UNDER_WAY, spawned_by=by)
        return (await self._facade.query(ListTasks(only=only, limit=RUNS_LIMIT))).tasks

    async def _stopped(self, call: Call, lane: Lane) -> RunId | None:
        """Stop the run that may be stopped; one that begins meanwhile is looked at anew."""
        for _ in range(_TRIES):
            run_id = lane.guard.run_id
            if run_id is None or self._rights.refusal(call, lane) is not None:
                return None
            try:
                reason = f"/{call.command.name} by {call.actor.name}"
                return await self._operations.stop_run(lane, reason, call.actor, expected=run_id)
            except ConflictError:
                continue
        return None

    async def _put(self, call: Call, mode: Mode) -> Accepted:
        return await self._put_in(
            msgspec.structs.replace(
                call.inbound,
                text=call.rest,
                # The command itself is remembered under these, so that it is never done twice.
                native_id="",
                proof_id="",
                reply_to=call.inbound.native_id or call.inbound.reply_to,
                mode=mode,
                group_id="",
            )
        )


def _began(view: SessionView) -> float:
    return 0.0 if view.run is None else view.run.started.mono
