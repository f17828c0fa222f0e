"""All views by their place."""

from console.keymap import Keymap
from console.screens.access import AccessView, WhyView
from console.screens.agent import AgentDetailView
from console.screens.agents import AgentsView
from console.screens.approvals import ApprovalsView
from console.screens.audit import AuditView
from console.screens.base import Stage, View
from console.screens.config import ConfigView
from console.screens.cron import CronView
from console.screens.dead import DeadView
from console.screens.deliveries import DeliveriesView
from console.screens.events import EventsView
from console.screens.grants import GrantsView
from console.screens.help import HelpView
from console.screens.hooks import HooksView
from console.screens.mail import MailDetailView
from console.screens.mailbox import MailboxDetailView
from console.screens.mailboxes import MailboxesView
from console.screens.outboxes import OutboxesView
from console.screens.overview import OverviewView
from console.screens.own_cost import VitalsView
from console.screens.pairing import PairingDeskView
from console.screens.platforms import PlatformsView
from console.screens.raw import RawView
from console.screens.relay import RelayView
from console.screens.relay_task import RelayTaskDetailView
from console.screens.session import SessionDetailView
from console.screens.sessions import SessionsView
from console.screens.task import TaskDetailView
from console.screens.tasks import TasksView


def build_views(stage: Stage, keymap: Keymap) -> dict[str, View]:
    """One of each; they are light, because the widgets are shared."""
    mailbox = MailboxDetailView(stage)
    views: list[View] = [
        OverviewView(stage),
        SessionsView(stage),
        SessionDetailView(stage, decide_key=keymap.sign_of("approval.answer")),
        ApprovalsView(stage),
        PairingDeskView(stage),
        AccessView(stage),
        WhyView(stage),
        GrantsView(stage),
        DeliveriesView(stage),
        OutboxesView(stage),
        RelayView(stage),
        RelayTaskDetailView(stage),
        MailboxesView(stage),
        mailbox,
        MailDetailView(stage),
        DeadView(stage, mailbox.show_group),
        TasksView(stage),
        TaskDetailView(stage),
        AgentsView(stage),
        AgentDetailView(stage),
        PlatformsView(stage),
        HooksView(stage),
        CronView(stage),
        EventsView(stage),
        AuditView(stage),
        ConfigView(stage),
        VitalsView(stage),
        RawView(stage),
        HelpView(stage, keymap),
    ]
    return {view.place: view for view in views}
