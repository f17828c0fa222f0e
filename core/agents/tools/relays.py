"""The tool `relay`: messages of an agent to bots elsewhere, each to one that was looked up before anybody allows it."""

import hashlib
from collections.abc import Sequence

import msgspec

from core.agents.ports import Bots
from core.agents.runner import TurnRequest
from core.agents.tools.calls import RelayArguments, ToolAction, title_of
from core.api.errors import Refused


class BotLetter(msgspec.Struct, frozen=True):
    """A message that can be sent. place: where the bot is, as whoever allows it sees it. key: the same for a call that
    is made again for the same message. wait_s: for the answer.
    """

    name: str
    place: str
    text: str
    key: str
    wait_s: float = 0.0


class BotLetters:
    """Messages of one turn to bots. limit_s: longest wait for an answer, which must end before the turn itself does."""

    def __init__(self, bots: Bots, request: TurnRequest, *, limit_s: float) -> None:
        self._bots = bots
        self.limit_s = limit_s
        self._session_id = request.session_id
        self._agent = request.agent
        self._answers = request.messages[0].id if request.messages else request.run_id

    @property
    def names(self) -> Sequence[str]:
        """The bots that there are."""
        return self._bots.names(self._session_id)

    def prepared(self, action: ToolAction, arguments: RelayArguments, call_id: str) -> tuple[ToolAction, BotLetter]:
        """The call with where the bot is, for whoever decides. Raises HermesError when it can never be sent."""
        name = arguments.to.strip()
        place = self._bots.addressed(name, self._session_id)
        found = msgspec.structs.replace(action, target=name, title=title_of(action.tool, f"{name} ({place})"))
        key = self._key(call_id, name, arguments.text)
        return found, BotLetter(name, place, arguments.text, key, min(arguments.wait_s, self.limit_s))

    async def send(self, letter: BotLetter) -> str:
        """Hand it over; what the model is told. Raises HermesError: then nothing is sent."""
        place = self._bots.addressed(letter.name, self._session_id)
        if place != letter.place:
            raise Refused(
                f"{letter.name} is at {place} by now, and {letter.place} was allowed",
                rule="moved",
                fix="call the tool again",
            )
        return await self._bots.send_to(
            self._session_id, letter.name, letter.text, agent=self._agent, key=letter.key, wait_s=letter.wait_s
        )

    def _key(self, call_id: str, name: str, text: str) -> str:
        """A turn that is tried again sends what it had sent not again, and whatever is different all the same."""
        parts = msgspec.json.encode([self._session_id, self._answers, call_id, name, text])
        return hashlib.sha256(parts).hexdigest()
