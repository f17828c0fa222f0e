"""A homeserver as small as can be, strict, in this process: what `tests/platforms` proves at a real one is so here."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx

Json = dict[str, Any]
_EVENT_LIMIT_BYTES = 65_536
_MESSAGES = {"m.room.message", "m.reaction", "m.sticker", "m.room.encrypted"}


class MatrixFault(Exception):
    """What is answered instead of what was asked for."""

    def __init__(self, status: int, errcode: str, **more: Any) -> None:
        super().__init__(errcode)
        self.answer = httpx.Response(status, json={"errcode": errcode, "error": f"said by the fake: {errcode}", **more})


class FakeRoom:
    """A room. events: places in the server's log; state: by kind and key."""

    def __init__(self, room_id: str) -> None:
        self.room_id = room_id
        self.places: list[int] = []
        self.state: dict[tuple[str, str], Json] = {}

    def membership(self, user_id: str) -> str:
        """Of a user; "" for a stranger."""
        event = self.state.get(("m.room.member", user_id))
        return "" if event is None else event["content"]["membership"]


class FakeMatrix:
    """The server. faults: answered to the next events that are sent, one each. broken: what is answered, as status and
    errcode, to every call whose path holds a word. calls: method and path of each. busiest: most calls at once.
    """

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.passwords: dict[str, str] = {}
        self.rooms: dict[str, FakeRoom] = {}
        self.log: list[Json] = []
        self.account: dict[tuple[str, str], Json] = {}
        self.media: dict[str, bytes] = {}
        self.typing: dict[str, set[str]] = {}
        self.receipts: list[tuple[str, str]] = []
        self.faults: deque[MatrixFault] = deque()
        self.broken: dict[str, tuple[int, str]] = {}
        self.calls: list[tuple[str, str]] = []
        self.busiest = 0
        self._busy_count = 0
        self.sync_answers: deque[httpx.Response] = deque()
        self.page_size = 3
        self._transactions: dict[tuple[str, str], str] = {}
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()

    def register(self, user_id: str, password: str = "") -> str:
        """A user; their token."""
        token = f"token-{next(self._numbers)}"
        self.tokens[token] = user_id
        self.passwords[user_id] = password
        return token

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, as httpx.MockTransport wants it."""
        path = request.url.raw_path.decode().partition("?")[0]
        self.calls.append((request.method, path))
        parts = [unquote(part) for part in path.split("/")[1:]]
        self._busy_count += 1
        self.busiest = max(self.busiest, self._busy_count)
        try:
            await self._spoil(path)
            return await self._answer(request, parts, await request.aread())
        except MatrixFault as fault:
            return fault.answer
        finally:
            self._busy_count -= 1

    async def _spoil(self, path: str) -> None:
        await asyncio.sleep(0)
        for word, (status, errcode) in self.broken.items():
            if word in path:
                raise MatrixFault(status, errcode)

    async def _answer(  # noqa: PLR0911 - one for each endpoint
        self, request: httpx.Request, parts: list[str], body: bytes
    ) -> httpx.Response:
        assert parts[0] == "_matrix", parts
        if parts[1:] == ["client", "v3", "login"]:
            return self._login(json.loads(body))
        user = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if user is None:
            raise MatrixFault(401, "M_UNKNOWN_TOKEN", soft_logout=False)
        if parts[1] == "media" or parts[3] == "media":
            return self._media(request, parts, body)
        given = json.loads(body) if body else {}
        match parts[3:]:
            case ["account", "whoami"]:
                return httpx.Response(200, json={"user_id": user})
            case ["sync"]:
                return await self._sync(user, request.url.params)
            case ["logout", *_]:
                self.tokens = {token: owner for token, owner in self.tokens.items() if owner != user}
                return httpx.Response(200, json={})
            case ["joined_rooms"]:
                joined = [room.room_id for room in self.rooms.values() if room.membership(user) == "join"]
                return httpx.Response(200, json={"joined_rooms": joined})
            case ["createRoom"]:
                return self._create(user, given)
            case ["join", room_id]:
                return self._join(user, room_id)
            case ["user", owner, "account_data", kind]:
                return self._account_data(request.method, owner, kind, given)
            case ["rooms", room_id, *rest]:
                room = self.rooms.get(room_id)
                if room is None or room.membership(user) != "join":
                    raise MatrixFault(403, "M_FORBIDDEN")
                return self._in_room(request, user, room, rest, given, len(body))
        raise MatrixFault(404, "M_UNRECOGNIZED")

    def _login(self, given: Json) -> httpx.Response:
        user = given["identifier"]["user"]
        if not given["password"] or self.passwords.get(user) != given["password"]:
            raise MatrixFault(403, "M_FORBIDDEN")
        return httpx.Response(200, json={"access_token": self.register(user, given["password"]), "user_id": user})

    def _media(self, request: httpx.Request, parts: list[str], body: bytes) -> httpx.Response:
        if parts[-1] == "upload":
            media_id = f"m{next(self._numbers)}"
            self.media[media_id] = body
            return httpx.Response(200, json={"content_uri": f"mxc://test.local/{media_id}"})
        if parts[-1] == "config":
            return httpx.Response(200, json={"m.upload.size": 1_000_000})
        if parts[1] != "client" or parts[-3] != "download" or parts[-1] not in self.media:
            raise MatrixFault(404, "M_NOT_FOUND")
        return httpx.Response(200, content=self.media[parts[-1]])

    def _create(self, user: str, given: Json) -> httpx.Response:
        # As rooms of version 12: no server in the id.
        room = FakeRoom(f"!room{next(self._numbers)}")
        self.rooms[room.room_id] = room
        self.append(room, user, "m.room.member", {"membership": "join", "displayname": _name(user)}, state_key=user)
        for event in given.get("initial_state", ()):
            self.append(room, user, event["type"], event["content"], state_key=event.get("state_key", ""))
        if "name" in given:
            self.append(room, user, "m.room.name", {"name": given["name"]}, state_key="")
        for invited in given.get("invite", ()):
            content = {"membership": "invite", "is_direct": bool(given.get("is_direct"))}
            self.append(room, user, "m.room.member", content, state_key=invited)
        return httpx.Response(200, json={"room_id": room.room_id})

    def _join(self, user: str, room_id: str) -> httpx.Response:
        room = self.rooms.get(room_id)
        if room is None or room.membership(user) not in {"invite", "join"}:
            raise MatrixFault(403, "M_FORBIDDEN")
        if room.membership(user) == "invite":
            self.append(room, user, "m.room.member", {"membership": "join", "displayname": _name(user)}, state_key=user)
        return httpx.Response(200, json={"room_id": room_id})

    def _account_data(self, method: str, owner: str, kind: str, given: Json) -> httpx.Response:
        if method == "PUT":
            self.account[owner, kind] = given
            return httpx.Response(200, json={})
        if (owner, kind) not in self.account:
            raise MatrixFault(404, "M_NOT_FOUND")
        return httpx.Response(200, json=self.account[owner, kind])

    def _in_room(  # noqa: PLR0911 - one for each endpoint
        self, request: httpx.Request, user: str, room: FakeRoom, rest: list[str], given: Json, size_bytes: int
    ) -> httpx.Response:
        match rest:
            case ["joined_members"]:
                joined = {
                    key: {"display_name": event["content"].get("displayname")}
                    for (kind, key), event in room.state.items()
                    if kind == "m.room.member" and event["content"]["membership"] == "join"
                }
                return httpx.Response(200, json={"joined": joined})
            case ["state", kind, *keys] if request.method == "PUT":
                event = self.append(room, user, kind, given, state_key="".join(keys))
                return httpx.Response(200, json={"event_id": event["event_id"]})
            case ["state", kind, *keys]:
                event = room.state.get((kind, "".join(keys)))
                if event is None:
                    raise MatrixFault(404, "M_NOT_FOUND")
                return httpx.Response(200, json=event["content"])
            case ["send", kind, transaction_id]:
                return self._send(user, room, kind, transaction_id, given, size_bytes)
            case ["redact", event_id, transaction_id]:
                return self._redact(user, room, event_id, transaction_id)
            case ["event", event_id]:
                return httpx.Response(200, json=self.event(room, event_id))
            case ["messages"]:
                return self._messages(room, request.url.params)
            case ["relations", event_id, rel_type, kind]:
                found = [
                    event
                    for event in map(self.log.__getitem__, room.places)
                    if event["type"] == kind
                    and event["content"].get("m.relates_to", {}).get("event_id") == event_id
                    and event["content"]["m.relates_to"]["rel_type"] == rel_type
                ]
                return httpx.Response(200, json={"chunk": found[::-1]})
            case ["typing", _]:
                (
                    self.typing.setdefault(room.room_id, set()).add
                    if given["typing"]
                    else self.typing[room.room_id].discard
                )(user)
                return httpx.Response(200, json={})
            case ["receipt", "m.read", event_id]:
                self.receipts.append((user, event_id))
                return httpx.Response(200, json={})
        raise MatrixFault(404, "M_UNRECOGNIZED")

    def _send(
        self, user: str, room: FakeRoom, kind: str, transaction_id: str, content: Json, size_bytes: int
    ) -> httpx.Response:
        known = self._transactions.get((user, transaction_id))
        if known is not None:
            return httpx.Response(200, json={"event_id": known})
        if self.faults:
            raise self.faults.popleft()
        if size_bytes > _EVENT_LIMIT_BYTES - 600:
            raise MatrixFault(413, "M_TOO_LARGE")
        if kind == "m.reaction" and any(
            event["type"] == kind and event["sender"] == user and event["content"] == content
            for event in map(self.log.__getitem__, room.places)
        ):
            raise MatrixFault(400, "M_DUPLICATE_ANNOTATION")
        event = self.append(room, user, kind, content)
        self._transactions[user, transaction_id] = event["event_id"]
        return httpx.Response(200, json={"event_id": event["event_id"]})

    def _redact(self, user: str, room: FakeRoom, event_id: str, transaction_id: str) -> httpx.Response:
        known = self._transactions.get((user, transaction_id))
        if known is None:
            self.event(room, event_id)["content"] = {}
            known = self.append(room, user, "m.room.redaction", {"redacts": event_id})["event_id"]
            self._transactions[user, transaction_id] = known
        return httpx.Response(200, json={"event_id": known})

    def _messages(self, room: FakeRoom, params: httpx.QueryParams) -> httpx.Response:
        assert params["dir"] == "b"
        begin = int(params["from"][1:]) if "from" in params else len(self.log)
        end = int(params["to"][1:]) if "to" in params else 0
        found = [place for place in reversed(room.places) if end <= place < begin]
        page = found[: min(self.page_size, int(params["limit"]))]
        more = {"end": f"t{page[-1]}"} if len(page) < len(found) else {}
        return httpx.Response(200, json={"chunk": [self.log[place] for place in page], **more})

    async def _sync(self, user: str, params: httpx.QueryParams) -> httpx.Response:
        if self.sync_answers:
            return self.sync_answers.popleft()
        limit = json.loads(params.get("filter", "{}")).get("room", {}).get("timeline", {}).get("limit", 10)
        since = params.get("since", "")
        if since and (not since.startswith("s") or int(since[1:]) > len(self.log)):
            raise MatrixFault(400, "M_UNKNOWN")
        begin = int(since[1:]) if since else 0
        try:
            async with asyncio.timeout(int(params.get("timeout", "0")) / 1000 or None if since else None):
                while True:
                    rooms = self._rooms(user, begin, limit, is_first=not since)
                    if any(rooms.values()) or not since or params.get("timeout", "0") == "0":
                        break
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            rooms = {}
        return httpx.Response(200, json={"next_batch": f"s{len(self.log)}", "rooms": rooms})

    def _rooms(self, user: str, begin: int, limit: int, *, is_first: bool) -> dict[str, Json]:
        found: dict[str, Json] = {"join": {}, "invite": {}, "leave": {}}
        for room in self.rooms.values():
            fresh = [place for place in room.places if place >= begin]
            own = room.state.get(("m.room.member", user))
            if not fresh or own is None:
                continue
            membership = own["content"]["membership"]
            if membership == "join":
                is_new = any(
                    self.log[place] is own and own["unsigned"].get("prev_content", {}).get("membership") != "join"
                    for place in fresh
                )
                places = room.places if is_new or is_first else fresh
                shown = places[-limit:]
                events = [self.log[place] for place in shown]
                state = [event for event in room.state.values() if (is_new or is_first) and event not in events]
                found["join"][room.room_id] = {
                    "timeline": {"events": events, "limited": len(shown) < len(places), "prev_batch": f"t{shown[0]}"},
                    "state": {"events": state},
                    "ephemeral": {
                        "events": [
                            {"type": "m.typing", "content": {"user_ids": sorted(self.typing.get(room.room_id, ()))}}
                        ]
                    },
                }
            elif membership == "invite" and self.log.index(own) >= begin:
                stripped = [event for (kind, _), event in room.state.items() if kind != "m.room.member"]
                found["invite"][room.room_id] = {"invite_state": {"events": [*stripped, own]}}
            elif membership in {"leave", "ban"} and self.log.index(own) >= begin:
                found["leave"][room.room_id] = {"timeline": {"events": []}}
        return found

    def append(self, room: FakeRoom, sender: str, kind: str, content: Any, **more: Any) -> Json:
        """Put an event into a room, whatever it holds."""
        event = {
            "event_id": f"$event{next(self._numbers)}",
            "sender": sender,
            "type": kind,
            "content": content,
            "unsigned": {},
            **more,
        }
        if "state_key" in more:
            before = room.state.get((kind, more["state_key"]))
            if before is not None:
                event["unsigned"] = {"prev_content": before["content"]}
            room.state[kind, more["state_key"]] = event
        room.places.append(len(self.log))
        self.log.append(event)
        self._changed.set()
        return event

    def event(self, room: FakeRoom, event_id: str) -> Json:
        """The event of a room with that id. Raises MatrixFault."""
        for place in room.places:
            if self.log[place]["event_id"] == event_id:
                return self.log[place]
        raise MatrixFault(404, "M_NOT_FOUND")


class FakeLine(httpx.AsyncBaseTransport):
    """What stands between a client and the server: it can be cut, or fall silent."""

    def __init__(self, handle: Callable[[httpx.Request], Any]) -> None:
        self._handle = handle
        self._is_cut = False
        self._is_deaf = False
        self._changed = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or do as the line does."""
        if self._is_cut:
            raise httpx.ConnectError("cut")
        if self._is_deaf:
            await asyncio.Event().wait()
        answer = asyncio.ensure_future(self._handle(request))
        broken = asyncio.ensure_future(self._broken())
        try:
            await asyncio.wait([answer, broken], return_when=asyncio.FIRST_COMPLETED)
            if broken.done():
                raise httpx.ReadError("cut")
            response: httpx.Response = await answer
            return response
        finally:
            for task in (answer, broken):
                task.cancel()
            await asyncio.gather(answer, broken, return_exceptions=True)

    def set(self, *, is_cut: bool = False, is_deaf: bool = False) -> None:
        """Be so from now on."""
        self._is_cut, self._is_deaf = is_cut, is_deaf
        self._changed.set()
        self._changed = asyncio.Event()

    async def _broken(self) -> None:
        while True:
            await self._changed.wait()
            if self._is_cut:
                return
            if self._is_deaf:
                await asyncio.Event().wait()


def _name(user: str) -> str:
    return user[1:].partition(":")[0].capitalize()
