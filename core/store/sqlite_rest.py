"""What the writing thread does between jobs: the watermark, the ballast, and pages given back to the disk."""

import apsw

from core.store.ballast import PROBE_EVERY_S, Ballast
from core.store.sqlite_connection import SqliteConnection
from core.store.sqlite_statement import number, run
from core.store.watermark import Watermark, WatermarkFile

_MARK_EVERY_S = 1.0
_STEP_EVERY_S = 0.1
_LOOK_EVERY_S = 5.0
_SOONEST_S = 0.01

STEP_PAGES = 64
"""How many pages one step gives back: a few milliseconds of work at most."""

KEPT_PAGES = 1024
"""Free pages that stay in the file in any case; they will be needed again."""


class Rest:
    """Belongs to the writing thread.

    written: the mark as it is on disk. is_due: there were jobs since free pages were last counted.
    """

    def __init__(self, mark_file: WatermarkFile, ballast: Ballast, written: Watermark, now: float) -> None:
        self._mark_file = mark_file
        self._ballast = ballast
        self._written = written
        self._marked_at = 0.0
        self._looked_at = now
        self._is_shrinking = False
        self.is_due = False

    def take(self, now: float, mark: Watermark, connection: SqliteConnection | None) -> float | None:
        """Do what is due now. Gives the seconds until more is, None when that takes another job."""
        waits: list[float] = []
        if mark != self._written:
            if now - self._marked_at >= _MARK_EVERY_S:
                self._marked_at = now
                self.write_mark(mark)
            if mark != self._written:
                waits.append(self._marked_at + _MARK_EVERY_S - now)
        if self._ballast.is_full:
            self._ballast.look(now)
            waits.append(PROBE_EVERY_S)
        elif connection is not None and (self.is_due or self._is_shrinking):
            waits.append(self._shrink(now, connection))
        return max(_SOONEST_S, min(waits)) if waits else None

    def write_mark(self, mark: Watermark) -> None:
        """Put the mark on disk when it says something new."""
        if mark != self._written and self._mark_file.write(mark):
            self._written = mark

    def _shrink(self, now: float, connection: SqliteConnection) -> float:
        wait_s = _STEP_EVERY_S if self._is_shrinking else _LOOK_EVERY_S
        if now - self._looked_at < wait_s:
            return self._looked_at + wait_s - now
        self._looked_at = now
        self.is_due = False
        try:
            self._is_shrinking = give_back(connection.opened())
        except Exception as error:  # noqa: BLE001 -- nobody waits for it, and those who write will hear of the same fault
            self._is_shrinking = False
            connection.failed(error)
        return _STEP_EVERY_S if self._is_shrinking else _LOOK_EVERY_S


def give_back(connection: apsw.Connection) -> bool:
    """Give some free pages back to the disk when they are more than what is in use. Says whether there may be more.

    Raises apsw.Error.
    """
    free = number(connection, "PRAGMA freelist_count")
    if free <= max(KEPT_PAGES, number(connection, "PRAGMA page_count") - free):
        return False
    run(connection, f"PRAGMA incremental_vacuum({STEP_PAGES})")
    # A file that was made before this was thought of keeps its pages, and uses them again.
    return number(connection, "PRAGMA freelist_count") < free
