"""What acts on bindings of the relay, and on the relay as a whole, do: dialog, command, receipt.

The dialogs are loaded where they are shown: the first frame need not wait for them.
"""

from collections.abc import Callable

import msgspec

from console import relay_receipts as receipts
from console import text
from console.act_group import Act, ActGroup
from console.action import Action
from console.relay_breaker_acts import RelayBreakerActs
from console.relay_facts import host_of, target_of
from console.relay_link import RelayHost, last_error
from console.relay_message_acts import RelayMessageActs
from console.relay_receipts import chat_words, still_running
from console.relay_rows import RelayRows, binding_key
from console.screens.relay_forms import BotDraft
from console.target import Target
from core.api.bindings import (
    AddBinding,
    BindingChange,
    BindingCheck,
    BindingView,
    Bot,
    CheckBot,
    ListBindingChanges,
    RemoveBinding,
    UndoBinding,
)
from core.api.relay_targets import CheckTarget, PauseRelay, ResumeRelay, TargetReport

_HISTORY_LIMIT = 50


class RelayActs(ActGroup[RelayHost]):
    """One method for each act. Every command names what was under the cursor at the moment of the key.

    breakers: of the relay's own far sides, in place of those of outboxes.
    """

    def __init__(self, host: RelayHost) -> None:
        super().__init__(host)
        self._messages = RelayMessageActs(host)
        self.breakers = RelayBreakerActs(host)

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "binding.add": self._add,
            "binding.change": self._change,
            "binding.remove": self._remove,
            "binding.undo": self._undo,
            "binding.history": self._history,
            "relay.test": self._test,
            "relay.pause": self._pause,
            "relay.resume": self._pause,
            "breaker.menu": self.breakers.menu,
            **self._messages.acts(),
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "binding.add": lambda _: self._cannot_bind(),
            "binding.change": self._no_bot,
            "binding.remove": self._no_bot,
            "binding.undo": lambda _: self._cannot_bind(),
            "relay.test": lambda target: "" if self._bound_at(target) else "no bound bot is under the cursor",
            "relay.pause": lambda _: "" if self._rows.pause else "the core has not said how the relay stands",
            "relay.resume": lambda _: "" if self._rows.is_paused else "it is not paused",
            "breaker.menu": self.breakers.no_breaker,
            **self._messages.reasons(),
        }

    @property
    def _rows(self) -> RelayRows:
        return self._host.mirror.work.relay

    def _found(self, target: Target) -> tuple[BindingView, Bot] | None:
        binding = self._rows.bindings.get(target.binding)
        if binding is None:
            return None
        return next(((binding, bot) for bot in binding.bots if bot.name == target.bot), None)

    def _cannot_bind(self) -> str:
        return "the core cannot show its relay" if self._rows.error else ""

    def _no_bot(self, target: Target) -> str:
        return self._cannot_bind() or ("" if self._found(target) else "no bot is under the cursor")

    def _bound_at(self, target: Target) -> tuple[BindingView, Bot] | None:
        """The bot that is meant: under the cursor, or the first that leads to the far side."""
        if target.bot or not target.origin:
            return self._found(target)
        for binding in self._rows.bindings.values():
            for bot in binding.bots:
                far = target_of(self._rows, bot.url)
                if far is not None and far.origin == target.origin:
                    return binding, bot
        return None

    def _last_error(self, none: str) -> str:
        return last_error(self._host.link, none)

    # -- bindings

    async def _edit(self, draft: BotDraft, problem: str, *, is_new: bool) -> BotDraft | None:
        from console.screens.relay_forms import BotScreen

        peers = sorted(self._rows.peers)
        screen = BotScreen(draft, is_new=is_new, peers=peers, check=self._check, look=self._look, problem=problem)
        return await self._host.ask(screen)

    async def _check(self, draft: BotDraft) -> BindingCheck | str:
        query = CheckBot(platform=draft.platform, chat=draft.chat, bot=draft.bot)
        return await self._host.question(query) or "the core cannot check it now"

    async def _look(self, draft: BotDraft) -> TargetReport | str:
        command = CheckTarget(platform=draft.platform, chat=draft.chat, bot=draft.bot)
        found = await self._host.order(command, receipts.checked)
        return found or self._last_error("the core did not look")

    async def _add(self, target: Target, _action: Action) -> None:
        near = self._rows.bindings.get(target.binding)
        draft = BotDraft(near.platform if near else "", near.chat if near else "", Bot(name="", url=""))
        problem = ""
        while (chosen := await self._edit(draft, problem, is_new=True)) is not None:
            draft = chosen
            before = self._rows.bindings.get(binding_key(chosen.platform, chosen.chat))
            if before is not None and any(bot.name == chosen.bot.name for bot in before.bots):
                problem = f"not saved: {text.clean(chosen.bot.name)} is bound there already, E changes it"
                continue
            command = AddBinding(platform=chosen.platform, chat=chosen.chat, bots=(chosen.bot,))
            if await self._host.order(command, receipts.bound):
                return
            problem = f"not saved: {self._last_error('the core said nothing')}"

    async def _change(self, target: Target, _action: Action) -> None:
        found = self._found(target)
        if found is None:
            return
        binding, bot = found
        draft, problem = BotDraft(binding.platform, binding.chat, bot), ""
        while (chosen := await self._edit(draft, problem, is_new=False)) is not None:
            draft = chosen
            if chosen.bot == bot:
                self._host.say("nothing was changed")
                return
            command = AddBinding(
                platform=binding.platform, chat=binding.chat, bots=(chosen.bot,), expected=binding.version
            )
            if chosen.bot.name != bot.name:
                # Under another name it is another bot, unless all of the chat are named.
                others = tuple(other for other in binding.bots if other.name not in {bot.name, chosen.bot.name})
                command = msgspec.structs.replace(command, bots=(*others, chosen.bot), is_replacing=True)
            if await self._host.order(command, receipts.bound):
                return
            problem = f"not saved: {self._last_error('the core said nothing')}"

    async def _remove(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        found = self._found(target)
        if found is None:
            return
        binding, bot = found
        where = chat_words(binding.platform, binding.chat)
        far = target_of(self._rows, bot.url)
        waiting = text.counted(far.waiting, "message") if far else "nothing"
        lines = [
            f"{where} does not reach {text.clean(bot.name)} at {host_of(bot.url)} any more",
            f"what is under way still goes there: {waiting} waiting",
            "Z takes it back",
        ]
        if await self._host.ask(ConfirmScreen(f"unbind {text.clean(bot.name)}?", lines, verb="unbind")):
            command = RemoveBinding(
                platform=binding.platform, chat=binding.chat, bot=bot.name, expected=binding.version
            )
            await self._host.order(command, receipts.bound)

    async def _undo(self, target: Target, _action: Action) -> None:
        binding = self._rows.bindings.get(target.binding)
        await self._take_back(binding.platform if binding else "", binding.chat if binding else "")

    async def _history(self, _target: Target, _action: Action) -> None:
        await self._take_back("", "")

    async def _take_back(self, platform: str, chat: str) -> None:
        from console.screens.relay_dialogs import HistoryScreen

        query = ListBindingChanges(platform=platform, chat=chat, limit=_HISTORY_LIMIT)
        found = await self._host.question(query)
        if found is None:
            return
        where = chat_words(platform, chat) if platform else "all bindings"
        if await self._host.ask(HistoryScreen(f"changes of {where}", found.changes)):
            await self._undo_change(found.changes[0])

    async def _undo_change(self, change: BindingChange) -> None:
        command = UndoBinding(platform=change.platform, chat=change.chat, expected=change.number)
        await self._host.order(command, receipts.bound)

    # -- far sides and the whole

    async def _test(self, target: Target, _action: Action) -> None:
        found = self._bound_at(target)
        if found is None:
            return
        binding, bot = found
        self._host.say(f"looking at {text.clean(bot.name)}: no agent does anything for it", "busy")
        await self._host.order(
            CheckTarget(name=bot.name, platform=binding.platform, chat=binding.chat), receipts.checked
        )

    async def _pause(self, _target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        pause = self._rows.pause
        if pause is None:
            return
        waiting = text.counted(pause.waiting, "message")
        if pause.is_paused:
            why = f"{text.clean(pause.by)} paused it: {text.clean(pause.reason) or 'no reason given'}"
            lines = [why, f"{waiting} waiting go out at once; peers are answered again"]
            if await self._host.ask(ConfirmScreen("let the relay go on?", lines, verb="go on")):
                await self._host.order(ResumeRelay(), receipts.pause_is)
            return
        lines = [
            "nothing is sent to bots and nothing taken from peers until somebody lets it go on, over restarts too",
            f"what is under way is not cut off: {still_running(pause)}",
        ]
        screen = ConfirmScreen("pause the whole relay?", lines, ask_reason=True, verb="pause")
        if await self._host.ask(screen):
            await self._host.order(PauseRelay(reason=screen.reason), receipts.pause_is)
