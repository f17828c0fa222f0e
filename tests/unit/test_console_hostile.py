"""Text from outside is data: shown as it is written, never markup, never raw."""

import re

import msgspec
import pytest

from core.api import sessions
from core.api.base import EntryId
from core.api.deliveries import DeliveryState
from core.api.mail import MailAttempt
from core.api.mailboxes import MailboxState
from core.api.platforms import PlatformState
from core.api.runs import Phase, Stop, ToolCall, ToolStatus
from core.api.sessions import SessionState
from core.api.transcripts import EntryKind
from tests.support.console_desk import RUNNING, SIZES, VIEWS, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_mail import dead_mail, mail, mailbox
from tests.support.screens import screen_text
from tests.support.views import (
    NOW,
    ago,
    approval,
    delivery,
    entry,
    health,
    message,
    outcome,
    platform,
    run,
    session,
)

HOSTILE = "[red]\x1b[31mEVIL\x1b[0m\x07\u202e[/red] [@click=app.quit]x[/]"


def hostile() -> FakeHermes:
    """A core in which everything from outside is hostile."""
    view = session(
        RUNNING,
        title=HOSTILE,
        source=msgspec.structs.replace(session(RUNNING).source, chat_name=HOSTILE),
        state=SessionState.WAITING,
        run=run(phase=Phase.APPROVAL, tool=HOSTILE),
        queue_depth=1,
        queue_head=ago(3),
    )
    other = session(
        "local:dm:bo",
        state=SessionState.FAILED,
        title=HOSTILE,
        last_outcome=outcome(stop=Stop.ERROR, answered=False, error=HOSTILE),
    )
    tool = ToolCall(id="t1", title=HOSTILE, input=HOSTILE, output=HOSTILE, status=ToolStatus.FAILED)
    letter = {
        "sender": HOSTILE,
        "message_type": HOSTILE,
        "payload": f'{{"text":"{HOSTILE}"}}',
        "correlation": HOSTILE,
        "key": HOSTILE,
        "order_key": HOSTILE,
        "headers": {HOSTILE: HOSTILE},
    }
    hermes = FakeHermes(
        sessions=[view, other],
        approvals=[approval("a1", title=HOSTILE, detail=HOSTILE)],
        deliveries=[delivery("d1", text=HOSTILE, error=HOSTILE, state=DeliveryState.DEAD)],
        platforms=[platform("local", state=PlatformState.DOWN, last_error=HOSTILE, address=HOSTILE)],
        messages=[message(HOSTILE, sender=HOSTILE)],
        entries={
            RUNNING: [entry(HOSTILE, author=HOSTILE), entry("", id=EntryId("e2"), kind=EntryKind.TOOL, tool=tool)]
        },
        health_view=health(problems=(HOSTILE,)),
        mailboxes=[
            mailbox(
                HOSTILE,
                queued=1,
                dead=1,
                oldest=ago(9),
                last_error=HOSTILE,
                state=MailboxState.PAUSED,
                paused_by=HOSTILE,
                paused_reason=HOSTILE,
            )
        ],
        mails=[
            mail(1, HOSTILE, **letter),
            dead_mail(2, HOSTILE, error=HOSTILE, attempts=(MailAttempt(number=1, at=NOW.at, error=HOSTILE),), **letter),
        ],
    )
    hermes.emit(sessions.MessageQueued(session=view, message=message(HOSTILE, sender=HOSTILE)), subject=HOSTILE)
    return hermes


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    "keys",
    [
        *VIEWS.values(),
        *(("3", "A"), ("2", "I"), ("2", "X"), ("2", "R"), ("8", "X"), ("q",), ("ctrl+p",)),
        *(("4", "P"), ("4", "I"), ("4", "E"), ("4", "R"), ("4", "X"), ("4", "D"), ("4", "d", "R"), ("4", "enter", "X")),
        ("4", "d", "R", "tab", "tab", "enter"),
    ],
    ids=str,
)
async def test_text_from_outside_is_never_markup_and_never_reaches_the_terminal_raw(
    keys: tuple[str, ...], size: tuple[int, int]
):
    """Names, messages, titles, details and errors are shown as they are written, with hidden characters marked."""
    async with desk(hostile(), size) as seen:
        await seen.press(*keys)
        shown = screen_text(seen.app)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
        assert "EVIL" not in shown or "<ESC>" in shown or "\\u001b" in shown
