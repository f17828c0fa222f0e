"""Telegram counts text in UTF-16 units and marks it by offsets: reading such marks, whatever they hold (pure)."""

import msgspec

from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json

_ENTITY_LIMIT = 200
_URL_LIMIT = 2_048
_DIGIT_LIMIT = 19


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A marked piece of a text. at, end: in UTF-16 units. user_id: of a mention without a username, else None."""

    kind: str
    at: int
    end: int
    url: str = ""
    user_id: int | None = None


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """How a text begins. at: where it goes on after mentions of us, in UTF-16 units.

    command: the mark of a command that stands there, None where it is none. command_for: the username that follows
    the command's @ in small letters, "" where none does.
    """

    at: int = 0
    command: Entity | None = None
    command_for: str = ""


class Marked:
    """A text and its marks. Marks that lie outside the text, or are none, are left out."""

    def __init__(self, text: str, entities: list[Entity]) -> None:
        self._units = text.encode("utf-16-le", errors="replace")
        length = len(self._units) // 2
        self.entities = sorted((item for item in entities if item.end <= length), key=lambda item: item.at)

    @classmethod
    def of(cls, message: Json) -> "Marked":
        """The text of a message, or the caption of its file."""
        key = "text" if isinstance(message.get("text"), str) else "caption"
        marks = "entities" if key == "text" else "caption_entities"
        found = (_entity(item) for item in list(loose.objects(message, marks))[:_ENTITY_LIMIT])
        return cls(loose.text(message, key), [entity for entity in found if entity is not None])

    def part(self, at: int, end: int | None = None) -> str:
        """The text between two offsets. Half a character reads as a replacement mark."""
        stop = None if end is None else 2 * end
        return self._units[2 * at : stop].decode("utf-16-le", errors="replace")

    def mentions(self, username: str, user_id: int) -> bool:
        """Whether it names somebody. username: in small letters, without the @."""
        return any(self._is_mention(entity, username, user_id) for entity in self.entities)

    def opening(self, username: str, user_id: int) -> Opening:
        """How it begins for us."""
        at = 0
        for entity in self.entities:
            if self.part(at, entity.at).strip():
                break
            if self._is_mention(entity, username, user_id):
                at = entity.end
            elif entity.kind == "bot_command":
                _, _, target = self.part(entity.at, entity.end).partition("@")
                return Opening(at=at, command=entity, command_for=target.lower())
            else:
                break
        return Opening(at=at if self.part(at).strip() else 0)

    def readable(self, opening: Opening, username: str) -> str:
        """The text as it is handed in: without what only addressed us, and with the addresses behind its links."""
        parts: list[str] = []
        at = opening.at
        for entity in self.entities:
            if entity.at < at:
                continue
            words = self.part(entity.at, entity.end)
            if entity is opening.command and opening.command_for == username:
                instead = words.partition("@")[0]
            elif entity.url:
                instead = f"[{words}]({entity.url})"
            else:
                continue
            parts += (self.part(at, entity.at), instead)
            at = entity.end
        parts.append(self.part(at))
        text = "".join(parts)
        return text.lstrip() if opening.at or opening.command else text

    def _is_mention(self, entity: Entity, username: str, user_id: int) -> bool:
        if entity.kind == "mention":
            return bool(username) and self.part(entity.at, entity.end).lower() == f"@{username}"
        return entity.kind == "text_mention" and entity.user_id == user_id


def units(text: str) -> int:
    """How many UTF-16 units a text has."""
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def is_number(text: str) -> bool:
    """Whether a text is a number as Telegram counts: plain digits, and not so many that reading them takes long."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGIT_LIMIT


def whole(value: object, key: str) -> int | None:
    """The whole number under a key; None for anything else."""
    found = loose.mapping(value).get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _entity(value: Json) -> Entity | None:
    at, length = whole(value, "offset"), whole(value, "length")
    if at is None or length is None or at < 0 or length <= 0:
        return None
    return Entity(
        kind=loose.text(value, "type"),
        at=at,
        end=at + length,
        url=loose.text(value, "url", _URL_LIMIT) if value.get("type") == "text_link" else "",
        user_id=whole(value.get("user"), "id"),
    )
