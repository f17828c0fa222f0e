"""Which events carry the whole view of a session or an approval, and which are only listed."""

from core.api import approvals, session_orders, sessions, system
from core.api.base import Event

OF_SESSIONS: tuple[type[Event], ...] = (
    sessions.SessionOpened,
    sessions.MessageQueued,
    sessions.MessageSteered,
    sessions.MessageDropped,
    sessions.RunStarted,
    sessions.SessionActive,
    sessions.EntryAdded,
    sessions.RunEnded,
    sessions.SessionInterrupted,
    sessions.SessionReset,
    session_orders.QueueChanged,
    session_orders.SessionArchived,
    session_orders.SessionUnarchived,
    session_orders.SessionCompacted,
    session_orders.LeaseReleased,
)
OF_APPROVALS = (
    approvals.ApprovalAsked,
    approvals.ApprovalDecided,
    approvals.ApprovalExpired,
    approvals.ApprovalWithdrawn,
    approvals.ApprovalOrphaned,
    approvals.ApprovalNoted,
)
ONLY_LISTED = (sessions.MessageRefused, sessions.RunOutput, system.AlarmRaised)
