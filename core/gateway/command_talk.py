"""Chat commands about the conversation itself: begin anew, undo, branch, take up again, sum up, name."""

import msgspec

from core.api.errors import HermesError, NotFound
from core.api.runs import CompactionState
from core.api.session_orders import CompactSession, UnarchiveSession
from core.api.sessions import Mode, ResetSession
from core.clock import Clock
from core.gateway.branch import beginning
from core.gateway.branching import Branching
from core.gateway.command import number
from core.gateway.command_ports import Call, Facade, Handlers, PutIn, Reply, failed, refused
from core.gateway.command_text import epochs_text, error_text
from core.gateway.command_work import NOT_THEIRS, Rights
from core.gateway.lane import Lane
from core.gateway.lanes import Lanes

_UNDO_LIMIT = 50
_NOTHING_YET = "Nothing has been said here yet."


class TalkCommands:
    """Never touches what was said before: each of them goes on in an epoch of its own, and /resume finds the others."""

    def __init__(
        self,
        *,
        facade: Facade,
        lanes: Lanes,
        put_in: PutIn,
        branching: Branching,
        rights: Rights,
        clock: Clock,
    ) -> None:
        self._facade = facade
        self._lanes = lanes
        self._put_in = put_in
        self._branching = branching
        self._rights = rights
        self._clock = clock

    @property
    def handlers(self) -> Handlers:
        """What it carries out."""
        return {
            "new": self.new,
            "retry": self.retry,
            "undo": self.undo,
            "branch": self.branch,
            "resume": self.resume,
            "title": self.title,
            "compress": self.compress,
        }

    async def new(self, call: Call) -> Reply:
        """Begin anew. Refused while somebody else's turn goes on."""
        lane = await self._find(call)
        if lane is None:
            return Reply("This is a new conversation already.")
        if refusal := self._rights.refusal(call, lane):
            return refusal
        before = self._lanes.view(lane).epoch
        dropped = await self._rights.drop(call, lane)
        receipt = await self._rights.reset(call, ResetSession(session_id=lane.session_id, reason="/new"))
        if isinstance(receipt, Reply):
            return receipt if not dropped else refused(f"{NOT_THEIRS} {dropped} of your waiting messages were let go.")
        if call.rest:
            await self._branching.set_title(lane, call.rest, call.actor)
        stopped = " What ran was stopped." if receipt.interrupted is not None else ""
        gone = f" {dropped} waiting messages were let go." if dropped else ""
        return Reply(f"A new conversation begins.{stopped}{gone} /resume {before + 1} takes up the one before.")

    async def retry(self, call: Call) -> Reply:
        """Ask the last thing again in a copy that does not hold it."""
        lane = await self._find(call)
        if lane is None:
            return failed(_NOTHING_YET)
        before = self._lanes.view(lane).epoch
        _, kept = await self._branching.branch(lane, call.actor, left_out=1)
        again = msgspec.structs.replace(
            call.inbound,
            text="\n\n".join(kept.texts),
            native_id="",
            proof_id="",
            reply_to=call.inbound.native_id or call.inbound.reply_to,
            mode=Mode.QUEUE,
            # What it answered stands in it already.
            quoted="",
            files=(),
            group_id="",
        )
        try:
            await self._put_in(again)
        except HermesError as error:
            return failed(f"{error_text(error)} The last turn was undone; /resume {before + 1} brings it back.")
        return Reply(f"Asked again: {beginning(again.text)}")

    async def undo(self, call: Call) -> Reply:
        """Go on in a copy without the last turns."""
        lane = await self._find(call)
        if lane is None:
            return failed(_NOTHING_YET)
        count = number(call.rest or "1")
        if count is None or not 1 <= count <= _UNDO_LIMIT:
            return failed(f"How many turns? Use it as {call.command.usage}, with a count from 1 to {_UNDO_LIMIT}.")
        before = self._lanes.view(lane).epoch
        _, kept = await self._branching.branch(lane, call.actor, left_out=count)
        said = "\n".join(f"- {beginning(text)}" for text in kept.texts)
        return Reply(f"The agent forgets this; /resume {before + 1} brings it back:\n{said}")

    async def branch(self, call: Call) -> Reply:
        """Go on in a copy."""
        lane = await self._find(call)
        if lane is None:
            return failed(_NOTHING_YET)
        before = self._lanes.view(lane).epoch
        view, kept = await self._branching.branch(lane, call.actor, title=call.rest)
        return Reply(
            f"This goes on as conversation {view.epoch + 1}, a copy of {len(kept.entries)} entries. "
            f"/resume {before + 1} goes back."
        )

    async def resume(self, call: Call) -> Reply:
        """List earlier conversations, or take one up again."""
        lane = await self._find(call)
        if lane is None:
            return failed(_NOTHING_YET)
        known = await self._branching.epochs(lane)
        present = self._lanes.view(lane).epoch
        if not call.rest:
            return Reply(epochs_text(known, present, self._clock.now()))
        wanted = number(call.rest)
        if wanted is None or wanted - 1 not in {epoch.number for epoch in known}:
            text = epochs_text(known, present, self._clock.now())
            return failed(f"There is no conversation {beginning(call.rest)} here.\n{text}")
        order = UnarchiveSession(session_id=lane.session_id, epoch=wanted - 1)
        receipt = await self._facade.execute(order, actor=call.actor)
        words = next((epoch.words for epoch in known if epoch.number == receipt.session.epoch), "")
        return Reply(f"Conversation {receipt.session.epoch + 1} goes on{': ' + words if words else ''}.")

    async def title(self, call: Call) -> Reply:
        """Show or set the title."""
        lane = await self._find(call)
        if lane is None:
            return failed(_NOTHING_YET)
        if not call.rest:
            return Reply(f"Title: {self._lanes.view(lane).title or 'none'}")
        view = await self._branching.set_title(lane, call.rest, call.actor)
        return Reply(f"Title: {view.title}")

    async def compress(self, call: Call) -> Reply:
        """Have a summary made; what comes of it is told later."""
        lane = await self._find(call)
        if lane is None:
            return failed(_NOTHING_YET)
        if lane.guard.run_id is not None:
            return failed("A turn goes on, so nothing was made shorter. Wait for its end, or use /stop.")

        async def later() -> Reply:
            order = CompactSession(session_id=lane.session_id)
            receipt = await self._facade.execute(order, actor=call.actor)
            view, made = receipt.session, receipt.session.compaction
            if made is not None and made.state is CompactionState.DONE:
                return Reply(
                    f"A summary stands for what was said earlier. About {view.context_tokens} tokens are kept."
                )
            why = f": {made.error}" if made is not None and made.error else ""
            return failed(f"It could not be made shorter{why}.")

        return Reply("A summary is being made.", later=later)

    async def _find(self, call: Call) -> Lane | None:
        try:
            return await self._lanes.existing(call.session_id)
        except NotFound:
            return None
