"""The menus of platforms: what can be ordered there, told to each connection when it stands."""

import asyncio
from collections.abc import Callable

from core.api.access import Tier
from core.api.base import PlatformName, Record
from core.api.platforms import PlatformConnected
from core.api.system import AlarmRaised
from core.gateway.abilities import OffersCommands
from core.gateway.command import Facility, hints, offered
from core.gateway.platform import Platform, PlatformError
from core.journal import Journal
from core.platform_settings import ChatSettings
from core.supervisor import Supervisor

LIMIT_S = 30.0


class Menus:
    """A menu that cannot be put up is told of and changes nothing else.

    find: the adapter of a connection. chat_of: its settings. facilities: what commands find here.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        supervisor: Supervisor,
        find: Callable[[PlatformName], Platform | None],
        chat_of: Callable[[PlatformName], ChatSettings],
        facilities: Callable[[], frozenset[Facility]],
    ) -> None:
        self._journal = journal
        self._supervisor = supervisor
        self._find = find
        self._chat_of = chat_of
        self._facilities = facilities

    def watch(self) -> None:
        """Put a menu up wherever a connection stands from now on."""
        self._journal.on_record(self._see, PlatformConnected)

    def _see(self, record: Record) -> None:
        if isinstance(record.event, PlatformConnected):
            name = record.event.platform.name
            platform = self._find(name)
            if isinstance(platform, OffersCommands):
                self._supervisor.spawn(f"menu:{name}", self._put_up(name, platform))

    async def _put_up(self, name: PlatformName, platform: OffersCommands) -> None:
        chat = self._chat_of(name)
        # One menu for all who see it: what those may use who are no admins, where there are any.
        tier = Tier.USER if chat.admins else Tier.ADMIN
        menu = hints(offered(tier, chat.user_commands, self._facilities()))
        try:
            async with asyncio.timeout(LIMIT_S):
                await platform.offer_commands(menu)
        except TimeoutError:
            self._tell(name, f"it did not take its menu of commands within {LIMIT_S:g} s")
        except PlatformError as error:
            self._tell(name, f"it did not take its menu of commands: {error.message}")

    def _tell(self, name: PlatformName, error: str) -> None:
        self._journal.publish(str(name), AlarmRaised(what=f"platform {name}", error=error))
