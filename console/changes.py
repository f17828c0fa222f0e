"""What changed since the screen last looked, by noun (pure)."""


class Changes:
    """What changed since somebody last looked, by noun."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.approvals: set[str] = set()
        self.deliveries: set[str] = set()
        self.platforms: set[str] = set()
        self.mailboxes: set[str] = set()
        self.tasks: set[str] = set()
        self.hooks: set[str] = set()
        self.jobs: set[str] = set()
        self.pairings: set[str] = set()
        self.outboxes: set[str] = set()
        self.relayed: set[str] = set()
        self.has_relay = False
        self.has_invites = False
        self.has_agents = False
        self.has_grants = False
        self.has_mail = False
        self.event_count = 0
        self.has_health = False
        self.has_watched = False
        self.is_whole = False

    def __bool__(self) -> bool:
        return bool(
            self.is_whole
            or self.sessions
            or self.approvals
            or self.deliveries
            or self.platforms
            or self.mailboxes
            or self.tasks
            or self.hooks
            or self.jobs
            or self.pairings
            or self.outboxes
            or self.relayed
            or self.has_relay
            or self.has_invites
            or self.has_agents
            or self.has_grants
            or self.has_mail
            or self.event_count
            or self.has_health
            or self.has_watched
        )
