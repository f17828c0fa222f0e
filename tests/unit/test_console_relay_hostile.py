"""Text from outside stays text on the screens of the relay: names, addresses, errors, answers, reasons, paths."""

import re
from typing import Any

import pytest

from core.api.base import Seq
from core.api.bindings import Ambiguity, BindingChange, ChangeKind
from core.api.breakers import BreakerMode, BreakerState, BreakerTransition
from core.api.relay_targets import RelayEdge, RelayPause, TargetFinding, TargetReport, TargetStep
from core.api.relay_tasks import RelayDirection, RelayEnded, RelayReason, RelayState
from tests.support.console_desk import SIZES, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_relay import FakeRelay
from tests.support.relay_views import a_binding, a_bot, a_breaker, a_message, a_peer, a_target, an_attempt
from tests.support.views import NOW, ago

TRICKS = {
    "escapes": "[red]\x1b[31mEVIL\x1b[0m\x07\u202e[/red] [@click=app.quit]x[/]",
    "directions": "\u2067EVIL\u2066\u202d\u202e\u200f",
    "wide": "\u4f60\u597d\U0001f980" * 30,
    "long": "EVIL" * 2_500,
    "lines": "EVIL\r\n\x9b31m\x00\u2028end",
}
# What would move the cursor, change colours or turn the direction of what follows.
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
ORIGIN = "http://127.0.0.1:9102"


def hostile(evil: str) -> FakeHermes:
    """A core in which everything that somebody else wrote about the relay is hostile."""
    url = f"{ORIGIN}/{evil}"
    bots = (a_bot(evil, url, peer=evil, networks=(evil,)), a_bot(f"b{evil}", evil, enabled=False))
    step = BreakerTransition(at=ago(9), before=BreakerState.CLOSED, after=BreakerState.OPEN, cause=evil)
    breaker = a_breaker(
        ORIGIN,
        state=BreakerState.OPEN,
        mode=BreakerMode.AUTOMATIC,
        reason=evil,
        last_error=evil,
        transitions=(step,),
        next_probe=ago(-40),
    )
    held = a_breaker("https://held", state=BreakerState.OPEN, mode=BreakerMode.HELD, reason=evil)
    targets = [
        a_target(ORIGIN, evil, breaker=breaker, waiting=3, dead=1, last_error=evil, peer=evil, fingerprint=evil),
        a_target("https://held", evil, breaker=held, held=ago(-50), held_why=evil, waiting=1),
    ]
    relay = FakeRelay(
        [a_binding(evil, *bots, platform=evil, changed_by=evil), a_binding("*", *bots, platform="*")],
        targets,
        [a_peer(evil, agent=evil, problem=evil, callback=evil, fingerprints=(evil,))],
    )
    words: dict[str, Any] = {
        "bot": evil,
        "text": evil,
        "sender": evil,
        "error": evil,
        "answer": evil,
        "url": url,
        "platform": evil,
    }
    words |= {"chat": evil, "session_id": evil, "conversation": evil, "path": (evil, evil), "remote_id": evil}
    for task in (
        a_message("11", state=RelayState.DEAD, origin=ORIGIN, reason=RelayReason.LOOP, group="g", **words),
        a_message("22", state=RelayState.DEAD, origin=ORIGIN, reason=RelayReason.REFUSED, group="g", **words),
        a_message(f"{evil}/33", state=RelayState.WORKING, direction=RelayDirection.IN, peer=evil, **words),
        a_message("44", **words),
    ):
        relay.tasks[str(task.id)] = task
    relay.attempts["11"] = (an_attempt(error=evil, url=evil),)
    relay.edges = (
        RelayEdge(
            source=evil, target=evil, sent=1, failed=1, last=NOW, is_tripped=True, why=evil, path=(evil,), breaker=evil
        ),
    )
    relay.ambiguities = (Ambiguity(name=evil, urls=(evil, evil), chats=(evil,), is_decided=False),)
    relay.listening = evil
    relay.pause = RelayPause(version=1, is_paused=False, by=evil, reason=evil)
    relay.changes = [
        BindingChange(
            number=1, platform=evil, chat=evil, kind=ChangeKind.CHANGED, at=NOW, by=evil, before=bots, after=bots[:1]
        )
    ]
    relay.report = TargetReport(
        bot=bots[0],
        origin=ORIGIN,
        is_ok=False,
        findings=(TargetFinding(step=TargetStep.CONNECT, is_ok=False, seconds=0.1, detail=evil),),
        latency_s=0.1,
        identity=evil,
    )
    hermes = FakeHermes(relay=relay)
    hermes.emit(RelayEnded(task=relay.tasks["11"]), subject=evil)
    assert hermes.seq > Seq(0)
    return hermes


PLACES: dict[str, tuple[str, ...]] = {
    "overview": (),
    "bindings": ("5", "1"),
    "looked": ("5", "1", "Y"),
    "messages": ("5", "2"),
    "targets": ("5", "3"),
    "peers": ("5", "4"),
    "graph": ("5", "1", "5"),
    "message": ("5", "2", "enter", "1"),
    "attempts": ("5", "2", "enter", "2"),
    "trace": ("5", "2", "enter", "3"),
    "group": ("5", "2", "enter", "4"),
    "raw": ("5", "1", "y"),
    "events": ("9",),
    "change": ("5", "1", "E"),
    "new": ("5", "1", "N"),
    "unbind": ("5", "1", "D"),
    "history": ("5", "1", "h"),
    "menu": ("5", "1", "B"),
    "hold": ("5", "1", "H"),
    "reset": ("5", "1", "X"),
    "send": ("5", "1", "S"),
    "replay": ("5", "2", "R"),
    "retarget": ("5", "2", "M"),
    "cancel": ("5", "2", "G", "C"),
    "pause": ("5", "1", "P"),
}
DIALOGS = frozenset(
    {"change", "new", "unbind", "history", "menu", "hold", "reset", "send", "replay", "retarget", "cancel", "pause"}
)


@pytest.mark.parametrize("has_dialog", [False, True], ids=["lists", "dialogs"])
@pytest.mark.parametrize(
    ("trick", "size"),
    [*((trick, SIZES[0]) for trick in TRICKS), ("escapes", SIZES[1])],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}x{value[1]}",
)
async def test_what_a_peer_or_a_binding_says_is_shown_as_it_is_written(
    trick: str, size: tuple[int, int], has_dialog: bool
) -> None:
    """No mark-up, no control character, no other direction; a dialog keeps its keys however long a name is."""
    async with desk(hostile(TRICKS[trick]), size) as seen:
        for place, keys in PLACES.items():
            if (place in DIALOGS) != has_dialog:
                continue
            await seen.press(*keys)
            shown = seen.text
            assert not RAW.search(shown), place
            assert (len(seen.app.screen_stack) == 2) == (place in DIALOGS), f"{place}:\n{shown}"
            assert place not in DIALOGS or "esc c" in shown, f"{place}:\n{shown}"
            for view in seen.app.views.values():
                view.filter_text = ""
            await seen.press("escape", "1")
            seen.app.go("overview", "")
            # Each place is entered as if for the first time, with the cursor on the first row.
            seen.app.navigator._cursors.clear()


@pytest.mark.parametrize("place", ["bindings", "messages", "targets", "peers", "graph", "message", "trace", "change"])
async def test_hidden_letters_of_the_relay_are_marked_where_they_stand(place: str) -> None:
    """Whoever looks sees that something is there, and what."""
    async with desk(hostile(TRICKS["escapes"]), (140, 40)) as seen:
        await seen.press(*PLACES[place])
        assert "<ESC>" in seen.text or "<U+202E>" in seen.text


async def test_a_secret_in_an_error_of_a_far_side_is_masked() -> None:
    """A net below the core's own masking."""
    secret = "Bearer abcdefghijklmnop"
    async with desk(hostile(f"401 {secret}"), (140, 40)) as seen:
        for place in ("overview", "targets", "message", "attempts", "trace", "menu"):
            await seen.press(*PLACES[place])
            errors = [line for line in seen.text.splitlines() if "error" in line or "cause" in line]
            assert not any(secret in line for line in errors), place
            await seen.press("escape", "1")
            seen.app.go("overview", "")
