"""Which events carry the whole view of a session or an approval, and which are only listed."""

from core.api import approvals, chat_commands, deliveries, platforms, session_orders, session_queue, sessions, system
from core.api.base import Event

OF_SESSIONS: tuple[type[Event], ...] = (
    sessions.SessionOpened,
    sessions.MessageQueued,
    sessions.MessageSteered,
    session_queue.MessageDropped,
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
    chat_commands.SessionTitled,
    chat_commands.SessionBranched,
)
OF_APPROVALS = (
    approvals.ApprovalAsked,
    approvals.ApprovalDecided,
    approvals.ApprovalExpired,
    approvals.ApprovalWithdrawn,
    approvals.ApprovalOrphaned,
    approvals.ApprovalNoted,
)
OF_DELIVERIES = (deliveries.DeliveryQueued, deliveries.DeliveryRetrying, deliveries.DeliveryDied)
OF_PLATFORMS = (
    platforms.PlatformConnected,
    platforms.PlatformDisconnected,
    platforms.PlatformDeaf,
    platforms.PlatformPaused,
    platforms.PlatformResumed,
    platforms.PlatformReconnecting,
    platforms.PlatformProbed,
    platforms.PlatformActive,
)
ONLY_LISTED = (sessions.MessageRefused, chat_commands.ChatCommandUsed, sessions.RunOutput, system.AlarmRaised)
