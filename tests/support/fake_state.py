"""What a FakeHermes knows: views by id, the journal, and the answers that follow from them."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from core.api import (
    approvals,
    deliveries,
    platforms,
    processes,
    profiles,
    session_orders,
    session_queue,
    sessions,
    system,
    transcripts,
)
from core.api.approvals import ApprovalView
from core.api.base import Event, Query, Record, Seq, SessionId
from core.api.deliveries import DeliveryView
from core.api.errors import InvalidInput, Lagged, NotFound
from core.api.mail import MailView
from core.api.mailboxes import MailboxView
from core.api.platforms import PlatformView
from core.api.profiles import ProfileView
from core.api.sessions import MessageView, SessionView
from core.api.system import ConfigView, HealthView
from core.api.transcripts import EntryView
from tests.support.fake_automation import FakeAutomation
from tests.support.fake_mail import FakeMail
from tests.support.fake_outboxes import FakeOutboxes
from tests.support.fake_pairings import FakePairings
from tests.support.fake_relay import FakeRelay
from tests.support.fake_work import FakeWork
from tests.support.views import NOW, config, drain, health, platform, profile


class FakeState:
    """Views and records in the open; `answer` reads them, `keep_views` takes in what an event carries."""

    def __init__(
        self,
        *,
        sessions: Iterable[SessionView] = (),
        messages: Iterable[MessageView] = (),
        entries: Mapping[str, Iterable[EntryView]] | None = None,
        approvals: Iterable[ApprovalView] = (),
        deliveries: Iterable[DeliveryView] = (),
        platforms: Iterable[PlatformView] | None = None,
        profiles: Iterable[ProfileView] | None = None,
        records: Iterable[Record] = (),
        mailboxes: Iterable[MailboxView] = (),
        mails: Iterable[MailView] = (),
        work: FakeWork | None = None,
        desk: FakePairings | None = None,
        automation: FakeAutomation | None = None,
        outboxes: FakeOutboxes | None = None,
        relay: FakeRelay | None = None,
        health_view: HealthView | None = None,
        config_view: ConfigView | None = None,
    ) -> None:
        self.sessions: dict[SessionId, SessionView] = {view.id: view for view in sessions}
        self.messages: list[MessageView] = list(messages)
        self.entries: dict[str, list[EntryView]] = {key: list(found) for key, found in (entries or {}).items()}
        self.approvals = {view.id: view for view in approvals}
        self.deliveries = {view.id: view for view in deliveries}
        self.platforms = {view.name: view for view in ([platform()] if platforms is None else platforms)}
        self.profiles = {view.name: view for view in ([profile()] if profiles is None else profiles)}
        self.records: list[Record] = list(records)
        self.health_view = health_view or health()
        self.config_view = config_view or config()
        self.drain_view = drain()
        self.mail = FakeMail(mailboxes, mails)
        self.work = work or FakeWork()
        self.desk = desk or FakePairings()
        self.automation = automation or FakeAutomation()
        self.outboxes = outboxes or FakeOutboxes()
        self.relay = relay or FakeRelay()
        self.live_text: dict[SessionId, str] = {}
        self.kept_after = Seq(0)

    @property
    def seq(self) -> Seq:
        """Place of the last stored record."""
        return self.records[-1].seq if self.records else self.kept_after

    def keep_views(self, event: Event) -> None:
        """Take in the views that an event carries."""
        self.mail.keep(event)
        self.work.keep(event)
        self.desk.keep(event)
        self.automation.keep(event)
        self.outboxes.keep(event)
        self.relay.keep(event)
        if isinstance(event, session_orders.QueueChanged):
            others = [item for item in self.messages if item.session_id != event.session.id]
            self.messages = [*others, *event.messages]
        held: dict[str, dict[Any, Any]] = {
            "session": self.sessions,
            "approval": self.approvals,
            "delivery": self.deliveries,
        }
        for field, views in held.items():
            if (view := getattr(event, field, None)) is not None:
                views[view.id] = view
        if (view := getattr(event, "platform", None)) is not None and isinstance(view, PlatformView):
            self.platforms[view.name] = view
        if isinstance(event, sessions.MessageQueued):
            self.messages.append(event.message)
        if isinstance(event, session_queue.MessageDropped):
            self.messages = [waiting for waiting in self.messages if waiting.id != event.message.id]
        if isinstance(event, sessions.RunStarted):
            taken = {added.message_id for added in event.entries}
            self.messages = [waiting for waiting in self.messages if waiting.id not in taken]
        if isinstance(event, sessions.RunStarted | sessions.RunEnded):
            self.entries.setdefault(event.session.id, []).extend(event.entries)
        if isinstance(event, sessions.EntryAdded):
            self.entries.setdefault(event.session.id, []).append(event.entry)

    def get_session(self, session_id: SessionId) -> SessionView:
        """The session. Raises NotFound."""
        found = self.sessions.get(session_id)
        if found is None:
            raise NotFound(f"no session {session_id}", noun="session", id=session_id)
        return found

    def answer(self, query: Query[Any]) -> Any:  # noqa: PLR0911, PLR0912 - one line for each query
        """The answer to a query. Raises NotFound or InvalidInput."""
        match query:
            case sessions.ListSessions():
                _check_limit(query.limit, 5000)
                ids = sorted(key for key in self.sessions if key > query.after and key.startswith(query.prefix))
                page = tuple(self.sessions[key] for key in ids[: query.limit])
                cursor = page[-1].id if len(ids) > len(page) and page else ""
                return sessions.SessionPage(sessions=page, cursor=cursor, seq=self.seq, total=len(self.sessions))
            case sessions.GetSession():
                view = self.get_session(query.session_id)
                return sessions.SessionDetail(
                    session=view,
                    messages=tuple(waiting for waiting in self.messages if waiting.session_id == view.id),
                    live_text=self.live_text.get(view.id, ""),
                    seq=self.seq,
                    ages_s={"created": NOW.mono - view.created.mono},
                )
            case transcripts.ReadTranscript():
                return self._transcript(query)
            case approvals.ListApprovals():
                _check_limit(query.limit, 1000)
                asked = [view for view in self.approvals.values() if not query.open_only or view.state == "open"]
                asked.sort(key=lambda view: (view.state != "open", view.asked.at))
                return approvals.ApprovalList(approvals=tuple(asked[: query.limit]), seq=self.seq)
            case approvals.GetApproval():
                return get_view(self.approvals, query.approval_id, "approval")
            case deliveries.ListDeliveries():
                _check_limit(query.limit, 1000)
                return deliveries.DeliveryList(deliveries=tuple(self.deliveries.values())[: query.limit], seq=self.seq)
            case deliveries.GetDelivery():
                return get_view(self.deliveries, query.delivery_id, "delivery")
            case platforms.ListPlatforms():
                return platforms.PlatformList(platforms=tuple(self.platforms.values()), seq=self.seq)
            case profiles.ListProfiles():
                return profiles.ProfileList(profiles=tuple(self.profiles.values()), seq=self.seq)
            case profiles.GetProfile():
                return get_view(self.profiles, query.name, "agent")
            case system.GetHealth():
                return msgspec.structs.replace(self.health_view, seq=self.seq, session_count=len(self.sessions))
            case system.GetConfig():
                return self.config_view
            case processes.GetDrain():
                return self.drain_view
            case system.ListEvents():
                return self._events(query)
            case _:
                found = self.mail.answer(query, self.seq) or self.work.answer(query, self.seq)
                found = found or self.desk.answer(query, self.seq) or self.automation.answer(query, self.seq)
                found = found or self.outboxes.answer(query, self.seq) or self.relay.answer(query, self.seq)
                if found is None:
                    raise InvalidInput(f"no handler for {type(query).__name__}", field="query")
                return found

    def _transcript(self, query: transcripts.ReadTranscript) -> transcripts.TranscriptPage:
        _check_limit(query.limit, 1000)
        self.get_session(query.session_id)
        found = [
            item for item in self.entries.get(query.session_id, []) if query.epoch is None or item.epoch == query.epoch
        ]
        ids = [item.id for item in found]
        if query.before is not None and query.before in ids:
            found = found[: ids.index(query.before)]
        page = tuple(found[-query.limit :])
        return transcripts.TranscriptPage(
            session_id=query.session_id, entries=page, has_earlier=len(found) > len(page), seq=self.seq
        )

    def _events(self, query: system.ListEvents) -> system.EventPage:
        _check_limit(query.limit, 5000)
        if query.after is not None and query.after < self.kept_after:
            raise Lagged(f"records up to {self.kept_after} are not kept any more")
        found = [
            record
            for record in self.records
            if (not query.subject or record.subject == query.subject)
            and (query.after is None or record.seq > query.after)
            and (query.before is None or record.seq < query.before)
            and (not query.actors or record.actor.kind in query.actors)
        ]
        page = found[: query.limit] if query.after is not None else found[-query.limit :]
        reached = None
        is_cut = len(found) > len(page)
        if query.actors and query.after is not None:
            reached = page[-1].seq if is_cut else max(query.after, self.seq)
        elif query.actors:
            reached = page[0].seq if is_cut else Seq(0)
        return system.EventPage(records=tuple(page), head=self.seq, reached=reached)


def get_view(views: Mapping[Any, Any], key: str, noun: str) -> Any:
    """The view under that key. Raises NotFound."""
    if key not in views:
        raise NotFound(f"no {noun} {key}", noun=noun, id=key)
    return views[key]


def _check_limit(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise InvalidInput(f"limit must be 1 to {most}", field="limit", value=limit, fix=f"ask for 1 to {most}")
