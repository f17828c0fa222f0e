"""What goes wrong beside the orders: told live to who listens, and never a reason to fail."""

from core.api.system import AlarmRaised, ServiceView
from core.journal import Journal

_TEXT_LIMIT = 300


class Alarms:
    """Raises them in a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def service(self, view: ServiceView, error: str) -> None:
        """A service changed; only a failure is told."""
        if error:
            self._journal.publish("core", AlarmRaised(what=view.name, error=error, service=view))

    def job(self, name: str, error: Exception) -> None:
        """A job failed."""
        text = f"{type(error).__name__}: {error}".splitlines()[0][:_TEXT_LIMIT]
        self._journal.publish("core", AlarmRaised(what=name, error=text))

    def line(self, line: str) -> None:
        """Something for operators to read."""
        self._journal.publish("core", AlarmRaised(what="core", error=line[:_TEXT_LIMIT]))
