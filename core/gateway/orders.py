"""What operators change about a session besides talking in it: its queue, archive, memory and lease."""

from core.api import session_orders as words
from core.clock import Clock
from core.gateway.archive import Archive
from core.gateway.compaction_orders import Compacting
from core.gateway.compactions import Compactions
from core.gateway.lanes import Lanes
from core.gateway.leases import Leases
from core.gateway.ports import Agents
from core.gateway.queue_editor import QueueEditor
from core.gateway.steering import Steering
from core.gateway.turns import Turns
from core.handlers import CommandHandlers
from core.ids import IdSource
from core.supervisor import Supervisor


class SessionOrders:
    """Builds those who carry them out. leases: its `run` renews what is held, and is a service. editor: of queues.

    collect_s: quiet time after which collected messages are answered together.
    """

    def __init__(
        self,
        *,
        lanes: Lanes,
        turns: Turns,
        steering: Steering,
        agents: Agents,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        collect_s: float,
    ) -> None:
        self.leases = Leases(lanes=lanes, turns=turns, agents=agents, clock=clock, supervisor=supervisor)
        self.editor = QueueEditor(lanes=lanes, turns=turns, steering=steering, agents=agents, collect_s=collect_s)
        self._archive = Archive(lanes=lanes, turns=turns, agents=agents)
        compactions = Compactions(lanes=lanes, clock=clock, ids=ids)
        self._compacting = Compacting(lanes=lanes, turns=turns, agents=agents, compactions=compactions)

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            words.MoveMessage: self.editor.move_message,
            words.SetMessageMode: self.editor.set_message_mode,
            words.SplitMessage: self.editor.split_message,
            words.ArchiveSession: self._archive.archive_session,
            words.UnarchiveSession: self._archive.unarchive_session,
            words.CompactSession: self._compacting.compact_session,
            words.ReleaseLease: self.leases.release_lease,
        }
