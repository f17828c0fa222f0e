"""Changes that people make to messages after sending them: a message that waits still says what it was changed to."""

import asyncio

from core.api.base import Actor, ActorKind
from core.gateway import rows
from core.gateway.lane import Waiting
from core.gateway.offer import check_text, edited_text
from core.gateway.platform import InboundEdit
from core.gateway.queue_editor import QueueEditor
from core.store.base import Store
from core.supervisor import Supervisor


class Edits:
    """Changes of messages. One that is being answered, or was, is left as it was said: the agent has read it.

    text_limit: longest text of a message, in characters.
    """

    def __init__(self, store: Store, editor: QueueEditor, supervisor: Supervisor, *, text_limit: int) -> None:
        self._store = store
        self._editor = editor
        self._supervisor = supervisor
        self._text_limit = text_limit

    async def take(self, edit: InboundEdit) -> None:
        """Change the message if it waits and is the sender's own. Raises InvalidInput, StoreError."""
        row = await self._store.get(rows.message_key(edit.source, edit.native_id))
        if row is None or not edit.text.strip():
            return

        def changed(waiting: Waiting) -> str:
            text = edited_text(waiting, edit.text)
            check_text(text, self._text_limit)
            return text

        seen = rows.seen_of(row.body)
        actor = Actor(ActorKind.SENDER, f"{edit.platform}:{edit.sender_id}")
        change = self._editor.change_text(seen.session_id, seen.message_id, edit.sender_id, actor, changed)
        # In a job of its own, so that a caller who hangs up cannot leave it half done.
        await asyncio.shield(self._supervisor.spawn(f"edit:{seen.message_id}", change))
