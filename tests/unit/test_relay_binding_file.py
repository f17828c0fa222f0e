"""Bindings from and to a bindings.json of HotPlex: all or nothing, each bot told, no right taken over by accident."""

import json
from typing import Any

import pytest

from core.api.bindings import (
    BOTS_LIMIT,
    ChangeKind,
    ExportBindings,
    ImportBindings,
    ListBindingChanges,
    RelayProtocol,
)
from core.api.errors import InvalidInput
from tests.support.binding_rig import BindingRig, a_bot, binding_rig

A, B = "https://a.example", "https://b.example"


def a_file(**chats: dict[str, str] | None) -> str:
    """A file of version 1; chats as PLATFORM_CHAT."""
    entries = [
        dict(zip(("platform", "chat_id"), key.split("_", 1), strict=True)) | {"bots": bots}
        for key, bots in chats.items()
    ]
    return json.dumps({"version": 1, "bindings": entries})


async def outcomes(rig: BindingRig, document: str, **more: Any) -> list[tuple[str, str]]:
    """What became of each bot."""
    report = await rig.do(ImportBindings(document=document, **more))
    return [(item.name, item.outcome) for item in report.items]


async def test_an_import_adds_changes_and_leaves_alone() -> None:
    """Addresses that end in /relay are the same as those that do not."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("same", A), a_bot("old", A), a_bot("mine", A))
    document = a_file(slack_C1={"same": A + "/relay", "old": B + "/", "new": B}, telegram_C1={"new": A})
    assert await outcomes(rig, document) == [("same", "same"), ("old", "changed"), ("new", "added"), ("new", "added")]
    assert rig.places() == [f"slack:C1 mine={A} new={B} old={B} same={A}", f"telegram:C1 new={A}"]
    history = await rig.ask(ListBindingChanges())
    assert [change.kind for change in history.changes] == [ChangeKind.IMPORTED, ChangeKind.IMPORTED, ChangeKind.ADDED]
    assert {name for name, outcome in await outcomes(rig, document) if outcome == "same"} == {"same", "old", "new"}
    assert len((await rig.ask(ListBindingChanges())).changes) == 3


async def test_an_import_that_replaces_takes_away_what_the_file_does_not_name() -> None:
    """In the chats of the file; others stay."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("gone", A), a_bot("kept", A))
    await rig.add("C2", a_bot("other", A))
    await rig.add("C3", a_bot("last", A))
    document = a_file(slack_C1={"kept": A}, slack_C3=None)
    assert await outcomes(rig, document, is_replacing=True) == [
        ("kept", "same"),
        ("gone", "removed"),
        ("last", "removed"),
    ]
    assert rig.places() == [f"slack:C1 kept={A}", f"slack:C2 other={A}"]


async def test_nothing_is_taken_when_one_bot_is_refused_unless_that_is_wished() -> None:
    """The first that is refused is named with its reason."""
    rig = await binding_rig()
    document = a_file(slack_C1={"good": A, "bad": "http://u:s3cret@h", "worse": "ftp://h"})
    with pytest.raises(InvalidInput, match=r"2 bots of the file cannot be taken.*bad of slack:C1") as caught:
        await rig.do(ImportBindings(document=document))
    assert "s3cret" not in repr((caught.value.message, caught.value.facts))
    assert rig.places() == []
    assert await outcomes(rig, document, is_skipping=True) == [
        ("good", "added"),
        ("bad", "refused"),
        ("worse", "refused"),
    ]
    assert rig.places() == [f"slack:C1 good={A}"]


async def test_a_bot_that_is_refused_does_not_cost_the_one_that_is_there() -> None:
    """Also when the file replaces."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("alpha", A))
    await rig.do(ImportBindings(document=a_file(slack_C1={"alpha": "ftp://h"}), is_skipping=True, is_replacing=True))
    assert rig.places() == [f"slack:C1 alpha={A}"]


async def test_a_dry_run_tells_all_and_changes_nothing() -> None:
    """Also what is refused."""
    rig = await binding_rig()
    document = a_file(slack_C1={"good": A, "bad": "ftp://h"})
    assert await outcomes(rig, document, is_dry_run=True) == [("good", "added"), ("bad", "refused")]
    assert rig.places() == []
    assert rig.told == []


async def test_another_address_does_not_get_the_token_and_the_networks_of_the_old_one() -> None:
    """Whoever wrote the file would be handed the token else; priority and being disabled stay."""
    rig = await binding_rig()
    bot = a_bot("alpha", A, peer="east", networks=("10.0.0.0/8",), priority=7, enabled=False)
    await rig.add("C1", bot)
    report = await rig.do(ImportBindings(document=a_file(slack_C1={"alpha": B})))
    (binding,) = rig.bindings.all()
    assert binding.bots == (a_bot("alpha", B, priority=7, enabled=False),)
    assert "peer east" in report.items[0].why
    await rig.do(ImportBindings(document=a_file(slack_C1={"alpha": B + "/relay"})))
    assert rig.bindings.all() == (binding,)


async def test_a_bot_of_another_protocol_at_that_address_becomes_one_of_hotplex() -> None:
    """The file says so."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("alpha", A, protocol=RelayProtocol.A2A))
    assert await outcomes(rig, a_file(slack_C1={"alpha": A})) == [("alpha", "changed")]
    assert rig.bindings.all()[0].bots[0].protocol is RelayProtocol.HOTPLEX


async def test_more_bots_than_a_chat_can_have_are_refused_one_by_one() -> None:
    """The others of the file are told as what they are."""
    rig = await binding_rig()
    bots = {f"b{number:03d}": A for number in range(BOTS_LIMIT + 2)}
    found = await outcomes(rig, a_file(slack_C1=bots), is_skipping=True)
    assert [outcome for _, outcome in found] == ["added"] * BOTS_LIMIT + ["refused"] * 2


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        '{"version": 1, "bindings": [',
        '{"version": 99, "bindings": []}',
        '{"version": 1, "bindings": [null]}',
        '{"version": 1, "bindings": []} x',
        '{"bindings": []}',
    ],
)
async def test_a_damaged_file_changes_nothing(document: str) -> None:
    """HotPlex takes such a file for an empty one, and writes over it."""
    rig = await binding_rig()
    await rig.add("C1", a_bot())
    before = rig.places()
    for is_dry_run in (False, True):
        with pytest.raises(InvalidInput):
            await rig.do(ImportBindings(document=document, is_replacing=True, is_dry_run=is_dry_run))
    assert rig.places() == before


async def test_what_is_exported_can_be_imported_and_gives_the_same() -> None:
    """In the order of names, whatever the order in which it was bound."""
    rig = await binding_rig()
    await rig.add("C2", a_bot("b", B), a_bot("a", A + "/x&y"))
    await rig.add("C1", a_bot("a", A))
    exported = await rig.ask(ExportBindings())
    assert exported.left_out == ()
    assert exported.document.index('"C1"') < exported.document.index('"C2"')
    other = await binding_rig()
    await other.do(ImportBindings(document=exported.document))
    assert other.places() == rig.places()
    assert (await other.ask(ExportBindings())).document == exported.document


async def test_an_export_says_what_it_cannot_say() -> None:
    """A disabled bot is left out: HotPlex would send to it."""
    rig = await binding_rig()
    await rig.add(
        "C1",
        a_bot("off", A, enabled=False),
        a_bot("agent", A, protocol=RelayProtocol.A2A),
        a_bot("inner", "http://10.0.0.5", peer="east", networks=("10.0.0.0/8",), priority=1),
    )
    await rig.add("*", a_bot("all", A))
    await rig.add("C1", a_bot("other", A), platform="telegram")
    exported = await rig.ask(ExportBindings())
    assert [entry["bots"] for entry in json.loads(exported.document)["bindings"]] == [
        {"inner": "http://10.0.0.5"},
        {"other": A},
    ]
    assert exported.left_out == (
        "slack:*: HotPlex has no binding for every chat",
        "slack:C1 agent: HotPlex does not speak a2a",
        "slack:C1 inner: written without its peer east, its networks 10.0.0.0/8, its priority 1",
        "slack:C1 off: it is disabled, and HotPlex would send to it",
        "chat C1 of slack, telegram: written for each, and HotPlex keeps only one of them",
    )
