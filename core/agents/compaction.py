"""When the agent is given a summary of what was said earlier, of what, and whether that helped (pure)."""

from collections.abc import Sequence

import msgspec

from core.agent_settings import CompactionSettings
from core.api.runs import Compacted, CompactionState
from core.api.transcripts import EntryKind, EntryView
from core.tokens import tokens_in, tokens_of

DEFAULT_TOKENS = 80_000
TRIES = 2
_HELPS_BELOW = 0.9
_TEXT_LIMIT = 2_000_000
_LINE_LIMIT = 200
_LAST_LINES = 6
_CUT = "\n[… the middle is left out …]\n"


class Plan(msgspec.Struct, frozen=True):
    """What to shorten. older: entries that the summary will stand for; tail: those that stay word for word."""

    older: Sequence[EntryView]
    tail: Sequence[EntryView]
    before_tokens: int
    limit_tokens: int


def limit_tokens(settings: CompactionSettings) -> int | None:
    """The estimate beyond which it happens by itself; None where it never does."""
    if settings.max_tokens < 0:
        return None
    return settings.max_tokens or DEFAULT_TOKENS


def plan(history: Sequence[EntryView], settings: CompactionSettings, *, is_manual: bool) -> Plan | None:
    """What to shorten now; None when nothing needs it, or nothing is left beyond the tail."""
    limit = limit_tokens(settings)
    if limit is None and not is_manual:
        return None
    older, tail = history[: -settings.keep_tail], history[-settings.keep_tail :]
    # A summary alone would only be summarised again.
    if not any(entry.kind is not EntryKind.SUMMARY for entry in older):
        return None
    before = sum(map(tokens_of, history))
    if not is_manual and limit is not None and before <= limit:
        return None
    return Plan(older, tail, before, limit or 0)


def spoken(entries: Sequence[EntryView]) -> str:
    """The entries as text for whoever summarises them; the middle is left out of what is too long."""
    text = "\n\n".join(f"[{entry.kind.value}: {entry.author}]\n{_said(entry)}" for entry in entries)
    if len(text) <= _TEXT_LIMIT:
        return text
    half = (_TEXT_LIMIT - len(_CUT)) // 2
    return text[:half] + _CUT + text[-half:]


def _said(entry: EntryView) -> str:
    if entry.tool is None:
        return entry.text
    return f"{entry.text}\n> {entry.tool.input}\n{entry.tool.output}".rstrip()


def digest(entries: Sequence[EntryView]) -> str:
    """A summary by rule, for agents that cannot make one; it says so itself."""
    people = [entry for entry in entries if entry.kind in {EntryKind.USER, EntryKind.NOTE}]
    answers = sum(entry.kind is EntryKind.AGENT for entry in entries)
    calls = sum(entry.kind is EntryKind.TOOL for entry in entries)
    lines = [
        "Digest made by rule, not by a model; the whole transcript is on record.",
        f"{len(people)} messages, {answers} answers and {calls} tool calls came before.",
    ]
    earlier = [entry for entry in entries if entry.kind is EntryKind.SUMMARY]
    if earlier:
        lines.append(f"Before that: {_line(earlier[-1].text)}")
    if people:
        lines.append(f"It began with: {_line(people[0].text)}")
    lines.append("Last of it:")
    spoken_last = [entry for entry in entries if entry.kind in {EntryKind.USER, EntryKind.NOTE, EntryKind.AGENT}]
    lines += [f"- {entry.author}: {_line(entry.text)}" for entry in spoken_last[-_LAST_LINES:]]
    return "\n".join(lines)


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LINE_LIMIT else flat[: _LINE_LIMIT - 1] + "…"


def result(found: Plan, summary: str, *, is_digest: bool, tries: int) -> Compacted:
    """What became of it: a summary that hardly helps is let go, and the transcript goes on as it was."""
    after = tokens_in(summary) + sum(map(tokens_of, found.tail))
    is_effective = bool(summary.strip()) and after < found.before_tokens * _HELPS_BELOW
    return Compacted(
        state=CompactionState.DONE if is_effective else CompactionState.INEFFECTIVE,
        summary=summary if is_effective else "",
        covers_until=found.older[-1].id if is_effective else None,
        is_digest=is_digest,
        before_tokens=found.before_tokens,
        after_tokens=after,
        limit_tokens=found.limit_tokens,
        tries=0 if is_effective else tries + 1,
    )


def failure(found: Plan, error: str, *, tries: int) -> Compacted:
    """What became of it when no summary could be had."""
    return Compacted(
        state=CompactionState.FAILED,
        before_tokens=found.before_tokens,
        after_tokens=found.before_tokens,
        limit_tokens=found.limit_tokens,
        tries=tries + 1,
        error=error,
    )
