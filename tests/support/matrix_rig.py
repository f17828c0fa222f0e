"""A Matrix account under the contract of platforms, at whatever homeserver a test has."""

from collections.abc import Sequence

import httpx

from core.api.sessions import ChatKind, Source
from core.clock import SystemClock
from core.gateway.adapters.matrix import MatrixPlatform, create, web_client
from core.gateway.platform import Button, Platform, PlatformContext
from core.ids import IdSource
from core.platform_settings import MatrixSettings
from core.secrets import Secret
from tests.support.matrix_human import C, Human
from tests.support.no_http import NoHttp
from tests.support.platform_rig import NAME, Can, PlatformRig, Told

ALL = frozenset(Can)


class MatrixRig(PlatformRig):
    """The account @bot and the person @ana in a one-to-one room of a homeserver."""

    kind = "matrix"

    def __init__(
        self,
        human: Human,
        room_id: str,
        settings: MatrixSettings,
        token: str,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.human = human
        self.room_id = room_id
        self.person_id = human.user_id
        self.source = Source(platform=NAME, kind=ChatKind.DM, chat=room_id)
        self.gone = Source(platform=NAME, kind=ChatKind.DM, chat="!not-there:test.local")
        self._settings = settings
        self._token = token
        self._transport = transport
        self.platform = self.restarted()

    def restarted(self) -> Platform:
        """One that knows nothing but the token."""
        clock = SystemClock()
        context = PlatformContext(clock=clock, ids=IdSource(clock), http=NoHttp(), secret=lambda _: Secret(self._token))
        if self._transport is None:
            self.platform = create(NAME, self._settings, context)
        else:
            web = web_client(self._settings, context, transport=self._transport)
            self.platform = MatrixPlatform(NAME, self._settings, context, web)
        return self.platform

    async def say(
        self, text: str, *, reply_to: str = "", thread: str | None = None, files: Sequence[tuple[str, bytes]] = ()
    ) -> str:
        """Ana writes."""
        event_id = ""
        for name, body in files:
            event_id = await self.human.send_file(self.room_id, name, body, caption=text)
        return event_id or await self.human.say(self.room_id, text, reply_to=reply_to, thread=thread)

    async def correct(self, native_id: str, text: str) -> None:
        """Ana changes what she wrote."""
        await self.human.correct(self.room_id, native_id, text)

    async def press(self, native_id: str, button: Button) -> None:
        """Ana puts the sign there too."""
        await self.human.react(self.room_id, native_id, button.sign)

    async def told(self) -> Sequence[Told]:
        """As Ana sees it."""
        return await self.human.told(self.room_id, self._settings.user_id)

    async def is_typing(self) -> bool:
        """Whether her client says so."""
        batch = await self.human.call("GET", f"{C}/sync", params={"timeout": "0"})
        ephemeral = batch["rooms"]["join"][self.room_id]["ephemeral"]["events"]
        return any(self._settings.user_id in event["content"].get("user_ids", ()) for event in ephemeral)
