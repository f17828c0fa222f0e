"""Events of the journal as hooks are told them: looked at once they are written, never asked for on the way."""

from collections.abc import Iterator
from typing import Any

import msgspec

from core.api.base import Record
from core.api.chat_commands import ChatCommandUsed, CommandOutcome, SessionBranched
from core.api.session_orders import SessionArchived, SessionCompacted
from core.api.sessions import EntryAdded, RunEnded, RunStarted, SessionOpened, SessionReset, SessionView
from core.api.transcripts import EntryKind, EntryView
from core.gateway import hook_payload as told

_STEPS_LIMIT = 10_000
_COMMAND = "command:"
_SESSION, _AGENT = frozenset({"session"}), frozenset({"agent"})


TELLING: dict[type, frozenset[str]] = {
    SessionOpened: _SESSION,
    SessionReset: _SESSION,
    SessionArchived: _SESSION,
    SessionBranched: _SESSION,
    SessionCompacted: _SESSION,
    RunStarted: _AGENT,
    EntryAdded: _AGENT,
    RunEnded: _AGENT,
    ChatCommandUsed: frozenset({"command", "attempt"}),
}
"""Events that mean something to hooks, with what the types begin with that they may become.

All others cost one look at a table, and these no more while no hook wants any that begins so.
"""


class HookFacts:
    """Turns records into what hooks are told. Counts the steps of runs that go on."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}

    def of(self, record: Record) -> Iterator[tuple[str, told.Payload]]:
        """The events for hooks that a record means: type and context."""
        event, at = record.event, record.at
        match event:
            case SessionOpened():
                yield _named(told.SessionStart(at=at, **_session(event.session)))
            case SessionReset():
                ended = event.session.epoch - 1 if event.ended_epoch is None else event.ended_epoch
                before = _session(event.session, epoch=ended)
                yield _named(told.SessionEnd(at=at, reason=event.reason, **before))
                after = _session(event.session)
                yield _named(told.SessionReset(at=at, reason=event.reason, dropped=event.dropped, **after))
                yield _named(told.SessionStart(at=at, **after))
            case SessionArchived():
                yield _named(told.SessionEnd(at=at, reason=event.reason or "archived", **_session(event.session)))
            case SessionCompacted():
                yield _named(_compressed(event, at))
            case RunStarted():
                yield _named(_started(event, at))
            case EntryAdded() if event.entry.tool is not None:
                yield _named(self._step(event.session, event.entry, at))
            case RunEnded():
                self._steps.pop(str(event.outcome.run_id), None)
                yield _named(_ended(event, at))
            case SessionBranched():
                yield _named(told.SessionStart(at=at, **_session(event.session)))
            case ChatCommandUsed():
                yield _used(event, at)
            case _:
                return

    def _step(self, session: SessionView, entry: EntryView, at: float) -> told.AgentStep:
        run_id = str(entry.run_id or "")
        count = self._steps.get(run_id, 0) + 1
        self._steps[run_id] = count
        if len(self._steps) > _STEPS_LIMIT:
            # Runs whose end was never told.
            del self._steps[next(iter(self._steps))]
        tool = entry.tool
        assert tool is not None, "only entries about tools are steps"
        return told.AgentStep(
            at=at,
            iteration=count,
            tool_names=(tool.title,),
            status=tool.status.value,
            **_run(session, run_id),
        )


def _named(payload: told.Payload) -> tuple[str, told.Payload]:
    return type(payload).NAME, payload


def _session(view: SessionView, *, epoch: int | None = None) -> dict[str, Any]:
    return {
        "platform": str(view.source.platform),
        "user_id": view.user,
        "session_id": f"{view.id}#{view.epoch if epoch is None else epoch}",
        "session_key": str(view.id),
    }


def _run(view: SessionView, run_id: str) -> dict[str, Any]:
    source = view.source
    return _session(view) | {
        "chat_id": source.chat,
        "thread_id": source.thread or "",
        "chat_type": source.kind.value,
        "agent": str(view.agent),
        "run_id": run_id,
    }


def _compressed(event: SessionCompacted, at: float) -> told.SessionCompress:
    found = event.compaction
    return told.SessionCompress(
        at=at,
        state=found.state.value,
        compression_count=found.tries,
        before_tokens=found.before_tokens,
        after_tokens=found.after_tokens,
        **_session(event.session),
    )


def _started(event: RunStarted, at: float) -> told.AgentStart:
    run = event.session.run
    said = "\n".join(entry.text for entry in event.entries if entry.kind in {EntryKind.USER, EntryKind.NOTE})
    return told.AgentStart(
        at=at,
        message=said[: told.TEXT_LIMIT],
        attempt=run.attempt if run else 1,
        **_run(event.session, str(run.id) if run else ""),
    )


def _ended(event: RunEnded, at: float) -> told.AgentEnd:
    outcome = event.outcome
    answer = "\n".join(entry.text for entry in event.entries if entry.kind is EntryKind.AGENT)
    return told.AgentEnd(
        at=at,
        response=answer[: told.TEXT_LIMIT],
        stop=outcome.stop.value,
        error=outcome.error,
        duration_s=outcome.duration_s,
        **_run(event.session, str(outcome.run_id)),
    )


def _used(event: ChatCommandUsed, at: float) -> tuple[str, told.Payload]:
    """What was not carried out has a type without its name: that may be whatever a stranger typed."""
    if event.outcome is CommandOutcome.DONE:
        return f"{_COMMAND}{event.command}", _command(told.CommandUsed, event, at)
    return _named(_command(told.CommandAttempted, event, at))


def _command(kind: type[told.OfCommand], event: ChatCommandUsed, at: float) -> told.OfCommand:
    return kind(
        at=at,
        platform=str(event.platform),
        user_id=f"{event.platform}:{event.sender_id}",
        session_key=str(event.session_id),
        command=event.command,
        args=event.arguments,
        outcome=event.outcome.value,
        reason=event.reason,
    )


def context_of(payload: told.Payload) -> dict[str, object]:
    """The context as a hook gets it."""
    context: dict[str, object] = msgspec.to_builtins(payload)
    return context
