"""What all groups of acts share: the app that they act in, as far as they know it."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from textual.screen import ModalScreen

from console.action import Action
from console.mirror import Mirror
from console.target import Target
from core.api.base import Command, Mark, Query, R, V

T = TypeVar("T")
Act = Callable[[Target, Action], Awaitable[None]]


class GroupHost(Protocol):
    """What every group needs of the app."""

    @property
    def mirror(self) -> Mirror:
        """What is known."""
        ...

    def now(self) -> float:
        """Local monotonic time."""
        ...

    async def ask(self, screen: ModalScreen[T]) -> T | None:
        """Show a dialog and wait for its answer."""
        ...

    async def order(self, command: Command[R], words: Callable[[R], tuple[str, str]]) -> R | None:
        """Send a command; the receipt is shown in words, an error as the core said it. None after an error."""
        ...

    async def question(self, query: Query[V]) -> V | None:
        """Ask the core and wait; None after an error, which is shown."""
        ...

    def say(self, words: str, tone: str = "plain") -> None:
        """Show a line."""
        ...

    def tell(self, command: Command[Any]) -> None:
        """Send a command in the background and show nothing of it; not where nothing may be changed."""
        ...


HostT = TypeVar("HostT", bound=GroupHost)


class ActGroup(Generic[HostT]):
    """One method for each act. Every command names what was under the cursor at the moment of the key."""

    def __init__(self, host: HostT) -> None:
        self._host = host

    def _age(self, mark: Mark) -> float:
        return self._host.mirror.age_s(mark, self._host.now())
