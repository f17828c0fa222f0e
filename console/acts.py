"""What an action does: its dialog, its command, and the core's answer in words. Bound to ids seen at the key.

The dialogs are loaded where they are shown: the first frame need not wait for them.
"""

from collections.abc import Callable
from typing import Any, Protocol

from console import text
from console.act_group import ActGroup
from console.action import Action
from console.agent_acts import AgentActs
from console.approval_acts import ApprovalActs
from console.automation_acts import AutomationActs
from console.mail_acts import MailActs
from console.orders import operator
from console.outbox_acts import OutboxActs
from console.pairing_acts import PairingActs
from console.platform_acts import PlatformActs
from console.queue_acts import QueueActs, QueueHost
from console.receipts import delivery_words, dropped, interrupted, sent, stopping, was_reset
from console.relay_acts import RelayActs
from console.session_facts import queue_words, usage_words
from console.session_words import doing, effect_words, run_words
from console.target import Target
from console.task_acts import TaskActs
from console.widgets.inject_choice import InjectChoice
from core.api.base import DeliveryId, MessageId, PlatformName, SessionId
from core.api.deliveries import DeliveryView, DropDelivery, RetryDelivery
from core.api.platforms import PlatformState
from core.api.session_queue import DropMessage
from core.api.sessions import InterruptSession, OpenSession, ResetSession, SendMessage, SessionView
from core.api.system import Shutdown

_OPENABLE = frozenset({"loopback"})


class ActHost(QueueHost, Protocol):
    """What all acts need of the app."""

    def show_session(self, session_id: str) -> None:
        """Go to a session."""
        ...


class Acts(ActGroup[ActHost]):
    """One method for each action that changes something."""

    def __init__(self, host: ActHost) -> None:
        super().__init__(host)
        self.drafts: dict[str, InjectChoice] = {}
        self.approvals = ApprovalActs(host, surface=f"console:{operator().name}")
        self._relay = RelayActs(host)
        self._groups = (
            self._relay,
            MailActs(host),
            AgentActs(host),
            TaskActs(host),
            self.approvals,
            QueueActs(host),
            AutomationActs(host),
            OutboxActs(host),
            PlatformActs(host),
            PairingActs(host),
        )

    def carries_out(self, action: Action) -> bool:
        """Whether an action is one of these, and not a move of the view."""
        return action.command is not None or action.id in self._relay.acts()

    async def run(self, action: Action, target: Target) -> None:
        """Carry an action out on what was under the cursor when its key came."""
        acts: dict[str, Callable[[Target, Action], Any]] = {
            "session.inject": self._inject,
            "session.open": self._open,
            "session.interrupt": self._interrupt,
            "session.reset": self._reset,
            "message.drop": self._drop_message,
            "delivery.retry": self._retry_delivery,
            "delivery.drop": self._drop_delivery,
            "app.shutdown": self._shutdown,
        }
        for group in self._groups:
            acts |= group.acts()
        if target.is_of_relay:
            acts |= self._relay.breakers.acts()
        await acts[action.id](target, action)

    def why_not(self, action: Action, target: Target) -> str:
        """Why an action can do nothing with a target; "" when it can."""
        reasons: dict[str, Callable[[Target], str]] = {
            "session.inject": self._no_session,
            "session.reset": self._no_session,
            "session.interrupt": self._no_run,
            "message.drop": lambda item: "" if item.message_id else "no queued message under the cursor",
            "delivery.retry": self._no_delivery,
            "delivery.drop": self._no_delivery,
            "session.open": lambda _: "" if self._openable() else "no platform lets the console begin a chat",
        }
        for group in self._groups:
            reasons |= group.reasons()
        if target.is_of_relay:
            reasons |= self._relay.breakers.reasons()
        find = reasons.get(action.id)
        return find(target) if find else ""

    def _no_session(self, target: Target) -> str:
        return "" if target.session_id in self._host.mirror.sessions else "no session here"

    def _no_run(self, target: Target) -> str:
        view = self._host.mirror.sessions.get(target.session_id)
        if view is None:
            return "no session here"
        return "" if view.run else "no run goes on"

    def _no_delivery(self, target: Target) -> str:
        return "" if target.delivery_id in self._host.mirror.deliveries else "no delivery here"

    def _session(self, target: Target) -> SessionView | None:
        view = self._host.mirror.sessions.get(target.session_id)
        if view is None:
            self._host.say("that session is not known any more", "needs")
        return view

    # -- sessions ------------------------------------------------------------

    async def _inject(self, target: Target, _action: Action) -> None:
        import secrets

        from console.widgets.confirm import InjectScreen

        view = self._session(target)
        if view is None:
            return
        key = str(view.id)

        def keep(choice: InjectChoice) -> None:
            self.drafts[key] = choice

        screen = InjectScreen(
            key,
            f"{key} ({view.agent})",
            draft=self.drafts.get(key),
            preview=lambda choice: self._inject_preview(key, choice),
            keep_draft=keep,
        )
        choice = await self._host.ask(screen)
        if choice is None:
            return
        command = SendMessage(
            session_id=SessionId(key),
            text=choice.text,
            voice=choice.voice,
            mode=choice.mode,
            model=choice.model,
            idempotency_key=f"console-{secrets.token_hex(8)}",
        )
        keep(choice)
        if await self._host.order(command, sent) is not None:
            self.drafts.pop(key, None)

    def _inject_preview(self, key: str, choice: InjectChoice) -> list[str]:
        view = self._host.mirror.sessions.get(key)
        if view is None:
            return ["this session is not known any more"]
        profile = self._host.mirror.profiles.get(str(view.agent))
        lines = [f"now      {doing(view, self._host.mirror.approval_of(key), self._age)}"]
        can_steer = profile is not None and profile.steer
        lines.append(f"effect   {effect_words(view, choice.mode, can_steer=can_steer)}")
        lines.append(f"queue    {queue_words(view, self._age)}")
        lines.append(f"reply    goes to the chat on {text.clean(view.source.platform)}")
        return lines

    def _openable(self) -> list[str]:
        return sorted(
            str(platform.name)
            for platform in self._host.mirror.platforms.values()
            if platform.kind in _OPENABLE and platform.state is not PlatformState.OFF
        )

    async def _open(self, _target: Target, _action: Action) -> None:
        platforms = self._openable()
        if not platforms:
            self._host.say("no platform lets the console begin a chat; add one of kind loopback", "needs")
            return
        from console.screens.forms import NewChatScreen

        chat = await self._host.ask(NewChatScreen(platforms))
        if chat is None:
            return
        command = OpenSession(platform=PlatformName(chat.platform), chat=chat.chat, text=chat.text)
        receipt = await self._host.order(command, sent)
        if receipt is not None:
            self._host.show_session(receipt.session_id)

    async def _interrupt(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._session(target)
        if view is None or view.run is None:
            return
        run = view.run
        screen = ConfirmScreen(
            f"interrupt run of {text.clean(view.id)}?",
            [
                f"run {text.clean(run.id)}, began {text.age(self._age(run.started))} ago: {run_words(run, self._age)}",
                f"{text.counted(view.queue_depth, 'queued message')} kept: they go on after it",
            ],
            loses=[action.loses, *self._written(view)],
            ask_reason=True,
            verb="interrupt",
        )
        if await self._host.ask(screen):
            command = InterruptSession(session_id=view.id, run_id=run.id, reason=screen.reason)
            await self._host.order(command, interrupted)

    def _written(self, view: SessionView) -> list[str]:
        watched = self._host.mirror.watched
        if watched is not None and watched.session_id == view.id and watched.answer.length:
            return [f"1 answer of {text.count(watched.answer.length)} characters so far stays as it is, cut off"]
        usage = view.run.usage if view.run else None
        return [f"1 answer, so far {usage_words(usage)}"] if usage and usage.output_tokens else []

    async def _reset(self, target: Target, action: Action) -> None:
        from console.screens.forms import ResetScreen

        view = self._session(target)
        if view is None:
            return
        lines = [f"epoch {view.epoch + 1} begins; {text.count(view.entry_count)} entries stay on record"]
        if view.run is not None:
            lines.append(f"the run is stopped: {doing(view, None, self._age)}")
        screen = ResetScreen(
            f"reset {text.clean(view.id)}?", lines, loses=[action.loses, *self._written(view)], queued=view.queue_depth
        )
        choice = await self._host.ask(screen)
        if choice is not None:
            command = ResetSession(session_id=view.id, reason=choice.reason, drop_queue=choice.drop_queue)
            await self._host.order(command, was_reset)

    async def _drop_message(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        watched = self._host.mirror.watched
        message = watched.messages.get(target.message_id) if watched else None
        if message is None:
            self._host.say("that message does not wait any more", "needs")
            return
        screen = ConfirmScreen(
            "drop queued message?",
            [f"{text.clean(message.sender)}: {text.cut(text.clean(message.text), 300)}"],
            loses=[action.loses],
            ask_reason=True,
            verb="drop",
        )
        if await self._host.ask(screen):
            command = DropMessage(
                session_id=message.session_id, message_id=MessageId(target.message_id), reason=screen.reason
            )
            await self._host.order(command, dropped)

    # -- deliveries ----------------------------------------------------------

    def _delivery(self, target: Target) -> DeliveryView | None:
        view = self._host.mirror.deliveries.get(target.delivery_id)
        if view is None:
            self._host.say("that delivery is not there any more", "needs")
        return view

    async def _retry_delivery(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._delivery(target)
        if view is None:
            return
        lines = [
            f"to {text.clean(view.session_id)} on {text.clean(view.platform)}, {view.attempt} attempts so far",
            f"last error: {text.clean(view.error) or 'none'}",
            "the chat may get it twice when the platform took it and did not say so",
        ]
        if await self._host.ask(ConfirmScreen("try delivery again now?", lines, verb="try")):
            await self._host.order(RetryDelivery(delivery_id=DeliveryId(target.delivery_id)), delivery_words)

    async def _drop_delivery(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._delivery(target)
        if view is None:
            return
        lines = [f"to {text.clean(view.session_id)}: {text.cut(text.clean(view.text), 200)}"]
        screen = ConfirmScreen("drop delivery?", lines, loses=[action.loses], ask_reason=True, verb="drop")
        if await self._host.ask(screen):
            command = DropDelivery(delivery_id=DeliveryId(target.delivery_id), reason=screen.reason)
            await self._host.order(command, lambda view: (f"dropped: delivery to {view.session_id}", "well"))

    # -- core ----------------------------------------------------------------

    async def _shutdown(self, _target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        health = self._host.mirror.health
        busy = self._host.mirror.busy_sessions()
        lines = [
            f"{len(busy)} runs go on, {health.queued_count if health else 0} messages are queued",
            *(f"  {text.clean(view.id)}: {doing(view, None, self._age)}" for view in busy[:5]),
        ]
        screen = ConfirmScreen(
            "stop the core?", lines, loses=[action.loses], typed="stop", ask_reason=True, verb="stop the core"
        )
        if await self._host.ask(screen):
            await self._host.order(Shutdown(reason=screen.reason), stopping)
