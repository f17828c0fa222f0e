"""A message to the agent of a session and how it is put; apart from its dialog, which takes long to load."""

from dataclasses import dataclass

from core.api.sessions import Mode, Voice


@dataclass(frozen=True, slots=True)
class InjectChoice:
    """A message and how it is put. model: in place of the agent's own for this turn; "" for none."""

    text: str = ""
    voice: Voice = Voice.NOTE
    mode: Mode = Mode.QUEUE
    model: str = ""
