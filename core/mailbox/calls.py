"""Calls: a message that expects a reply, with a deadline; the reply goes straight to who waits for it.

The wait lives in this process only. A reply that nobody waits for any more is kept as a dead
letter of the caller's mailbox, where an operator sees it, and is never delivered as a message.
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from core.api.base import MailId
from core.api.errors import DeadlineExceeded, HermesError, InvalidInput, Unavailable
from core.api.mail import DeadReason, MailKind, Priority
from core.api.mailboxes import MailboxPolicy
from core.clock import Clock
from core.ids import IdSource
from core.mailbox.address import Group, Pid, name_of
from core.mailbox.burials import post_dead
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft, Mail, encode_payload
from core.mailbox.router import Fall, Router

CALL_HEADER = "call"
"""Header of a call and of its reply: the id that joins the two."""

_ENDS_KEPT = 4096


class ReplyOutcome(StrEnum):
    """What became of a reply: the caller has it, it is a dead letter, or there was no place to keep it."""

    DELIVERED = "delivered"
    LATE = "late"
    LOST = "lost"


class CallStats(msgspec.Struct, frozen=True, kw_only=True):
    """Calls since the start. waiting: now. late: replies kept as dead letters; lost: those that could not be kept."""

    made: int = 0
    answered: int = 0
    timed_out: int = 0
    withdrawn: int = 0
    callee_down: int = 0
    refused: int = 0
    late: int = 0
    lost: int = 0
    waiting: int = 0


class _Waiting(msgspec.Struct, eq=False):
    """scope: of the deadline. is_sent: the message is in the callee's mailbox."""

    callee: Pid
    reply: "asyncio.Future[Any]"
    scope: asyncio.Timeout
    is_sent: bool = False


class Calls:
    """Makes calls and takes the replies. An observer of the router from its construction on."""

    def __init__(self, router: Router, boxes: Mailboxes, clock: Clock, ids: IdSource | None = None) -> None:
        self._router = router
        self._boxes = boxes
        self._ids = ids or IdSource(clock)
        self._waiting: dict[str, _Waiting] = {}
        self._of_callee: dict[Pid, dict[str, None]] = {}
        self._ends: dict[str, str] = {}
        self._made = self._answered = self._timed_out = self._withdrawn = 0
        self._callee_down = self._refused = self._late = self._lost = 0
        router.observe(self)

    async def call(
        self,
        to: str | Pid | Group,
        payload: Any,
        *,
        caller: str | Pid,
        timeout_s: float = 5.0,
        message_type: str = "",
        priority: Priority = Priority.NORMAL,
        correlation: str = "",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Send a message and wait for the reply to it; returns a copy of the reply's payload.

        caller: name or pid that gets a late reply. Raises NotFound (fact `reason`: unknown or ended)
        when nobody runs there, Unavailable when the callee ends before it replied, DeadlineExceeded after
        timeout_s seconds, and what route() raises. Whoever gives up takes the message back if it still waits;
        one that is still being stored then goes out of date by itself after timeout_s.
        """
        if timeout_s <= 0:
            raise InvalidInput(
                f"timeout_s is {timeout_s}", field="timeout_s", value=timeout_s, fix="use more than 0 seconds"
            )
        self._made += 1
        call_id = self._ids.new_id()
        draft = Draft(
            payload=payload,
            sender=str(caller),
            kind=MailKind.CALL,
            message_type=message_type,
            priority=priority,
            correlation=correlation or call_id,
            ttl_s=timeout_s,
            headers={**(headers or {}), CALL_HEADER: call_id},
        )
        try:
            callee = self._router.registry.require_running(self._router.choose(to, draft))
        except HermesError:
            self._refused += 1
            raise
        return await self._await_reply(call_id, callee, draft, timeout_s)

    async def reply(self, mail: Mail, payload: Any) -> ReplyOutcome:
        """Answer a call. The call itself still has to be settled by who holds it.

        Raises InvalidInput when the message is no call, or the payload cannot be sent.
        """
        call_id = (mail.headers or {}).get(CALL_HEADER, "") if mail.kind is MailKind.CALL else ""
        if not call_id:
            raise InvalidInput(
                f"m-{mail.id} is no call: nobody waits for a reply",
                field="mail",
                value=mail.kind,
                fix="send a message to its sender instead",
            )
        body = self._encoded(mail, payload)
        waiting = self._waiting.get(call_id)
        if waiting is not None and not waiting.reply.done():
            waiting.reply.set_result(msgspec.msgpack.decode(body))
            return ReplyOutcome.DELIVERED
        return await self._keep_late(mail, call_id, payload)

    def stats(self) -> CallStats:
        """Figures since the start."""
        return CallStats(
            made=self._made,
            answered=self._answered,
            timed_out=self._timed_out,
            withdrawn=self._withdrawn,
            callee_down=self._callee_down,
            refused=self._refused,
            late=self._late,
            lost=self._lost,
            waiting=len(self._waiting),
        )

    # -- what the router tells

    async def agent_started(self, pid: Pid) -> None:
        """Nobody waits for it yet."""

    async def agent_stopped(self, pid: Pid, reason: str) -> Sequence[Fall]:
        """End the calls to it, at once; a reply that it gave before is with its caller already."""
        for call_id in self._of_callee.get(pid, ()):
            waiting = self._waiting[call_id]
            if not waiting.reply.done():
                waiting.reply.set_exception(
                    Unavailable(
                        f"{pid} ended before it replied: {reason}",
                        what=f"call to {pid}",
                        reason=reason,
                        fix="call again when it runs; it may have begun the work",
                    )
                )
                if not waiting.is_sent and not waiting.scope.expired():
                    # Its message still waits for room, or for the disk.
                    waiting.scope.reschedule(0.0)
        return ()

    async def shutting_down(self, reason: str) -> None:
        """Calls that wait may still be answered."""

    # -- inside

    async def _await_reply(self, call_id: str, callee: Pid, draft: Draft, timeout_s: float) -> Any:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        scope = asyncio.timeout(timeout_s)
        waiting = self._waiting[call_id] = _Waiting(callee, reply, scope)
        self._of_callee.setdefault(callee, {})[call_id] = None
        sent = MailId(0)
        end = "withdrawn by the caller"
        try:
            try:
                async with scope:
                    sent = (await self._router.route(callee, draft)).mail_id
                    waiting.is_sent = True
                    answer = await reply
            except TimeoutError:
                # A reply, or the end of the callee, that came at the same moment counts.
                answer = _settled(reply, callee, timeout_s)
            end = "answered already"
            self._answered += 1
        except DeadlineExceeded:
            end = f"given up after {timeout_s:g} s"
            self._timed_out += 1
            raise
        except asyncio.CancelledError:
            self._withdrawn += 1
            raise
        except HermesError as error:
            end = error.message
            if reply.done():
                self._callee_down += 1
            else:
                self._refused += 1
            raise
        finally:
            self._close(call_id, callee, reply, sent, end)
        return answer

    def _close(self, call_id: str, callee: Pid, reply: "asyncio.Future[Any]", sent: MailId, end: str) -> None:
        if not reply.cancel() and not reply.cancelled():
            # Somebody has to have looked at it, or the loop warns of an error that nobody heard of.
            reply.exception()
        del self._waiting[call_id]
        calls = self._of_callee[callee]
        del calls[call_id]
        if not calls:
            del self._of_callee[callee]
        self._ends[call_id] = end
        if len(self._ends) > _ENDS_KEPT:
            del self._ends[next(iter(self._ends))]
        box = self._boxes.find(callee.name)
        mail = box.waiting.get(sent) if box is not None else None
        if box is not None and mail is not None:
            box.drop_now(mail)

    def _encoded(self, mail: Mail, payload: Any) -> bytes:
        box = self._boxes.find(mail.mailbox)
        policy = box.policy if box is not None else MailboxPolicy()
        return encode_payload(payload, policy.body_limit_bytes)

    async def _keep_late(self, mail: Mail, call_id: str, payload: Any) -> ReplyOutcome:
        end = self._ends.get(call_id, "not known to this start of the core")
        caller = name_of(mail.sender)
        late = Draft(
            payload=payload,
            sender=str(mail.mailbox),
            kind=MailKind.REPLY,
            message_type=mail.message_type,
            correlation=mail.correlation,
            causation=mail.id,
            headers={CALL_HEADER: call_id},
        )
        error = f"nobody waits for this reply any more; the call: {end}"
        try:
            await post_dead(self._boxes, caller, late, reason=DeadReason.LATE_REPLY, error=error)
        except HermesError:
            self._lost += 1
            return ReplyOutcome.LOST
        self._late += 1
        return ReplyOutcome.LATE


def _settled(reply: "asyncio.Future[Any]", callee: Pid, timeout_s: float) -> Any:
    if reply.done() and not reply.cancelled():
        return reply.result()
    raise DeadlineExceeded(
        f"no reply from {callee} within {timeout_s:g} s", what=f"call to {callee}", limit_s=timeout_s
    )
