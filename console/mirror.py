"""What the console knows of the core: a pure read model, made from snapshots and records.

Everything a screen shows comes from here. A view with a newer version takes the place of an older
one, so records may come twice, and a snapshot and a stream may overlap, without harm.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from console import work_rows
from console.changes import Changes
from console.event_line import EventLine, event_line
from console.mailbox_rows import HANDLED, MailboxRows
from console.session_index import SessionIndex, since
from console.view_events import OF_APPROVALS, OF_DELIVERIES, OF_PLATFORMS, OF_SESSIONS, ONLY_LISTED
from console.watched import WatchedSession
from core.api import approvals, deliveries, mailboxes, platforms, sessions, system
from core.api.approvals import ApprovalState, ApprovalView
from core.api.base import Event, Mark, Record, Seq, SessionId
from core.api.deliveries import DeliveryState, DeliveryView
from core.api.pairings import PairingList
from core.api.platforms import PlatformView
from core.api.profiles import ProfileList, ProfileView
from core.api.runs import Stop
from core.api.sessions import SessionState, SessionView
from core.api.system import HealthView
from core.api.tasks import TaskPage

EVENT_LIMIT = 100_000
_DECIDED_LIMIT = 500
_GONE_LIMIT = 20_000


class Mirror:
    """Rows of all nouns with the newest view of each, and what changed since the last look."""

    def __init__(self) -> None:
        self.sessions: dict[str, SessionView] = {}
        self.index = SessionIndex()
        self.approvals: dict[str, ApprovalView] = {}
        self.deliveries: dict[str, DeliveryView] = {}
        self.platforms: dict[str, PlatformView] = {}
        self.mail = MailboxRows()
        self.work = work_rows.WorkRows()
        self.events: deque[EventLine] = deque(maxlen=EVENT_LIMIT)
        self.health: HealthView | None = None
        self.seq = Seq(0)
        self.boot = 0
        self.session_total = 0
        self.has_all_deliveries = True
        self.record_count, self.event_total, self.unknown_count = 0, 0, 0
        self.is_draining = False
        self.watched: WatchedSession | None = None
        self._changes = Changes()
        self._gone: dict[str, int] = {}
        self._mono_offset_s = 0.0
        self._wall_offset_s: float | None = None
        self._asked: dict[str, set[str]] = {}
        self._totals = {"in": 0, "out": 0, "failed": 0}
        self._apply_event = self._table()

    # -- snapshots -----------------------------------------------------------

    def load_health(self, view: HealthView, *, asked_mono: float, answered_mono: float) -> None:
        """Health as answered; the two local times bound the moment that it speaks of."""
        if self.health is not None and (view.boot, view.pid) != (self.health.boot, self.health.pid):
            self.forget()
        self.health = view
        self.boot = view.boot
        self.session_total = max(view.session_count, len(self.sessions))
        self.is_draining = view.is_draining
        middle = (asked_mono + answered_mono) / 2
        offset_s = view.now.mono - middle
        # Within the time that the question took, two clocks cannot be told apart from one.
        self._mono_offset_s = 0.0 if abs(offset_s) <= answered_mono - asked_mono else offset_s
        self._wall_offset_s = view.now.at - view.now.mono
        self._changes.has_health = True

    def forget(self) -> None:
        """Let all rows go: another start of the core counts versions and ages anew."""
        self.sessions = {}
        self.index = SessionIndex()
        self.approvals, self.deliveries, self.platforms = {}, {}, {}
        self._gone, self._asked = {}, {}
        self.mail, self.work = MailboxRows(), work_rows.WorkRows()
        self.seq = Seq(0)
        self.session_total = 0
        self._changes.is_whole = True

    @property
    def profiles(self) -> dict[str, ProfileView]:
        """Agents by name."""
        return self.work.profiles

    def load_profiles(self, view: ProfileList) -> None:
        """All agents."""
        self.work.load_profiles(view, self._changes)

    def load_tasks(self, page: TaskPage) -> None:
        """The newest tasks."""
        self.work.load_tasks(page, self._changes)

    def load_grants(self, view: approvals.GrantList) -> None:
        """Standing permissions and remembered refusals."""
        self.work.load_grants(view, self._changes)

    def load_with(self, load: Callable[[Changes], None]) -> None:
        """Have a snapshot taken in by whoever keeps its rows; what it changed is noted."""
        load(self._changes)

    def load_pairings(self, view: PairingList) -> None:
        """Senders that ask or were decided about, and invitations."""
        self.work.gateway.load_pairings(view, self._changes)

    def load_platforms(self, view: platforms.PlatformList) -> None:
        """All connections; one that is not named any more is gone."""
        names = {str(platform.name) for platform in view.platforms}
        for name in self.platforms.keys() - names:
            del self.platforms[name]
            self._changes.platforms.add(name)
        for platform in view.platforms:
            self._put_platform(platform)

    def load_mailboxes(self, view: mailboxes.MailboxList) -> None:
        """All mailboxes."""
        self._note_mail(self.mail.load(view))

    def _note_mail(self, names: set[str]) -> None:
        self._changes.mailboxes |= names
        self._changes.has_mail = True

    def load_approvals(self, view: approvals.ApprovalList) -> None:
        """Approvals; an open one that is not named any more is gone."""
        ids = {str(approval.id) for approval in view.approvals}
        for key in [key for key, item in self.approvals.items() if item.state is ApprovalState.OPEN]:
            if key not in ids:
                self._drop_approval(key)
        for approval in view.approvals:
            self._put_approval(approval)

    def load_deliveries(self, view: deliveries.DeliveryList, *, is_whole: bool = True) -> None:
        """Deliveries that are not sent; one that is not named any more is done. is_whole: all are named."""
        self.has_all_deliveries = is_whole
        ids = {str(delivery.id) for delivery in view.deliveries}
        for key in self.deliveries.keys() - ids:
            del self.deliveries[key]
            self._changes.deliveries.add(key)
        for delivery in view.deliveries:
            self._put_delivery(delivery)

    def load_sessions(self, page: sessions.SessionPage) -> None:
        """One page of sessions."""
        self.session_total = max(page.total, len(self.sessions))
        for session in page.sessions:
            self._put_session(session)

    def load_events(self, page: system.EventPage) -> None:
        """The newest records of the journal, for a list that begins with a past."""
        first = self.events[0].seq if self.events else None
        lines = [event_line(record) for record in page.records if first is None or record.seq < first]
        self.events.extendleft(reversed(lines[-(EVENT_LIMIT - len(self.events)) :] if lines else []))
        self._changes.event_count += len(lines)

    # -- records -------------------------------------------------------------

    def apply(self, record: Record) -> None:
        """Take a record in. One that is known already changes nothing."""
        self.record_count += 1
        is_new = record.seq > self.seq
        if record.durable and is_new:
            self.seq = record.seq
            self.events.append(event_line(record))
            self.event_total += 1
            self._changes.event_count += 1
            self._count(record.event)
        apply_event = self._apply_event.get(type(record.event))
        if apply_event is not None:
            apply_event(record.event)
        elif not self.work.apply(record, self._changes) and (names := self.mail.apply(record)) is not None:
            self._note_mail(names)
        if self.watched is not None and self.watched.apply(record):
            self._changes.has_watched = True

    def _count(self, event: Event) -> None:
        if isinstance(event, sessions.MessageQueued):
            self._totals["in"] += 1
        elif isinstance(event, sessions.RunEnded):
            self._totals["out"] += 1
            self._totals["failed"] += not (event.outcome.stop.is_answer or event.outcome.stop is Stop.CANCELLED)

    def watch(self, session_id: SessionId | None) -> WatchedSession | None:
        """Keep the books of that session, and of no other."""
        if session_id is None:
            self.watched = None
        elif self.watched is None or self.watched.session_id != session_id:
            self.watched = WatchedSession(session_id)
        return self.watched

    def note_watched(self, view: SessionView) -> None:
        """The watched session was brought from the core."""
        self._put_session(view)
        self._changes.has_watched = True

    def take_changes(self) -> Changes:
        """What changed since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    @property
    def has_changes(self) -> bool:
        """Whether anything changed since the last look."""
        return bool(self._changes)

    @property
    def totals(self) -> dict[str, int]:
        """Counts that only grow, for rates."""
        return {"events": self.record_count, **self._totals}

    # -- answers -------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        """How many sessions are in each state."""
        return self.index.counts

    @property
    def open_approvals(self) -> list[ApprovalView]:
        """What waits for a decision, the earliest deadline first."""
        waiting = [item for item in self.approvals.values() if item.state is ApprovalState.OPEN]
        return sorted(waiting, key=lambda item: (item.deadline.at if item.deadline else 1e18, item.asked.at, item.id))

    @property
    def decided_approvals(self) -> list[ApprovalView]:
        """What was decided or expired, the latest first."""
        done = [item for item in self.approvals.values() if item.state is not ApprovalState.OPEN]
        return sorted(done, key=lambda item: (-(item.decided or item.asked).at, item.id))

    @property
    def dead_deliveries(self) -> list[DeliveryView]:
        """What will not be tried again unless somebody asks."""
        return [item for item in self.deliveries.values() if item.state is DeliveryState.DEAD]

    def last_events(self, count: int) -> list[EventLine]:
        """The newest lines, in order."""
        return list(islice(reversed(self.events), count))[::-1]

    def approval_of(self, session_id: str) -> ApprovalView | None:
        """The oldest open approval of a session."""
        ids = self._asked.get(session_id)
        if not ids:
            return None
        return min((self.approvals[key] for key in ids), key=lambda item: (item.asked.at, item.id))

    def open_count(self, session_id: str) -> int:
        """How many approvals of a session are open."""
        return len(self._asked.get(session_id, ()))

    def queue_of(self, session_id: str) -> int:
        """How many messages wait in a session."""
        session = self.sessions.get(session_id)
        return session.queue_depth if session else 0

    def core_mono(self, local_mono: float) -> float:
        """The core's monotonic clock at a local instant."""
        return local_mono + self._mono_offset_s

    def core_wall(self, local_mono: float) -> float | None:
        """The core's wall clock at a local instant; None before the first health."""
        return None if self._wall_offset_s is None else self.core_mono(local_mono) + self._wall_offset_s

    def age_s(self, mark: Mark, local_mono: float, boot: int | None = None) -> float:
        """Seconds since a mark; below zero for one to come. boot: of the view, when it may be an earlier one."""
        if boot is not None and boot != self.boot and self._wall_offset_s is not None:
            return self.core_mono(local_mono) + self._wall_offset_s - mark.at
        return self.core_mono(local_mono) - mark.mono

    def state_age_s(self, view: SessionView, local_mono: float) -> float:
        """How long a session has been in its state."""
        return self.age_s(since(view), local_mono, view.boot)

    # -- rows ----------------------------------------------------------------

    def _put_session(self, view: SessionView) -> None:
        key = str(view.id)
        before = self.sessions.get(key)
        if before is not None and before.version >= view.version:
            return
        self.sessions[key] = view
        self.index.put(view)
        self._changes.sessions.add(key)
        self.session_total = max(self.session_total, len(self.sessions))

    def _put_approval(self, view: ApprovalView) -> None:
        key = str(view.id)
        before = self.approvals.get(key)
        if before is not None and before.version >= view.version:
            return
        self.approvals[key] = view
        asked = self._asked.setdefault(str(view.session_id), set())
        if view.state is ApprovalState.OPEN:
            asked.add(key)
        else:
            asked.discard(key)
            self._bound_decided()
        self._changes.approvals.add(key)
        self._changes.sessions.add(str(view.session_id))

    def _bound_decided(self) -> None:
        if len(self.approvals) > 2 * _DECIDED_LIMIT:
            for old in self.decided_approvals[_DECIDED_LIMIT:]:
                self._drop_approval(str(old.id))

    def _drop_approval(self, key: str) -> None:
        gone = self.approvals.pop(key)
        self._asked.get(str(gone.session_id), set()).discard(key)
        self._changes.approvals.add(key)
        self._changes.sessions.add(str(gone.session_id))

    def _put_delivery(self, view: DeliveryView) -> None:
        key = str(view.id)
        before = self.deliveries.get(key)
        if self._gone.get(key, -1) >= view.version or (before is not None and before.version >= view.version):
            return
        if view.state is DeliveryState.SENT:
            self._end_delivery(view)
            return
        self.deliveries[key] = view
        self._changes.deliveries.add(key)

    def _end_delivery(self, view: DeliveryView) -> None:
        key = str(view.id)
        before = self.deliveries.get(key)
        if before is not None and before.version > view.version:
            return
        # Remembered, so that an older record that comes again does not bring the row back.
        self._gone[key] = view.version
        if len(self._gone) > _GONE_LIMIT:
            del self._gone[next(iter(self._gone))]
        if self.deliveries.pop(key, None) is not None:
            self._changes.deliveries.add(key)

    def _put_platform(self, view: PlatformView) -> None:
        key = str(view.name)
        before = self.platforms.get(key)
        if before is None or before.version < view.version:
            self.platforms[key] = view
            self._changes.platforms.add(key)

    def _table(self) -> dict[type[Event], Callable[[Any], None]]:
        def session(event: Any) -> None:
            self._put_session(event.session)

        def approval(event: Any) -> None:
            self._put_approval(event.approval)

        def delivery(event: Any) -> None:
            self._put_delivery(event.delivery)

        def platform(event: Any) -> None:
            self._put_platform(event.platform)

        def only_listed(_event: Any) -> None:
            """Shown as a line of the journal, or by the session that is watched."""

        return {
            **dict.fromkeys(OF_SESSIONS, session),
            **dict.fromkeys(OF_APPROVALS, approval),
            **dict.fromkeys(OF_DELIVERIES, delivery),
            **dict.fromkeys(OF_PLATFORMS, platform),
            **dict.fromkeys(ONLY_LISTED, only_listed),
            deliveries.DeliverySent: lambda event: self._end_delivery(event.delivery),
            deliveries.DeliveryDropped: lambda event: self._end_delivery(event.delivery),
            system.CoreStarted: self._core_started,
            system.ShutdownStarted: self._shutdown_started,
            system.UnknownEvent: self._unknown_event,
        }

    def _core_started(self, event: system.CoreStarted) -> None:
        if event.boot > self.boot:
            self.boot = event.boot
            self.is_draining = False

    def _unknown_event(self, _event: system.UnknownEvent) -> None:
        self.unknown_count += 1

    def _shutdown_started(self, _event: system.ShutdownStarted) -> None:
        self.is_draining = True
        self._changes.has_health = True

    def handled_events(self) -> frozenset[type[Event]]:
        """The events that change rows or are listed on purpose."""
        return frozenset(self._apply_event) | HANDLED | work_rows.HANDLED

    def busy_sessions(self) -> list[SessionView]:
        """Sessions with a run that goes on, the longest first."""
        busy = (SessionState.RUNNING, SessionState.WAITING, SessionState.INTERRUPTING)
        ids = [key for state in busy for key in self.index.ids_in(state)]
        return sorted((self.sessions[key] for key in ids), key=lambda view: (since(view).at, view.id))
