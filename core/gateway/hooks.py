"""Hooks: reads their folders, tells each what it wants to hear, and shows how they do.

Whatever a hook does, no message waits for it: it hears of what is already in the journal, through a queue of its own,
in a process of its own.
"""

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from core.api.base import SYSTEM, Actor, Event, Record
from core.api.errors import HermesError, InvalidInput, NotFound, Refused
from core.api.hooks import (
    HookAnswered,
    HookFailed,
    HookList,
    HookPaused,
    HookResumed,
    HooksLoaded,
    HookState,
    HookTrial,
    HookView,
    ListHooks,
    PauseHook,
    ReloadHooks,
    ResumeHook,
    TestHook,
)
from core.automation_settings import HookSettings
from core.clock import Clock
from core.gateway.hook import bases, first_wanted, is_pattern, rank, wants
from core.gateway.hook_child import START_LIMIT_S
from core.gateway.hook_facts import TELLING, HookFacts
from core.gateway.hook_files import HookFolder, read_all
from core.gateway.hook_payload import EVENT_NAMES, GatewayStartup, Payload, sample
from core.gateway.hook_worker import HookRow, HookWorker
from core.handlers import CommandHandlers, QueryHandlers
from core.journal import Journal
from core.store.base import Put, Store
from core.supervisor import Supervisor
from core.waits import is_cancelled

SUBJECT = "hooks"
_PREFIX = "hook/"
_TOLD_EVERY_S = 1.0
_STORED_EVERY_S = 60.0
_TRIAL_GRACE_S = 10.0
_VERSIONS_A_BOOT = 1_000_000_000
_decoder = msgspec.json.Decoder(HookRow)


class Hooks:
    """The hooks of a core. boot: number of this start. on_fault: told of a fault of ours, or in the configuration."""

    def __init__(
        self,
        *,
        home: Path,
        settings: HookSettings,
        store: Store,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        boot: int,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._home = home
        self._settings = settings
        self._store = store
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._on_fault = on_fault
        self._workers: tuple[HookWorker, ...] = ()
        self._wanted: frozenset[str] = frozenset()
        self._facts = HookFacts()
        self._told_at: dict[str, float] = {}
        self._to_show: set[str] = set()
        self._stored_at: dict[str, float] = {}
        self._lock = asyncio.Lock()
        # A console that saw an earlier start takes no older view than it has.
        self._version = boot * _VERSIONS_A_BOOT

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            ReloadHooks: self.reload_hooks,
            PauseHook: self.pause_hook,
            ResumeHook: self.resume_hook,
            TestHook: self.try_hook,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {ListHooks: self.list_hooks}

    @property
    def views(self) -> tuple[HookView, ...]:
        """All, in their order."""
        return tuple(worker.view() for worker in self._workers)

    async def start(self, *, platforms: tuple[str, ...], version: str) -> None:
        """Read the folders, begin to listen, and tell of the start."""
        async with self._lock:
            await self._load("")
        self._journal.on_record(self._note, *TELLING)
        self.tell(GatewayStartup.NAME, GatewayStartup(at=self._clock.now(), platforms=platforms, version=version))

    def tell(self, event_type: str, payload: Payload) -> None:
        """Tell every hook that wants it; returns at once."""
        for worker in self._workers:
            if wants(worker.events, event_type):
                worker.tell(event_type, payload)

    def _note(self, record: Record) -> None:
        begins = TELLING.get(type(record.event))
        if begins is not None and not begins.isdisjoint(self._wanted):
            for event_type, payload in self._facts.of(record):
                self.tell(event_type, payload)

    # -- commands

    async def reload_hooks(self, command: ReloadHooks, actor: Actor) -> HookList:
        """Read one folder or all again."""
        if not self._settings.enabled:
            fix = "set hooks.enabled to true in config.yaml"
            raise Refused("hooks are switched off", rule="configured", fix=fix)
        async with self._lock:
            await self._load(command.name, actor)
        return await self.list_hooks(ListHooks())

    async def pause_hook(self, command: PauseHook, actor: Actor) -> HookView:
        """Tell it nothing."""
        async with self._lock:
            worker = self._get(command.name)
            if worker.state is not HookState.READY:
                raise Refused(f"{worker.name} is {worker.state.value}", rule="state", fix="see `hooks list`")
            worker.pause(actor.name, command.reason)
            self._listen()
            return await self._keep(worker, actor, HookPaused)

    async def resume_hook(self, command: ResumeHook, actor: Actor) -> HookView:
        """Tell it again."""
        async with self._lock:
            worker = self._get(command.name)
            if worker.state is not HookState.PAUSED:
                raise Refused(
                    f"{worker.name} is {worker.state.value}, not paused", rule="state", fix="see `hooks list`"
                )
            worker.resume()
            self._listen()
            return await self._keep(worker, actor, HookResumed)

    async def try_hook(self, command: TestHook, _actor: Actor) -> HookTrial:
        """Give it a made-up event."""
        worker = self._get(command.name)
        if worker.state is HookState.BROKEN:
            raise Refused(f"{worker.name} is broken: {worker.folder.problem}", rule="state", fix="mend it, then reload")
        event_type = command.event_type or first_wanted(worker.events)
        payload = sample(event_type, self._clock.now()) if is_pattern(event_type) else None
        if payload is None:
            raise InvalidInput(
                f"no event is called {event_type[:80]!r}",
                field="event_type",
                value=event_type[:80],
                fix=f"one of {', '.join(EVENT_NAMES)}",
            )
        trial = worker.try_out(event_type, payload)
        try:
            async with asyncio.timeout(worker.timeout_s * 2 + START_LIMIT_S + _TRIAL_GRACE_S):
                return await trial
        except (TimeoutError, asyncio.CancelledError):
            if is_cancelled():
                raise
            raise Refused(f"{worker.name} did not come to it", rule="busy", fix="try again, or reload it") from None

    async def list_hooks(self, _query: ListHooks) -> HookList:
        """All hooks."""
        seq = await self._journal.head()
        return HookList(hooks=self.views, seq=seq)

    # -- work

    def _get(self, name: str) -> HookWorker:
        found = next((worker for worker in self._workers if worker.name == name), None)
        if found is None:
            raise NotFound(f"no hook {name[:80]}", noun="hook", id=name[:80], fix="see `hooks list`")
        return found

    async def _load(self, name: str, actor: Actor = SYSTEM) -> None:
        """Read all folders; exchange the worker of that name, or all with ""."""
        if not self._settings.enabled:
            return
        folders = await asyncio.to_thread(read_all, self._home)
        if name and name not in {folder.name for folder in folders}:
            self._get(name)
        rows = {row.key.removeprefix(_PREFIX): _decoder.decode(row.body) for row in await self._store.scan(_PREFIX)}
        kept = {worker.name: worker for worker in self._workers if name and worker.name != name}
        for worker in self._workers:
            if worker.name not in kept:
                await self._supervisor.stop_service(_service(worker.name))
        found = {folder.name: folder for folder in folders if not name or folder.name == name}
        fresh = [self._worker(folder, rows.get(folder.name, HookRow())) for folder in found.values()]
        self._workers = tuple(sorted((*kept.values(), *fresh), key=_rank))
        self._listen()
        self._check_switches({folder.name for folder in folders})
        for worker in fresh:
            if worker.state is not HookState.BROKEN:
                self._supervisor.start(_service(worker.name), worker.run)
        await self._journal.commit([], [(SUBJECT, HooksLoaded(hooks=self.views))], actor=actor)

    def _listen(self) -> None:
        """Note what anybody wants to hear, so that nothing is made of what nobody does."""
        ready = [worker.events for worker in self._workers if worker.state is HookState.READY]
        self._wanted = frozenset().union(*map(bases, ready))

    def _check_switches(self, known: Collection[str]) -> None:
        """A name that is written wrong would leave the hook that was meant as it is."""
        for field, names in (("hooks.on", self._settings.on), ("hooks.off", self._settings.off)):
            for name in names:
                if name not in known:
                    fix = "use a name of `hooks list`, or take it out"
                    error = InvalidInput(f"{field} names no hook: {name}", field=field, value=name, fix=fix)
                    self._on_fault(field, error)

    def _worker(self, folder: HookFolder, row: HookRow) -> HookWorker:
        manifest = folder.manifest
        is_on = manifest is not None and (manifest.enabled or folder.name in self._settings.on)
        worker = HookWorker(
            folder,
            row,
            is_on=is_on and folder.name not in self._settings.off,
            timeout_s=self._settings.timeout_s,
            queue_limit=self._settings.queue_limit,
            clock=self._clock,
            on_answer=self._answered,
        )
        self._count_up(worker)
        return worker

    def _count_up(self, worker: HookWorker) -> None:
        """Versions grow over all workers of a hook, also over a reload."""
        self._version += 1
        worker.version = self._version

    def _answered(self, worker: HookWorker, has_failed: bool) -> None:
        self._count_up(worker)
        if has_failed:
            self._failed(worker, self._clock.monotonic())
            return
        if worker.stored.failures_in_row and worker.state is HookState.READY:
            self._store_later(worker)
        self._show(worker)

    def _show(self, worker: HookWorker) -> None:
        """Tell of its counts now, or once the last time is a second ago; what is shown is never left behind."""
        if worker.name in self._to_show:
            return
        now = self._clock.monotonic()
        left_s = self._told_at.get(worker.name, float("-inf")) + _TOLD_EVERY_S - now
        if left_s > 0:
            self._to_show.add(worker.name)
            self._supervisor.spawn(f"hook counts {worker.name}", self._show_later(worker.name, left_s))
        else:
            self._told_at[worker.name] = now
            self._journal.publish(worker.name, HookAnswered(hook=worker.view()))

    async def _show_later(self, name: str, delay_s: float) -> None:
        try:
            await self._clock.sleep(delay_s)
        finally:
            self._to_show.discard(name)
        for worker in self._workers:
            if worker.name == name:
                self._show(worker)

    def _failed(self, worker: HookWorker, now: float) -> None:
        in_row = worker.row.failures_in_row
        if in_row >= self._settings.failure_limit and worker.state is HookState.READY:
            worker.pause(SYSTEM.name, f"{in_row} failures in a row")
            self._listen()
            self._store_later(worker, HookPaused)
        elif now - self._stored_at.get(worker.name, float("-inf")) >= _STORED_EVERY_S:
            self._stored_at[worker.name] = now
            self._store_later(worker, HookFailed)
        else:
            self._journal.publish(worker.name, HookFailed(hook=worker.view()))

    def _store_later(self, worker: HookWorker, *events: Callable[..., Event]) -> None:
        # Not asked for again while it is on its way.
        worker.stored = worker.row

        async def store() -> None:
            try:
                await self._keep(worker, SYSTEM, *events)
            except HermesError as error:
                self._on_fault(f"hook {worker.name}", error)

        self._supervisor.spawn(f"hook row {worker.name}", store())

    async def _keep(self, worker: HookWorker, actor: Actor, *events: Callable[..., Event]) -> HookView:
        self._count_up(worker)
        view = worker.view()
        worker.stored = worker.row
        put = Put(_PREFIX + worker.name, msgspec.json.encode(worker.row))
        await self._journal.commit([put], [(worker.name, event(hook=view)) for event in events], actor=actor)
        return view


def _service(name: str) -> str:
    return f"hook {name}"


def _rank(worker: HookWorker) -> tuple[int, str]:
    manifest = worker.folder.manifest
    return rank(manifest.order if manifest else 0, worker.name)
