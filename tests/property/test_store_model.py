"""A SQLite store does what a store in memory does, whatever is asked of it, and over restarts."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.api.base import Seq
from core.api.errors import HermesError
from core.store.base import Batch, Entry, Put, Store
from tests.support.stores import opened

KEYS = st.sampled_from(["a", "a/", "a/1", "a/2", "a\0", "a\U0010ffff", "a\U0010ffffz", "b", "é", "\ud7ff", "\ue000"])
PREFIXES = st.one_of(st.just(""), KEYS, st.text(max_size=2))
BODIES = st.binary(max_size=40)
EXPECTED = st.sampled_from([None, None, None, 0, 1, 2, 3])
SUBJECTS = st.sampled_from(["", "s", "t"])
PUTS = st.builds(Put, KEYS, st.one_of(st.none(), BODIES), EXPECTED)
ENTRIES = st.builds(Entry, SUBJECTS, BODIES)
BATCHES = st.builds(
    Batch,
    st.lists(PUTS, max_size=4, unique_by=lambda put: put.key),
    st.lists(ENTRIES, max_size=3),
    st.lists(BODIES, max_size=3),
    is_relief=st.booleans(),
)
PLACES = st.one_of(st.none(), st.integers(0, 40).map(Seq))
LIMITS = st.integers(0, 12)


class StoresAgree(RuleBasedStateMachine):
    """Everything is asked of both, and the answers must be equal."""

    @initialize()
    def begin(self) -> None:
        """Two empty stores."""
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.model = self.run(opened("memory", self.home))
        self.store = self.run(opened("sqlite", self.home))

    @property
    def home(self) -> Path:
        """Where the file is."""
        return Path(self.folder.name)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run on the loop of this example."""
        return self.runner.run(work)

    def both(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Ask both; equal results, or errors of one kind with equal facts."""

        async def outcome(store: Store) -> Any:
            try:
                return await getattr(store, method)(*args, **kwargs)
            except HermesError as error:
                return type(error), error.facts

        assert self.run(outcome(self.store)) == self.run(outcome(self.model))

    @rule(batch=BATCHES)
    def commit(self, batch: Batch) -> None:
        """One batch."""
        self.both("commit", batch)

    @rule(batches=st.lists(BATCHES, min_size=2, max_size=12))
    def commit_together(self, batches: list[Batch]) -> None:
        """Several in one breath: each as if it were alone, one after another."""

        async def outcomes(store: Store) -> list[Any]:
            done = await asyncio.gather(*map(store.submit, batches), return_exceptions=True)
            # How mail is packed is a matter of the store: here it may be one pack for several batches.
            return [
                (type(end), end.facts) if isinstance(end, HermesError) else (end.seqs, end.revisions, bool(end.place))
                for end in done
                if not isinstance(end, BaseException) or isinstance(end, HermesError)
            ]

        assert self.run(outcomes(self.store)) == self.run(outcomes(self.model))
        self.level()

    def level(self) -> None:
        """Bring both to the same last place; what is between is in one pack each, and empty mail takes a place, too."""
        last = {store: store.stats().mail_last for store in (self.store, self.model)}
        for store, place in last.items():
            for _ in range(max(last.values()) - place):
                self.run(store.commit(Batch(mail=[b""])))

    @rule(drop=st.integers(0, 50))
    def let_go(self, drop: int) -> None:
        """Of all mail at once, when it is so much; packs differ, so half of it would be another half."""
        last = self.model.stats().mail_last
        if last >= drop:
            self.both("commit", Batch(mail_floor=last))

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        """One row."""
        self.both("get", key)

    @rule(prefix=PREFIXES, after=PREFIXES, limit=st.one_of(st.none(), LIMITS), newest_first=st.booleans())
    def scan(self, prefix: str, after: str, limit: int | None, *, newest_first: bool) -> None:
        """A range of rows, in both directions."""
        self.both("scan", prefix, after=after, limit=limit, newest_first=newest_first)
        self.both("count", prefix)

    @rule(after=PLACES, before=PLACES, subject=SUBJECTS, limit=LIMITS)
    def read(self, after: Seq | None, before: Seq | None, subject: str, limit: int) -> None:
        """A range of the journal."""
        self.both("read", after=after, before=before, subject=subject, limit=limit)

    @rule(keep=st.integers(0, 10))
    def trim(self, keep: int) -> None:
        """Let go of the past."""
        self.both("trim", keep)

    @rule()
    def restart(self) -> None:
        """Close the file and open it again; the model just goes on."""
        self.run(self.store.close())
        self.store = self.run(opened("sqlite", self.home))

    @invariant()
    def all_is_equal(self) -> None:
        """Every row and the head of the journal."""
        if hasattr(self, "store"):
            self.both("scan", "")
            self.both("head")
            assert self.mail(self.store) == self.mail(self.model)
            one, other = self.store.stats(), self.model.stats()
            assert (one.mail_last, one.losses) == (other.mail_last, other.losses)

    def mail(self, store: Store) -> list[bytes]:
        """All records but empty ones, in order."""
        packs = self.run(store.read_packs(limit_bytes=10**9))
        assert not any(pack.damaged for pack in packs)
        return [record for pack in packs for record in pack.records if record]

    def teardown(self) -> None:
        """Close everything."""
        if hasattr(self, "store"):
            self.run(self.store.close())
            self.run(self.model.close())
            self.runner.close()
            self.folder.cleanup()


StoresAgree.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestStoresAgree = StoresAgree.TestCase
