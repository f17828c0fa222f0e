"""At a start: ends what was granted for something that is over, of which a kill kept the core from hearing."""

from collections.abc import Callable

from core.agents.approvals.grants import Grants
from core.api.approvals import GrantScope, GrantView
from core.api.base import Record, TaskId
from core.api.profiles import ProfileDeleted
from core.api.session_orders import SessionArchived
from core.api.sessions import SessionReset
from core.journal import Journal

_NEWEST = 200


async def sweep(grants: Grants, journal: Journal, is_over: Callable[[TaskId], bool]) -> int:
    """End the grants of tasks that are over, and those whose session or agent went after they were given.

    A session or agent is looked up in the newest 200 events about it: only what a kill has just cut off is missing.
    Returns how many were ended. Raises StoreError.
    """
    seen: dict[str, list[Record]] = {}
    over: list[GrantView] = []
    for view in grants.views():
        if view.task_id is not None:
            if is_over(view.task_id):
                over.append(view)
            continue
        subject = str(view.session_id or view.agent)
        if subject not in seen:
            seen[subject] = await journal.read(subject=subject, limit=_NEWEST)
        if any(_ends(record, view) for record in seen[subject]):
            over.append(view)
    await grants.end_over(over)
    return len(over)


def _ends(record: Record, view: GrantView) -> bool:
    if record.at < view.given.at:
        return False
    if view.scope is GrantScope.SESSION:
        return isinstance(record.event, SessionReset | SessionArchived)
    return isinstance(record.event, ProfileDeleted)
