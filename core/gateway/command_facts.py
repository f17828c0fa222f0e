"""Chat commands that only tell: what can be ordered, who one is, what goes on. Asking changes nothing."""

from collections.abc import Callable

from core import __version__
from core.api.base import AgentName
from core.api.errors import NotFound
from core.api.profiles import GetProfile
from core.api.sessions import ChatKind, ListSessions, SessionView, Source
from core.clock import Clock
from core.gateway.chat_models import ChatModels
from core.gateway.command import Ambiguous, Command, Facility, Found, number, offered, resolved
from core.gateway.command_ports import Call, Facade, Handlers, Reply, failed
from core.gateway.command_text import (
    command_text,
    hello_text,
    help_text,
    page_text,
    profile_text,
    sessions_text,
    status_text,
    unknown_text,
    usage_text,
    whoami_text,
)
from core.gateway.lanes import Lanes
from core.gateway.source import session_id

_OWN_LIMIT = 200
_ALL_LIMIT = 20
_MODEL_LIMIT = 200
_DEFAULT = "default"
_NOTHING_YET = "Nothing has been said here yet."


class FactCommands:
    """Reads, except for the model of a chat. agent_of: the agent that answers at a connection.

    facilities: what commands find here.
    """

    def __init__(
        self,
        *,
        facade: Facade,
        lanes: Lanes,
        models: ChatModels,
        clock: Clock,
        agent_of: Callable[[Call], AgentName],
        facilities: Callable[[], frozenset[Facility]],
    ) -> None:
        self._facade = facade
        self._lanes = lanes
        self._models = models
        self._clock = clock
        self._agent_of = agent_of
        self._facilities = facilities

    @property
    def handlers(self) -> Handlers:
        """What it carries out."""
        return {
            "start": self.start,
            "help": self.help,
            "commands": self.commands,
            "whoami": self.whoami,
            "status": self.status,
            "usage": self.usage,
            "sessions": self.sessions,
            "model": self.model,
            "profile": self.profile,
            "version": self.version,
        }

    async def start(self, call: Call) -> Reply:
        """Say hello."""
        return Reply(hello_text(await self._agent(call)))

    async def help(self, call: Call) -> Reply:
        """What can be ordered, or one command."""
        name = call.rest.removeprefix("/").split(maxsplit=1)[0].lower().replace("_", "-") if call.rest else ""
        if not name:
            return Reply(help_text(self._offered(call)))
        found = resolved(name)
        if isinstance(found, Found):
            return Reply(command_text(found.command))
        return failed(unknown_text(name, found.names if isinstance(found, Ambiguous) else found.near))

    async def commands(self, call: Call) -> Reply:
        """All commands, page by page."""
        return Reply(page_text(self._offered(call), number(call.rest) or 1))

    async def whoami(self, call: Call) -> Reply:
        """Who somebody is to this gateway."""
        return Reply(whoami_text(call.inbound, call.verdict, self._offered(call)))

    async def status(self, call: Call) -> Reply:
        """What the session is busy with."""
        view = await self._view(call)
        return Reply(_NOTHING_YET if view is None else status_text(view, self._clock.monotonic()))

    async def usage(self, call: Call) -> Reply:
        """Tokens."""
        view = await self._view(call)
        return Reply(_NOTHING_YET if view is None else usage_text(view))

    async def sessions(self, call: Call) -> Reply:
        """The sender's sessions in this chat; for admins also the first ones of the connection."""
        now = self._clock.monotonic()
        if call.rest.lower() == "all":
            if not call.is_admin:
                return failed("Only an admin sees the conversations of others.")
            page = await self._facade.query(ListSessions(prefix=f"{call.source.platform}:", limit=_ALL_LIMIT))
            return Reply(sessions_text(page.sessions, now, page.total))
        found: list[SessionView] = []
        for kind in dict.fromkeys((call.source.kind, ChatKind.THREAD)):
            place = Source(platform=call.source.platform, kind=kind, chat=call.source.chat)
            page = await self._facade.query(ListSessions(prefix=str(session_id(place)), limit=_OWN_LIMIT))
            found += [view for view in page.sessions if view.source.chat == call.source.chat]
        own = {f"{call.source.platform}:{item}" for item in call.sender_ids}
        return Reply(sessions_text([view for view in found if view.user in own or view.id == call.session_id], now))

    async def model(self, call: Call) -> Reply:
        """Show the model of this chat, or set it."""
        name = await self._agent(call)
        own = "its own"
        if GetProfile in self._facade.words:
            own = (await self._facade.query(GetProfile(name=name))).model or own
        if not call.rest:
            chosen = self._models.of(call.session_id)
            return Reply(f"Model: {chosen}, in place of {own}" if chosen else f"Model of {name}: {own}")
        if len(call.rest) > _MODEL_LIMIT or len(call.rest.split()) > 1 or not call.rest.isprintable():
            return failed(f"That is no name of a model. Use it as {call.command.usage}")
        if call.rest.lower() == _DEFAULT:
            await self._models.choose(call.session_id, "", call.actor)
            return Reply(f"Model of {name}: {own}")
        await self._models.choose(call.session_id, call.rest, call.actor)
        return Reply(
            f"From the next message on, {call.rest} answers here in place of {own}. /model default undoes that."
        )

    async def profile(self, call: Call) -> Reply:
        """The agent that answers here."""
        name = await self._agent(call)
        if GetProfile not in self._facade.words:
            return Reply(f"**{name}**")
        return Reply(profile_text(await self._facade.query(GetProfile(name=name))))

    async def version(self, call: Call) -> Reply:
        """The version."""
        del call
        return Reply(f"hermes-console {__version__}")

    def _offered(self, call: Call) -> tuple[Command, ...]:
        return offered(call.verdict.tier, call.chat.user_commands, self._facilities())

    async def _view(self, call: Call) -> SessionView | None:
        try:
            return self._lanes.view(await self._lanes.existing(call.session_id))
        except NotFound:
            return None

    async def _agent(self, call: Call) -> AgentName:
        view = await self._view(call)
        return self._agent_of(call) if view is None else view.agent
