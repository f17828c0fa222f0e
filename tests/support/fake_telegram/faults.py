"""What can go wrong at a server, and how often."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """Happens to the next `count` calls of a method ("" for any).

    kind: `status` refuses with status, description and parameters; `drop` breaks the line without an answer; `cut`
    breaks it in the middle of one; `hang` never answers; `garbage` answers with what is no JSON. is_done: what was
    asked for is carried out all the same.
    """

    kind: str
    method: str = ""
    count: int = 1
    status: int = 500
    description: str = "Internal Server Error"
    parameters: dict[str, Any] = field(default_factory=dict)
    is_done: bool = False


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self.met: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let it happen."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._waiting.clear()

    def take(self, method: str) -> Fault | None:
        """The fault that a call meets; None for none."""
        for fault in self._waiting:
            if fault.method.lower() in {"", method.lower()}:
                fault.count -= 1
                if fault.count <= 0:
                    self._waiting.remove(fault)
                self.met.append(fault)
                return fault
        return None


def flood(wait_s: int, method: str = "sendMessage", count: int = 1) -> Fault:
    """Too many calls."""
    return Fault(
        "status",
        method=method,
        count=count,
        status=429,
        description=f"Too Many Requests: retry after {wait_s}",
        parameters={"retry_after": wait_s},
    )
