"""A person at a Matrix homeserver, with a small client that shares nothing with the adapter."""

import itertools
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

from tests.support.platform_rig import Told

C = "/_matrix/client/v3"


class Human:
    """One signed-in user. transport: in place of the network."""

    def __init__(
        self, url: str, user_id: str, token: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.user_id = user_id
        self._numbers = itertools.count(1)
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {token}"},
            transport=transport,
            trust_env=False,
            timeout=30.0,
        )

    async def aclose(self) -> None:
        """Go."""
        await self._http.aclose()

    async def call(self, method: str, path: str, **how: Any) -> Any:
        """What the homeserver answers; fails unless it agrees."""
        answer = await self._http.request(method, path, **how)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    async def create_room(self, *invited: str, is_direct: bool = True, **more: Any) -> str:
        """Make a room and ask others in."""
        body = {
            "invite": list(invited),
            "is_direct": is_direct,
            "preset": "trusted_private_chat" if is_direct else "private_chat",
            **more,
        }
        room_id: str = (await self.call("POST", f"{C}/createRoom", json=body))["room_id"]
        return room_id

    async def join(self, room_id: str) -> None:
        """Join a room."""
        await self.call("POST", f"{C}/join/{quote(room_id, safe='')}", json={})

    async def send(self, room_id: str, content: dict[str, Any], kind: str = "m.room.message") -> str:
        """Send an event; its id."""
        path = f"{C}/rooms/{quote(room_id, safe='')}/send/{kind}/h{next(self._numbers)}"
        event_id: str = (await self.call("PUT", path, json=content))["event_id"]
        return event_id

    async def say(
        self,
        room_id: str,
        text: str,
        *,
        reply_to: str = "",
        thread: str | None = None,
        mentions: Sequence[str] | None = None,
    ) -> str:
        """Say something, as a client of today does."""
        content: dict[str, Any] = {"msgtype": "m.text", "body": text}
        if mentions is not None:
            content["m.mentions"] = {"user_ids": list(mentions)}
        if thread is not None:
            content["m.relates_to"] = {
                "rel_type": "m.thread",
                "event_id": thread,
                "is_falling_back": not reply_to,
                "m.in_reply_to": {"event_id": reply_to or thread},
            }
        elif reply_to:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
        return await self.send(room_id, content)

    async def correct(self, room_id: str, event_id: str, text: str) -> str:
        """Change what was said."""
        return await self.send(
            room_id,
            {
                "msgtype": "m.text",
                "body": f"* {text}",
                "m.new_content": {"msgtype": "m.text", "body": text},
                "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
            },
        )

    async def react(self, room_id: str, event_id: str, sign: str) -> str:
        """Put a sign under a message."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": sign}
        return await self.send(room_id, {"m.relates_to": relation}, "m.reaction")

    async def send_file(self, room_id: str, name: str, body: bytes, *, caption: str = "", kind: str = "m.file") -> str:
        """Upload a file and send it."""
        answer = await self.call(
            "POST", "/_matrix/media/v3/upload", params={"filename": name}, content=body, headers={"content-type": "x/y"}
        )
        content = {
            "msgtype": kind,
            "body": caption or name,
            "filename": name,
            "url": answer["content_uri"],
            "info": {"size": len(body), "mimetype": "x/y"},
        }
        return await self.send(room_id, content)

    async def download(self, address: str) -> bytes:
        """A file."""
        path = address.removeprefix("mxc://")
        answer = await self._http.get(f"/_matrix/client/v1/media/download/{path}")
        assert answer.is_success
        return answer.content

    async def events(self, room_id: str) -> list[dict[str, Any]]:
        """Everything that is shown in a room, oldest first."""
        found: list[dict[str, Any]] = []
        begin = ""
        while True:
            params = {"dir": "b", "limit": "100", **({"from": begin} if begin else {})}
            page = await self.call("GET", f"{C}/rooms/{quote(room_id, safe='')}/messages", params=params)
            found += page["chunk"]
            begin = page.get("end", "")
            if not begin or not page["chunk"]:
                return found[::-1]

    async def bodies(self, room_id: str, sender: str) -> list[str]:
        """What a member has said, oldest first, edits left out."""
        return [
            event["content"]["body"]
            for event in await self.events(room_id)
            if event["sender"] == sender
            and event["type"] == "m.room.message"
            and "body" in event["content"]
            and event["content"].get("m.relates_to", {}).get("rel_type") != "m.replace"
        ]

    async def told(self, room_id: str, sender: str) -> list[Told]:
        """Messages of a member as they are shown now."""
        shown: dict[str, Told] = {}
        for event in await self.events(room_id):
            content = event["content"]
            relation = content.get("m.relates_to", {})
            target = relation.get("event_id", "")
            if event["sender"] != sender or not content:
                continue
            if event["type"] == "m.reaction" and target in shown:
                told = shown[target]
                shown[target] = _replaced(told, buttons=(*told.buttons, relation["key"]))
            elif event["type"] != "m.room.message":
                continue
            elif relation.get("rel_type") == "m.replace":
                shown[target] = _replaced(shown[target], text=content["m.new_content"]["body"])
            else:
                shown[event["event_id"]] = await self._told(event["event_id"], content, relation)
        return list(shown.values())

    async def _told(self, event_id: str, content: dict[str, Any], relation: dict[str, Any]) -> Told:
        files = ((content["filename"], await self.download(content["url"])),) if "url" in content else ()
        is_thread = relation.get("rel_type") == "m.thread"
        answers = relation.get("m.in_reply_to", {}).get("event_id", "")
        return Told(
            native_id=event_id,
            text=content["body"],
            thread=relation["event_id"] if is_thread else None,
            reply_to="" if relation.get("is_falling_back") else answers,
            files=files,
        )


def _replaced(told: Told, **changes: Any) -> Told:
    import msgspec

    return msgspec.structs.replace(told, **changes)
