"""Bindings do what a dict does, whatever is ordered, over restarts and full disks."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.api.bindings import (
    AddBinding,
    BindingChange,
    BindingView,
    Bot,
    ImportBindings,
    ListBindingChanges,
    RemoveBinding,
    UndoBinding,
)
from core.api.errors import ConflictError, HermesError, InvalidInput, NotFound, StoreError
from core.relay.hotplex_file import FileBinding, write_bindings
from tests.support.binding_rig import BindingRig, a_bot, binding_rig
from tests.support.outbox import FullStore

Key = tuple[str, str]

KEYS = st.sampled_from([("slack", "C1"), ("slack", "C11"), ("telegram", "C1"), ("slack", "*"), ("*", "*")])
NAMES = st.sampled_from(["alpha", "beta", "gamma"])
URLS = st.sampled_from(["https://a.example", "https://b.example", "https://b.example/x"])
BOTS = st.builds(a_bot, NAMES, URLS, priority=st.sampled_from([1, 100]), enabled=st.booleans())
BOT_LISTS = st.lists(BOTS, max_size=3, unique_by=lambda bot: bot.name)
KEPT = 12
"""Changes that are kept here, so that the oldest go within an example."""


class BindingsAreADict(RuleBasedStateMachine):
    """The model: bots by chat and name, and all changes in a list."""

    @initialize()
    def begin(self) -> None:
        """Nothing is bound."""
        self.runner = asyncio.Runner()
        self.store = FullStore()
        self.model: dict[Key, dict[str, Bot]] = {}
        self.changes: list[tuple[Key, dict[str, Bot] | None, dict[str, Bot] | None]] = []
        self.mirror: dict[Key, BindingView] = {}
        self.rig = self.run(self._rig())

    async def _rig(self) -> BindingRig:
        return await binding_rig(self.store, kept_changes=KEPT)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run on the loop of this example."""
        return self.runner.run(work)

    def order(self, command: Any, error: type[HermesError] | None) -> None:
        """Carry it out; it fails as it should, or does what the model did."""
        raised: type[HermesError] | None = None
        try:
            self.run(self.rig.do(command))
        except HermesError as caught:
            raised = type(caught)
        assert raised is error

    def change(self, key: Key, after: dict[str, Bot] | None) -> None:
        """Do it in the model."""
        before = self.model.get(key)
        self.changes.append((key, before, after))
        if after is None:
            del self.model[key]
        else:
            self.model[key] = after

    def last_of(self, key: Key) -> int:
        """Number of the last change of a chat; 0 without one that is kept."""
        numbers = [number for number, change in enumerate(self.changes, 1) if change[0] == key]
        return numbers[-1] if numbers and numbers[-1] > len(self.changes) - KEPT else 0

    def version(self, key: Key) -> int:
        """Of a binding; 0 when there is none."""
        numbers = [number for number, change in enumerate(self.changes, 1) if change[0] == key]
        return numbers[-1] if key in self.model else 0

    @rule(key=KEYS, bots=BOT_LISTS, is_replacing=st.booleans(), off=st.sampled_from([None, None, 0, 1]))
    def add(self, key: Key, bots: list[Bot], is_replacing: bool, off: int | None) -> None:
        """Bind, at times with a version that is not the present one."""
        version = self.version(key)
        expected = None if off is None else version + off
        command = AddBinding(
            platform=key[0], chat=key[1], bots=tuple(bots), is_replacing=is_replacing, expected=expected
        )
        if expected not in {None, version}:
            self.order(command, ConflictError)
        elif not bots:
            self.order(command, InvalidInput)
        else:
            before = self.model.get(key)
            named = {bot.name: bot for bot in bots}
            after = named if is_replacing else {**(before or {}), **named}
            if after != before:
                self.change(key, after)
            self.order(command, None)

    @rule(key=KEYS, bot=st.one_of(st.just(""), NAMES))
    def remove(self, key: Key, bot: str) -> None:
        """Take one away, or all."""
        command = RemoveBinding(platform=key[0], chat=key[1], bot=bot)
        before = self.model.get(key, {})
        if (bot or next(iter(before), None)) not in before:
            self.order(command, NotFound)
            return
        after = {name: one for name, one in before.items() if bot and name != bot}
        self.change(key, after or None)
        self.order(command, None)

    @rule(key=KEYS)
    def undo(self, key: Key) -> None:
        """Take the last change back."""
        command = UndoBinding(platform=key[0], chat=key[1])
        last = self.last_of(key)
        if last:
            self.change(key, self.changes[last - 1][1])
        self.order(command, None if last else NotFound)

    @rule(chats=st.dictionaries(st.sampled_from(["C1", "C11"]), st.dictionaries(NAMES, URLS, max_size=2), max_size=2))
    def take_file(self, chats: dict[str, dict[str, str]]) -> None:
        """Import over what there is."""
        entries = [
            FileBinding(platform="slack", chat_id=chat, bots=tuple(bots.items())) for chat, bots in chats.items()
        ]
        for entry in sorted(entries, key=lambda one: one.chat_id):
            key = ("slack", entry.chat_id)
            before = self.model.get(key, {})
            after = dict(before)
            for name, url in entry.bots:
                old = before.get(name, a_bot(name, ""))
                after[name] = a_bot(name, url, priority=old.priority, enabled=old.enabled)
            if after != before:
                self.change(key, after)
        self.order(ImportBindings(document=write_bindings(entries)), None)

    @rule(key=KEYS)
    def fill_the_disk(self, key: Key) -> None:
        """An order that cannot be stored changes nothing."""
        self.store.is_full = True
        bot = a_bot("delta", "https://d.example")
        self.order(AddBinding(platform=key[0], chat=key[1], bots=(bot,)), StoreError)
        self.store.is_full = False

    @rule()
    def restart(self) -> None:
        """What is stored is all there is."""
        self.mirror = {}
        self.rig = self.run(self._rig())
        self.mirror = {(view.platform, view.chat): view for view in self.rig.bindings.all()}

    @invariant()
    def it_is_the_dict(self) -> None:
        """Bots, versions, and where every name leads, found the slow way."""
        found = {(view.platform, view.chat): view for view in self.rig.bindings.all()}
        assert list(found) == sorted(self.model)
        for key, view in found.items():
            assert view.bots == tuple(self.model[key][name] for name in sorted(self.model[key]))
            assert view.version == self.version(key)
        for platform, chat in (("slack", "C1"), ("slack", "C9"), ("matrix", "C1")):
            for name in ("alpha", "beta", "gamma"):
                assert self.rig.url_of(name, platform, chat) == self.slow(name, platform, chat)

    def slow(self, name: str, platform: str, chat: str) -> str | None:
        """Where a name leads from a chat: its own, else the best for any chat."""
        own = self.model.get((platform, chat), {}).get(name)
        if own is not None:
            return own.url if own.enabled else None
        wide = [self.model.get(key, {}).get(name) for key in ((platform, "*"), ("*", "*"))]
        enabled = [bot for bot in wide if bot is not None and bot.enabled]
        return min(enabled, key=lambda bot: bot.priority).url if enabled else None

    @invariant()
    def history_is_the_end_of_the_list(self) -> None:
        """The newest are kept, with what was before and after."""
        changes = self.run(self.rig.ask(ListBindingChanges(limit=500))).changes
        first = max(0, len(self.changes) - KEPT)
        expected = list(enumerate(self.changes, 1))[first:]
        assert [known(change) for change in reversed(changes)] == [(number, *change) for number, change in expected]

    @invariant()
    def whoever_follows_the_events_knows_the_same(self) -> None:
        """A mirror needs nothing else."""
        for event in self.rig.told:
            change: BindingChange = event.change
            key = (change.platform, change.chat)
            view = getattr(event, "binding", None)
            if view is None:
                self.mirror.pop(key, None)
            else:
                self.mirror[key] = view
        self.rig.told.clear()
        assert self.mirror == {(view.platform, view.chat): view for view in self.rig.bindings.all()}

    def teardown(self) -> None:
        """Let go of the loop."""
        if hasattr(self, "runner"):
            self.runner.close()


def known(change: BindingChange) -> tuple[int, Key, dict[str, Bot] | None, dict[str, Bot] | None]:
    """A change as the model has it."""
    before, after = (
        None if bots is None else {bot.name: bot for bot in bots} for bots in (change.before, change.after)
    )
    return change.number, (change.platform, change.chat), before, after


BindingsAreADict.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBindingsAreADict = BindingsAreADict.TestCase
