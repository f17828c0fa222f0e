"""What is put to an ACP agent at the beginning of a turn (pure). It keeps the conversation itself, from then on."""

from collections.abc import Sequence

from core.agents.acp.wire import Fields
from core.agents.chat.completions import spoken_text
from core.agents.runner import TurnRequest
from core.api.transcripts import EntryKind, EntryView

_SPEAKERS = {
    EntryKind.USER: "user",
    EntryKind.NOTE: "operator",
    EntryKind.AGENT: "you",
    EntryKind.SUMMARY: "summary of what came before",
}


def prompt_of(request: TurnRequest, *, system_prompt: str, is_first: bool, extra_before: str = "") -> list[Fields]:
    """The blocks of a prompt: the new messages, and before the first ones what the agent cannot know.

    extra_before: the extra system prompt that it has been given already.
    """
    blocks: list[Fields] = []

    def say(what: str) -> None:
        if what.strip():
            blocks.append({"type": "text", "text": what})

    if is_first and system_prompt.strip():
        say(f"[instructions for this conversation]\n{system_prompt.strip()}\n[end of the instructions]")
    extra = request.extra_system_prompt
    if extra.strip() and (is_first or extra != extra_before):
        say(f"[further instructions]\n{extra.strip()}\n[end of the further instructions]")
    if is_first:
        say(_history(request.history))
    say("\n\n".join(spoken_text(each) for each in request.messages))
    return blocks or [{"type": "text", "text": ""}]


def _history(entries: Sequence[EntryView]) -> str:
    lines = [
        f"{_SPEAKERS.get(entry.kind, 'system')}: {entry.text}"
        for entry in entries
        if entry.text.strip() and (entry.kind in _SPEAKERS or (entry.kind is EntryKind.SYSTEM and entry.is_imported))
    ]
    if not lines:
        return ""
    return "\n\n".join(
        ["[this conversation began before you joined it; so far it went]", *lines, "[end of what was said so far]"]
    )
