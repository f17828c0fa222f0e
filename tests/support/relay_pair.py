"""Two real cores that relay to each other, each through a line with a weather, and what each says afterwards."""

import asyncio
import base64
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from core.api.base import Actor, ActorKind, Command, Query, R, SessionId, V
from core.api.bindings import AddBinding, Bot, RelayProtocol
from core.api.errors import ConflictError, HermesError, Unavailable
from core.api.port import Hermes
from core.api.relay_tasks import (
    CancelRelay,
    ListRelayTasks,
    RelayDirection,
    RelayTaskFilter,
    RelayTaskId,
    RelayTaskView,
    SendRelay,
)
from core.api.sessions import ListSessions
from core.api.transcripts import EntryKind, ReadTranscript
from core.connect import attach
from core.home import prepare
from tests.support.relay_line import RelayLine, relay_line
from tests.support.served_core import ServedCore

OPERATOR = Actor(ActorKind.OPERATOR, "test")
LOOPBACK = ("127.0.0.0/8", "::1/128")
_KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
_PAGE = 500
_AGAIN_S = 0.05

# Attempts and breakers are quick, and so few that some messages die of a storm and have to be sent again.
_CONFIG = """
http: {{port: 0}}
agents:
  main: {{runner: scripted, scenario: work.yaml, concurrency: 16}}
sessions: {{queue_limit: 10000, max_attempts: 100}}
relay:
  name: {name}
  attempt_limit_s: 1.5
  retries_s: [0.05, 0.1]
  schedule_s: [0.2]
  breaker_open_s: 0.2
  breaker_open_cap_s: 0.5
  in_flight: 16
  turn_limit: 100000
  peers:
    {peer}:
      keys: ["file:secrets/relay"]
      token: "file:secrets/token_of_{name}"
      accept_tokens: ["file:secrets/token_of_{peer}"]
      rate_per_min: 100000
      in_flight: 10000
{callback}
"""
_CALLBACK = """\
      callback: {url}/relay/answers
      callback_networks: ["127.0.0.0/8"]
"""

# Slow enough that a blow often falls into the middle of a run.
_SCENARIO = """
about: Says after a while what it was told.
streamed: false
rules:
  - steps:
      - pause: 0.05
      - text: "done: {text}"
"""


def answer_to(text: str) -> str:
    """What the agent of the far side says to it."""
    return f"done: {text}"


class Said(msgspec.Struct, frozen=True):
    """What the transcripts of a core hold. asked: texts that agents were given; answers: what they said in the end."""

    asked: Counter[str]
    answers: Counter[str]


class RelayCore:
    """One of the two. line: that it calls the other through. deaths: how often it was killed."""

    def __init__(self, name: str, other: str, home: Path, line: RelayLine, back: RelayLine) -> None:
        self.name = name
        self.other = other
        self.line = line
        self.deaths = 0
        self._back = back
        self._served = ServedCore(home)
        self._hermes: Hermes | None = None
        self._attaching = asyncio.Lock()

    def prepare(self, *, calls_back: bool) -> None:
        """Write its home. calls_back: it posts its answers to the other, which else has to ask for them. Blocks."""
        home = self._served.home
        prepare(home)
        callback = _CALLBACK.format(url=self.line.url) if calls_back else ""
        (home / "config.yaml").write_text(_CONFIG.format(name=self.name, peer=self.other, callback=callback))
        (home / "work.yaml").write_text(_SCENARIO)
        tokens = {f"token_of_{name}": f"{name}-token-0123456789" for name in (self.name, self.other)}
        for name, value in {"relay": _KEY, **tokens}.items():
            secret = home / "secrets" / name
            secret.write_text(value)
            secret.chmod(0o600)

    async def start(self) -> None:
        """Start it, and let the other's line lead to it."""
        await self._served.start()
        self._back.target = int(self._served.url.rpartition(":")[2])

    async def kill(self) -> None:
        """Kill -9."""
        await self._served.kill()
        self.deaths += 1
        await self._let_go()

    async def _let_go(self) -> None:
        hermes, self._hermes = self._hermes, None
        if hermes is not None:
            with contextlib.suppress(HermesError):
                await hermes.close()

    async def end(self) -> None:
        """Kill it if it runs."""
        await self._let_go()
        if self._served.process is not None and self._served.process.returncode is None:
            await self._served.kill()

    async def _attached(self) -> Hermes:
        await self._served.up.wait()
        async with self._attaching:
            if self._hermes is None:
                self._hermes = await attach(self._served.home)
            return self._hermes

    async def query(self, query: Query[V]) -> V:
        """Ask it, however often it dies meanwhile."""
        while True:
            try:
                return await (await self._attached()).query(query)
            except Unavailable:
                await self._let_go()
                await asyncio.sleep(_AGAIN_S)

    async def execute(self, command: Command[R]) -> R:
        """Give it an order, again and again until there is a receipt; the order must be one that may be repeated."""
        while True:
            try:
                return await (await self._attached()).execute(command, actor=OPERATOR)
            except Unavailable:
                await self._let_go()
                await asyncio.sleep(_AGAIN_S)

    async def bind(self) -> None:
        """Let every chat reach the other, by the name of the protocol."""
        bots = [
            Bot(name=protocol.value, url=self.line.url, protocol=protocol, peer=self.other, networks=LOOPBACK)
            for protocol in RelayProtocol
        ]
        await self.execute(AddBinding(platform="*", chat="*", bots=tuple(bots)))

    async def send(self, protocol: RelayProtocol, task_id: str, text: str, context: str) -> None:
        """Have a text sent to the other; returns once it is stored."""
        await self.execute(SendRelay(to=(protocol.value,), text=text, id=task_id, context=context))

    async def cancel(self, task_id: str) -> None:
        """Have a message stopped, wherever it is; one that is over stays as it is."""
        with contextlib.suppress(ConflictError):
            await self.execute(CancelRelay(id=RelayTaskId(task_id), reason="nobody wants it any more"))

    async def tasks(self, direction: RelayDirection) -> list[RelayTaskView]:
        """All messages of one direction."""
        found: list[RelayTaskView] = []
        cursor = ""
        while True:
            only = RelayTaskFilter(direction=direction)
            page = await self.query(ListRelayTasks(only=only, limit=_PAGE, cursor=cursor))
            found += page.tasks
            cursor = page.cursor
            if not cursor:
                return found

    async def said(self) -> Said:
        """What agents here were given by peers, and answered."""
        asked, answers = Counter[str](), Counter[str]()
        page = await self.query(ListSessions(limit=5000))
        for session in page.sessions:
            transcript = await self.query(ReadTranscript(session_id=SessionId(session.id), limit=1000))
            assert not transcript.has_earlier
            asked.update(entry.text for entry in transcript.entries if entry.kind is EntryKind.USER)
            whole = (entry for entry in transcript.entries if entry.kind is EntryKind.AGENT and not entry.is_partial)
            answers.update(entry.text for entry in whole)
        return Said(asked, answers)


@asynccontextmanager
async def relay_pair(folder: Path, dice: random.Random) -> AsyncIterator[tuple[RelayCore, RelayCore]]:
    """Two cores that know each other and run, for as long as the block lasts. Only the second calls back."""
    async with relay_line(dice) as there, relay_line(dice) as back:
        east = RelayCore("east", "west", folder / "east", there, back)
        west = RelayCore("west", "east", folder / "west", back, there)
        for core in (east, west):
            await asyncio.to_thread(core.prepare, calls_back=core is west)
        try:
            await asyncio.gather(east.start(), west.start())
            await asyncio.gather(east.bind(), west.bind())
            yield east, west
        finally:
            await asyncio.gather(east.end(), west.end())
