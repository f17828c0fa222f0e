"""The page of the built-in memory: notes, and what came of earlier conversations (pure)."""

import re
from collections.abc import Sequence

import msgspec

from core.api.errors import ConflictError, InvalidInput, NotFound

NOTE_LIMIT = 2_000
NOTES = 200
CONVERSATIONS = 100
_CONVERSATION_LIMIT = 4_000
_NOTE = "- "
_PARTS = ("# Notes", "# Conversations")
_MARK = re.compile(r"^[-*+](\s+|$)")
_HEAD = re.compile(r"### (?P<title>.+)")


class Conversation(msgspec.Struct, frozen=True):
    """What came of one. title: date, session and epoch in one line; no two have the same."""

    title: str
    text: str


class Page(msgspec.Struct, frozen=True):
    """All that is remembered of one user, the oldest first."""

    notes: tuple[str, ...] = ()
    conversations: tuple[Conversation, ...] = ()


def read(text: str) -> Page:
    """A page as it was written, also by hand: what follows a ### is a conversation, and before the first of them each
    line is a note, with the lines that are set in below it. No word is left out.
    """
    notes: list[str] = []
    conversations: list[Conversation] = []
    title, lines = "", list[str]()

    def finish() -> None:
        if title:
            # Only lines: a blank before a # keeps it from being the head of another conversation.
            conversations.append(Conversation(title, "\n".join(lines).strip("\n")))

    for line in text.splitlines():
        head = _HEAD.fullmatch(line)
        if head is not None:
            finish()
            title, lines = head["title"].strip(), []
        elif title:
            lines.append(line)
        elif line[:1].isspace() and line.strip() and notes:
            notes[-1] += f" {' '.join(line.split())}"
        elif line.strip() not in _PARTS and (note := _MARK.sub("", line.strip(), count=1)):
            notes.append(note)
    finish()
    return Page(tuple(notes), tuple(conversations))


def written(page: Page) -> str:
    """The page as a file that people can read and change."""
    lines = ["# Notes", "", *(f"{_NOTE}{note}" for note in page.notes), "", "# Conversations", ""]
    for item in page.conversations:
        lines += [f"### {item.title}", "", item.text, ""]
    return "\n".join(lines)


def noted(page: Page, note: str) -> Page:
    """The page with one more note; the oldest goes when there are too many. Raises InvalidInput."""
    plain = " ".join(note.split())
    if not plain or len(plain) > NOTE_LIMIT:
        raise InvalidInput(
            f"a note has 1 to {NOTE_LIMIT} characters, not {len(plain)}", field="text", fix="note what matters, shortly"
        )
    if plain in page.notes:
        return page
    return msgspec.structs.replace(page, notes=(*page.notes, plain)[-NOTES:])


def unnoted(page: Page, words: str) -> tuple[Page, str]:
    """The page without the note that holds these words, and that note. Raises NotFound, ConflictError for several."""
    wanted = " ".join(words.split())
    found = [note for note in page.notes if note == wanted] or [
        note for note in page.notes if wanted and wanted.casefold() in note.casefold()
    ]
    if not found:
        raise NotFound("no note holds these words", noun="note", id=wanted[:80], fix="say it as it is noted")
    if len(found) > 1:
        raise ConflictError(f"{len(found)} notes hold these words", key="text", fix="say more of the one that is meant")
    rest = tuple(note for note in page.notes if note != found[0])
    return msgspec.structs.replace(page, notes=rest), found[0]


def remembered(page: Page, title: str, text: str) -> Page:
    """The page with what came of one more conversation; the same title again changes nothing."""
    if any(item.title == title for item in page.conversations):
        return page
    # A line of the text must not pass for the head of another conversation.
    plain = "\n".join(f" {line}" if line.startswith("#") else line for line in text.strip().splitlines())
    added = (*page.conversations, Conversation(title, plain[:_CONVERSATION_LIMIT]))
    return msgspec.structs.replace(page, conversations=added[-CONVERSATIONS:])


def shortened(page: Page, limit: int) -> str:
    """What of the page fits into so many characters: notes first, then conversations, each the newest first."""
    if not page.notes and not page.conversations:
        return ""
    notes, left = _newest([f"{_NOTE}{note}" for note in page.notes], limit)
    talks, _ = _newest([f"### {item.title}\n{item.text}" for item in page.conversations], left)
    parts: list[str] = []
    if notes:
        parts.append("Notes:\n" + "\n".join(notes))
    if talks:
        parts.append("Earlier conversations:\n" + "\n\n".join(talks))
    return "\n\n".join(parts)


def found_lines(page: Page, query: str, limit: int) -> str:
    """Notes and lines of conversations that hold all words of the query, the newest first."""
    words = query.casefold().split()
    lines = [f"{_NOTE}{note}" for note in page.notes]
    lines += [f"{item.title}: {line.strip()}" for item in page.conversations for line in item.text.splitlines()]
    hits = [line for line in lines if words and all(word in line.casefold() for word in words)]
    kept, _ = _newest(hits, limit)
    return "\n".join(kept)


def _newest(texts: Sequence[str], limit: int) -> tuple[list[str], int]:
    """As many of the last ones as fit, in their order, and how much is left."""
    kept: list[str] = []
    left = limit
    for text in reversed(texts):
        if len(text) + 1 > left:
            break
        kept.append(text)
        left -= len(text) + 1
    return kept[::-1], left
