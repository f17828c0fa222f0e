"""The pairing desk under any history: one row an identity, codes work once, and the last word holds."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.api.base import Mark
from core.api.errors import ConflictError, HermesError, Refused
from core.api.pairings import (
    ApprovePairing,
    BlockSender,
    DenyPairing,
    PairingState,
    RevokePairing,
    UnblockSender,
    VoidInvite,
)
from core.gateway import pairing
from core.gateway.pairing import PAIRING, Step, decided, new_row, wrong_code
from core.machine import IllegalTransition
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.pairing_rig import LOCAL, Desk, desk, key_of, message

PEOPLE = ("a", "b", "c", "d", "e")

acts = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(PEOPLE)),
    st.tuples(st.sampled_from(["approve", "deny", "revoke", "block", "unblock"]), st.sampled_from(PEOPLE)),
    st.tuples(st.just("invite"), st.just("")),
    st.tuples(st.just("void"), st.integers(0, 3)),
    st.tuples(st.just("code"), st.tuples(st.sampled_from(PEOPLE), st.integers(0, 3))),
    st.tuples(st.just("wrong"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("pass"), st.sampled_from([1.0, 30.0, 600.0, 3600.0])),
    st.tuples(st.just("restart"), st.just("")),
)
_ORDERS: dict[str, Any] = {
    "approve": lambda who: ApprovePairing(pairing_id=key_of(who)),
    "deny": lambda who: DenyPairing(pairing_id=key_of(who)),
    "revoke": lambda who: RevokePairing(pairing_id=key_of(who)),
    "block": lambda who: BlockSender(platform=LOCAL, sender_id=who),
    "unblock": lambda who: UnblockSender(pairing_id=key_of(who)),
}


class History:
    """What a desk must have come to, counted apart from it."""

    def __init__(self) -> None:
        self.admitted: set[str] = set()
        self.blocked: set[str] = set()
        self.codes: list[str] = []
        self.used: set[str] = set()

    def note(self, act: str, who: str) -> None:
        """An order was carried out."""
        if act == "approve":
            self.admitted.add(who)
        elif act in {"revoke", "block"}:
            self.admitted.discard(who)
        if act == "block":
            self.blocked.add(who)
        elif act == "unblock":
            self.blocked.discard(who)

    def check(self, found: Desk) -> None:
        """The very next message of everybody is judged by the last word about them."""
        for who in PEOPLE:
            assert found.parts.gate.verdict(message(who)).is_admitted == (who in self.admitted), who
        states = [row.view for row in found.rows.rows.values()]
        assert len({view.sender_id for view in states}) == len(states)
        asked = [row for row in found.rows.rows.values() if row.view.state is PairingState.ASKED]
        assert sum(not row.view.is_in_line for row in asked) <= pairing.ANNOUNCED_LIMIT
        assert {view.sender_id for view in states if view.state is PairingState.BLOCKED} == self.blocked


async def _act(found: Desk, history: History, act: str, what: Any) -> None:
    if act == "write":
        await found.write(what)
    elif act in _ORDERS:
        try:
            await found.order(_ORDERS[act](what))
        except (ConflictError, Refused, HermesError):
            return
        history.note(act, what)
    elif act == "invite":
        history.codes.append((await found.invite()).code)
    elif act == "void" and what < len(history.codes):
        invites = sorted(found.rows.invites.values(), key=lambda row: row.view.id)
        if what < len(invites) and invites[what].view.state.value == "open":
            await found.order(VoidInvite(invite_id=invites[what].view.id))
    elif act == "code" and what[1] < len(history.codes):
        who, code = what[0], history.codes[what[1]]
        was_in = who in history.admitted
        await found.write(who, code)
        if not was_in and found.parts.gate.verdict(message(who)).is_admitted:
            assert code not in history.used, "a code worked twice"
            history.used.add(code)
            history.admitted.add(who)
    elif act == "wrong":
        await found.write(what, "ZZZZ9999")
    elif act == "pass":
        await found.pass_time(what)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(acts, max_size=25))
def test_after_any_history_the_last_word_about_everybody_holds(story: list[tuple[str, Any]]) -> None:
    """Also over restarts; and no code works twice, after its end, or for somebody who is blocked."""

    async def lived() -> None:
        store, clock, history, rest = MemoryStore(), FakeClock(), History(), list(story)
        while True:
            async with desk(store=store, clock=clock) as found:
                history.check(found)
                while rest:
                    act, what = rest.pop(0)
                    if act == "restart":
                        break
                    await _act(found, history, act, what)
                    history.check(found)
                else:
                    return

    asyncio.run(lived())


@given(st.lists(st.sampled_from(list(Step)), max_size=20))
def test_a_row_goes_only_where_the_table_leads(steps: list[Step]) -> None:
    """Its version grows with each change, and what is not in the table changes nothing."""
    row = new_row(LOCAL, "a", "A", "a", Mark(0.0, 0.0))
    for place, step in enumerate(steps):
        following = PAIRING.table[row.view.state].get(step)
        now = Mark(float(place), float(place))
        if following is None:
            with pytest.raises(IllegalTransition):
                decided(row, step, now, by="ana")
            continue
        after = decided(row, step, now, by="ana")
        assert after.view.state is following
        assert after.view.version > row.view.version
        row = after


@given(st.lists(st.floats(0.0, 2000.0), min_size=1, max_size=30))
def test_no_sixth_wrong_code_counts_within_a_lockout(waits: list[float]) -> None:
    """However the tries are spread."""
    row, now = new_row(LOCAL, "a", "A", "a", Mark(0.0, 0.0)), 0.0
    streak = 0
    for wait_s in waits:
        now += wait_s
        instant = Mark(now, now)
        if pairing.is_locked(row, instant):
            assert streak >= pairing.FAILURE_LIMIT
            continue
        row = wrong_code(row, instant)
        streak = row.view.failures
        assert streak <= pairing.FAILURE_LIMIT


@given(st.text(alphabet=pairing.ALPHABET, min_size=8, max_size=8), st.sampled_from(["", " ", "-", "\n"]))
def test_a_code_is_found_however_it_is_typed(code: str, joint: str) -> None:
    """And hashed the same."""
    typed = f"{joint if joint != '-' else ''}{code[:4]}{joint.strip()}{code[4:].lower()}{joint if joint != '-' else ''}"
    assert pairing.find_code(typed) == code
    salt = "00" * pairing.SALT_BYTES
    assert pairing.code_digest(code, salt) == pairing.code_digest(pairing.find_code(typed) or "", salt)
