"""Words of a shell about bots: a name with its address, which chat is meant, since when."""

import argparse
import re
from datetime import datetime

import msgspec

from console.session_filter import span_s
from console.shell.call import Call
from core.api.base import SessionId
from core.api.bindings import Bot, ListBindings, RelayProtocol
from core.api.errors import ConflictError, InvalidInput, NotFound
from core.api.relay_tasks import GetRelayTask, RelayTaskId

_NAMED = re.compile(r"([^=:]+)[=:](.+)", re.DOTALL)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def add_chat(parser: argparse.ArgumentParser, *, is_needed: bool = False) -> None:
    """Whose binding is meant. is_needed: a chat has to be named."""
    rest = "" if is_needed else " (default: any)"
    parser.add_argument("--platform", default="", required=is_needed, help=f"platform of the chat; * is any{rest}")
    parser.add_argument(
        "--chat-id", "--chat", dest="chat", default="", required=is_needed, help=f"the chat; * is any of it{rest}"
    )


def add_bot(parser: argparse.ArgumentParser) -> None:
    """How a bot is called. What is not given stays as it is bound, or is the usual."""
    names = [protocol.value for protocol in RelayProtocol]
    parser.add_argument("--protocol", choices=names, help="how it is spoken to (default hotplex)")
    parser.add_argument("--peer", help="entry of relay.peers whose credentials it is called with")
    parser.add_argument(
        "--network",
        dest="networks",
        metavar="CIDR",
        action="append",
        help="private addresses that it may be at, such as 10.0.0.0/8; may be repeated",
    )
    parser.add_argument("--priority", type=int, help="of several of one name the lowest is meant (default 100)")
    parser.add_argument("--enabled", action=argparse.BooleanOptionalAction, help="whether anything is sent to it")


def named(words: str) -> tuple[str, str]:
    """Name and address of `NAME=URL` or `NAME:URL`. Raises InvalidInput."""
    found = None if _ADDRESS.match(words) else _NAMED.fullmatch(words)
    if found is None:
        raise InvalidInput(
            f"{words} is no bot with its address",
            field="bot",
            value=words,
            fix="write NAME=URL, such as security-bot=https://bots.example",
        )
    return found[1], found[2]


def bot_of(args: argparse.Namespace, name: str, url: str, before: Bot | None = None) -> Bot:
    """A bot with the flags that were given; what was not given is as before."""
    given = {field: getattr(args, field) for field in ("peer", "priority", "enabled")}
    changes = {field: value for field, value in given.items() if value is not None}
    if args.protocol is not None:
        changes["protocol"] = RelayProtocol(args.protocol)
    if args.networks is not None:
        changes["networks"] = tuple(item for item in args.networks if item)
    return msgspec.structs.replace(before or Bot(name=name, url=url), url=url, **changes)


async def place_of(call: Call) -> tuple[str, str]:
    """Platform and chat of the flags; a chat alone stands for the only platform that it is bound on.

    Raises InvalidInput without a chat, NotFound when it is bound on none, ConflictError when it is on several.
    """
    platform, chat = call.args.platform, call.args.chat
    if not chat:
        raise InvalidInput("say which chat", field="chat-id", value="", fix="add --chat-id, and --platform")
    if platform:
        return platform, chat
    found = await call.query(ListBindings())
    names = [view.platform for view in found.bindings if view.chat == chat]
    if len(names) > 1:
        raise ConflictError(f"{chat} is bound on {', '.join(names)}; add --platform", key=chat, found=len(names))
    if not names:
        raise NotFound(f"{chat} is bound to no bot", noun="binding", id=chat, fix="add --platform if it was before")
    return names[0], chat


async def task_of(call: Call, words: str) -> RelayTaskId:
    """The id of a message from all of it or its beginning. Raises NotFound, ConflictError."""
    return (await call.query(GetRelayTask(id=words))).task.id


async def instant_of(call: Call, words: str, field: str) -> float:
    """UTC seconds of `2h`, which is so long ago, or of a date and time; 0 for "". Raises InvalidInput."""
    if not words:
        return 0.0
    ago_s = span_s(words.lower())
    if ago_s is not None:
        return (await call.now()).at - ago_s
    try:
        return datetime.fromisoformat(words).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"--{field} {words} is no time", field=field, value=words, fix="write 30m, 2h, 1d or 2026-11-21T14:00"
        ) from None


def session_of(words: str) -> SessionId | None:
    """The session that is named, None for ""."""
    return SessionId(words) if words else None


def text_of(call: Call) -> str:
    """The text, which - reads from stdin."""
    text: str = call.args.text
    return call.streams.stdin.read().removesuffix("\n") if text == "-" else text
