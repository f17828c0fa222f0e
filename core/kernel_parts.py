"""What a core is made of, put together and joined. Nothing of it runs yet."""

import random
from pathlib import Path

from core.agent_side import AgentSide
from core.alarms import Alarms
from core.automation_side import AutomationSide
from core.boots import Boot
from core.clock import Clock
from core.config import Config
from core.conversations import SessionConversations
from core.gateway.command_ports import Facade
from core.gateway.mirroring import Mirroring
from core.gateway_side import GatewaySide
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.relay.answer_waits import AnswerWaits
from core.relay_bots import RelayBots
from core.relay_office import RelayOffice
from core.relay_side import RelaySide
from core.run_book import BookOfRuns
from core.store.base import Store
from core.supervisor import Supervisor
from core.task_post import MailedTasks
from core.vault import Vault


class KernelParts:
    """The parts of one core. facade: orders and questions for the whole of it, as any client gives them."""

    def __init__(
        self,
        *,
        home: Path,
        config: Config,
        clock: Clock,
        store: Store,
        boot: Boot,
        vault: Vault,
        floor_at: float,
        facade: Facade,
    ) -> None:
        settings = config.settings
        self.settings = settings
        self._clock = clock
        self._store = store
        self._boot = boot
        self._ids = IdSource(clock, floor_at=floor_at)
        self._random = random.Random()  # noqa: S311 - for backoff, not for secrets
        self.journal = Journal(store, clock)
        self._alarms = Alarms(self.journal)
        self.supervisor = Supervisor(clock, self._alarms.service, self._alarms.job)
        self.mail = Mailroom(
            journal=self.journal,
            store=store,
            clock=clock,
            supervisor=self.supervisor,
            boot=boot.number,
            random=self._random.random,
            on_fault=self._alarms.job,
        )
        self.agents: AgentSide = AgentSide(
            home=home,
            settings=settings,
            store=store,
            journal=self.journal,
            clock=clock,
            ids=self._ids,
            supervisor=self.supervisor,
            boot=boot.number,
            random=self._random.random,
            secret=vault.get,
            learn=vault.learn,
            on_runner=lambda session_id: self.gateway.show_runner(session_id),  # noqa: PLW0108 - made below
            on_fault=self._alarms.job,
        )
        self.gateway: GatewaySide = GatewaySide(
            home=home,
            settings=settings,
            store=store,
            journal=self.journal,
            mail=self.mail,
            clock=clock,
            ids=self._ids,
            supervisor=self.supervisor,
            boot=boot.number,
            random=self._random.random,
            vault=vault,
            agents=self.agents.runs,
            agent_names=lambda: [str(name) for name in self.agents.profiles.names()],
            runner_of=self.agents.runners.view,
            books=BookOfRuns(lambda: self.agents.tasking.ledger),
            log=self._alarms.line,
            on_fault=self._alarms.job,
            facade=facade,
            origins=config.origins,
            environment=config.environment,
        )
        conversations = SessionConversations(
            lanes=self.gateway.lanes,
            sessions=self.gateway.sessions,
            operations=self.gateway.operations,
            sends_to=self.gateway.turns.sends_to,
        )
        sending = self.gateway.delivering.sending
        self.agents.join(conversations, MailedTasks(self.mail.boxes), sending, self._alarms.job)
        self.automation = AutomationSide(
            home=home,
            settings=settings,
            store=store,
            journal=self.journal,
            clock=clock,
            ids=self._ids,
            supervisor=self.supervisor,
            boot=boot.number,
            facade=facade,
            agents=lambda: map(str, self.agents.profiles.names()),
            on_fault=self._alarms.job,
            post=sending,
        )
        notes = Mirroring(lanes=self.gateway.lanes, clock=clock, ids=self._ids)
        waits = AnswerWaits()
        office = RelayOffice(facade, self.agents, conversations, notes=notes, post=sending, clock=clock, waits=waits)
        self.relay = RelaySide(
            settings=settings,
            store=store,
            journal=self.journal,
            mail=self.mail,
            clock=clock,
            ids=self._ids,
            supervisor=self.supervisor,
            http=self.gateway.http,
            secret=vault.get,
            workers=office,
            askers=office,
            breakers=self.gateway.breakers,
            random=self._random.random,
            on_fault=self._alarms.job,
        )
        self.agents.runners.bots = RelayBots(facade, self.relay.bindings, self.relay.pausing.view, waits)
