"""Exit codes of the shell command: a promise to scripts."""

from enum import IntEnum


class Exit(IntEnum):
    """What a command ended with. The numbers never change their meaning."""

    OK = 0
    INTERNAL = 1
    INVALID = 2
    NOT_FOUND = 4
    REFUSED = 5
    CONFLICT = 6
    UNAVAILABLE = 7
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """In words, for help and reference."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.OK: "done",
    Exit.INTERNAL: "a fault of the program, a run that ended without an answer, or a core that hangs",
    Exit.INVALID: "wrong usage, a value that cannot be, or a configuration that cannot be used",
    Exit.NOT_FOUND: "no such session, approval, delivery, mailbox or message",
    Exit.REFUSED: "understood, but a rule or a bound forbids it, or the confirmation was not given",
    Exit.CONFLICT: "the thing changed since it was looked at, or somebody else was first",
    Exit.UNAVAILABLE: "no core runs there, it is held by another, or nothing came back in time",
    Exit.INTERRUPTED: "interrupted by ctrl+c",
}
