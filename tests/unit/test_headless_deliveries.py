"""Deliveries, outboxes, breakers and the directory of chats from a shell."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api.base import SessionId
from core.api.breakers import DisableBreaker, HoldBreakerOpen, ProbeBreaker, ReleaseBreaker, ResetBreaker
from core.api.chats import RefreshChats
from core.api.deliveries import SendToTarget
from core.api.errors import Refused
from core.api.outboxes import LiftHold
from tests.support.fake_hermes import FakeHermes, delivery
from tests.support.fake_outboxes import a_chat, busy_outboxes
from tests.support.shell import Shell, shell_on


@pytest.fixture
def hermes() -> FakeHermes:
    """Accounts in every state, a delivery of several lines, two chats."""
    found = busy_outboxes()
    found.chats = [a_chat("Ops"), a_chat("Sales", chat="-100300")]
    return FakeHermes(outboxes=found, deliveries=[delivery("d-1", text="line one\nline two", part=2, part_count=3)])


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on it."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


def test_a_delivery_is_shown_with_its_whole_text(shell: Shell) -> None:
    """So that what never arrived can be read and sent by hand."""
    done = shell.run("deliveries show d-1")
    assert done.out.endswith("line one\nline two\n")
    assert "2 of 3" in done.out
    assert json.loads(shell.run("deliveries show d-1 --json").out)["text"] == "line one\nline two"
    assert shell.run("deliveries show nobody").code == 4


def test_outboxes_are_listed_with_what_holds_them_up(shell: Shell) -> None:
    """State, what waits, the countdown, the breaker."""
    lines = shell.run("deliveries outboxes").out.splitlines()
    assert lines[0].split() == ["platform", "state", "waiting", "oldest", "next", "breaker", "dead", "sent", "why"]
    (telegram,) = [line for line in lines if line.startswith("telegram")]
    assert telegram.split()[:3] == ["telegram", "held", "12"]
    assert "Too Many Requests" in telegram


def test_a_message_is_sent_to_a_target(shell: Shell, hermes: FakeHermes) -> None:
    """With files, an origin, a key; what is on its way is printed."""
    done = shell.run("deliveries send telegram:-100200 hello --file a.txt --origin s --key k")
    assert "-100200" in done.out
    assert hermes.commands == [
        SendToTarget(
            target="telegram:-100200",
            text="hello",
            files=("a.txt",),
            origin=SessionId("s"),
            idempotency_key="k",
        )
    ]


def test_a_wait_is_lifted(shell: Shell, hermes: FakeHermes) -> None:
    """And the state after it printed."""
    assert shell.run("deliveries lift telegram").code == 0
    assert hermes.commands == [LiftHold(platform="telegram")]
    assert shell.run("deliveries lift nobody").code == 4


def test_breakers_are_listed_held_released_and_reset(shell: Shell, hermes: FakeHermes) -> None:
    """Closing one asks first."""
    assert "open (held)" in shell.run("breakers list").out
    assert "held" in shell.run("breakers hold outbox telegram --reason moving").out
    assert "closed" in shell.run("breakers release outbox telegram").out
    refused = shell.run("breakers reset outbox matrix")
    assert refused.code == Refused("").exit_code
    assert "closed" in shell.run("breakers reset outbox matrix --yes --reason back").out
    assert hermes.commands == [
        HoldBreakerOpen(owner="outbox", name="telegram", reason="moving"),
        ReleaseBreaker(owner="outbox", name="telegram"),
        ResetBreaker(owner="outbox", name="matrix", reason="back"),
    ]


def test_breakers_are_switched_off_and_tried(shell: Shell, hermes: FakeHermes) -> None:
    """Switching one off asks first, and says that it stays so until a reset."""
    assert shell.run("breakers disable outbox telegram").code == Refused("").exit_code
    assert "until a reset" in shell.run("breakers disable outbox telegram --yes --reason drill").out
    assert "half-open" in shell.run("breakers probe outbox matrix").out
    assert hermes.commands == [
        DisableBreaker(owner="outbox", name="telegram", reason="drill"),
        ProbeBreaker(owner="outbox", name="matrix"),
    ]
    assert shell.run("breakers probe outbox nobody").code == 4


def test_the_directory_of_chats_is_printed_and_refreshed(shell: Shell, hermes: FakeHermes) -> None:
    """Ids beside names, as a target needs them."""
    done = shell.run("deliveries chats")
    assert [line.split()[-1] for line in done.out.splitlines()[1:]] == ["Ops", "Sales"]
    assert "-100300" in done.out
    assert "telegram asked" in shell.run("deliveries refresh-chats telegram").out
    assert hermes.commands == [RefreshChats(platform="telegram")]
