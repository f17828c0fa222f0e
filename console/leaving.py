"""The way out: what becomes of the core is asked once, named, and remembered if told to."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec
from textual.screen import ModalScreen

from console import text
from console.mirror import Mirror
from console.options import ConsoleOptions
from console.prepaint import save_frame
from console.remembered import Remembered, load_remembered, save_remembered
from console.session_words import doing
from core.api.base import Mark

T = TypeVar("T")
_NAMED = 6


class ConsoleResult(msgspec.Struct, frozen=True):
    """How the console ended. keep_core: whether the embedded core is to go on without a screen.

    `run` never closes the core: whoever gave `open_hermes` does, unless keep_core says otherwise.
    """

    exit_code: int
    keep_core: bool


class LeavingHost(Protocol):
    """What leaving needs of the app."""

    options: ConsoleOptions
    mirror: Mirror
    theme: Any

    @property
    def failure(self) -> Exception | None:
        """Why the core did not start."""
        ...

    @property
    def now(self) -> Callable[[], float]:
        """Local monotonic time."""
        ...

    async def ask(self, screen: ModalScreen[T]) -> T | None:
        """Show a dialog and wait for its answer."""
        ...

    def end(self, result: ConsoleResult) -> None:
        """End the console."""
        ...

    def on_thread(self, work: Callable[[], Any]) -> None:
        """Run a call on a thread."""
        ...


class Leaving:
    """Ends the console as the operator wants, and keeps the last frame for the next start."""

    def __init__(self, host: LeavingHost) -> None:
        self._host = host

    async def ask(self) -> None:
        """Leave, after asking where that would stop something."""
        options = self._host.options
        if not options.is_embedded or self._host.failure is not None:
            # There is no core in this process that could be left running.
            self.leave(stop=True)
            return
        wish: str = options.on_quit
        if wish == "ask":
            wish = load_remembered(options.home).on_quit or "ask"
        if wish in {"stop", "keep"}:
            self.leave(stop=wish == "stop")
            return
        # Dialogs are loaded when the first of them is wanted: the first frame need not wait for them.
        from console.widgets.confirm import QuitScreen

        choice = await self._host.ask(QuitScreen(self.busy_lines(), may_leave_running=not options.demo))
        if choice is None:
            return
        if choice.remember:
            save_remembered(options.home, Remembered(on_quit="stop" if choice.stop else "keep"))
        self.leave(stop=choice.stop)

    def busy_lines(self) -> list[str]:
        """What goes on now, by name."""
        mirror = self._host.mirror

        def age(mark: Mark) -> float:
            return mirror.age_s(mark, self._host.now())

        busy = mirror.busy_sessions()
        lines = [f"{text.clean(view.id)}: {doing(view, mirror.approval_of(view.id), age)}" for view in busy[:_NAMED]]
        if len(busy) > _NAMED:
            lines.append(f"and {len(busy) - _NAMED} more")
        return lines

    def leave(self, *, stop: bool) -> None:
        """End the console now."""
        self.save_frame()
        self._host.end(ConsoleResult(0, keep_core=not stop))

    def counts(self) -> dict[str, int]:
        """What the first frame of the next start shows."""
        mirror = self._host.mirror
        counts = mirror.counts
        return {
            "sessions": mirror.session_total,
            "running": counts["running"],
            "waiting": counts["waiting"],
            "queued": counts["queued"],
            "failed": counts["failed"],
            "approvals": len(mirror.open_approvals),
            "dead": len(mirror.dead_deliveries),
        }

    def save_frame(self) -> None:
        """Keep the counts; a home that cannot be written to keeps none."""
        at = self._host.mirror.core_wall(self._host.now())
        if at is not None:
            save_frame(self._host.options.home, at=at, counts=self.counts(), theme=self._host.theme)

    def save_frame_later(self) -> None:
        """The same while the console goes on: a slow disk must not hold it up."""
        self._host.on_thread(self.save_frame)
