"""The console's end of the core: opened on a thread, fed from, asked and ordered; what fails is kept to be shown."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from console.collecting import Collecting
from console.feed import Feed, LineState
from console.orders import Orders, error_words, fault_words
from console.screens.base import Stage, nobody
from core.api.base import Command, Query, R, V
from core.api.errors import HermesError
from core.api.port import Hermes


class LinkHost(Protocol):
    """What the link needs of the app."""

    @property
    def is_headless(self) -> bool:
        """Whether there is no terminal."""
        ...

    def say(self, words: str, tone: str = "plain") -> None:
        """Show a line."""
        ...

    def link_changed(self) -> None:
        """The core was opened, lost, found again, or did not start."""
        ...

    def on_thread(self, work: Callable[[], Any]) -> None:
        """Run a call on a thread."""
        ...

    def on_loop(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Run a coroutine beside the rest."""
        ...

    def from_thread(self, call: Callable[[], None]) -> None:
        """Run a call on the screen's loop, from a thread."""
        ...


class CoreLink:
    """Opens the core and keeps the feed. failure: why it did not start; None while nothing is wrong."""

    def __init__(
        self,
        host: LinkHost,
        stage: Stage,
        open_hermes: Callable[[], Hermes],
        *,
        health_period_s: float,
    ) -> None:
        self._host = host
        self._stage = stage
        stage.ask = self.ask
        self._open_hermes = open_hermes
        self._health_period_s = health_period_s
        self._orders = Orders(host.say)
        self.collecting = Collecting()
        self.hermes: Hermes | None = None
        self.feed: Feed | None = None
        self.failure: Exception | None = None

    @property
    def is_up(self) -> bool:
        """Whether commands can be sent."""
        return self.hermes is not None and self.feed is not None and self.feed.line.state is not LineState.RECONNECTING

    @property
    def last_error(self) -> HermesError | None:
        """Why the last order was not carried out; None when it was."""
        return self._orders.last_error

    def open(self) -> None:
        """Open it on a thread; what goes wrong is shown and the console stays."""
        self.failure = None
        self._stage.has_failed = False
        self._host.link_changed()
        self._host.on_thread(self._open_on_thread)

    def retry(self) -> None:
        """Try again at once."""
        if self.feed is None:
            self.open()
        else:
            self.feed.retry_now()

    def _open_on_thread(self) -> None:
        try:
            hermes = self._open_hermes()
        except Exception as error:  # noqa: BLE001 - whatever stops the core is shown, and the console stays open
            failure = error
            self._host.from_thread(lambda: self._failed(failure))
        else:
            self._host.from_thread(lambda: self._opened(hermes))

    def _failed(self, error: Exception) -> None:
        self.failure = error
        self._stage.has_failed = True
        self._host.link_changed()

    def _opened(self, hermes: Hermes) -> None:
        self.hermes = hermes
        self.feed = Feed(
            hermes,
            self._stage.mirror,
            mono=self._stage.now,
            on_line=self._line_changed,
            health_period_s=self._health_period_s,
        )
        self._stage.feed = self.feed
        self._host.on_loop(self.feed.run(), "feed")

    def _line_changed(self) -> None:
        self._host.link_changed()
        if self.feed and self.feed.line.is_fault:
            self._host.say(self.feed.line.reason, "failing")
        if self.feed and self.feed.line.state is LineState.LIVE and not self._host.is_headless:
            self.collecting.begin()

    async def order(self, command: Command[R], words: Callable[[R], tuple[str, str]]) -> R | None:
        """Send a command; what the core says is shown."""
        return await self._orders.order(self.hermes, command, words)

    def tell(self, command: Command[Any]) -> None:
        """Send a command in the background; what becomes of it is nobody's business here."""
        if self.hermes is not None:
            self._host.on_loop(self._orders.tell(self.hermes, command), "questions")

    def ask(
        self,
        query: Query[Any],
        then: Callable[[Any], None],
        failed: Callable[[str], None] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        """Put a question in the background; an error is shown, or given to who asked. ended: called after either."""
        if self.hermes is None:
            nobody(query, then, failed, ended)
        else:
            job = self._answer(self.hermes, query, then, failed or self._complain, ended)
            self._host.on_loop(job, "questions")

    async def question(self, query: Query[V]) -> V | None:
        """Ask and wait; None after an error, which is shown."""
        found: list[V] = []
        if self.hermes is None:
            self._complain("no connection to the core yet")
        else:
            await self._answer(self.hermes, query, found.append, self._complain)
        return found[0] if found else None

    def _complain(self, words: str) -> None:
        self._host.say(words, "failing")

    async def _answer(
        self,
        hermes: Hermes,
        query: Query[Any],
        then: Callable[[Any], None],
        failed: Callable[[str], None],
        ended: Callable[[], None] | None = None,
    ) -> None:
        try:
            found = await hermes.query(query)
        except HermesError as error:
            failed(error_words(error))
        except Exception as error:  # noqa: BLE001 - a fault of the core must not end the screen
            failed(fault_words(type(query).__name__, error))
        else:
            then(found)
        finally:
            if ended is not None:
                ended()
