"""Commands on their way to the core: sent, then what the core says; never the wish (with a deadline)."""

import asyncio
import contextlib
import getpass
from collections.abc import Callable
from typing import Any

from console import text
from core.api.base import Actor, ActorKind, Command, R
from core.api.errors import HermesError
from core.api.port import Hermes

LIMIT_S = 20.0
_FAULT_CELLS = 300
Say = Callable[[str, str], None]


def operator() -> Actor:
    """Who sits at this terminal."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "operator"
    return Actor(ActorKind.OPERATOR, name)


def error_words(error: HermesError) -> str:
    """An error of the core in one line, with the way out where there is one."""
    fix = error.facts.get("fix")
    by = error.facts.get("by")
    words = f"{error.code}: {error.message}"
    words += f" by {by}" if by else ""
    words += f"; {fix}" if fix else ""
    return text.redact(text.clean(words))


def fault_words(asked: str, error: Exception) -> str:
    """An error that nobody foresaw in one line: what was asked, its type, its text."""
    words = text.cut(text.clean(f"{asked} failed: {type(error).__name__}: {error}"), _FAULT_CELLS)
    return text.redact(words)


class Orders:
    """Executes commands and says what came of them. last_error: of the last order; None when it was carried out."""

    def __init__(self, say: Say, *, limit_s: float = LIMIT_S) -> None:
        self._say = say
        self._limit_s = limit_s
        self._actor = operator()
        self.last_error: HermesError | None = None

    async def order(
        self, hermes: Hermes | None, command: Command[R], words: Callable[[R], tuple[str, str]]
    ) -> R | None:
        """The receipt, said in words; None after an error, which is said too."""
        self.last_error = None
        if hermes is None:
            self._say("no connection to the core: nothing was sent", "failing")
            return None
        self._say("sent, waiting for the core", "busy")
        try:
            async with asyncio.timeout(self._limit_s):
                receipt = await hermes.execute(command, actor=self._actor)
        except TimeoutError:
            self._say(
                f"no answer in {self._limit_s:.0f} s: it may still be carried out, look before you repeat", "failing"
            )
        except HermesError as error:
            self.last_error = error
            self._say(error_words(error), "failing")
        except Exception as error:  # noqa: BLE001 - a fault of the core must not end the screen
            self._say(fault_words(type(command).__name__, error), "failing")
        else:
            said, tone = words(receipt)
            self._say(said, tone)
            return receipt
        return None

    async def tell(self, hermes: Hermes, command: Command[Any]) -> None:
        """Send one that nobody waits for; it is not missed when it fails."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._limit_s):
                await hermes.execute(command, actor=self._actor)
