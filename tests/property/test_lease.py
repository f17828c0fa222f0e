"""Leases in any history: a late holder's write is refused, and tokens only grow."""

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.api.base import Mark, RunId
from core.api.runs import LeaseView
from core.lease import Execution, acquired, execution, may_write, reconcile, renewed


class LeaseHistory(RuleBasedStateMachine):
    """Any order of beginnings, ends, renewals, restarts and forced releases of one session."""

    def __init__(self) -> None:
        super().__init__()
        self.lease: LeaseView | None = None
        self.last_token = 0
        self.boot = 1
        self.now = 0.0
        self.holders: list[LeaseView] = []

    @precondition(lambda self: self.lease is None)
    @rule()
    def run_begins(self) -> None:
        """A run takes the lease; its token is greater than any before."""
        run_id = RunId(f"r{len(self.holders)}")
        self.lease = acquired(self.last_token, boot=self.boot, run_id=run_id, now=Mark(self.now, self.now))
        assert all(self.lease.token > before.token for before in self.holders)
        self.last_token = self.lease.token
        self.holders.append(self.lease)

    @precondition(lambda self: self.lease is not None)
    @rule(is_forced=st.booleans())
    def lease_is_released(self, is_forced: bool) -> None:
        """The run ends, or is put out by force, which uses up a token."""
        self.lease = None
        self.last_token += is_forced

    @precondition(lambda self: self.lease is not None)
    @rule(at=st.floats(-10, 10))
    def lease_is_renewed(self, at: float) -> None:
        """At any time, also by a clock that stepped back: it never looks older than it was."""
        assert self.lease is not None
        before = self.lease
        self.lease = renewed(before, Mark(self.now + at, self.now + at))
        assert self.lease.renewed.mono >= before.renewed.mono
        assert msgspec.structs.replace(self.lease, renewed=before.renewed) == before
        self.now = max(self.now, self.lease.renewed.mono)

    @rule(is_held=st.booleans())
    def lease_is_looked_at(self, is_held: bool) -> None:
        """Only a lease whose holder is known to be gone is released."""
        if self.lease is None:
            return
        found = execution(self.lease, boot=self.boot, is_held=is_held)
        verdict = reconcile(self.lease, found)
        assert verdict.is_released is not is_held
        if verdict.is_released:
            self.lease = None

    @rule()
    def core_starts_again(self) -> None:
        """No run outlives its core; the stored token does."""
        self.boot += 1
        if self.lease is not None:
            assert reconcile(self.lease, execution(self.lease, boot=self.boot, is_held=False)).is_released
            self.lease = None

    @invariant()
    def only_the_present_holder_may_write(self) -> None:
        """Whoever held it before is refused, whatever came between."""
        present = [holder for holder in self.holders if may_write(self.lease, holder.token)]
        assert [holder.run_id for holder in present] == ([] if self.lease is None else [self.lease.run_id])


TestLeaseHistory = LeaseHistory.TestCase

LEASE = acquired(6, boot=3, run_id=RunId("r"), now=Mark(1.0, 1.0))


@pytest.mark.parametrize(
    ("lease", "found", "is_released"),
    [
        (LEASE, Execution.UNPROVEN, False),
        (LEASE, Execution.UNKNOWN, True),
        (LEASE, Execution.OVER, True),
        (LEASE, Execution.LIVE, False),
        (None, Execution.OVER, False),
        (msgspec.structs.replace(LEASE, run_id=RunId("")), Execution.OVER, False),
    ],
)
def test_a_lease_is_released_only_on_proof(lease: LeaseView | None, found: Execution, is_released: bool) -> None:
    """The whole table; what is decided is said in words."""
    verdict = reconcile(lease, found)
    assert verdict.is_released is is_released
    assert verdict.why


@pytest.mark.parametrize(
    ("boot", "is_held", "found"),
    [
        (3, True, Execution.LIVE),
        (3, False, Execution.UNKNOWN),
        (4, False, Execution.OVER),
        (4, True, Execution.LIVE),
    ],
)
def test_what_is_known_of_a_holder(boot: int, is_held: bool, found: Execution) -> None:
    """What the runtime has goes on; what an earlier start had is over."""
    assert execution(LEASE, boot=boot, is_held=is_held) is found


def test_the_token_of_a_session_goes_on_where_it_stood() -> None:
    """The next one after the stored one."""
    assert LEASE.token == 7
