"""An estimate of what a text costs an agent: a token for every four bytes."""

from core.api.transcripts import EntryView

_BYTES_A_TOKEN = 4


def tokens_of(entry: EntryView) -> int:
    """An estimate of what an entry costs the agent, its tool call with it."""
    size = _size(entry.text)
    if entry.tool is not None:
        size += _size(entry.tool.input) + _size(entry.tool.output)
    return _tokens(size)


def tokens_in(text: str) -> int:
    """An estimate of what a text costs the agent."""
    return _tokens(_size(text))


def _tokens(size: int) -> int:
    return (size + _BYTES_A_TOKEN - 1) // _BYTES_A_TOKEN


def _size(text: str) -> int:
    # A long history is looked at before each turn.
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
