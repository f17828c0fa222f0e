"""Which messages a filter means, the cheap questions first (pure)."""

import math
from collections.abc import Callable

from core.api.errors import InvalidInput
from core.api.mail import MailFilter, MailState
from core.mailbox.causes import cause_of
from core.mailbox.message import Mail
from core.mailbox.shown import payload_text

IDS_LIMIT = 100_000
LIVE_STATES = frozenset({MailState.QUEUED, MailState.DELAYED, MailState.IN_FLIGHT})

_DEAD_ONLY = frozenset({MailState.DEAD})

Fits = Callable[[Mail], bool]


def matcher(where: MailFilter, now_at: float) -> Fits:
    """A test for many messages. now_at: UTC seconds, from which ages count.

    sender, message type, correlation, reason and cause fit as a whole; text fits anywhere, in upper or lower case.
    """
    tests = _tests(where, now_at)
    if not tests:
        return _everything
    if len(tests) == 1:
        return tests[0]
    return lambda mail: all(test(mail) for test in tests)


def fits(mail: Mail, where: MailFilter, now_at: float) -> bool:
    """Whether the filter means this message."""
    return matcher(where, now_at)(mail)


def check_filter(where: MailFilter, *, is_dead: bool) -> None:
    """Raises InvalidInput for a filter that no message can ever fit.

    is_dead: it is about dead letters, and not about live messages.
    """
    if len(where.ids) > IDS_LIMIT:
        raise InvalidInput(
            f"the filter names {len(where.ids)} ids",
            field="ids",
            value=len(where.ids),
            fix=f"name at most {IDS_LIMIT}, or use another filter",
        )
    wrong = next((mail_id for mail_id in where.ids if mail_id < 1), None)
    if wrong is not None:
        raise InvalidInput(f"{wrong} is no message id", field="ids", value=wrong, fix="ids are 1 or more")
    if not (math.isfinite(where.older_than_s) and where.older_than_s >= 0):
        raise InvalidInput(
            f"older_than_s is {where.older_than_s}",
            field="older_than_s",
            value=where.older_than_s,
            fix="use 0 or more seconds",
        )
    _check_states(frozenset(where.states), is_dead=is_dead)


def _check_states(states: frozenset[MailState], *, is_dead: bool) -> None:
    known = _DEAD_ONLY if is_dead else LIVE_STATES
    other = sorted(states - known)
    if not other:
        return
    if is_dead:
        fix = "leave states out: dead letters are dead"
    elif other == [MailState.DEAD]:
        fix = "ask for dead letters with dead=true"
    else:
        fix = f"use {', '.join(sorted(LIVE_STATES))}"
    what = "dead letters" if is_dead else "the messages of a mailbox"
    raise InvalidInput(f"none of {what} is {other[0]}", field="states", value=other[0], fix=fix)


def _tests(where: MailFilter, now_at: float) -> list[Fits]:
    """What has to hold, in the order of its cost."""
    tests: list[Fits] = []
    if where.ids:
        ids = frozenset(where.ids)
        tests.append(lambda mail: mail.id in ids)
    if where.states:
        states = frozenset(where.states)
        tests.append(lambda mail: mail.state in states)
    if where.reason is not None:
        tests.append(lambda mail: mail.reason is where.reason)
    if where.sender:
        tests.append(lambda mail: mail.sender == where.sender)
    if where.message_type:
        tests.append(lambda mail: mail.message_type == where.message_type)
    if where.correlation:
        tests.append(lambda mail: mail.correlation == where.correlation)
    if where.older_than_s:
        until = now_at - where.older_than_s
        tests.append(lambda mail: (mail.died_at or mail.created_at) < until)
    if where.cause:
        tests.append(lambda mail: cause_of(mail.reason, mail.error) == where.cause)
    if where.text:
        text = where.text.casefold()
        tests.append(lambda mail: _contains(mail, text))
    return tests


def _contains(mail: Mail, text: str) -> bool:
    return (
        text in mail.message_type.casefold()
        or text in mail.error.casefold()
        or text in payload_text(mail.body).casefold()
    )


def _everything(mail: Mail) -> bool:  # noqa: ARG001 -- a filter that asks nothing
    return True
