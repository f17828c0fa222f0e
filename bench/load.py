"""A core that is all load: as many sessions and journal events a second as asked for, on its own thread.

It stands in for the gateway, whose own rate is measured in gateway.py, so that the screen can be given more than the
store of this machine could ever commit. Threads, bridge, feed and mirror are the product's own.
"""

import asyncio
import bisect
import itertools
import json
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from core.api import sessions
from core.api.base import SYSTEM, Actor, Command, Event, Mark, Query, Record, Seq, SessionId
from core.api.errors import InvalidInput
from core.api.runs import Phase
from core.api.sessions import SessionState, SessionView
from tests.support.fake_state import FakeState
from tests.support.views import health, message, outcome, run, session

_TICK_S = 0.005
_LAG_EVERY_S = 0.01
_KEPT = 1000


def now() -> Mark:
    """This instant."""
    return Mark(time.time(), time.monotonic())


def fleet(count: int) -> list[SessionView]:
    """Sessions as a busy installation has them: some run, some wait, most are idle."""
    begun = now()
    made: list[SessionView] = []
    for number in range(count):
        # Below an hour every age on the screen is another one each second.
        age_s = float(number % 3_000)
        born = Mark(begun.at - age_s, begun.mono - age_s)
        changes: dict[str, Any] = {"created": born, "inbound": born, "entry_count": number % 90}
        if number % 10 == 0:
            changes |= {
                "state": SessionState.RUNNING,
                "run": run(f"run-{number}", started=born, phase=Phase.MODEL, phase_since=born, last_model_byte=born),
            }
        made.append(session(f"chat{number % 5}:dm:person-{number:06d}", **changes))
    return made


class LoadHermes(FakeState):
    """A Hermes that emits events by itself while somebody subscribes. stats: where its loop lag is written."""

    def __init__(self, *, session_count: int, rate_per_s: int, stats: Path | None, seed: int = 0) -> None:
        super().__init__(sessions=fleet(session_count))
        self._ids = sorted(self.sessions)
        self._rate_per_s = rate_per_s
        self._stats = stats
        self._random = random.Random(seed)
        self._seq = 0
        self._recent: deque[Record] = deque(maxlen=_KEPT)
        self._lags_s: list[float] = []
        self._gap_s = 0.0
        self._emitted = 0
        self._makers = itertools.cycle((self._queued, self._started, self._ended))
        self._lag_task: asyncio.Task[None] | None = None

    @property
    def seq(self) -> Seq:
        """Place of the last event."""
        return Seq(self._seq)

    async def open(self) -> "LoadHermes":
        """Begin to watch its own loop; call it on the loop that it is to live on."""
        self._lag_task = asyncio.create_task(self._watch_lag())
        return self

    async def execute(self, command: Command[Any], *, actor: Actor) -> Any:
        """Nothing can be ordered here."""
        raise InvalidInput("a load takes no orders", field="command")

    async def query(self, query: Query[Any]) -> Any:
        """Answers as a core does; sessions by page without sorting them each time."""
        self.records = list(self._recent)
        self.health_view = health(now=now(), started=now(), session_count=len(self._ids))
        if not isinstance(query, sessions.ListSessions):
            return self.answer(query)
        first = bisect.bisect_right(self._ids, query.after)
        ids = self._ids[first : first + query.limit]
        cursor = ids[-1] if first + len(ids) < len(self._ids) else ""
        page = tuple(self.sessions[key] for key in ids)
        return sessions.SessionPage(sessions=page, cursor=cursor, seq=self.seq, total=len(self._ids))

    async def subscribe(self, *, after: Seq) -> AsyncIterator[Record]:
        """Events at the rate, in even ticks, for as long as they are read."""
        began, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * self._rate_per_s)
            # After a pause of the reader the load goes on at its rate and does not catch up all at once.
            sent = max(sent, due - self._rate_per_s // 10)
            for _ in range(due - sent):
                yield self._record(next(self._makers)())
            sent = due
            await asyncio.sleep(_TICK_S)

    async def close(self) -> None:
        """Stop and write what was seen."""
        if self._lag_task is not None:
            self._lag_task.cancel()
        self._write()

    def _record(self, event: Event) -> Record:
        self._seq += 1
        self._emitted += 1
        record = Record(Seq(self._seq), time.time(), SYSTEM, str(getattr(event, "session").id), event)  # noqa: B009 - every event here has one
        self._recent.append(record)
        return record

    def _changed(self, **changes: Any) -> SessionView:
        key = SessionId(self._ids[self._random.randrange(len(self._ids))])
        old = self.sessions[key]
        new = replace(old, version=old.version + 1, inbound=now(), **changes)
        self.sessions[key] = new
        return new

    def _queued(self) -> Event:
        view = self._changed(state=SessionState.QUEUED, queue_depth=1)
        return sessions.MessageQueued(session=view, message=message("how far are you?", session_id=view.id))

    def _started(self) -> Event:
        instant = now()
        view = self._changed(
            state=SessionState.RUNNING,
            queue_depth=0,
            run=run(started=instant, phase_since=instant, last_model_byte=instant),
        )
        return sessions.RunStarted(session=view, entries=())

    def _ended(self) -> Event:
        view = self._changed(state=SessionState.IDLE, run=None)
        return sessions.RunEnded(session=view, outcome=outcome(ended=now()), entries=())

    async def _watch_lag(self) -> None:
        written = last = time.monotonic()
        while True:
            await asyncio.sleep(_LAG_EVERY_S)
            instant = time.monotonic()
            lag_s = max(0.0, instant - last - _LAG_EVERY_S)
            self._lags_s.append(lag_s)
            self._gap_s = max(self._gap_s, lag_s)
            last = instant
            if instant - written > 1.0:
                self._write()
                written = instant

    def _write(self) -> None:
        """Figures since the last call; the first second, in which the sessions are loaded, is left to the reader."""
        if self._stats is not None:
            line = {"at": time.monotonic(), "lags_s": self._lags_s, "gap_s": self._gap_s, "emitted": self._emitted}
            with self._stats.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self._lags_s, self._gap_s, self._emitted = [], 0.0, 0
