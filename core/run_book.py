"""The agents' book of runs, as sessions keep it: their words put into those of the book."""

from collections.abc import Callable, Sequence

from core.agents.tasks.booked import RunBegan, RunOver
from core.agents.tasks.ledger import Ledger
from core.api.sessions import MessageView
from core.gateway.ports import RunBegun, RunClosed
from core.pages import Pages


class BookOfRuns:
    """The RunBook of a core. ledger: gives the book, which is made after the sessions that write into it."""

    def __init__(self, ledger: Callable[[], Ledger]) -> None:
        self._ledger = ledger

    def begun(self, run: RunBegun) -> Pages:
        """What to write when a run begins."""
        return self._ledger().begun(
            RunBegan(
                run_id=run.run_id,
                session_id=run.session_id,
                agent=run.agent,
                boot=run.boot,
                token=run.token,
                attempt=run.attempt,
                messages=run.messages,
                began=run.began,
            )
        )

    def closed(self, run: RunClosed) -> Pages:
        """What to write when it is over."""
        return self._ledger().closed(
            RunOver(
                run_id=run.run_id,
                session_id=run.session_id,
                outcome=run.outcome,
                messages=run.messages,
                answer=run.answer,
                is_requeued=run.is_requeued,
            )
        )

    def let_go(self, messages: Sequence[MessageView], reason: str) -> Pages:
        """What to write when waiting messages are dropped."""
        return self._ledger().let_go(messages, reason)
