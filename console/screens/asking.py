"""One question at a time to the core: what was answered, when, and what went wrong."""

from collections.abc import Callable

from console.screens.base import Stage
from core.api.base import Query, V

_AGAIN_S = 1.0
_RETRY_S = 3.0


class Question:
    """Keeps the answer that counts: the one to the question asked last. error: of that one, "" when it was answered."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._round = 0
        self._asked_at = float("-inf")
        self._is_wanted = False
        self.is_open = False
        self.error = ""
        self.as_of: float | None = None

    @property
    def is_new(self) -> bool:
        """Whether nothing was heard yet, neither an answer nor an error."""
        return self.as_of is None and not self.error

    def begin(self) -> None:
        """Forget: the next answer is about something else."""
        self._round += 1
        self._is_wanted, self.is_open, self.error, self.as_of = False, False, "", None
        self._asked_at = float("-inf")

    def want(self) -> None:
        """What was answered may be out of date. Kept until it is asked again, however late it may be."""
        self._is_wanted = True

    @property
    def is_due(self) -> bool:
        """Whether an answer is missing or may be out of date, and it is time to ask."""
        return (self._is_wanted or self.is_new or bool(self.error)) and self.may_ask()

    def may_ask(self) -> bool:
        """Whether it is time to ask again: not twice a second, and an error is given time."""
        wait_s = _RETRY_S if self.error else _AGAIN_S
        return not self.is_open and self._stage.now() - self._asked_at >= wait_s

    def ask(self, query: Query[V], then: Callable[[V], None], ended: Callable[[], None]) -> None:
        """Ask. then: gets the answer; ended: called after an answer and after an error."""
        self._round += 1
        mine = self._round
        # What comes from now on may be newer than the answer.
        self._is_wanted = False
        self.is_open, self._asked_at = True, self._stage.now()

        def came(found: V) -> None:
            if mine == self._round:
                self.is_open, self.error, self.as_of = False, "", self._stage.now()
                then(found)
                ended()

        def failed(words: str) -> None:
            if mine == self._round:
                self.is_open, self.error = False, words
                ended()

        self._stage.ask(query, came, failed)
