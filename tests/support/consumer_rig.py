"""Consumers on a clock in the hands of the test, and handlers that wait until they are told."""

import asyncio
from typing import Any

from core.api.system import ServiceView
from core.breaker import Breaker
from core.mailbox.consumer import ConsumerState, Settlement
from core.mailbox.consumers import Consumers
from core.mailbox.message import Mail
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock


class Gate:
    """A handler: notes what comes, holds it while `is_shut`, raises what stands in `raises`, `once` only once."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.ended: list[int] = []
        self.cancelled: list[int] = []
        self.raises: dict[int, BaseException] = {}
        self.once: dict[int, BaseException] = {}
        self.answer: Settlement | None = None
        self.is_shut = False
        self.is_deaf = False
        self._opened = asyncio.Event()

    @property
    def inside(self) -> int:
        """Messages that are being handled."""
        return len(self.began) - len(self.ended) - len(self.cancelled)

    def open(self) -> None:
        """Let all go on."""
        self.is_shut = False
        self._opened.set()

    def shut(self) -> None:
        """Hold what comes from now on."""
        self.is_shut = True
        self._opened = asyncio.Event()

    async def __call__(self, mail: Mail) -> Settlement | None:
        """Handle one message."""
        self.began.append(mail.id)
        while self.is_shut:
            try:
                await self._opened.wait()
            except asyncio.CancelledError:
                if not self.is_deaf:
                    self.cancelled.append(mail.id)
                    raise
        self.ended.append(mail.id)
        error = self.once.pop(mail.id, None) or self.raises.get(mail.id)
        if error is not None:
            raise error
        return self.answer


class ConsumerRig:
    """Consumers with everything around them."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.alarms: list[tuple[str, str]] = []
        self.breakers: list[tuple[str, str]] = []
        self.faults: list[tuple[str, str]] = []
        self.supervisor = Supervisor(self.clock, self._changed, self._failed)
        self.consumers = Consumers(
            self.clock,
            self.supervisor,
            random=lambda: 0.0,
            on_alarm=lambda group, why: self.alarms.append((group, why)),
            on_breaker=self._breaker,
            **options,
        )

    async def settle(self) -> None:
        """Let everything run until it waits."""
        for _ in range(5):
            await self.clock.advance(0)

    async def wait(self, delay_s: float) -> None:
        """Let time pass."""
        await self.settle()
        await self.clock.advance(delay_s)
        await self.settle()

    def state(self, name: str) -> ConsumerState:
        """Of one consumer."""
        return self.consumers.stats_of(name).state

    async def close(self) -> None:
        """Stop what still runs; nothing may have gone wrong unseen."""
        await self.supervisor.stop(deadline_s=5)
        assert self.faults == []

    def _changed(self, view: ServiceView, error: str) -> None:
        if error:
            self.faults.append((view.name, error))

    def _failed(self, name: str, error: Exception) -> None:
        self.faults.append((name, repr(error)))

    def _breaker(self, name: str, breaker: Breaker) -> None:
        self.breakers.append((name, breaker.state.value))
