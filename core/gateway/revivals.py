"""Messages that were given up and that an operator sends again: each goes to the end of its session's queue."""

from collections.abc import Sequence

from core.api.base import Event, MailId
from core.api.errors import StoreError
from core.api.mail import DeadReason, MailState
from core.api.session_orders import SessionUnarchived
from core.api.sessions import MessageQueued, SessionView
from core.clock import Clock
from core.gateway.epochs import begun_anew
from core.gateway.lanes import Lanes
from core.gateway.session import put_last
from core.gateway.turns import Turns
from core.gateway.unanswered import MAILBOX, session_of, waiting_in
from core.letters import Letter, Mailroom, Owner
from core.supervisor import Supervisor

_STORE_RETRY_S = 1.0


class Revivals:
    """Speaks for the sessions as the owner of their mailbox."""

    def __init__(self, *, lanes: Lanes, turns: Turns, mail: Mailroom, clock: Clock, supervisor: Supervisor) -> None:
        self._lanes = lanes
        self._turns = turns
        self._mail = mail
        self._clock = clock
        self._supervisor = supervisor

    @property
    def owner(self) -> Owner:
        """What the mailbox tells operators who would go past the sessions."""
        return Owner(
            name="sessions",
            put_in="use `sessions send`",
            take_out="use `sessions drop`",
            rules="set sessions.max_attempts in the configuration; pause and resume work here",
            redriven=self._redriven,
        )

    async def refuse(self, letters: Sequence[Letter], why: str) -> None:
        """Make dead letters of what no session can answer."""
        if not letters:
            return
        with self._lanes.mail() as mail:
            for letter in letters:
                mail.take(MAILBOX, letter.id)
                mail.bury(MAILBOX, letter.id, DeadReason.CORRUPT, why)
            await mail.commit((), ())

    def _redriven(self, mail_ids: Sequence[MailId]) -> None:
        self._supervisor.spawn(f"redriven:{mail_ids[0]}", self._take_up(mail_ids))

    async def _take_up(self, mail_ids: Sequence[MailId]) -> None:
        for mail_id in mail_ids:
            while True:
                letter = self._mail.find_letter(MAILBOX, mail_id)
                if letter is None or letter.state is not MailState.QUEUED:
                    break
                try:
                    await self._queue(letter)
                except StoreError:
                    # It is stored and waits: without its place in the queue nobody would ever begin it.
                    await self._clock.sleep(_STORE_RETRY_S)
                else:
                    break

    async def _queue(self, letter: Letter) -> None:
        waiting = waiting_in(letter, self._clock)
        async with self._lanes.entered(session_of(letter)) as lane:
            view = lane.view
            if view is None or waiting is None:
                await self.refuse([letter], "no session can answer this")
                return
            message = waiting.message
            if message.id in lane.waiting:
                return
            is_restarted = view.is_archived
            if is_restarted:
                view, lane.history = begun_anew(view), None

            def facts(after: SessionView) -> list[Event]:
                taken_up: list[Event] = [SessionUnarchived(session=after)] if is_restarted else []
                return [*taken_up, MessageQueued(session=after, message=message)]

            with self._lanes.mail() as mail:
                await self._turns.commit(
                    lane,
                    mail,
                    base=view,
                    guard=put_last(lane.guard, message.id),
                    waiting={**lane.waiting, message.id: waiting},
                    facts=facts,
                    correlation=message.id,
                )
