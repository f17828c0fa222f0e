"""Mailboxes, their messages and their dead letters on the screen: what is asked, shown, typed and sent."""

from typing import Any, TypeVar

import msgspec
import pytest

from core.api import mailboxes
from core.api.base import Command
from core.api.errors import NotFound, StoreError
from core.api.mail import BrowseMail, MailDied, MailFilter, PostMail, PurgeMailbox, RedriveMail
from core.api.mailboxes import MailboxState
from tests.support.busy_mail import busy_mailboxes
from tests.support.console_desk import Desk, busy, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_mail import dead_mail, mail, mailbox, total_of

C = TypeVar("C", bound=Command[Any])
RELAY = ("4", "j")
"""The list, with the cursor on relay.out."""


def sent(seen: Desk, kind: type[C]) -> list[C]:
    """The commands of one kind, in order."""
    return [command for command in seen.hermes.commands if isinstance(command, kind)]


# -- the list ------------------------------------------------------------------


async def test_the_longest_wait_is_first_and_o_sorts_by_something_else():
    """Oldest, depth, dead, rate, name."""
    async with desk(busy()) as seen:
        await seen.press("4")
        first = []
        for _ in range(5):
            first.append(seen.app.desk.table.cursor_id)
            await seen.press("o", "g")
        assert first == ["old.import", "hooks", "relay.out", "runs.main", "agent.ops"]


async def test_a_filter_narrows_the_list_and_says_when_nothing_fits():
    """By name, state and what is wrong."""
    async with desk(busy()) as seen:
        await seen.press("4", "slash", *"paused", "enter")
        assert seen.app.desk.table.cursor_id == "deliveries.slack"
        await seen.press("slash", "z", "z", "enter")
        assert "0 of 8 match /" in seen.text


async def test_figures_follow_the_samples_of_the_core():
    """A number that grew is marked, and the sum of all is the core's."""
    hermes = busy()
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("4")
        tally = msgspec.structs.replace(hermes.mail.views["relay.out"].tally, queued=90)
        view = msgspec.structs.replace(hermes.mail.views["relay.out"], version=2, tally=tally)
        others = [other for other in busy_mailboxes() if other.name != "relay.out"]
        event = mailboxes.MailboxesMeasured(mailboxes=(view,), total=total_of([view, *others]))
        hermes.emit(event, subject="core", durable=False)
        await seen.settle()
        row = next(line for line in seen.text.splitlines() if " relay.out " in line)
        assert "93▲" in row
        assert "238 queued" in seen.text


async def test_messages_that_are_not_accounted_for_are_loud():
    """In the list, in the line above it, and on the first page."""
    async with desk(FakeHermes(mailboxes=[mailbox(queued=3, consumers=1, difference=2)])) as seen:
        assert "2 messages are not accounted for" in seen.text
        await seen.press("4")
        assert "DIFFERENCE 2" in seen.text
        assert "✗ books" in seen.text


async def test_stored_mail_that_is_still_read_is_marked():
    """Figures grow meanwhile."""
    hermes = busy()
    hermes.mail.is_indexing = True
    async with desk(hermes) as seen:
        await seen.press("4")
        assert "stored mail is being read: figures grow" in seen.text


async def test_a_core_that_cannot_show_its_mailboxes_still_shows_its_sessions():
    """The error is told where it belongs, with the way out."""
    hermes = busy()
    answer = hermes.mail.answer

    def fail(query: Any, seq: Any) -> Any:
        if isinstance(query, mailboxes.ListMailboxes):
            raise StoreError("pack 12 of the mail is damaged", cause="corrupt", fix="restore a copy")
        return answer(query, seq)

    hermes.mail.answer = fail  # type: ignore[method-assign]  # the core cannot read its mail
    async with desk(hermes, (140, 40)) as seen:
        assert "the core cannot show them" in seen.text
        await seen.press("4")
        assert "pack 12 of the mail is damaged; restore a copy" in seen.text
        await seen.press("2")
        assert "telegram:dm:8841" in seen.text


async def test_commands_lead_to_mailboxes_messages_and_dead_letters():
    """By part of a name, by m-123 and by 123."""
    async with desk(busy()) as seen:
        await seen.say("mb relay")
        assert seen.app.navigator.place == "mailboxes"
        await seen.say("mailbox slack")
        assert "deliveries.slack" in seen.text
        assert "m-77127" in seen.text
        for name in ("77120", "m-77120"):
            await seen.say(f"mail {name}")
            assert "deploy failed on eu1: 41 tests red" in seen.text
        await seen.say("dead")
        assert "3 causes" in seen.text


# -- one mailbox and one message -----------------------------------------------


async def test_a_mailbox_that_is_not_there_says_so():
    """With the key to those that are."""
    async with desk(busy()) as seen:
        await seen.say("mailbox nowhere")
        assert "no mailbox nowhere" in seen.text
        assert "4 lists the mailboxes" in seen.text


async def test_the_next_page_comes_when_the_end_is_reached():
    """A hundred at a time."""
    hermes = FakeHermes(mailboxes=[mailbox(queued=230)], mails=[mail(nth) for nth in range(1, 231)])
    async with desk(hermes) as seen:
        await seen.press("4", "enter")
        assert "100 shown, more below" in seen.text
        await seen.press("G")
        await seen.press("G")
        assert "230 shown" in seen.text
        asked = [query for query in hermes.queries if isinstance(query, BrowseMail)]
        assert [int(query.after) for query in asked[:3]] == [0, 100, 200]


async def test_messages_are_read_anew_when_the_mailbox_changed():
    """What was taken meanwhile is gone from the list."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press(*RELAY, "enter")
        hermes.mail.mails = [view for view in hermes.mail.mails if view.id != 77124]
        view = msgspec.structs.replace(hermes.mail.views["relay.out"], version=2)
        event = mailboxes.MailboxesMeasured(mailboxes=(view,), total=hermes.mail.total)
        hermes.emit(event, subject="core", durable=False)
        await seen.settle()
        assert "m-77124" not in seen.text
        assert "m-77125" in seen.text


async def test_a_filter_of_messages_is_the_cores_work():
    """It looks at all messages, not at those that are shown."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "enter", "slash", *"from", "colon", *"ops", "enter")
        assert "1 shown" in seen.text
        asked = [query.where for query in seen.hermes.queries if isinstance(query, BrowseMail)]
        assert asked[-1] == MailFilter(sender="ops")
        await seen.press("escape", "slash", *"older", "colon", *"soon", "enter")
        assert "soon is no time" in seen.text


async def test_a_message_is_shown_with_its_attempts_and_its_envelope():
    """Payload as data, every attempt with its error, headers."""
    async with desk(busy(), (140, 40)) as seen:
        await seen.press(*RELAY, "enter", "enter")
        for words in ('"retry": true', "try 1", "403 Missing Access", "deploy-eu1-41", "x-region: eu1", "t-77"):
            assert words in seen.text


async def test_the_trace_of_a_message_goes_through_all_mailboxes():
    """By correlation id, from the list or from the message; esc leads back step by step."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "enter", "T")
        for name in ("m-77113", "m-77120", "m-77126", "m-77127"):
            assert name in seen.text
        await seen.press("G", "enter")
        assert "deliveries.slack >" in seen.text
        await seen.press("escape")
        assert "4 messages" in seen.text
        await seen.press("escape", "escape")
        assert seen.app.navigator.place == "mailbox"


async def test_a_message_that_is_gone_says_so_and_keeps_what_was_known():
    """It was done, dropped or purged."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.say("mail 1")
        assert "no message m-1" in seen.text
        await seen.say("mail 77123")
        hermes.mail.mails = []
        view = msgspec.structs.replace(hermes.mail.views["relay.out"], version=2)
        event = mailboxes.MailboxesMeasured(mailboxes=(view,), total=hermes.mail.total)
        hermes.emit(event, subject="core", durable=False)
        await seen.settle()
        assert "what was known of it before" in seen.text
        assert '"just text"' in seen.text


# -- acts ----------------------------------------------------------------------


async def test_a_mailbox_is_paused_for_a_time_and_resumed():
    """A reason and a time; the receipt says what is so now; P once more goes on."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "P", *"slow", "tab", *"10m", "enter")
        paused = sent(seen, mailboxes.PauseMailbox)
        assert [(command.mailbox, command.reason, command.for_s) for command in paused] == [("relay.out", "slow", 600)]
        assert "paused: relay.out" in seen.text
        await seen.press("P")
        assert "slow" in seen.text
        await seen.press("right", "enter")
        assert [command.mailbox for command in sent(seen, mailboxes.ResumeMailbox)] == ["relay.out"]
        assert seen.hermes.mail.views["relay.out"].state is MailboxState.OPEN


async def test_a_pause_for_no_time_is_not_sent():
    """The dialog says what a time looks like."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "P", "tab", *"soon", "enter")
        assert "write a time such as" in seen.text
        assert seen.hermes.commands == []


async def test_a_message_is_posted_as_json_or_as_text():
    """The dialog says which before it is sent; it has a key, so that it is taken once."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "I", *"[1]")
        assert "goes as JSON: a list" in seen.text
        await seen.press("enter")
        await seen.press("I", *"hi", "tab", *"ping", "enter")
        posted = sent(seen, PostMail)
        assert [(command.payload, command.message_type) for command in posted] == [([1], "operator"), ("hi", "ping")]
        assert len({command.key for command in posted if command.key.startswith("console-")}) == 2
        assert "stored: m-77129 in relay.out" in seen.text


async def test_the_oldest_letter_goes_first_and_alone_then_the_rest():
    """The canary; then the group; a dry run counts both times, and not more goes than was counted."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "d", "R", "enter")
        assert "send 1 message again?" in seen.text
        assert "14 fit, 1 of them goes now" in seen.text
        await seen.press("right", "enter")
        assert "1 sent again to relay.out: m-77128" in seen.text
        await seen.press("g", "R", "j", "enter", "right", "enter")
        orders = [(command.dry_run, command.limit) for command in sent(seen, RedriveMail)]
        assert orders == [(True, 1), (False, 1), (True, 0), (False, 13)]
        assert "13 sent again to relay.out" in seen.text


async def test_letters_go_to_another_mailbox_when_told_so():
    """The target is part of the count and of the order."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "d", "R", "j", "tab", *"audit", "tab", *"why", "tab", "enter")
        assert "all go to audit" in seen.text
        await seen.press("right", "enter")
        assert [(command.target, command.reason) for command in sent(seen, RedriveMail)] == [("audit", "why")] * 2
        assert "14 sent again to audit" in seen.text


async def test_a_target_that_is_not_there_is_told_by_the_dry_run():
    """Nothing is sent."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "d", "R", "tab", *"nope", "enter", "enter")
        assert "no mailbox nope" in seen.text
        assert [command.dry_run for command in sent(seen, RedriveMail)] == [True]


async def test_dropping_asks_for_the_number_that_was_counted():
    """The yes is off until it is typed."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "d", "X", "j", "enter")
        assert "drop 14 messages for good?" in seen.text
        await seen.press("right", "enter")
        assert [command.dry_run for command in sent(seen, PurgeMailbox)] == [True]
        await seen.press("escape", "X", "j", "enter", "shift+tab", "1", "4", "enter")
        assert [command.dry_run for command in sent(seen, PurgeMailbox)] == [True, True, False]
        assert "14 messages dropped" in seen.text
        assert seen.hermes.mail.views["relay.out"].tally.dead == 1


async def test_dropping_everything_asks_for_the_name():
    """Without a filter a number is not enough."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "X", "enter")
        assert "type  relay.out  to go on" in seen.text
        await seen.press("shift+tab", *"relay", "full_stop", *"out", "enter")
        done = sent(seen, PurgeMailbox)[-1]
        assert (done.mailbox, done.dead, done.dry_run, done.where) == ("relay.out", False, False, MailFilter())
        assert {view.state.value for view in seen.hermes.mail.mails if view.mailbox == "relay.out"} == {
            "in_flight",
            "dead",
        }


async def test_marked_letters_are_meant_by_their_ids():
    """New letters that come meanwhile are not touched."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "enter", "2", "space", "space", "R")
        assert "the 2 that are marked" in seen.text
        await seen.press("enter", "right", "enter")
        assert {command.where.ids for command in sent(seen, RedriveMail)} == {(77100, 77101)}
        assert "2 sent again" in seen.text


async def test_a_group_is_opened_and_left_again():
    """Enter lists its messages, esc leads back to the desk."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "d", "enter")
        assert "14 shown" in seen.text
        assert "tries used up: # Missing Access" in seen.text
        await seen.press("escape")
        assert seen.app.navigator.place == "dead"


async def test_a_set_of_letters_that_is_gone_is_told():
    """The dry run finds none; nothing is confirmed, nothing sent."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press(*RELAY, "d", "R", "j")
        hermes.mail.mails = []
        await seen.press("enter")
        assert "nothing fits: nothing would be sent again" in seen.text
        assert len(seen.app.screen_stack) == 1


async def test_a_mailbox_is_made_with_rules_of_its_own():
    """A rule that cannot be is told before it is sent."""
    async with desk(busy()) as seen:
        await seen.press("4", "N", *"new", "full_stop", *"box", "tab", "ctrl+end", "enter")
        made = sent(seen, mailboxes.CreateMailbox)
        assert [(command.mailbox, command.policy) for command in made] == [("new.box", mailboxes.MailboxPolicy())]
        assert "made: new.box, durable" in seen.text


async def test_rules_are_changed_one_by_one():
    """The dialog names what is different; whether it is durable cannot be."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "E", "down", "end", "0", "0", "backspace", "backspace", "backspace", "7")
        assert "changed: capacity: 7" in seen.text
        await seen.press("enter")
        changed = sent(seen, mailboxes.SetMailboxPolicy)
        assert [(command.mailbox, command.policy.capacity) for command in changed] == [("relay.out", 7)]
        await seen.press("E", "end", "backspace", "backspace", "backspace", *"no", "enter")
        assert "cannot be changed" in seen.text


async def test_only_an_empty_mailbox_is_removed_and_its_name_is_typed():
    """One that holds something says what to do first."""
    async with desk(busy()) as seen:
        await seen.press(*RELAY, "D")
        assert "it holds 21 messages: drop or send them first" in seen.text
        await seen.press("G", "D", "shift+tab", *"audit", "enter")
        assert [command.mailbox for command in sent(seen, mailboxes.DeleteMailbox)] == ["audit"]
        assert "removed: audit" in seen.text


@pytest.mark.parametrize("keys", [("R",), ("X",), ("P",), ("I",), ("E",), ("D",)], ids=str)
async def test_a_key_on_an_empty_list_says_why_it_does_nothing(keys: tuple[str, ...]):
    """No dialog opens over nothing."""
    async with desk(FakeHermes()) as seen:
        await seen.press("4", *keys)
        assert "is off: no " in seen.text
        assert len(seen.app.screen_stack) == 1


async def test_letters_that_die_while_the_desk_is_open_appear():
    """It asks again when the core says so."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("4", "d")
        letter = dead_mail(77200, "hooks", error="no route to host")
        hermes.mail.mails.append(letter)
        hermes.emit(MailDied(mailbox=letter.mailbox, count=1, mail=letter), subject="hooks")
        await seen.settle()
        assert "no route to host" in seen.text
        assert "4 causes" in seen.text


async def test_an_error_of_the_desk_is_told_in_its_place():
    """It is asked again by itself."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("4")
        hermes.fail_next(NotFound("no such thing", noun="mailbox"))
        await seen.press("d")
        seen.clock.at += 10
        await seen.settle()
        assert "3 causes" in seen.text
