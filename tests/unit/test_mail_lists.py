"""Lists of mailboxes and messages: what has room on a terminal of which width."""

import pytest

from tests.support.console_desk import desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_mail import mail, mailbox


@pytest.mark.parametrize("width", [100, 119, 120, 139, 140, 200])
async def test_names_of_two_dozen_letters_are_whole_from_100_columns_on(width: int):
    """The course of the depth and rarer figures give way to them."""
    name = "outbox.discord.community"
    async with desk(FakeHermes(mailboxes=[mailbox(name, redelivered=3)]), (width, 30)) as seen:
        await seen.press("4")
        assert len(name) == 24
        assert f" {name} " in seen.text
        assert ("REDELIV" in seen.text, "CAP" in seen.text) == (width >= 140, width >= 140)


async def test_a_name_that_has_no_room_keeps_both_ends():
    """Platforms stand at its beginning, chats at its end."""
    async with desk(FakeHermes(mailboxes=[mailbox("inbox.discord:channel:552211"), mailbox("b")])) as seen:
        await seen.press("4")
        row = next(line for line in seen.text.splitlines() if "inbox" in line)
        assert row.split()[2].endswith("552211")


async def test_a_message_of_an_outbox_begins_with_what_it_says():
    """In the list, in the pane and in the trace; the message itself is shown as it is."""
    payload = '{"delivery_id":"d-1","session_id":"s-1","text":"It passes."}'
    said = mail(7, payload=payload, correlation="t-1")
    async with desk(FakeHermes(mailboxes=[mailbox(queued=1)], mails=[said]), (140, 40)) as seen:
        await seen.press("4", "enter")
        assert ' It passes.  {"deliv' in seen.text
        assert " payload     It passes.\n" in seen.text.replace("│", " ")
        await seen.press("T")
        assert "notify  It passes." in seen.text
        await seen.press("1")
        assert '"delivery_id": "d-1",' in seen.text
