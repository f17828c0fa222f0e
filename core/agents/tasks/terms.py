"""Under which profile and policy a task is done: a copy of those it was accepted with, kept once for all alike."""

from collections.abc import Callable

import msgspec

from core.agent_settings import AgentSettings
from core.agents.profile import fingerprint, frozen, kind_of, model_of, thawed
from core.agents.tasks.booked import RunTerms
from core.agents.tasks.register import Register
from core.agents.tasks.rows import PROFILES
from core.agents.terms import Terms, own_terms
from core.api.base import AgentName, TaskId
from core.api.errors import HermesError, NotFound, Refused
from core.api.policies import ExecutionPolicy
from core.api.tasks import TaskView
from core.journal import Journal
from core.store.base import Put


class Staff(msgspec.Struct, frozen=True, kw_only=True):
    """The agents, as far as tasks ask for them.

    find: the agent of a name, the default one for None. refusal: why it takes no work, "" when it does. settings: as
    they are now. policy_refusal: why this machine cannot keep a policy. may_start: False while an operator holds it.
    """

    find: Callable[[str | None], AgentName | None]
    refusal: Callable[[AgentName], str]
    settings: Callable[[AgentName], AgentSettings | None]
    policy_refusal: Callable[[ExecutionPolicy], str]
    may_start: Callable[[AgentName], bool]


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as it is at one time."""

    settings: AgentSettings
    fingerprint: str
    policy: ExecutionPolicy
    refusal: str
    terms: RunTerms


class TaskTerms:
    """Profiles and policies of tasks."""

    def __init__(self, *, register: Register, journal: Journal, staff: Staff) -> None:
        self._register = register
        self._journal = journal
        self.staff = staff
        self._now: dict[AgentName, Copy] = {}
        self._kept: dict[str, Copy] = {}
        self._over: dict[TaskId, TaskView] = {}

    def agent(self, name: str | None) -> AgentName:
        """The agent of that name, the default one for None. Raises NotFound, Refused when it takes no work."""
        found = self.staff.find(name)
        if found is None:
            raise NotFound(f"no agent {name}", noun="agent", id=name or "", field="agent", fix="see `agents list`")
        refusal = self.staff.refusal(found)
        if refusal:
            raise Refused(f"agent {found} takes no work: {refusal}", rule="agent_refuses", field="agent", fix=refusal)
        return found

    def now(self, agent: AgentName) -> Copy:
        """The profile of an agent as it is now. Raises NotFound."""
        settings = self.staff.settings(agent)
        if settings is None:
            raise NotFound(f"no agent {agent}", noun="agent", id=agent, field="agent", fix="see `agents list`")
        copy = self._now.get(agent)
        if copy is None or copy.settings is not settings:
            copy = self._now[agent] = self._copy(settings, fingerprint(settings))
        return copy

    def check(self, policy: ExecutionPolicy) -> None:
        """Raises Refused for a policy that this machine cannot keep."""
        refusal = self.staff.policy_refusal(policy)
        if refusal:
            raise Refused(refusal, rule="policy_unavailable", field="policy", fix="see `policy runtimes`")

    async def keep(self, copy: Copy) -> None:
        """Store a copy of the profile, unless it is. Raises StoreError."""
        if copy.fingerprint in self._register.profiles:
            return
        body = frozen(copy.settings)
        await self._journal.commit([Put(PROFILES + copy.fingerprint, body)], [])
        self._register.profiles[copy.fingerprint] = body

    def find_kept(self, mark: str) -> Copy | None:
        """The profile of a fingerprint, as it was; None when no copy can be read."""
        copy = self._kept.get(mark)
        if copy is None and (body := self._register.profiles.get(mark)) is not None:
            try:
                copy = self._kept[mark] = self._copy(thawed(body), mark)
            except HermesError:
                return None
        return copy

    def present(self) -> set[str]:
        """Fingerprints of the profiles under which tasks are accepted now."""
        return {copy.fingerprint for copy in self._now.values()}

    def forget(self, mark: str) -> None:
        """No task is done under that copy any more."""
        self._register.profiles.pop(mark, None)
        self._kept.pop(mark, None)

    def remember(self, view: TaskView) -> None:
        """Have the terms of a task at hand also once it is over: something is still to be answered under them."""
        self._over[view.id] = view

    def forget_task(self, task_id: TaskId) -> None:
        """A task is gone."""
        self._over.pop(task_id, None)

    def terms(self, task_id: TaskId) -> Terms | None:
        """The terms of a task's runs; None when they are not at hand."""
        entry = self._register.find(task_id)
        view = self._over.get(task_id) if entry is None or entry.view is None else entry.view
        copy = None if view is None else self.find_kept(view.profile_fingerprint)
        if view is None:
            return None
        # A copy that this version cannot read any more is no reason to forget what the task may do.
        settings = self.staff.settings(view.agent) if copy is None else copy.settings
        if settings is None:
            return None
        return Terms(
            settings=settings,
            policy=view.policy,
            total_s=view.timeout_ms / 1000 if view.timeout_ms else settings.total_limit_s,
            lane=view.lane,
            model=view.model,
            extra_system_prompt=view.extra_system_prompt,
        )

    def run_terms(self, agent: AgentName, task_id: TaskId | None) -> RunTerms:
        """What the book says of a run."""
        terms = None if task_id is None else self.terms(task_id)
        if terms is not None:
            return _booked(terms)
        return self.now(agent).terms if self.staff.settings(agent) is not None else RunTerms()

    def _copy(self, settings: AgentSettings, mark: str) -> Copy:
        own = own_terms(settings)
        return Copy(
            settings=settings,
            fingerprint=mark,
            policy=own.policy,
            refusal=self.staff.policy_refusal(own.policy),
            terms=_booked(own),
        )


def _booked(terms: Terms) -> RunTerms:
    return RunTerms(
        policy=terms.policy,
        runner=kind_of(terms.settings),
        model=terms.model or model_of(terms.settings),
        timeout_ms=int(terms.total_s * 1000),
    )
