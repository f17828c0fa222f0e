"""Which messages a filter means."""

import math
from typing import Any

import pytest

from core.api.base import MailId
from core.api.errors import InvalidInput
from core.api.mail import DeadReason, MailFilter, MailState
from core.mailbox.filter import IDS_LIMIT, check_filter, fits, matcher
from core.mailbox.message import Mail
from tests.support.mails import WALL, a_dead_mail, a_mail

MAIL = a_mail(7, {"Note": "Größe"}, sender="ana", message_type="task.run", correlation="c-1")
DEAD = a_dead_mail(8, "HTTP 503 from 10.0.0.1", died_at=WALL + 50)


@pytest.mark.parametrize(
    ("mail", "where"),
    [
        (MAIL, MailFilter()),
        (MAIL, MailFilter(ids=(MailId(7), MailId(9)))),
        (MAIL, MailFilter(states=(MailState.QUEUED,))),
        (MAIL, MailFilter(sender="ana")),
        (MAIL, MailFilter(message_type="task.run")),
        (MAIL, MailFilter(correlation="c-1")),
        (MAIL, MailFilter(older_than_s=99)),
        (MAIL, MailFilter(text="note")),
        (MAIL, MailFilter(text="GRÖSSE")),
        (MAIL, MailFilter(text='"Note":"Gr')),
        (MAIL, MailFilter(text="ASK.R")),
        (DEAD, MailFilter(reason=DeadReason.REJECTED)),
        (DEAD, MailFilter(cause="rejected: HTTP 503 from <address>")),
        (DEAD, MailFilter(text="503 FROM")),
        (DEAD, MailFilter(older_than_s=49)),
        (DEAD, MailFilter(ids=(MailId(8),), reason=DeadReason.REJECTED, sender="ana", text="http")),
    ],
)
def test_a_message_fits_when_everything_holds_that_is_asked(mail: Mail, where: MailFilter) -> None:
    """Each question by itself, and several together."""
    assert fits(mail, where, WALL + 100)


@pytest.mark.parametrize(
    ("mail", "where"),
    [
        (MAIL, MailFilter(ids=(MailId(8),))),
        (MAIL, MailFilter(states=(MailState.DELAYED, MailState.IN_FLIGHT))),
        (MAIL, MailFilter(sender="an")),
        (MAIL, MailFilter(message_type="task")),
        (MAIL, MailFilter(correlation="c-2")),
        (MAIL, MailFilter(older_than_s=100)),
        (MAIL, MailFilter(text="c-1")),
        (MAIL, MailFilter(reason=DeadReason.REJECTED)),
        (DEAD, MailFilter(reason=DeadReason.POISON)),
        (DEAD, MailFilter(cause="rejected: HTTP 500 from <address>")),
        (DEAD, MailFilter(older_than_s=50)),
        (DEAD, MailFilter(ids=(MailId(8),), reason=DeadReason.REJECTED, sender="bo")),
    ],
)
def test_one_thing_that_does_not_hold_is_enough(mail: Mail, where: MailFilter) -> None:
    """Names fit as a whole, and the age counts from death for a dead letter."""
    assert not fits(mail, where, WALL + 100)


def test_a_payload_is_not_decoded_when_something_cheaper_says_no() -> None:
    """The text is looked for last: a body that would be costly to read is left alone."""

    class Touchy(Mail):
        @property
        def body(self) -> bytes:
            raise AssertionError("decoded")

    values: list[Any] = [getattr(MAIL, name) for name in Mail.__struct_fields__]
    mail = Touchy(*values)
    assert not fits(mail, MailFilter(text="x", sender="bo"), WALL)
    assert fits(mail, MailFilter(text="run"), WALL)


def test_a_matcher_is_made_once_for_many_messages() -> None:
    """It answers as `fits` does."""
    test = matcher(MailFilter(sender="ana"), WALL)
    assert [test(mail) for mail in (MAIL, DEAD, a_mail(sender="bo"))] == [True, True, False]


@pytest.mark.parametrize(
    ("where", "is_dead", "field", "fix"),
    [
        (MailFilter(ids=(MailId(3), MailId(0))), False, "ids", "1 or more"),
        (MailFilter(ids=tuple(map(MailId, range(1, IDS_LIMIT + 2)))), False, "ids", "at most"),
        (MailFilter(older_than_s=-1), False, "older_than_s", "0 or more"),
        (MailFilter(older_than_s=math.nan), False, "older_than_s", "0 or more"),
        (MailFilter(older_than_s=math.inf), True, "older_than_s", "0 or more"),
        (MailFilter(states=(MailState.DONE,)), False, "states", "queued"),
        (MailFilter(states=(MailState.QUEUED, MailState.DEAD)), False, "states", "dead=true"),
        (MailFilter(states=(MailState.DEAD, MailState.QUEUED)), True, "states", "leave states out"),
    ],
)
def test_a_filter_that_nothing_can_fit_is_refused(where: MailFilter, is_dead: bool, field: str, fix: str) -> None:
    """The error names the field and a way out."""
    with pytest.raises(InvalidInput) as caught:
        check_filter(where, is_dead=is_dead)
    assert caught.value.facts["field"] == field
    assert fix in str(caught.value.facts["fix"])


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_filter_that_makes_sense_passes(is_dead: bool) -> None:
    """Empty, and with states of its kind."""
    state = MailState.DEAD if is_dead else MailState.IN_FLIGHT
    check_filter(MailFilter(), is_dead=is_dead)
    check_filter(MailFilter(ids=(MailId(1),), states=(state,), older_than_s=0.5), is_dead=is_dead)
