"""What each way of taking a message means, in a line of at most 44 cells (pure)."""

from core.api.sessions import Mode

MODE_WORDS: dict[Mode, str] = {
    Mode.QUEUE: "waits for a turn of its own",
    Mode.FOLLOWUP: "waits; neighbouring followups share a turn",
    Mode.STEER: "into the run that goes on, else as followup",
    Mode.STEER_BACKLOG: "into the run, and answered afterwards too",
    Mode.INTERRUPT: "the run is told to stop first",
    Mode.COLLECT: "waits until no more has come for a while",
}
MODES = tuple(MODE_WORDS)
_LONGEST = max(len(mode.value) for mode in MODES)
MODE_LINES = tuple(f"{mode.value:<{_LONGEST}} {words}" for mode, words in MODE_WORDS.items())
"""One for each of MODES: its name, and what it means."""
