"""Bindings as they are kept: orders of operators, history, import and export."""

from collections.abc import Callable, Collection, Sequence

from core.api.base import Actor
from core.api.bindings import (
    AddBinding,
    BindingChange,
    BindingCheck,
    BindingDocument,
    BindingHistory,
    BindingImportReport,
    BindingList,
    BindingReceipt,
    BindingView,
    Candidate,
    ChangeKind,
    CheckBot,
    ExportBindings,
    ImportBindings,
    ListBindingChanges,
    ListBindings,
    RemoveBinding,
    Resolution,
    ResolveBot,
    UndoBinding,
)
from core.api.errors import ConflictError, InvalidInput, NotFound, Overloaded
from core.clock import Clock
from core.handlers import CommandHandlers, QueryHandlers
from core.journal import Journal
from core.relay import binding_file
from core.relay.binding import check_bot, check_key, merged, normalised, refusal
from core.relay.binding_rows import KEPT_CHANGES, BindingRows, Done, Key, Step
from core.relay.hotplex_file import read_bindings
from core.relay.resolution import Directory
from core.store.base import Store

BINDINGS_LIMIT = 5_000
"""Chats that can be bound."""

_PAGE_LIMIT = 500


class Bindings:
    """All bindings, in memory and in the store.

    peers: names that a bot's credentials may have. networks: that every bot may be in. kept_changes: of the history.
    """

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        clock: Clock,
        peers: Callable[[], Collection[str]],
        networks: Sequence[str] = (),
        kept_changes: int = KEPT_CHANGES,
    ) -> None:
        self._journal = journal
        self._peers = peers
        self._networks = tuple(networks)
        self._directory = Directory()
        self._callbacks: list[Callable[[], None]] = []
        self._all: tuple[BindingView, ...] | None = None
        self._rows = BindingRows(
            store=store, journal=journal, clock=clock, changed=self._changed, kept_changes=kept_changes
        )

    async def open(self) -> None:
        """Read them. Raises StoreError."""
        await self._rows.load()
        for (platform, chat), binding in self._rows.bound.items():
            self._directory.put(platform, chat, binding)
        self._all = None

    def all(self) -> Sequence[BindingView]:
        """By platform and chat."""
        if self._all is None:
            self._all = tuple(self._rows.bound[key] for key in sorted(self._rows.bound))
        return self._all

    def resolve(self, name: str, platform: str = "", chat: str = "", url: str = "") -> Resolution:
        """What a name means: in a chat its own binding, then those for any chat; the lowest priority of those wins."""
        if (platform, chat) in self._rows.damaged:
            return Resolution(name=name, candidates=(), chosen=None, why=self._rows.problem)
        return self._directory.resolve(name, platform, chat, url)

    def demand(self, name: str, platform: str = "", chat: str = "", url: str = "") -> Candidate:
        """The one bot that is meant. Raises NotFound, ConflictError that lists the candidates."""
        found = self.resolve(name, platform, chat, url)
        if found.chosen is not None:
            return found.chosen
        if len([candidate for candidate in found.candidates if candidate.bot.enabled]) > 1:
            raise ConflictError(found.why, key=name, candidates=len(found.candidates), fix="name platform and chat")
        raise NotFound(found.why, noun="bot", id=name, fix="see `relay list_bindings`")

    def bots_of(self, origin: str) -> Sequence[Candidate]:
        """All that lead to an origin."""
        return self._directory.bots_of(origin)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back when a binding was added, changed or removed. It must be quick."""
        self._callbacks.append(callback)

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            AddBinding: self.add_binding,
            RemoveBinding: self.remove_binding,
            UndoBinding: self.undo_binding,
            ImportBindings: self.import_bindings,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {
            ListBindings: self.list_bindings,
            CheckBot: self.check_bot,
            ResolveBot: self.resolve_bot,
            ListBindingChanges: self.list_binding_changes,
            ExportBindings: self.export_bindings,
        }

    # -- orders ------------------------------------------------------------------

    async def add_binding(self, command: AddBinding, actor: Actor) -> BindingReceipt:
        """Bind bots to a chat. What is so already changes nothing."""
        key = self._key(command.platform, command.chat)
        peers = self._peers()
        bots = [normalised(*key, bot, peers=peers) for bot in command.bots]
        async with self._rows.lock:
            before = await self._present(key, command.expected)
            after = merged(before.bots if before else (), bots, is_replacing=command.is_replacing)
            if before is not None and after == before.bots:
                return BindingReceipt(binding=before, change=await self._last(key, before))
            if before is None:
                self._check_room(1)
            kind = ChangeKind.ADDED if before is None else ChangeKind.CHANGED
            step = Step(key, kind, None if before is None else before.bots, after)
            return _receipt(await self._rows.commit([step], actor))

    async def remove_binding(self, command: RemoveBinding, actor: Actor) -> BindingReceipt:
        """Take one bot away, or all; with the last one the binding is gone."""
        key = self._key(command.platform, command.chat)
        async with self._rows.lock:
            before = await self._present(key, command.expected)
            if before is None:
                raise _unbound(key)
            left = tuple(bot for bot in before.bots if command.bot and bot.name != command.bot)
            if left == before.bots:
                what = f"{':'.join(key)} has no bot {command.bot}"
                known = ", ".join(bot.name for bot in before.bots)
                raise NotFound(what, noun="bot", id=command.bot, fix=f"one of {known}")
            step = Step(key, ChangeKind.CHANGED if left else ChangeKind.REMOVED, before.bots, left or None)
            return _receipt(await self._rows.commit([step], actor))

    async def undo_binding(self, command: UndoBinding, actor: Actor) -> BindingReceipt:
        """Make a binding what it was before its last change."""
        key = self._key(command.platform, command.chat)
        async with self._rows.lock:
            before = await self._present(key, None)
            last = await self._rows.last_change(key)
            # A change that is too old to be kept is not the one that the binding had last.
            if last is None or (before is not None and before.version != last.number):
                what = f"no change of {':'.join(key)} is kept"
                raise NotFound(what, noun="change", id=":".join(key), fix="see `relay history`")
            if command.expected is not None and command.expected != last.number:
                what = f"{':'.join(key)} was changed since, last by {last.by}"
                raise ConflictError(what, key=":".join(key), expected=command.expected, found=last.number)
            if before is None:
                self._check_room(1)
            step = Step(key, ChangeKind.UNDONE, None if before is None else before.bots, last.before)
            return _receipt(await self._rows.commit([step], actor))

    async def import_bindings(self, command: ImportBindings, actor: Actor) -> BindingImportReport:
        """Take what a bindings.json of HotPlex says, all of it in one commit."""
        file = read_bindings(command.document)
        peers = self._peers()
        async with self._rows.lock:
            await self._rows.settled()
            bound = self._rows.bound
            plan = binding_file.planned(file, bound, peers=peers, is_replacing=command.is_replacing)
            if not command.is_dry_run:
                if not command.is_skipping:
                    binding_file.check_refused(plan.items)
                await self._take_in(plan, actor)
        return BindingImportReport(items=plan.items, is_dry_run=command.is_dry_run)

    async def _take_in(self, plan: binding_file.Import, actor: Actor) -> None:
        steps: list[Step] = []
        for key, after in plan.after:
            self._rows.check(key)
            before = self._rows.bound.get(key)
            steps.append(Step(key, ChangeKind.IMPORTED, None if before is None else before.bots, after or None))
        self._check_room(sum(step.before is None for step in steps))
        if steps:
            await self._rows.commit(steps, actor)

    # -- questions ---------------------------------------------------------------

    async def list_bindings(self, query: ListBindings) -> BindingList:
        """All bindings, and names that stand for several addresses."""
        seq = await self._journal.head()
        found = tuple(view for view in self.all() if not query.platform or view.platform == query.platform)
        return BindingList(
            bindings=found, ambiguities=self._directory.ambiguities(), problem=self._rows.problem, seq=seq
        )

    async def check_bot(self, query: CheckBot) -> BindingCheck:
        """What a bot would be in a chat."""
        return check_bot(query.platform, query.chat, query.bot, peers=self._peers(), networks=self._networks)

    async def resolve_bot(self, query: ResolveBot) -> Resolution:
        """What a name means."""
        return self.resolve(query.name, query.platform, query.chat)

    async def list_binding_changes(self, query: ListBindingChanges) -> BindingHistory:
        """What was changed, the latest first. Raises InvalidInput."""
        if not 1 <= query.limit <= _PAGE_LIMIT:
            what = f"the limit is {query.limit}"
            raise InvalidInput(what, field="limit", value=query.limit, fix=f"use 1 to {_PAGE_LIMIT}")
        if query.before < 0:
            raise InvalidInput(
                "before is no number of a change", field="before", value=query.before, fix="use 0 or more"
            )
        if query.platform and query.chat:
            self._key(query.platform, query.chat)
        seq = await self._journal.head()
        found = await self._rows.changes(query.platform, query.chat, before=query.before, limit=query.limit + 1)
        return BindingHistory(changes=tuple(found[: query.limit]), has_more=len(found) > query.limit, seq=seq)

    async def export_bindings(self, query: ExportBindings) -> BindingDocument:  # noqa: ARG002 - every query has one
        """All of them as HotPlex reads them."""
        return binding_file.exported(self.all())

    # -- what all share ----------------------------------------------------------

    def _key(self, platform: str, chat: str) -> Key:
        problems = check_key(platform, chat)
        if problems:
            raise refusal(problems)
        return platform, chat

    async def _present(self, key: Key, expected: int | None) -> BindingView | None:
        """A binding as it is now. Raises ConflictError when it is not the expected one, StoreError."""
        await self._rows.settled()
        self._rows.check(key)
        found = self._rows.bound.get(key)
        version = 0 if found is None else found.version
        if expected is not None and expected != version:
            who = f", last by {found.changed_by}" if found is not None else ""
            what = f"{':'.join(key)} was changed since it was looked at{who}"
            raise ConflictError(what, key=":".join(key), expected=expected, found=version)
        return found

    async def _last(self, key: Key, binding: BindingView) -> BindingChange:
        found = await self._rows.last_change(key)
        if found is not None and found.number == binding.version:
            return found
        # Its change was let go with others of its age.
        return BindingChange(
            number=binding.version,
            platform=binding.platform,
            chat=binding.chat,
            kind=ChangeKind.CHANGED,
            at=binding.changed,
            by=binding.changed_by,
            before=binding.bots,
            after=binding.bots,
        )

    def _check_room(self, more: int) -> None:
        if len(self._rows.bound) + more > BINDINGS_LIMIT:
            what = f"{BINDINGS_LIMIT} chats can be bound, and these would be {len(self._rows.bound) + more}"
            raise Overloaded(what, bound="bindings", limit=BINDINGS_LIMIT, fix="remove some, or bind every chat (*)")

    def _changed(self, done: Sequence[Done]) -> None:
        for one in done:
            self._directory.put(one.change.platform, one.change.chat, one.binding)
        self._all = None
        for callback in self._callbacks:
            callback()


def _receipt(done: Sequence[Done]) -> BindingReceipt:
    return BindingReceipt(binding=done[0].binding, change=done[0].change)


def _unbound(key: Key) -> NotFound:
    return NotFound(f"{':'.join(key)} is not bound", noun="binding", id=":".join(key), fix="see `relay list_bindings`")
