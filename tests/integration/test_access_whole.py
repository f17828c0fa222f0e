"""Access in a whole core: strangers, operators, outboxes and sessions, as the kernel puts them together."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.api.access import ExplainAccess, Rule
from core.api.base import Actor, ActorKind, PlatformName
from core.api.deliveries import DeliverySent, DeliveryState
from core.api.errors import Refused
from core.api.pairings import (
    ApprovePairing,
    BlockSender,
    CreateInvite,
    GetPairing,
    ListPairings,
    PairingAsked,
    PairingChanged,
    PairingState,
    RevokePairing,
)
from core.api.sessions import ChatKind, ListSessions, RunStarted, Source
from core.config import load
from core.gateway.access import AccountRules
from core.gateway.adapters.loopback import LoopbackPlatform
from core.gateway.platform import Inbound, Limits
from core.home import prepare
from core.kernel import Kernel

LOCAL = PlatformName("local")
OPERATOR = Actor(ActorKind.OPERATOR, "ana")
CONFIG = """
http: {enabled: false}
core: {drain_s: 0}
agents:
  main: {runner: scripted, scenario: slow.yaml}
platforms:
  local: {kind: loopback}
"""
SCENARIO = """
about: Never says anything.
streamed: false
rules:
  - steps:
      - pause: 60
      - text: "{text}"
"""


@pytest.fixture
async def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kernel]:
    """A core whose only connection does not know who writes."""
    monkeypatch.setattr(LoopbackPlatform, "limits", Limits())
    home = tmp_path / "home"
    await asyncio.to_thread(prepare, home)
    (home / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (home / "slow.yaml").write_text(SCENARIO, encoding="utf-8")
    (home / ".env").write_text("GATEWAY_ALLOWED_USERS=7\n", encoding="utf-8")
    (home / ".env").chmod(0o600)
    opened = await Kernel.open(home, await asyncio.to_thread(load, home, {"GATEWAY_ALLOW_ALL_USERS": "no"}))
    yield opened
    await opened.close()


def message(sender_id: str, text: str = "hello", native_id: str = "") -> Inbound:
    """A direct message."""
    return Inbound(
        platform=LOCAL,
        source=Source(platform=LOCAL, kind=ChatKind.DM, chat=sender_id),
        sender_id=sender_id,
        sender_name=f"name of {sender_id}",
        text=text,
        native_id=native_id,
    )


async def until(kernel: Kernel, kind: type[Any], **fields: Any) -> Any:
    """The first stored event of a kind whose view has these values."""
    async with asyncio.timeout(10):
        async for record in kernel.subscribe(after=0):  # type: ignore[arg-type]
            event: Any = record.event
            view = getattr(event, "pairing", event)
            if isinstance(event, kind) and all(getattr(view, key) == value for key, value in fields.items()):
                return event
    raise AssertionError


async def test_a_stranger_asks_is_let_in_and_answered_and_is_put_out_again(kernel: Kernel) -> None:
    """From the first message to the revocation, without a restart; strangers have no session."""
    kernel.gateway.access.access.accounts = {LOCAL: AccountRules(platform=LOCAL, kind="loopback", asks=True)}
    with pytest.raises(Refused) as caught:
        await kernel.gateway.intake.receive(message("42", "what is up?", "m1"))
    assert caught.value.facts["rule"] == "deny"
    asked = (await until(kernel, PairingAsked)).pairing
    assert (await kernel.query(ListSessions())).total == 0
    await until(kernel, PairingChanged, notice=DeliveryState.SENT)
    receipt = await kernel.execute(ApprovePairing(pairing_id=asked.id, replays=True), actor=OPERATOR)
    assert receipt.is_replayed
    await until(kernel, RunStarted)
    accepted = await kernel.gateway.intake.receive(message("42", "and now?", "m2"))
    assert accepted.session_id == "local:dm:42"
    repeated = await kernel.gateway.intake.receive(message("42", "what is up?", "m1"))
    assert repeated.is_duplicate
    revoked = await kernel.execute(RevokePairing(pairing_id=asked.id, stops_runs=True), actor=OPERATOR)
    assert revoked.stopped_runs == 1
    with pytest.raises(Refused):
        await kernel.gateway.intake.receive(message("42", "still here?", "m3"))
    await until(kernel, DeliverySent)
    view = await kernel.query(GetPairing(pairing_id=asked.id))
    assert view.state is PairingState.REVOKED


async def test_a_run_of_a_sender_is_stopped_with_the_block(kernel: Kernel) -> None:
    """And what waits of the sender is let go; others' runs go on."""
    for number in range(3):
        await kernel.gateway.intake.receive(message("7", f"number {number}"))
    await until(kernel, RunStarted)
    receipt = await kernel.execute(BlockSender(platform=LOCAL, sender_id="7", stops_runs=True), actor=OPERATOR)
    lane = kernel.gateway.lanes.lane((await kernel.query(ListSessions())).sessions[0].id)
    assert receipt.stopped_runs == 1
    assert lane.guard.queue == ()
    with pytest.raises(Refused) as caught:
        await kernel.gateway.intake.receive(message("7"))
    assert caught.value.facts["rule"] == "blocked"


async def test_the_explanation_names_the_line_of_the_environment_file(kernel: Kernel) -> None:
    """The rule that let a message in is the one that is explained."""
    found = await kernel.query(ExplainAccess(platform=LOCAL, sender_id="7"))
    assert (found.verdict.rule, found.verdict.origin) == (Rule.GLOBAL_ALLOWLIST, ".env:1")
    await kernel.gateway.intake.receive(message("7"))
    found = await kernel.query(ExplainAccess(platform=LOCAL, sender_id="8"))
    assert not found.verdict.is_admitted
    with pytest.raises(Refused):
        await kernel.gateway.intake.receive(message("8"))
    assert (await kernel.query(ListPairings())).pairings == ()


async def test_a_code_lets_in_where_strangers_are_ignored(kernel: Kernel) -> None:
    """The code itself begins no session."""
    made = await kernel.execute(CreateInvite(platform=LOCAL), actor=OPERATOR)
    with pytest.raises(Refused):
        await kernel.gateway.intake.receive(message("42", made.code))
    assert (await kernel.query(ListSessions())).total == 0
    assert (await kernel.gateway.intake.receive(message("42"))).session_id == "local:dm:42"
