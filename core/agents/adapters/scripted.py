"""The embedded agent: plays a scenario, needs no network, no key and no model."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from functools import lru_cache
from pathlib import Path

from core.agent_settings import ScriptedSettings
from core.agents.adapters import CAPABILITIES
from core.agents.runner import Decision, Runner, RunnerContext, TurnRequest, unready
from core.agents.scripted.plays import Play
from core.agents.scripted.scenario import Scenario, scenario_of
from core.agents.scripted.script import command_steps
from core.api.base import AgentName
from core.api.errors import ConfigError
from core.api.runs import RunReport, Stop, TurnEnded
from core.config.text import parse

_BUILTIN = "builtin:"
_FOLDER = Path(__file__).with_name("scenarios")
_SIZE_LIMIT_BYTES = 1_048_576
_KEPT_SCENARIOS = 64
_SUMMARY_WORDS = 24


class ScriptedRunner:
    """Plays turns of one session. The same seed, session and history give the same turn."""

    kind = "scripted"
    capabilities = CAPABILITIES["scripted"]

    def __init__(self, settings: ScriptedSettings, context: RunnerContext) -> None:
        self._settings = settings
        self._context = context
        self._scenario: Scenario | None = None
        self._play: Play | None = None
        self._standing: dict[str, bool] = {}
        self._is_closed = False
        self._is_dead = False
        self._facts = {"scenario": settings.scenario, "workspace": str(context.workspace)}

    @property
    def is_alive(self) -> bool:
        """Until it is closed, or has played a crash."""
        return not self._is_closed and not self._is_dead

    async def open(self) -> None:
        """Read the scenario. Raises ConfigError."""
        self._scenario = _builtin_at_hand(self._settings.scenario)
        if self._scenario is None:
            self._scenario = await asyncio.to_thread(load_scenario, self._settings.scenario, self._context.home)

    async def turn(self, request: TurnRequest) -> AsyncIterator[RunReport]:
        """Play what fits the text of the messages."""
        scenario = self._scenario
        refusal = unready(is_open=scenario is not None, is_closed=self._is_closed, is_busy=self._play is not None)
        if refusal is not None:
            yield refusal
            return
        assert scenario is not None
        text = "\n".join(message.text for message in request.messages)
        seed = f"{self._settings.seed}/{request.session_id}/{request.epoch}/{len(request.history)}"
        rng = random.Random(seed)  # noqa: S311 - a stage play, not a secret
        steps = command_steps(text) if scenario.commands and text.lstrip().startswith("!") else None
        if steps is None:
            steps = scenario.steps_for(text, rng.random)
        play = self._play = Play(
            self._context, scenario, request, pace=self._settings.pace, rng=rng, standing=self._standing
        )
        try:
            async with aclosing(play.reports(steps)) as reports:
                async for report in reports:
                    if isinstance(report, TurnEnded):
                        self._play = None
                        self._is_dead = report.stop is Stop.DIED
                    yield report
        finally:
            self._play = None

    async def decide(self, action_id: str, decision: Decision) -> bool:
        """Pass a decision on. False when it is not waited for."""
        return self._play is not None and self._play.decide(action_id, decision)

    async def steer(self, text: str) -> bool:
        """Work a text into the turn. False when none goes on."""
        return self._play is not None and self._play.steer(text)

    async def cancel(self, reason: str) -> None:
        """End the turn within its present step."""
        del reason
        if self._play is not None:
            self._play.cancel()

    async def summarize(self, text: str, *, model: str) -> str:
        """How many words it has, and its first and its last ones."""
        del model
        words = text.split()
        if len(words) <= 2 * _SUMMARY_WORDS:
            return " ".join(words)
        first, last = " ".join(words[:_SUMMARY_WORDS]), " ".join(words[-_SUMMARY_WORDS:])
        return f"{len(words)} words, from: {first} ... to: {last}"

    async def close(self) -> None:
        """End the turn and take no other."""
        self._is_closed = True
        await self.cancel("closed")

    def describe(self) -> Mapping[str, str]:
        """Which scenario it plays, and where it writes."""
        return self._facts


def create(agent: AgentName, settings: ScriptedSettings, context: RunnerContext) -> Runner:
    """A runner for one session."""
    del agent
    return ScriptedRunner(settings, context)


def load_scenario(name: str, home: Path) -> Scenario:
    """The scenario `builtin:NAME`, or of a YAML file relative to the home. Blocks.

    Raises ConfigError (facts: file, key, fix).
    """
    if name.startswith(_BUILTIN):
        found = _load_builtin(name)
        _AT_HAND[name] = found
        return found
    path = home / name
    try:
        status = path.stat()
        if status.st_size > _SIZE_LIMIT_BYTES:
            raise ConfigError(f"{path} is larger than {_SIZE_LIMIT_BYTES} bytes", file=str(path), fix="make it smaller")
        return _load_file(path, status.st_mtime_ns, status.st_size)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", file=str(path), fix="correct agents.*.scenario") from error


_AT_HAND: dict[str, Scenario] = {}


def _builtin_at_hand(name: str) -> Scenario | None:
    return _AT_HAND.get(name)


def _load_builtin(name: str) -> Scenario:
    known = sorted(path.stem for path in _FOLDER.glob("*.yaml"))
    wanted = name.removeprefix(_BUILTIN)
    if wanted not in known:
        raise ConfigError(
            f"no built-in scenario {wanted!r}", key="scenario", value=name, fix=f"one of {', '.join(known)}"
        )
    path = _FOLDER / f"{wanted}.yaml"
    return scenario_of(parse(path.read_text(encoding="utf-8"), path.name).values, path.name)


@lru_cache(maxsize=_KEPT_SCENARIOS)
def _load_file(path: Path, mtime_ns: int, size_bytes: int) -> Scenario:
    # The stamp is part of the key, so a changed file is read again.
    del mtime_ns, size_bytes
    return scenario_of(parse(path.read_text(encoding="utf-8"), str(path)).values, str(path))
