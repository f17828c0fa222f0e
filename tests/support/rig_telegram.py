"""Telegram under the contract: our adapter against the fake Bot API."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from core.api.sessions import ChatKind, Source
from core.clock import SystemClock
from core.gateway.adapters.telegram import TelegramPlatform, create
from core.gateway.platform import Button, PlatformContext
from core.ids import IdSource
from core.platform_settings import TelegramSettings
from core.secrets import Secret
from tests.support.fake_telegram import Bot, Chat, FakeTelegram
from tests.support.fake_telegram.faults import flood
from tests.support.no_http import NoHttp
from tests.support.platform_rig import NAME, Can, PlatformRig, Told

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
ANN = {"id": 8841, "is_bot": False, "first_name": "Ann", "last_name": "Lee", "username": "ann_lee"}
HOLD_S = 1.0
SLACK_S = 0.5


def telegram(
    server: FakeTelegram,
    *,
    token: str = TOKEN,
    http: Any = None,
    secret: Callable[[str], Secret] | None = None,
    **settings: Any,
) -> TelegramPlatform:
    """Our adapter for a bot of the server, with short polls."""
    clock = SystemClock()
    context = PlatformContext(
        clock=clock, ids=IdSource(clock), http=http or NoHttp(), secret=secret or (lambda _: Secret(token))
    )
    made = create(
        NAME,
        TelegramSettings(token="env:TOKEN", base_url=server.url, **{"poll_s": HOLD_S, **settings}),
        context,
    )
    made.poll_slack_s = SLACK_S
    return made


class TelegramRig(PlatformRig):
    """A bot that Ann talks to."""

    kind = "telegram"
    can = frozenset(Can) - {Can.IDEMPOTENT, Can.THREADS}
    source = Source(platform=NAME, kind=ChatKind.DM, chat="8841")
    gone = Source(platform=NAME, kind=ChatKind.DM, chat="666")
    person_id = "8841"

    def __init__(self, server: FakeTelegram) -> None:
        self.server = server
        self.bot: Bot = server.world.add_bot(TOKEN, "helper_bot")
        self.chat: Chat = server.people.private(ANN)
        self.platform = telegram(server)

    def restarted(self) -> TelegramPlatform:
        """Another object of the same bot."""
        self.platform = telegram(self.server)
        return self.platform

    async def say(
        self, text: str, *, reply_to: str = "", thread: str | None = None, files: Sequence[tuple[str, bytes]] = ()
    ) -> str:
        """Ann writes."""
        answered = int(reply_to.partition("/")[2]) if reply_to else None
        made = {"message_id": 0}
        for name, content in files:
            made = self.server.people.attach(self.chat, ANN, "document", name, content, caption=text)
        if not files:
            made = self.server.people.say(self.chat, ANN, text, reply_to=answered)
        return f"{self.chat.id}/{made['message_id']}"

    async def correct(self, native_id: str, text: str) -> None:
        """Ann edits."""
        self.server.people.change(self.chat, int(native_id.partition("/")[2]), text)

    async def press(self, native_id: str, button: Button) -> None:
        """Ann uses a button."""
        self.server.people.press(self.chat, int(native_id.partition("/")[2]), button.label, ANN)

    async def told(self) -> Sequence[Told]:
        """What the bot wrote, as Ann sees it."""
        return [self._told(message) for message in self.server.of_bots(self.chat)]

    async def is_typing(self) -> bool:
        """Whether the last sign was one of typing."""
        return self.bot.typing[-1:] == [(self.chat.id, "typing")]

    async def cut(self) -> None:
        """The server is gone."""
        await self.server.stop()

    async def deafen(self) -> None:
        """The server answers nothing."""
        self.server.is_deaf = True

    async def mend(self) -> None:
        """The server is there again."""
        if self.server.is_deaf:
            self.server.is_deaf = False
        else:
            await self.server.start()

    async def revoke(self) -> None:
        """The token is refused."""
        self.bot.is_revoked = True

    async def limit(self, wait_s: float) -> None:
        """One message too many."""
        self.server.fail(flood(int(wait_s)))

    def _told(self, message: dict[str, Any]) -> Told:
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        answered = message.get("reply_to_message", {}).get("message_id")
        files = [message[kind] for kind in ("document", "video", "voice", "audio") if kind in message]
        return Told(
            native_id=f"{self.chat.id}/{message['message_id']}",
            text=message.get("text", message.get("caption", "")),
            reply_to=f"{self.chat.id}/{answered}" if answered else "",
            files=tuple(self.server.world.files[file["file_id"]] for file in files),
            buttons=tuple(button["text"] for row in rows for button in row),
        )


@asynccontextmanager
async def rig() -> AsyncIterator[PlatformRig]:
    """Telegram for a test."""
    async with FakeTelegram() as server:
        yield TelegramRig(server)
