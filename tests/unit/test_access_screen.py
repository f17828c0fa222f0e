"""Who is let in and why, on the screen: the same as `access list` and `access explain` say."""

import pytest

from core.api.access import Rule, Tier, Verdict
from core.api.pairings import PairingApproved, PairingState
from tests.support.console_desk import SIZES, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_pairings import FakePairings, admitted_view, pairing
from tests.support.views import NOW, platform


def hermes() -> FakeHermes:
    """One who asks, and three entries of who is let in."""
    found = FakeHermes(platforms=[platform("telegram", kind="telegram")])
    found.desk = FakePairings([pairing("p-1", sender_id="99120077")])
    found.desk.admitted = [
        admitted_view("*", rule=Rule.CHAT_ALLOWLIST, sender_name="everybody in chat -100", origin=".env:3"),
        admitted_view("42", sender_name="Mara", rule=Rule.PAIRED, origin="pairing", since_at=NOW.at),
        admitted_view("8\u202e841", tier=Tier.USER),
    ]
    return found


@pytest.mark.parametrize("size", SIZES)
async def test_everybody_who_is_let_in_stands_there_with_the_reason(size: tuple[int, int]) -> None:
    """By rule and where it stands; letters that turn text are spelt out."""
    async with desk(hermes(), size) as seen:
        await seen.say("access")
        await seen.settle()
        for words in ("everybody", "chat allowlist", ".env:3", "Mara", "paired", "8<U+202E>8", "3 in all"):
            assert words in seen.text
        await seen.say("access mara")
        assert "1 of 3" in seen.text


@pytest.mark.parametrize("size", SIZES)
async def test_a_sender_of_the_desk_is_explained_rule_by_rule(size: tuple[int, int]) -> None:
    """With the verdict in words beneath."""
    async with desk(hermes(), size) as seen:
        await seen.say("pairing")
        await seen.press("w")
        await seen.settle()
        assert "telegram:99120077" in seen.text
        assert "not let in: deny (layer 5, default)" in seen.text
        assert "MEANS" in seen.text
        await seen.press("escape")
        assert "CALLS ITSELF" in seen.text


async def test_an_entry_of_the_list_leads_to_its_explanation_and_everybody_to_none() -> None:
    """There is nobody to explain."""
    async with desk(hermes()) as seen:
        await seen.say("pairing")
        await seen.press("a")
        await seen.settle()
        await seen.press("enter")
        await seen.settle()
        assert "STANDS IN" in seen.text
        assert "MEANS" not in seen.text
        await seen.press("j", "enter")
        await seen.settle()
        assert "telegram:42 in a direct chat" in seen.text


async def test_somebody_in_a_shared_chat_is_asked_about_by_name() -> None:
    """And without words the screen says how."""
    async with desk(hermes()) as seen:
        await seen.say("why")
        assert "PLATFORM USER [CHAT]" in seen.text
        await seen.say("why telegram 8841 -100200")
        await seen.settle()
        assert "telegram:8841 in -100200" in seen.text


async def test_a_decision_changes_the_explanation_that_is_looked_at() -> None:
    """Nobody acts on what was so a moment ago."""
    core = hermes()
    async with desk(core) as seen:
        await seen.say("why telegram 99120077")
        await seen.settle()
        assert "not let in" in seen.text
        core.desk.verdict = Verdict(is_admitted=True, rule=Rule.PAIRED, layer=3, origin="pairing", text="an operator")
        core.emit(PairingApproved(pairing=pairing("p-1", version=2, state=PairingState.APPROVED)))
        await seen.settle()
        await seen.settle()
        assert "let in as user: paired" in seen.text
