"""Mailboxes from a shell: lists, messages, acts that are tried dry, filters as flags, exit codes."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api.codec import decode_view
from core.api.mail import (
    BrowseMail,
    BulkReceipt,
    DeadGroups,
    DeadReason,
    MailFilter,
    MailPage,
    MailView,
    PostMail,
    PostReceipt,
    Priority,
    PurgeMailbox,
    RedriveMail,
)
from core.api.mailboxes import MailboxList, MailboxState, MailboxView
from tests.support.busy_mail import busy_mailboxes, busy_mails
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_mail import dead_mail, mailbox
from tests.support.rows import HARMFUL, HOSTILE
from tests.support.shell import Shell, shell_on


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder:
        yield Path(folder)


@pytest.fixture
def shell(home: Path) -> Iterator[Shell]:
    """A shell on a core with busy mailboxes."""
    with shell_on(FakeHermes(mailboxes=busy_mailboxes(), mails=busy_mails()), home) as opened:
        yield opened


@pytest.mark.parametrize("noun", ["mailbox", "mailboxes"])
def test_mailboxes_are_listed_with_their_books(shell: Shell, noun: str) -> None:
    """One row for each, under either name; the sum goes to stderr."""
    said = shell.run(f"{noun} list")
    assert len(said.lines) == 9
    assert said.lines[-1].split()[:6] == ["runs.main", "open", "12", "4s", "1.2k", "1.2k"]
    assert "60,179 accepted = 59,884 done" in said.err
    assert "difference 0" in said.err
    assert isinstance(decode_view(shell.run(f"{noun} list --json").out.encode()), MailboxList)


def test_one_mailbox_is_shown_with_its_figures_and_rules(shell: Shell) -> None:
    """Everything that the screen shows."""
    said = shell.run("mailbox show relay.out")
    assert said.code == 0
    for words in ("3 queued, 1 delayed, 2 in flight", "p99 4.2s", "difference 0", "  visibility_s: 30"):
        assert words in said.out
    assert isinstance(decode_view(shell.run("mailbox show relay.out --json").out.encode()), MailboxView)


@pytest.mark.parametrize("name", ["m-77120", "77120"])
def test_a_message_is_shown_by_either_name(shell: Shell, name: str) -> None:
    """Payload, attempts, envelope."""
    said = shell.run(f"mailbox show {name}")
    for words in ("m-77120", "deploy-eu1-41", '    "deploy",', "try 1", "x-region: eu1"):
        assert words in said.out
    assert isinstance(decode_view(shell.run(f"mailbox show {name} --json").out.encode()), MailView)


def test_peeking_shows_messages_by_page(shell: Shell) -> None:
    """Live or dead; the rest is named by where it begins."""
    first = shell.run("mailbox peek relay.out --dead --limit 10")
    assert len(first.lines) == 11
    assert "there is more: --after m-77109" in first.err
    rest = shell.run("mailbox peek relay.out --dead --after m-77109 --json")
    page = decode_view(rest.out.encode())
    assert isinstance(page, MailPage)
    assert [int(view.id) for view in page.mails] == [77110, 77111, 77112, 77113, 77115]
    assert "no message fits" in shell.run("mailbox peek audit").err


def test_filters_are_flags(shell: Shell) -> None:
    """All of them at once."""
    line = (
        "mailbox peek relay.out --dead --sender ops --message-type notify --reason max_deliveries --cause '# x'"
        " --text depth --older-than 10m --correlation t-77 --id m-1 --id 2"
    )
    assert shell.run(line).code == 0
    asked = shell.on_core(lambda: [query for query in shell.fake.queries if isinstance(query, BrowseMail)])
    assert asked[-1].where == MailFilter(
        ids=(1, 2),  # type: ignore[arg-type]  # ids are plain numbers here
        sender="ops",
        message_type="notify",
        reason=DeadReason.MAX_DELIVERIES,
        cause="# x",
        text="depth",
        older_than_s=600.0,
        correlation="t-77",
    )


def test_a_message_is_sent_as_json_or_text(shell: Shell) -> None:
    """From the line or from stdin, with its envelope."""
    line = "mailbox send audit '{\"a\":1}' --priority high --key k1 --correlation t-1 --delay 10m --ttl 1h"
    assert "m-77128" in shell.run(line).out
    shell.run("mailbox send audit -", stdin="[1,2]\n")
    shell.run("mailbox send audit 7 --text --message-type count")
    sent = [command for command in shell.fake.commands if isinstance(command, PostMail)]
    assert [command.payload for command in sent] == [{"a": 1}, [1, 2], "7"]
    assert (sent[0].priority, sent[0].key, sent[0].delay_s, sent[0].ttl_s) == (Priority.HIGH, "k1", 600.0, 3600.0)
    assert isinstance(decode_view(shell.run("mailbox send audit hi --json").out.encode()), PostReceipt)


def test_a_mailbox_is_paused_and_resumed(shell: Shell) -> None:
    """For a time, with a reason; the receipt says how it stands."""
    said = shell.run("mailbox pause relay.out --reason 'slack is down' --for 10m")
    assert "slack is down; goes on in 10m00s" in said.out
    assert shell.fake.mail.views["relay.out"].state is MailboxState.PAUSED
    assert "paused until  in 10m00s" in shell.run("mailbox show relay.out").out
    assert "open" in shell.run("mailbox resume relay.out").out
    assert shell.run("mailbox pause relay.out --for soon").code == 2


def test_dead_letters_are_listed_by_cause(shell: Shell) -> None:
    """The largest group first, with what to do about it."""
    said = shell.run("mailbox dead")
    assert said.lines[1].split()[:3] == ["relay.out", "max_deliveries", "14"]
    assert "send one again first" in said.lines[1]
    assert len(shell.run("mailbox dead old.import").lines) == 2
    assert "no dead letters" in shell.run("mailbox dead audit").err
    assert isinstance(decode_view(shell.run("mailbox dead --json").out.encode()), DeadGroups)


def test_letters_are_sent_again_after_a_dry_run(shell: Shell) -> None:
    """The dry run changes nothing; a limit, a filter and a target are part of the order."""
    dry = shell.run("mailbox redrive relay.out --reason max_deliveries --dry-run")
    assert "matched     14" in dry.out
    assert "0, 14 would be" in dry.out
    assert "0, 3 would be" in shell.run("mailbox redrive relay.out --limit 3 --dry-run").out
    assert len(shell.fake.mail.mails) == len(busy_mails())
    done = shell.run("mailbox redrive relay.out --reason max_deliveries --to audit --limit 2 --why canary --json")
    receipt = decode_view(done.out.encode())
    assert isinstance(receipt, BulkReceipt)
    assert (receipt.matched, receipt.changed, len(receipt.mail_ids)) == (14, 2, 2)
    orders = [command for command in shell.fake.commands if isinstance(command, RedriveMail)]
    assert [(order.dry_run, order.target, order.limit, order.reason) for order in orders] == [
        (True, "", 0, ""),
        (True, "", 3, ""),
        (False, "audit", 2, "canary"),
    ]


def test_one_letter_is_sent_again_by_its_id(shell: Shell) -> None:
    """With or without its letter."""
    assert "sent again  1" in shell.run("mailbox redrive relay.out --id m-77100").out
    assert "sent again  1" in shell.run("mailbox redrive --all-mailboxes --id 77116").out


def test_dropping_without_a_filter_is_refused_until_it_is_meant(shell: Shell) -> None:
    """Exit code 5, and nothing is gone; a dry run is free."""
    said = shell.run("mailbox purge relay.out --dead --yes")
    assert (said.code, shell.fake.commands) == (5, [])
    assert "--everything" in said.err
    assert "0, 15 would be" in shell.run("mailbox purge relay.out --dead --dry-run").out
    assert "dropped    15" in shell.run("mailbox purge relay.out --dead --everything --yes").out


def test_dropping_asks_with_the_number(shell: Shell) -> None:
    """What is counted is named; no answer is no."""
    said = shell.run("mailbox purge relay.out --dead --older-than 2m", stdin="n\n", is_terminal=True)
    assert said.code == 5
    assert "dropping 15 dead letters of relay.out loses" in said.err
    assert shell.run("mailbox purge relay.out --dead --older-than 2m").code == 5
    assert [command.dry_run for command in shell.fake.commands if isinstance(command, PurgeMailbox)] == [True, True]
    done = shell.run("mailbox purge relay.out --dead --older-than 2m", stdin="yes\n", is_terminal=True)
    assert done.code == 0
    assert "dropped" in done.out


def test_a_mailbox_is_named_or_all_are(shell: Shell) -> None:
    """Not neither, not both; live messages are never dropped everywhere."""
    assert shell.run("mailbox redrive").code == 2
    assert shell.run("mailbox redrive relay.out --all-mailboxes").code == 2
    assert shell.run("mailbox purge --all-mailboxes --older-than 1d --yes").code == 2
    assert shell.run("mailbox purge --all-mailboxes --dead --older-than 1d --yes").code == 0


def test_a_mailbox_is_made_ruled_and_removed(shell: Shell) -> None:
    """Rules as rule=value; one that holds something is not removed."""
    assert "capacity: 5" in shell.run("mailbox create new.box --set capacity=5 --set visibility_s=2m").out
    assert shell.run("mailbox create new.box").code == 6
    assert "capacity: 9" in shell.run("mailbox policy new.box --set capacity=9").out
    assert "visibility_s: 120" in shell.run("mailbox policy new.box").out
    assert shell.run("mailbox policy new.box --set capacty=9").code == 2
    assert shell.run("mailbox delete new.box").code == 5
    assert shell.run("mailbox delete new.box --yes").code == 0
    assert shell.run("mailbox delete relay.out --yes").code == 6


@pytest.mark.parametrize("line", ["show nowhere", "show m-1", "peek nowhere", "send nowhere 1", "pause nowhere"])
def test_what_is_not_there_has_the_exit_code_for_it(shell: Shell, line: str) -> None:
    """Exit code 4, and as JSON the code of the error."""
    said = shell.run(f"mailbox {line} --json")
    assert (said.code, said.out) == (4, "")
    assert json.loads(said.err)["code"] == "not_found"


@pytest.mark.parametrize(
    "line", ["peek audit --id x", "peek audit --after x", "peek audit --older-than soon", "send audit 1 --delay soon"]
)
def test_a_flag_that_cannot_be_is_refused(shell: Shell, line: str) -> None:
    """Exit code 2, and nothing is asked."""
    assert shell.run(f"mailbox {line}").code == 2


def test_hostile_text_of_a_message_is_harmless_on_a_terminal(home: Path) -> None:
    """Escapes, direction marks and halves of characters are shown as marks."""
    words = "".join(sign for sign in "".join(HOSTILE[:4]) if not "\ud800" <= sign <= "\udfff")
    letter = dead_mail(
        1, sender=words, error=words, payload=f'"{words}"', headers={words: words}, message_type=words, key=words
    )
    fake = FakeHermes(mailboxes=[mailbox(dead=1, last_error=words, paused_reason=words)], mails=[letter])
    with shell_on(fake, home) as shell:
        for line in ("list", "show relay.out", "show 1", "peek relay.out --dead", "dead"):
            said = shell.run(f"mailbox {line}")
            assert said.code == 0
            assert not set(HARMFUL.replace("\n", "")) & set(said.out)
