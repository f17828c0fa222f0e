"""Sessions with ACP agents: made, put into their mode and model, and what the agent said of itself."""

from collections.abc import Callable

from core import __version__
from core.agents.acp.links import Link
from core.agents.acp.updates import Updates, mode_reported, selected
from core.agents.acp.wire import AUTH_REQUIRED, Fields, WireError, fields, objects, text
from core.agents.processes import GoneError
from core.api.base import AgentName
from core.api.errors import Unavailable
from core.api.runs import ModeReported, RunLogged

PROTOCOL_VERSION = 1
_CLIENT: Fields = {
    "protocolVersion": PROTOCOL_VERSION,
    # Files and terminals of ours would be ours to guard.
    "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
    "clientInfo": {"name": "hermes-console", "title": "hermes-console", "version": __version__},
}


class Session:
    """The one session of an agent. id: "" before begin(). updates: what it told. model: the present
    one, as far as known.

    name, version: of the agent, as it says.
    """

    def __init__(self, agent: AgentName, link: Link) -> None:
        self.id = ""
        self.name = ""
        self.version = ""
        self.model = ""
        self.updates = Updates()
        self._agent = agent
        self._link = link
        self._methods: list[str] = []
        self._own_model = ""
        self._has_models = False
        self._has_modes = False
        self._options: object = None

    async def initialize(self) -> None:
        """Agree on the protocol. Raises Unavailable."""
        said = await self._must("initialize", _CLIENT)
        if said.get("protocolVersion") != PROTOCOL_VERSION:
            raise Unavailable(
                f"agent {self._agent} speaks version {said.get('protocolVersion')!r:.20} of the protocol",
                fix=f"use an agent that speaks version {PROTOCOL_VERSION}",
            )
        info = fields(said.get("agentInfo"))
        self.name = text(info.get("title")) or text(info.get("name"))
        self.version = text(info.get("version"))
        self._methods = [
            ": ".join(dict.fromkeys(word for key in ("name", "description") if (word := text(item.get(key)))))
            for item in objects(said.get("authMethods"))
        ]

    async def begin(self, cwd: str) -> None:
        """Begin a conversation. cwd: where the agent works. Raises Unavailable."""
        self.id = ""
        await self._must("session/new", {"cwd": cwd, "mcpServers": []}, at_once=self._begun)
        if not self.id:
            raise Unavailable(f"agent {self._agent} began no session", fix="is the command an ACP agent?")

    async def choose_mode(self, mode: str) -> list[RunLogged]:
        """Enter a mode. Remarks when the agent does not let us. Raises GoneError."""
        if not mode or mode == self.updates.mode:
            return []
        method, params = "session/set_mode", {"modeId": mode}
        refused = await self._set("mode", mode, (method, params) if self._has_modes else None)
        if not refused:
            self.updates.mode = mode
        return refused

    async def choose_model(self, wanted: str) -> list[RunLogged]:
        """Use a model; "" is the agent's own. Remarks when the agent does not let us. Raises GoneError."""
        model = wanted or self._own_model
        if not model or model == self.model:
            return []
        method, params = "session/set_model", {"modelId": model}
        refused = await self._set("model", model, (method, params) if self._has_models else None)
        if not refused:
            self.model = model
        return refused

    def mode_reports(self) -> list[ModeReported]:
        """The present mode, when it is known."""
        mode = self.updates.mode
        return [mode_reported(mode)] if mode else []

    def _begun(self, said: Fields) -> None:
        # At once: what the agent tells right afterwards belongs to this session already.
        self.id = text(said.get("sessionId"))
        self.updates = Updates()
        models, modes = fields(said.get("models")), fields(said.get("modes"))
        self._has_models, self._has_modes = bool(models), bool(modes)
        self._options = said.get("configOptions")
        offered = text(selected(self._options, "model").get("currentValue"))
        self.model = self._own_model = text(models.get("currentModelId")) or offered
        mode = text(modes.get("currentModeId")) or text(selected(self._options, "mode").get("currentValue"))
        self.updates.mode = mode

    async def _set(self, category: str, value: str, own: tuple[str, Fields] | None) -> list[RunLogged]:
        option = text(selected(self._options, category).get("id"))
        if own is not None:
            method, params = own
        elif option:
            method, params = "session/set_config_option", {"configId": option, "value": value}
        else:
            return [RunLogged(level="warning", text=f"the agent does not let its {category} be chosen: {value!r:.80}")]
        try:
            await self._link.call(method, {"sessionId": self.id} | params)
        except WireError as error:
            return [RunLogged(level="warning", text=f"the agent refused {category} {value!r:.80}: {error.message}")]
        return []

    async def _must(self, method: str, params: Fields, *, at_once: Callable[[Fields], None] = lambda _: None) -> Fields:
        try:
            return await self._link.call(method, params, at_once=at_once)
        except GoneError:
            raise Unavailable(
                f"agent {self._agent} ended at its start: {self._link.last_words()}",
                field="command",
                fix="run the command by hand to see what it is missing",
            ) from None
        except WireError as error:
            raise self._needs_configuration(method, error) from None

    def _needs_configuration(self, method: str, error: WireError) -> Unavailable:
        ways = "; ".join(self._methods)[:500]
        if error.code == AUTH_REQUIRED:
            what, fix = "must be logged in", f"log in with the agent itself ({ways})" if ways else "log in there"
        else:
            what, fix = "needs configuration", "configure a provider and a key in the agent itself, or its variables"
            fix += f"; it offers: {ways}" if ways else ""
        return Unavailable(f"agent {self._agent} {what}: {error.message} ({method}, {error.code})", fix=fix)
