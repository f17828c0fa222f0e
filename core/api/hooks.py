"""Programs of the operator that are told what happens: id, states, views, queries, commands, events."""

from enum import StrEnum

from core.api.base import Command, Event, Mark, Query, Seq, View


class HookState(StrEnum):
    """What a hook is told. broken: its folder cannot be used; paused: by an operator, or after failures in a row."""

    READY = "ready"
    PAUSED = "paused"
    BROKEN = "broken"
    OFF = "off"


class HookView(View, frozen=True, kw_only=True):
    """A hook and how it did since the core started.

    folder: where it lies. order: smaller ones are handed an event first. count: events that it answered, failures
    included; timeout_count: failures that took too long. failures_in_row: kept over a restart. dropped_count: events
    that it was not told because too many waited. last_s, p95_s: seconds of the last and of nearly all of its last 200
    answers. output: the last that it printed. problem: why it is broken, with file, line, key and fix.
    """

    name: str
    version: int
    state: HookState
    folder: str
    is_builtin: bool = False
    description: str = ""
    events: tuple[str, ...] = ()
    order: int = 0
    timeout_s: float = 0.0
    count: int = 0
    failure_count: int = 0
    timeout_count: int = 0
    failures_in_row: int = 0
    dropped_count: int = 0
    waiting_count: int = 0
    last: Mark | None = None
    last_event: str = ""
    last_s: float = 0.0
    p95_s: float = 0.0
    last_error: str = ""
    failed: Mark | None = None
    output: str = ""
    paused_by: str = ""
    paused_reason: str = ""
    problem: str = ""


class HookList(View, frozen=True, kw_only=True):
    """All hooks in the order in which they are handed an event."""

    hooks: tuple[HookView, ...]
    seq: Seq = Seq(0)


class HookTrial(View, frozen=True, kw_only=True):
    """What a hook did with a made-up event. payload: the context that it got, as JSON. output: what it printed."""

    name: str
    event_type: str
    payload: str
    is_ok: bool
    duration_s: float
    error: str = ""
    output: str = ""


class ListHooks(Query[HookList], frozen=True, kw_only=True):
    """All hooks."""


class ReloadHooks(Command[HookList], frozen=True, kw_only=True):
    """Read one hook's folder again, or all of them with a name of "". What it still has to answer is given up."""

    name: str = ""


class PauseHook(Command[HookView], frozen=True, kw_only=True):
    """Tell a hook nothing until it is resumed; what happens meanwhile it never hears of."""

    name: str
    reason: str = ""


class ResumeHook(Command[HookView], frozen=True, kw_only=True):
    """Tell it again what happens."""

    name: str


class TestHook(Command[HookTrial], frozen=True, kw_only=True):
    """Give a hook a made-up event and wait for what it does. event_type: "" is the first that it wants."""

    __test__ = False
    name: str
    event_type: str = ""


class HooksLoaded(Event, frozen=True, kw_only=True):
    """The folders were read; this is all there is."""

    hooks: tuple[HookView, ...]


class HookAnswered(Event, frozen=True, kw_only=True):
    """New counts of a hook. Live only, at most once a second for each."""

    hook: HookView


class HookFailed(Event, frozen=True, kw_only=True):
    """A hook raised, ended or took too long; stored at most once a minute."""

    hook: HookView


class HookPaused(Event, frozen=True, kw_only=True):
    """A hook is told nothing from now on: the view says by whom and why."""

    hook: HookView


class HookResumed(Event, frozen=True, kw_only=True):
    """A hook is told again what happens."""

    hook: HookView
