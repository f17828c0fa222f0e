"""Hooks over a home of their own, with handlers that a test writes."""

import asyncio
from pathlib import Path

from core.api.base import SYSTEM
from core.api.hooks import HookState, HookTrial, HookView, ReloadHooks, TestHook
from core.automation_settings import HookSettings
from core.clock import SystemClock
from core.gateway.hook_payload import AgentEnd
from core.gateway.hook_worker import HookWorker
from core.gateway.hooks import Hooks
from core.journal import Journal
from core.store.base import Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor

ENDED = AgentEnd.NAME


def write_hook(home: Path, name: str, handler: str | None, manifest: str | None = "events: ['agent:*']\n") -> Path:
    """A folder of a hook; None leaves that file out."""
    folder = home / "hooks" / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for file, text in (("HOOK.yaml", manifest), ("handler.py", handler)):
        if text is not None:
            (folder / file).write_text(text, encoding="utf-8")
            (folder / file).chmod(0o644)
    return folder


class HookRig:
    """The hooks of one core."""

    def __init__(
        self, home: Path, settings: HookSettings | None = None, store: Store | None = None, *, boot: int = 1
    ) -> None:
        self.store = store or MemoryStore()
        clock = SystemClock()
        self.journal = Journal(self.store, clock)
        self.errors: list[tuple[str, Exception]] = []
        self.supervisor = Supervisor(clock, lambda *_: None, lambda *fault: self.errors.append(fault))
        self.hooks = Hooks(
            home=home,
            settings=settings or HookSettings(),
            store=self.store,
            journal=self.journal,
            clock=clock,
            supervisor=self.supervisor,
            boot=boot,
            on_fault=lambda *fault: self.errors.append(fault),
        )

        tell = self.hooks._answered
        self._came = asyncio.Event()

        def told(worker: HookWorker, has_failed: bool) -> None:
            tell(worker, has_failed)
            self._came.set()

        self.hooks._answered = told  # type: ignore[method-assign]  # every answer, and not one a second

    async def next_answer(self) -> None:
        """Until some hook has answered an event."""
        self._came.clear()
        await self._came.wait()

    async def start(self) -> "HookRig":
        """Read the folders."""
        await self.hooks.start(platforms=("local",), version="1")
        return self

    async def stop(self) -> None:
        """End all processes."""
        assert await self.supervisor.stop(deadline_s=10.0) == []

    def tell(self, response: str = "done", event_type: str = ENDED) -> None:
        """An event."""
        self.hooks.tell(event_type, AgentEnd(at=1.0, response=response))

    def view(self, name: str) -> HookView:
        """A hook as operators see it."""
        return next(view for view in self.hooks.views if view.name == name)

    def states(self) -> dict[str, HookState]:
        """Of all of the home's hooks."""
        return {view.name: view.state for view in self.hooks.views if not view.is_builtin}

    async def answered(self, name: str, count: int, limit_s: float = 20.0) -> HookView:
        """Once a hook has answered that many events."""
        async with asyncio.timeout(limit_s):
            while self.view(name).count < count:
                await self.next_answer()
        return self.view(name)

    async def tried(self, name: str, event_type: str = "") -> HookTrial:
        """A test of a hook."""
        return await self.hooks.try_hook(TestHook(name=name, event_type=event_type), SYSTEM)

    async def reload(self, name: str = "") -> None:
        """Read one or all again."""
        await self.hooks.reload_hooks(ReloadHooks(name=name), SYSTEM)
