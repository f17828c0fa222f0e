"""An account at a Matrix homeserver, over its client API: a long poll in, one call for each event out."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpx
import msgspec

from core.api.base import PlatformName
from core.api.errors import ConfigError, HermesError
from core.api.sessions import Source
from core.gateway.abilities import Chat
from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.matrix_calls import MatrixCalls, MatrixError
from core.gateway.adapters.matrix_content import TEXT_LIMIT_BYTES
from core.gateway.adapters.matrix_events import ALIAS, ENCRYPTED, ENCRYPTION, MEMBER, MESSAGE, NAME, REACTION, STICKER
from core.gateway.adapters.matrix_intake import MatrixIntake
from core.gateway.adapters.matrix_invitations import Invitation
from core.gateway.adapters.matrix_known import Known
from core.gateway.adapters.matrix_outgoing import BUTTONS_LIMIT, Outgoing
from core.gateway.adapters.matrix_rooms import source_of
from core.gateway.adapters.web import TooLargeError, WebClient
from core.gateway.platform import Inbox, Limits, Outbound, PlatformContext, PlatformError, PlatformErrorKind, TextUnit
from core.platform_settings import MatrixSettings
from core.waits import task_group

_TYPING_S = 30.0
_MS = 1000
_FILE_BYTES = 50_000_000
_SYNC_BYTES = 64 * 1024 * 1024
_FIRST_DEADLINE_S = 120.0
_TIMELINE = 50
_KEPT_ENCRYPTED = 200
_CHATS_LIMIT = 2000
_STATE = (MEMBER, NAME, ALIAS, ENCRYPTION)
_SAYINGS = (MESSAGE, REACTION, STICKER, ENCRYPTED)
_CHATS_AT_ONCE = 16
_KEEP_EVERY_S = 600.0
_BAD_REQUEST = 400
_LOST_PLACE = frozenset({"M_INVALID_PARAM", "M_UNKNOWN", "M_UNKNOWN_POS"})


class Cursor(msgspec.Struct, frozen=True):
    """Where reading stopped. encrypted: rooms that were told that we read nothing there. invited: to be followed."""

    since: str = ""
    encrypted: tuple[str, ...] = ()
    invited: tuple[Invitation, ...] = ()


_cursors = msgspec.json.Decoder(Cursor)


class MatrixPlatform:
    """One account. limits: with the size of files that the server said it takes, once it was asked."""

    kind = "matrix"

    def __init__(self, name: PlatformName, settings: MatrixSettings, context: PlatformContext, web: WebClient) -> None:
        self.name = name
        self.limits = Limits(
            text_limit=TEXT_LIMIT_BYTES,
            text_unit=TextUnit.BYTES,
            typing_s=_TYPING_S,
            file_bytes=_FILE_BYTES,
            buttons=BUTTONS_LIMIT,
            can_edit=True,
            has_threads=True,
        )
        self._settings = settings
        self._clock = context.clock
        self._calls = MatrixCalls(
            settings,
            web,
            token=context.secret(settings.token) if settings.token else None,
            password=context.secret(settings.password) if settings.password else None,
        )
        self._known = Known(self._calls)
        self._outgoing = Outgoing(self._calls, self._known)
        self._timeline = _TIMELINE
        # How long a poll is held open; nobody knows how long the first one takes.
        self.heard_every_s = 0.0

    @property
    def credential(self) -> tuple[str, str]:
        """What tells this account from others."""
        return self._calls.credential

    async def run(self, inbox: Inbox) -> None:
        """Read until cancelled. Raises PlatformError when the line breaks or falls silent, ConfigError."""
        async with self._calls.web:
            await self._calls.check_account()
            await self._known.load_direct()
            await self._learn_limits()
            kept = _cursor(await inbox.cursor())
            try:
                async with task_group() as group:
                    await self._read(inbox, self._intake(inbox, kept, group), kept)
            except BaseExceptionGroup as failed:
                raise failed.exceptions[0] from None

    async def send(self, message: Outbound) -> str:
        """Send; the id of the event, of an edit that of the message that was edited. Raises PlatformError."""
        async with self._calls.web:
            return await self._outgoing.send(message)

    async def typing(self, source: Source, *, is_on: bool) -> None:
        """Show or hide that we write. Raises PlatformError."""
        body = {"typing": True, "timeout": int(_TYPING_S * _MS)} if is_on else {"typing": False}
        await self._calls.put("rooms", source.chat, "typing", self._calls.user_id, body=body)

    def fetch(self, ref: str) -> AsyncIterator[bytes]:
        """The contents of a file in pieces. Raises PlatformError."""
        return self._calls.download(ref)

    async def chats(self) -> Sequence[Chat]:
        """The rooms that we are in, with their names. Raises PlatformError."""
        gate = asyncio.Semaphore(_CHATS_AT_ONCE)
        async with self._calls.web:
            room_ids = (await self._known.joined())[:_CHATS_LIMIT]
            try:
                async with task_group() as group:
                    tasks = [group.create_task(self._chat(room_id, gate)) for room_id in room_ids]
            except BaseExceptionGroup as failed:
                raise failed.exceptions[0] from None
        return [chat for task in tasks if (chat := task.result()) is not None]

    async def probe(self) -> None:
        """Ask the server who we are. Raises PlatformError, ConfigError."""
        await self._calls.check_account()

    @property
    def _address(self) -> str:
        return f"{self._calls.user_id} at {self._calls.where}"

    async def _chat(self, room_id: str, gate: asyncio.Semaphore) -> Chat | None:
        try:
            async with gate:
                room = await self._known.room(room_id)
        except PlatformError as error:
            if error.kind not in {PlatformErrorKind.GONE, PlatformErrorKind.REFUSED}:
                raise
            return None
        source = source_of(self.name, room, None, self._calls.user_id)
        return Chat(source=source, name=source.chat_name)

    def _intake(self, inbox: Inbox, kept: Cursor, group: asyncio.TaskGroup) -> MatrixIntake:
        intake = MatrixIntake(
            self.name,
            self._settings,
            inbox,
            calls=self._calls,
            known=self._known,
            outgoing=self._outgoing,
            clock=self._clock,
            group=group,
            encrypted=kept.encrypted,
        )
        intake.invitations.resume(kept.invited)
        return intake

    async def _learn_limits(self) -> None:
        try:
            found = await self._calls.file_limit_bytes()
        except PlatformError:
            # A server that does not say still refuses what is too large.
            return
        if found:
            self.limits = msgspec.structs.replace(self.limits, file_bytes=found)

    async def _read(self, inbox: Inbox, intake: MatrixIntake, kept: Cursor) -> None:
        """Poll again and again. Raises PlatformError."""
        since, is_owed, due = kept.since, False, self._clock.monotonic() + _KEEP_EVERY_S
        inbox.connected(self._address, problem=intake.problem)
        while True:
            try:
                batch = await self._sync(since)
            except MatrixError as error:
                if not since or error.status != _BAD_REQUEST or error.errcode not in _LOST_PLACE:
                    raise
                intake.problems.append("the server does not know where reading stopped: messages may have been missed")
                since = ""
                continue
            inbox.heard()
            after = loose.text(batch, "next_batch")
            if not after:
                raise PlatformError(PlatformErrorKind.RETRY_AFTER, f"{self._calls.where} answered a poll with nothing")
            is_owed |= await intake.take(batch, since, after)
            inbox.connected(self._address, problem=intake.problem)
            cursor = Cursor(intake.place(after), tuple(intake.encrypted[-_KEPT_ENCRYPTED:]), intake.invitations.pending)
            is_owed |= (cursor.encrypted, cursor.invited) != (kept.encrypted, kept.invited)
            # The place moves with every poll; where that brought nothing, the one that is kept is as good.
            now = self._clock.monotonic()
            if cursor != kept and (is_owed or now >= due) and await _is_kept(inbox, cursor):
                kept, is_owed, due = cursor, cursor.since != after, now + _KEEP_EVERY_S
            since = after

    async def _sync(self, since: str) -> Json:
        timeout_s = self.heard_every_s = self._settings.sync_timeout_s if since else 0.0
        params = {"timeout": str(int(timeout_s * _MS)), "filter": self._filter(is_first=not since)}
        if since:
            params["since"] = since
        # A server that holds the poll open for longer than it was asked to has fallen silent.
        deadline_s = timeout_s * 1.5 + 2.0 if since else _FIRST_DEADLINE_S
        try:
            batch = await self._calls.get("sync", params=params, deadline_s=deadline_s, limit_bytes=_SYNC_BYTES)
        except TooLargeError:
            # What is left out of the batch then is read room by room.
            self._timeline = 1
            raise
        self._timeline = _TIMELINE
        return batch

    def _filter(self, *, is_first: bool) -> str:
        nothing: dict[str, list[str]] = {"types": []}
        wanted = {
            "presence": nothing,
            "account_data": {"types": ["m.direct"]},
            "room": {
                "account_data": nothing,
                "ephemeral": nothing,
                "state": {"types": list(_STATE), "lazy_load_members": True},
                "timeline": {"types": [*_SAYINGS, *_STATE], "limit": 1 if is_first else self._timeline},
            },
        }
        return msgspec.json.encode(wanted).decode()


async def _is_kept(inbox: Inbox, cursor: Cursor) -> bool:
    try:
        await inbox.keep_cursor(msgspec.json.encode(cursor).decode())
    except HermesError:
        # The messages are kept; the same ones come again after a restart and are known by their ids.
        return False
    return True


def _cursor(text: str) -> Cursor:
    try:
        return _cursors.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError):
        return Cursor()


def create(name: PlatformName, settings: MatrixSettings, context: PlatformContext) -> MatrixPlatform:
    """An account at a homeserver. Raises ConfigError when a secret is missing, or there is not exactly one."""
    if (settings.token is None) is (settings.password is None):
        raise ConfigError(
            f"platforms.{name}: a Matrix account needs either token or password",
            key=f"platforms.{name}.token",
            fix="set one of the two",
        )
    return MatrixPlatform(name, settings, context, web_client(settings, context))


def web_client(
    settings: MatrixSettings, context: PlatformContext, transport: httpx.AsyncBaseTransport | None = None
) -> WebClient:
    """What calls the homeserver. transport: in place of the network, for tests."""
    where = settings.homeserver.partition("://")[2].split("/")[0].rpartition("@")[2]
    secrets = [context.secret(reference) for reference in (settings.token, settings.password) if reference]
    return WebClient(where, context.clock, secrets=secrets, transport=transport)
