"""The tool `send`: messages of an agent to chats, each to one chat that was looked up before anybody allows it."""

import hashlib

import msgspec

from core.agents.ports import Courier
from core.agents.runner import TurnRequest
from core.agents.tools.calls import SendArguments, ToolAction, title_of
from core.api.sessions import Source


class Letter(msgspec.Struct, frozen=True):
    """A message that can be sent. key: the same for a call that is made again for the same message."""

    source: Source
    text: str
    key: str


class Letters:
    """Messages of one turn."""

    def __init__(self, courier: Courier, request: TurnRequest) -> None:
        self._courier = courier
        self._session_id = request.session_id
        self._agent = request.agent
        self._answers = request.messages[0].id if request.messages else request.run_id

    def prepared(self, action: ToolAction, arguments: SendArguments, call_id: str) -> tuple[ToolAction, Letter]:
        """The call with the chat that its target really means: that is what the policy must look at.

        Raises HermesError when it can never be sent.
        """
        target, source = self._courier.addressed(arguments.target, self._session_id)
        # A name comes from outside; it stands behind the id, which decides.
        shown = f"{target} ({source.chat_name})" if source.chat_name else target
        found = msgspec.structs.replace(action, target=target, title=title_of(action.tool, shown))
        return found, Letter(source, arguments.text, self._key(call_id, target, arguments.text))

    async def send(self, letter: Letter, target: str) -> str:
        """Hand it over; what the model is told. Raises HermesError: then nothing is sent."""
        ids = await self._courier.send_from(
            self._session_id, letter.source, letter.text, agent=self._agent, key=letter.key
        )
        return f"queued for {target} as {', '.join(ids)}" if ids else f"it was queued for {target} before"

    def _key(self, call_id: str, target: str, text: str) -> str:
        """A turn that is tried again sends what it had sent not again, and whatever is different all the same."""
        parts = msgspec.json.encode([self._session_id, self._answers, call_id, target, text])
        return f"tool:{hashlib.sha256(parts).hexdigest()}"
