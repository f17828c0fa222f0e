"""Rooms of a Matrix account and messages that others refer to: asked for once, then kept up to date."""

from collections import OrderedDict

from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.matrix_calls import MatrixCalls
from core.gateway.adapters.matrix_events import ALIAS, ENCRYPTION, NAME, Said, read
from core.gateway.adapters.matrix_rooms import Room, Target, direct_rooms
from core.gateway.adapters.web import TooLargeError
from core.gateway.platform import PlatformError, PlatformErrorKind

_TARGETS_KEPT = 2000
_TEXT_KEPT = 4000
_ROOMS_KEPT = 2000
_MEMBERS_KEPT = 100_000
_MEMBERS_BYTES = 16 * 1024 * 1024


class Known:
    """What one account knows: the rooms and messages that were looked at last, so many and no more."""

    def __init__(self, calls: MatrixCalls) -> None:
        self._calls = calls
        self._rooms: OrderedDict[str, Room] = OrderedDict()
        self._targets: OrderedDict[tuple[str, str], Target] = OrderedDict()
        self._direct: dict[str, str] = {}

    def find_room(self, room_id: str) -> Room | None:
        """The room, when it was asked for already."""
        return self._rooms.get(room_id)

    async def room(self, room_id: str) -> Room:
        """The room. Raises PlatformError: REFUSED or GONE when we are not in it."""
        room = self._rooms.get(room_id)
        if room is None:
            room = Room(room_id, is_direct=room_id in self._direct)
            await self._load_members(room)
            for kind in (ENCRYPTION, NAME, ALIAS):
                if (content := await self._state(room_id, kind)) is not None:
                    room.apply({"type": kind, "state_key": "", "content": content})
            self._keep(room)
        else:
            self._rooms.move_to_end(room_id)
        return room

    def forget(self, room_id: str) -> None:
        """Ask anew when it is needed: we left it, or missed something of it."""
        self._rooms.pop(room_id, None)

    async def joined(self) -> list[str]:
        """Ids of all rooms that we are in. Raises PlatformError."""
        found = loose.items(await self._calls.get("joined_rooms"), "joined_rooms")
        return [loose.valid(room) for room in found if isinstance(room, str)]

    async def load_direct(self) -> None:
        """Ask which rooms are one-to-one. Raises PlatformError."""
        try:
            content = await self._calls.get("user", self._calls.user_id, "account_data", "m.direct")
        except PlatformError as error:
            if error.kind not in {PlatformErrorKind.GONE, PlatformErrorKind.REFUSED}:
                raise
            content = loose.mapping(None)
        self.set_direct(content)

    def set_direct(self, content: Json) -> None:
        """Take in what the account says of its one-to-one rooms."""
        self._direct = dict(direct_rooms(content))
        for room in self._rooms.values():
            room.is_direct = room.room_id in self._direct

    async def add_direct(self, room_id: str, user_id: str) -> None:
        """Keep at the server that a room is one-to-one, so that it stays so when others join. Raises PlatformError."""
        self._direct[room_id] = user_id
        content: dict[str, list[str]] = {}
        for room, user in self._direct.items():
            content.setdefault(user, []).append(room)
        await self._calls.put("user", self._calls.user_id, "account_data", "m.direct", body=content)

    def note(self, room_id: str, event_id: str, target: Target) -> None:
        """Keep what others may refer to."""
        # By room: whoever names a message in another one has said nothing about it.
        key = (room_id, event_id)
        self._targets[key] = Target(target.sender, target.text[:_TEXT_KEPT], target.thread)
        self._targets.move_to_end(key)
        if len(self._targets) > _TARGETS_KEPT:
            self._targets.popitem(last=False)

    async def target(self, room_id: str, event_id: str) -> Target | None:
        """What another message refers to; None when it cannot be had. Raises PlatformError for a while."""
        known = self._targets.get((room_id, event_id))
        if known is None:
            try:
                event = await self._calls.get("rooms", room_id, "event", event_id)
            except PlatformError as error:
                if error.kind not in {PlatformErrorKind.GONE, PlatformErrorKind.REFUSED}:
                    raise
                return None
            said = read(event)
            text, thread = (said.text, said.thread) if isinstance(said, Said) else ("", None)
            known = Target(loose.text(event, "sender"), text, thread)
            self.note(room_id, event_id, known)
        return known

    async def _load_members(self, room: Room) -> None:
        try:
            members = await self._calls.get("rooms", room.room_id, "joined_members", limit_bytes=_MEMBERS_BYTES)
        except TooLargeError:
            # Who is in it is not needed to talk there: names come with what people say.
            room.is_crowded = True
            return
        room.joined(loose.below(members, "joined"))

    def _keep(self, room: Room) -> None:
        self._rooms[room.room_id] = room
        count = sum(len(other.names) for other in self._rooms.values())
        while len(self._rooms) > _ROOMS_KEPT or (count > _MEMBERS_KEPT and len(self._rooms) > 1):
            _, oldest = self._rooms.popitem(last=False)
            count -= len(oldest.names)

    async def _state(self, room_id: str, kind: str) -> Json | None:
        try:
            return await self._calls.get("rooms", room_id, "state", kind, "")
        except PlatformError as error:
            if error.kind is not PlatformErrorKind.GONE:
                raise
            return None
