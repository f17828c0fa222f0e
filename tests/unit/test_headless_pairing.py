"""Senders, invitations and access from a shell: what is shown, what is ordered, what is asked before it is lost."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.access_receipts import sender_decided, verdict_words
from core.api.access import Rule, Verdict
from core.api.base import PlatformName
from core.api.deliveries import DeliveryState
from core.api.pairings import (
    ApprovePairing,
    BlockSender,
    CreateInvite,
    DenyPairing,
    InviteId,
    PairingId,
    PairingReceipt,
    PairingState,
    RevokePairing,
    UnblockSender,
    VoidInvite,
)
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_pairings import FakePairings, admitted_view, invite, pairing
from tests.support.shell import Shell, shell_on
from tests.support.views import ago

P1 = PairingId("p-1")


@pytest.fixture
def hermes() -> FakeHermes:
    """Two senders and an invitation."""
    odd = pairing(
        "p-2",
        sender_id="43",
        sender_name="Mara\u202e",
        warnings=("the name holds letters that turn the direction of text",),
        notice=DeliveryState.DEAD,
        notice_error="the bot was blocked",
        failures=2,
        locked_until=ago(-60),
    )
    desk = FakePairings([pairing(), odd], [invite(note="for Mara")])
    desk.admitted = [admitted_view(), admitted_view("*", rule=Rule.GLOBAL_ALLOW_ALL, origin="environment X")]
    return FakeHermes(desk=desk)


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on that core."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


def test_the_list_shows_the_raw_id_beside_the_name(shell: Shell) -> None:
    """Letters that turn text are shown as what they are."""
    said = shell.run("pairing list")
    assert said.code == 0
    first = next(line for line in said.lines if line.startswith("p-1"))
    for word in ("asked", "telegram", "42", "Mara", "sent"):
        assert word in first
    assert "\u202e" not in said.out
    assert "p-2" in said.out
    assert [line for line in shell.run("pairing list --state blocked").lines if line.startswith("p-")] == []


def test_one_sender_is_shown_with_all_that_an_operator_should_know(shell: Shell) -> None:
    """Warnings, the fate of the notice, wrong codes, the first message."""
    said = shell.run("pairing show p-2").out
    for words in (
        "turn the direction",
        "could not be told: the bot was blocked",
        "wrong codes",
        "locked until",
        "hello",
    ):
        assert words in said
    assert shell.run("pairing show telegram:43").out.split("\n")[0] == said.split("\n")[0]
    assert shell.run("pairing show telegram:nobody").code == 4


def test_each_verb_sends_its_order(shell: Shell, hermes: FakeHermes) -> None:
    """By row id, or by connection and raw id."""
    for line in (
        "pairing approve p-1 --replay --version-seen 1",
        "pairing deny telegram:43 --reason 'not now'",
        "pairing revoke p-1 --stop --reason gone --yes",
        "pairing block telegram 77 --yes",
        "pairing unblock p-2",
        "pairing invite --platform telegram --ttl-s 120 --note x",
        "pairing void i-1 --yes",
    ):
        assert shell.run(line).code == 0, line
    telegram = PlatformName("telegram")
    assert hermes.commands == [
        ApprovePairing(pairing_id=P1, version=1, replays=True),
        DenyPairing(pairing_id=PairingId("telegram:43"), reason="not now"),
        RevokePairing(pairing_id=P1, stops_runs=True, reason="gone"),
        BlockSender(platform=telegram, sender_id="77"),
        UnblockSender(pairing_id=PairingId("p-2")),
        CreateInvite(platform=telegram, ttl_s=120.0, note="x"),
        VoidInvite(invite_id=InviteId("i-1")),
    ]


def test_what_is_lost_is_asked_about_first(shell: Shell, hermes: FakeHermes) -> None:
    """Without --yes and without a terminal nothing is done."""
    for line in ("pairing revoke p-1", "pairing block telegram 42", "pairing void i-1"):
        said = shell.run(line)
        assert said.code == 5
        assert "--yes" in said.err
    assert hermes.commands == []


def test_the_code_is_all_that_stdout_gets(shell: Shell) -> None:
    """So that it can be piped; what it is for is said aside."""
    said = shell.run("pairing invite")
    assert said.out == "ABCD2345\n"
    assert "once" in said.err
    listed = shell.run("pairing invites").out
    assert "for Mara" in listed
    assert "ABCD2345" not in listed


def test_a_problem_of_the_store_is_said_beside_the_list(shell: Shell, hermes: FakeHermes) -> None:
    """The list is there all the same."""
    hermes.desk.problem = "1 stored row cannot be read"
    said = shell.run("pairing list")
    assert said.code == 0
    assert "read only: 1 stored row cannot be read" in said.err


def test_access_is_explained_rule_by_rule(shell: Shell) -> None:
    """The verdict first; everything as JSON too."""
    said = shell.run("access explain telegram 42")
    assert said.lines[0].startswith("not let in: deny (layer 5, default)")
    found = json.loads(shell.run("--json access explain telegram 42 -- -100").out)
    assert (found["chat"], found["verdict"]["rule"]) == ("-100", "deny")


def test_everybody_who_is_let_in_is_listed(shell: Shell) -> None:
    """With the rule and where it stands; a page at a time."""
    said = shell.run("access list")
    assert "config.yaml:7" in said.out
    assert "everybody" in said.out
    said = shell.run("access list --limit 1")
    assert "1 of 2" in said.err


def test_receipts_say_what_is_so_now() -> None:
    """Whether the sender hears of it, what was stopped, what was not replayed."""
    view = pairing(state=PairingState.REVOKED, notice=DeliveryState.QUEUED)
    words, tone = sender_decided(PairingReceipt(pairing=view, stopped_runs=2))
    assert words == "revoked: telegram:42 (Mara); the sender is being told; 2 runs told to stop"
    assert tone == "well"
    dead = pairing(state=PairingState.APPROVED, notice=DeliveryState.DEAD, notice_error="gone")
    words, tone = sender_decided(PairingReceipt(pairing=dead))
    assert "could not be told: gone; the message that was held back was not given" in words
    assert tone == "needs"
    verdict = Verdict(is_admitted=True, rule=Rule.PAIRED, layer=3, origin="pairing", text="t")
    assert verdict_words(verdict) == ("let in as user: paired (layer 3, pairing): t", "well")
