"""Where a message is to go, in words: origin, home, a platform, one of its chats, everywhere (pure).

    origin                  the chat that the message comes from
    home                    the home chat of the platform that it comes from, or of the only one that has one
    PLATFORM                the home chat of that connection
    PLATFORM:CHAT           a chat, by its id or by a name of the directory
    PLATFORM:CHAT:THREAD    a thread of it
    all                     every home chat
    A, B                    several of them, each chat once

A part that holds ``:`` or ``,`` itself stands in double quotes (a quote inside is doubled) or is percent-encoded.
What could be meant in two ways is refused, and so is a connection that does not exist: nothing goes astray in silence.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from urllib.parse import quote, unquote

import msgspec

from core.api.base import PlatformName
from core.api.errors import InvalidInput
from core.api.sessions import Source

PART_LIMIT = 512
MOST_TARGETS = 100
_MOST_PARTS = 3
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLAIN_BEGIN = re.compile(r"[\w\-+.*]")


class Origin(msgspec.Struct, frozen=True):
    """The chat that it comes from."""


class Home(msgspec.Struct, frozen=True):
    """The home chat of a connection; None for that of the origin."""

    platform: PlatformName | None = None


class Everywhere(msgspec.Struct, frozen=True):
    """Every home chat."""


class Explicit(msgspec.Struct, frozen=True):
    """A chat. chat: its id or a name; thread: None for the chat itself."""

    platform: PlatformName
    chat: str
    thread: str | None = None


Target = Origin | Home | Everywhere | Explicit

_WORDS: dict[str, Target] = {"origin": Origin(), "home": Home(), "all": Everywhere()}


class Place(msgspec.Struct, frozen=True):
    """A chat that is meant. is_exact: chat is an id for sure, and no name that the directory has to find."""

    platform: PlatformName
    chat: str
    thread: str | None = None
    is_exact: bool = False


class Account(msgspec.Struct, frozen=True):
    """What is known of a connection. home_chat, home_thread: "" for none."""

    has_threads: bool = False
    home_chat: str = ""
    home_thread: str = ""


Accounts = Mapping[PlatformName, Account]


def parsed(text: str, accounts: Accounts) -> tuple[Target, ...]:
    """The targets that a text names, in its order, each once. Raises InvalidInput, and says what to write instead."""
    pieces = _pieces(text)
    if not any(piece for piece, _ in pieces):
        raise _wrong(text, "no target is named", "name one, such as origin, home, telegram or telegram:-100200")
    if len(pieces) > MOST_TARGETS:
        raise _wrong(text, f"{len(pieces)} targets are named; at most {MOST_TARGETS}", "name fewer")
    found: dict[Target, None] = {}
    for parts, whole in pieces:
        found[_target(parts, whole, accounts)] = None
    return tuple(found)


def formatted(target: Target) -> str:
    """The text of a target, which parsed() understands."""
    match target:
        case Origin():
            return "origin"
        case Everywhere():
            return "all"
        case Home(platform=None):
            return "home"
        case Home(platform=platform):
            return str(platform)
        case Explicit(platform=platform, chat=chat, thread=thread):
            if thread is None:
                return f"{platform}:{_encoded(chat)}"
            # Quoted, a thread can follow whatever the chat looks like.
            return f"{platform}:{_quoted(chat)}:{_encoded(thread)}"


def resolved(targets: Sequence[Target], origin: Source | None, accounts: Accounts) -> tuple[Place, ...]:
    """The chats that the targets mean, each once, in their order. Raises InvalidInput for one that means none."""
    found: dict[tuple[PlatformName, str, str | None], Place] = {}
    for target in targets:
        for place in _places(target, origin, accounts):
            key = (place.platform, place.chat, place.thread)
            if key not in found or place.is_exact:
                found[key] = place
    return tuple(found.values())


def near(name: str, names: Sequence[str]) -> str:
    """What may have been meant, as the end of a sentence; "" when nothing is near."""
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _places(target: Target, origin: Source | None, accounts: Accounts) -> list[Place]:
    match target:
        case Origin():
            if origin is None:
                raise _wrong("origin", "this message comes from no chat", "name a platform or a chat")
            return [Place(origin.platform, origin.chat, origin.thread, is_exact=True)]
        case Everywhere():
            homes = [_home(name, accounts) for name, account in accounts.items() if account.home_chat]
            if not homes:
                raise _wrong("all", "no connection has a home chat", "set home_chat of a platform in the configuration")
            return homes
        case Home(platform=platform):
            return [_home(platform or _own_home(origin, accounts), accounts)]
        case Explicit(platform=platform, chat=chat, thread=thread):
            return [Place(platform, chat, thread)]


def _own_home(origin: Source | None, accounts: Accounts) -> PlatformName:
    if origin is not None:
        return origin.platform
    homes = [name for name, account in accounts.items() if account.home_chat]
    if len(homes) == 1:
        return homes[0]
    why = f"{len(homes)} connections have a home chat" if homes else "no connection has a home chat"
    fix = f"name one: {', '.join(homes)}" if homes else "set home_chat of a platform in the configuration"
    raise _wrong("home", why, fix)


def _home(platform: PlatformName, accounts: Accounts) -> Place:
    account = accounts.get(platform, Account())
    if not account.home_chat:
        raise _wrong(
            str(platform),
            f"{platform} has no home chat",
            f"set platforms.{platform}.home_chat, or name a chat as {platform}:CHAT",
        )
    return Place(platform, account.home_chat, account.home_thread or None, is_exact=True)


def _target(parts: list[tuple[str, bool]], whole: str, accounts: Accounts) -> Target:
    if not parts:
        raise _wrong(whole, "a target between commas is empty", "leave the comma out")
    word, is_quoted = parts[0]
    name = word.strip().casefold()
    if len(parts) == 1 and not is_quoted and name in _WORDS:
        return _WORDS[name]
    platform = PlatformName(name)
    if platform not in accounts:
        names = [*accounts, *_WORDS]
        known = ", ".join(sorted(accounts)) or "none is configured"
        raise _wrong(whole, f"no connection is called {word.strip()!r}{near(name, names)}", f"use one of: {known}")
    if len(parts) == 1:
        return Home(platform)
    if len(parts) > _MOST_PARTS or (len(parts) == _MOST_PARTS and _is_ambiguous(parts[1], accounts[platform])):
        rest = ":".join(text for text, _ in parts[1:])
        raise _wrong(
            whole,
            "it can be read in two ways: a thread of a chat, or a chat id that holds ':'",
            f'write {platform}:"{rest}" for the chat, or {platform}:"CHAT":"THREAD" for the thread',
        )
    chat, *threads = [_text(part, whole) for part in parts[1:]]
    return Explicit(platform, chat, threads[0] if threads else None)


def _is_ambiguous(chat: tuple[str, bool], account: Account) -> bool:
    """Whether a third part may as well belong to the chat id."""
    text, is_quoted = chat
    return not is_quoted and (not account.has_threads or _PLAIN_BEGIN.match(text) is None)


def _text(part: tuple[str, bool], whole: str) -> str:
    text, is_quoted = part
    if not is_quoted:
        text = text.strip()
        if _BAD_PERCENT.search(text):
            raise _wrong(whole, "a % begins no code", 'write %25 for it, or put the part in "quotes"')
        try:
            text = unquote(text, errors="strict")
        except UnicodeDecodeError:
            raise _wrong(whole, "its percent codes are no text", "encode it as UTF-8") from None
    if not 1 <= len(text) <= PART_LIMIT:
        raise _wrong(whole, f"a part has {len(text)} characters; it can have 1 to {PART_LIMIT}", "name a chat")
    return text


def _pieces(text: str) -> list[tuple[list[tuple[str, bool]], str]]:
    """The targets between commas, each as its parts between colons; of a part whether it was quoted."""
    pieces: list[tuple[list[tuple[str, bool]], str]] = []
    parts: list[tuple[str, bool]] = []
    begin = place = 0
    while place <= len(text):
        part, is_quoted, place = _part(text, place)
        end = place >= len(text) or text[place] == ","
        if not (end and not parts and not is_quoted and not part.strip()):
            parts.append((part, is_quoted))
        if end:
            pieces.append((parts, text[begin:place].strip()))
            parts, begin = [], place + 1
        place += 1
    return pieces


def _part(text: str, place: int) -> tuple[str, bool, int]:
    """A part, whether it was quoted, and where what ends it stands."""
    begin = place
    while begin < len(text) and text[begin].isspace():
        begin += 1
    if begin >= len(text) or text[begin] != '"':
        ends = [found for found in (text.find(":", place), text.find(",", place)) if found >= 0]
        end = min(ends, default=len(text))
        if '"' in text[place:end]:
            raise _wrong(text, "a quote stands inside a part", 'put the whole part in quotes, a quote in it as ""')
        return text[place:end], False, end
    place = begin + 1
    found: list[str] = []
    while True:
        end = text.find('"', place)
        if end < 0:
            raise _wrong(text, "a quote is not closed", 'close it with "')
        found.append(text[place:end])
        if text[end + 1 : end + 2] != '"':
            break
        found.append('"')
        place = end + 2
    end += 1
    while end < len(text) and text[end].isspace():
        end += 1
    if end < len(text) and text[end] not in ":,":
        raise _wrong(text, "something follows a closed quote", "put ':' or ',' behind it")
    return "".join(found), True, end


def _encoded(part: str) -> str:
    return part if quote(part, safe="-+.*") == part else _quoted(part)


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'


def _wrong(text: str, why: str, fix: str) -> InvalidInput:
    return InvalidInput(f"target {text[:80]!r}: {why}", field="target", value=text[:80], fix=fix)
