"""A made-up platform: people of a scenario write, read what they are answered, and write again."""

import asyncio
from collections import OrderedDict
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import TypeVar

from core.api.base import DeliveryId, PlatformName
from core.api.errors import ConfigError, HermesError
from core.config.text import parse
from core.gateway.adapters.crowd import Crowd, Said
from core.gateway.adapters.mishap import chat_fault, is_out, outage
from core.gateway.adapters.people import Scenario, scenario
from core.gateway.platform import Inbox, Limits, Outbound, PlatformContext, PlatformError, PlatformErrorKind
from core.platform_settings import SimulatedSettings

V = TypeVar("V")

KEPT_IDS = 10_000

_PACKAGE = "core.gateway.adapters"
_BUILTIN = "builtin:"
_SIZE_LIMIT_BYTES = 1_048_576
_SHORTEST_PUT_OFF_S = 1.0
_LONGEST_PUT_OFF_S = 3.0


class SimulatedPlatform:
    """People from a scenario on a platform of any name.

    send() works before run() and after its end as well: then the answer counts as taken and
    nobody reads it. The last ten thousand ids are known, so one sent again has no second effect.
    """

    kind = "simulated"

    def __init__(self, name: PlatformName, settings: SimulatedSettings, context: PlatformContext) -> None:
        self.name = name
        self.limits = Limits(proves_senders=not settings.strangers)
        self._settings = settings
        self._clock = context.clock
        self._ids = context.ids
        self._home = context.home
        self._began_mono = context.clock.monotonic()
        # One source for the people and one for the faults, so that a fault changes nobody's words.
        self._random = Random(settings.seed).random  # noqa: S311 - made-up people keep no secrets
        self._fault_random = Random(settings.seed + 1).random  # noqa: S311 - the same
        self._crowd: Crowd | None = None
        self._taken: OrderedDict[DeliveryId, str] = OrderedDict()
        self._failed: OrderedDict[DeliveryId, None] = OrderedDict()

    async def run(self, inbox: Inbox) -> None:
        """Let the people write until cancelled. Raises ConfigError when the scenario cannot be used."""
        crowd = self._crowd or await self._gather()
        self._crowd = crowd
        inbox.connected(f"{self._settings.people} made-up people ({self._settings.scenario})")
        async with asyncio.TaskGroup() as group:
            while True:
                now = self._clock.monotonic()
                for said in crowd.due(now):
                    group.create_task(self._say(inbox, crowd, said))
                pause_s = crowd.pause_s(now)
                if pause_s is None:
                    await asyncio.Event().wait()
                else:
                    await self._clock.sleep(pause_s)

    async def send(self, message: Outbound) -> str:
        """Give an answer to whom it is for. Raises PlatformError as configured: in an outage, for a chat
        that takes none, and once each for a share of the rest.
        """
        if self._settings.send_s:
            await self._clock.sleep(self._settings.send_s * self._fault_random())
        known = self._taken.get(message.delivery_id)
        if known is not None:
            return known
        if is_out(self._clock.monotonic() - self._began_mono, self._settings):
            raise outage()
        fault = chat_fault(message.source, self._settings)
        if fault is not None:
            raise fault
        self._fail_first(message.delivery_id)
        native_id = self._ids.new_id()
        _remember(self._taken, message.delivery_id, native_id)
        if self._crowd is not None:
            self._crowd.answered(message.reply_to, message.text)
        return native_id

    def _fail_first(self, delivery_id: DeliveryId) -> None:
        if delivery_id in self._failed or self._fault_random() >= self._settings.send_failure_ratio:
            return
        _remember(self._failed, delivery_id, None)
        wait_s = _SHORTEST_PUT_OFF_S + self._fault_random() * (_LONGEST_PUT_OFF_S - _SHORTEST_PUT_OFF_S)
        raise PlatformError(PlatformErrorKind.RETRY_AFTER, "the made-up platform is busy", retry_after_s=wait_s)

    async def _gather(self) -> Crowd:
        story = await asyncio.to_thread(read_scenario, self._settings.scenario, self._home)
        return Crowd(
            story,
            platform=self.name,
            people=self._settings.people,
            rate_per_s=self._settings.rate_per_s,
            now=self._clock.monotonic(),
            random=self._random,
            new_id=self._ids.new_id,
        )

    async def _say(self, inbox: Inbox, crowd: Crowd, said: Said) -> None:
        try:
            await inbox.receive(said.inbound)
        except HermesError as error:
            now = self._clock.monotonic()
            if error.retryable:
                wait_s = error.facts.get("retry_after_s")
                crowd.put_off(said.person, now, float(wait_s) if isinstance(wait_s, int | float) else 0.0)
            else:
                crowd.turned_away(said.person, now)
        else:
            crowd.taken(said.person)


def create(name: PlatformName, settings: SimulatedSettings, context: PlatformContext) -> SimulatedPlatform:
    """A made-up platform. Its scenario is read when it runs."""
    return SimulatedPlatform(name, settings, context)


def scenario_names() -> tuple[str, ...]:
    """Names of the scenarios that come with the product. Reads the disk."""
    folder = files(_PACKAGE).joinpath("scenarios")
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def read_scenario(reference: str, home: Path) -> Scenario:
    """The scenario called builtin:NAME, or of a file. Reads the disk. Raises ConfigError."""
    text = _builtin_text(reference) if reference.startswith(_BUILTIN) else _file_text(reference, home)
    return scenario(parse(text, reference).values, reference)


def _builtin_text(reference: str) -> str:
    name, names = reference.removeprefix(_BUILTIN), scenario_names()
    if name not in names:
        raise ConfigError(
            f"there is no built-in scenario {name!r}",
            key="scenario",
            value=reference,
            fix=f"one of {', '.join(_BUILTIN + item for item in names)}",
        )
    return files(_PACKAGE).joinpath("scenarios", f"{name}.yaml").read_text(encoding="utf-8")


def _file_text(reference: str, home: Path) -> str:
    path = home / reference
    try:
        if path.stat().st_size > _SIZE_LIMIT_BYTES:
            raise ConfigError(
                f"{reference} has more than {_SIZE_LIMIT_BYTES} bytes", key="scenario", value=reference, fix="cut it"
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"cannot read {reference}: {reason}", key="scenario", value=reference, fix="check the path"
        ) from error


def _remember(kept: OrderedDict[DeliveryId, V], key: DeliveryId, value: V) -> None:
    kept[key] = value
    if len(kept) > KEPT_IDS:
        kept.popitem(last=False)
