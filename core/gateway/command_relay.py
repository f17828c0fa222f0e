"""The chat command that writes to bots elsewhere: those that the chat is bound to, and no others."""

from core.api.bindings import ANY_CHAT, ListBindings
from core.api.relay_targets import ListTargets
from core.api.relay_tasks import SendRelay
from core.gateway.command_ports import Call, Facade, Handlers, Reply, failed

_SHOWN = 50


class RelayCommands:
    """Sends as anybody does; the answer comes back to the chat, whenever that is."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    @property
    def handlers(self) -> Handlers:
        """What it carries out."""
        return {"relay": self.relay}

    async def relay(self, call: Call) -> Reply:
        """List the bots, or write to one."""
        words = call.rest.split(maxsplit=1)
        if not words:
            return await self._listed(call)
        name, text = words[0], words[1] if len(words) > 1 else ""
        if not text:
            return failed(f"What is {name} to be told? Use it as {call.command.usage}")
        order = SendRelay(
            to=(name,),
            text=text.rstrip(),
            platform=str(call.source.platform),
            chat=call.source.chat,
            session_id=call.session_id,
        )
        receipt = await self._facade.execute(order, actor=call.actor)
        is_paused = (await self._facade.query(ListTargets())).pause.is_paused
        how = f"Kept for {name}, for the relay is paused," if is_paused else f"On its way to {name},"
        return Reply(f"{how} as `{receipt.tasks[0].id}`; the answer comes here.")

    async def _listed(self, call: Call) -> Reply:
        bindings = (await self._facade.query(ListBindings())).bindings
        names = sorted(
            {
                bot.name
                for binding in bindings
                for bot in binding.bots
                if bot.enabled
                and binding.platform in {str(call.source.platform), ANY_CHAT}
                and binding.chat in {call.source.chat, ANY_CHAT}
            }
        )
        if not names:
            return Reply("This chat reaches no bots.")
        more = f"\nand {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return Reply("\n".join(f"- {name}" for name in names[:_SHOWN]) + more)
