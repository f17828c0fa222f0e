"""What the Bot API's refusals mean (pure). It tells many of them apart by their words alone."""

from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.telegram_text import whole
from core.gateway.platform import PlatformError, PlatformErrorKind

CONFLICT_WAIT_S = 30.0
"""Somebody else reads the updates of this bot: both would take them from each other."""

_CONFLICT = 409
_FLOOD = 429
_RETRY_LIMIT_S = 86_400.0
_KINDS = {
    400: PlatformErrorKind.REFUSED,
    401: PlatformErrorKind.UNAUTHORISED,
    403: PlatformErrorKind.REFUSED,
    # The path of a call is the token and a method that exists, so this is about the token or the address.
    404: PlatformErrorKind.UNAUTHORISED,
    409: PlatformErrorKind.RETRY_AFTER,
    413: PlatformErrorKind.REFUSED,
    429: PlatformErrorKind.RETRY_AFTER,
}
_GONE = (
    "chat not found",
    "chat_id is empty",
    "group chat was deactivated",
    "group is deactivated",
    "message thread not found",
    "peer_id_invalid",
    "topic_closed",
    "topic_deleted",
    "topic_id_invalid",
    "user is deactivated",
    "user not found",
    "bot was kicked",
    "bot is not a member",
)
_UNREADABLE = ("can't parse entities", "message text is empty", "text must be non-empty", "can't parse message caption")
_UNCHANGED = ("message is not modified",)
_NO_TEXT = ("there is no text in the message to edit",)
_NO_MEDIA = ("photo_invalid_dimensions", "image_process_failed", "photo_save_file_invalid", "voice_messages_forbidden")


class BotError(PlatformError):
    """A refusal of the Bot API. moved_to: the chat that took the place of the one that was named, "" for none."""

    def __init__(
        self,
        kind: PlatformErrorKind,
        message: str,
        *,
        description: str = "",
        status: int = 0,
        retry_after_s: float | None = None,
        moved_to: str = "",
    ) -> None:
        super().__init__(kind, message, retry_after_s=retry_after_s, is_conflict=status == _CONFLICT)
        self.description = description.lower()
        self.status = status
        self.moved_to = moved_to

    @property
    def is_flood(self) -> bool:
        """Whether we have called too often."""
        return self.status == _FLOOD

    @property
    def is_unreadable(self) -> bool:
        """Whether our HTML is to blame."""
        return self._says(_UNREADABLE)

    @property
    def is_unchanged(self) -> bool:
        """Whether the message was already as it was to become."""
        return self._says(_UNCHANGED)

    @property
    def has_no_text(self) -> bool:
        """Whether the message to edit is a file, whose text is a caption."""
        return self._says(_NO_TEXT)

    @property
    def is_no_media(self) -> bool:
        """Whether Telegram cannot take the file as what it was sent for."""
        return self._says(_NO_MEDIA)

    @property
    def has_left_doubt(self) -> bool:
        """Whether it may have been done all the same."""
        return self.status >= 500  # noqa: PLR2004 - the statuses of a server in trouble

    def _says(self, words: tuple[str, ...]) -> bool:
        return any(word in self.description for word in words)


def refusal(status: int, answer: Json, *, host: str, words: str) -> BotError:
    """What a refusal means. words: the description, fit to be shown."""
    code = whole(answer, "error_code") or status
    description = loose.text(answer, "description")
    parameters = loose.below(answer, "parameters")
    kind = _KINDS.get(code)
    if kind is None:
        # Neither a refusal nor a success is something between us and the Bot API.
        is_refusal = 400 <= code < 500  # noqa: PLR2004 - the statuses that say so
        kind = PlatformErrorKind.REFUSED if is_refusal else PlatformErrorKind.RETRY_AFTER
    if kind is PlatformErrorKind.REFUSED and any(word in description.lower() for word in _GONE):
        kind = PlatformErrorKind.GONE
    moved_to = whole(parameters, "migrate_to_chat_id")
    return BotError(
        kind,
        _message(code, host, words),
        description=description,
        status=code,
        retry_after_s=_wait_s(code, loose.number(parameters, "retry_after")),
        moved_to="" if moved_to is None else str(moved_to),
    )


def _message(code: int, host: str, words: str) -> str:
    if code == _CONFLICT:
        return f"another program reads the updates of this bot ({words}): stop it, or give this one a token of its own"
    if code == 404:  # noqa: PLR2004 - named above
        return f"{host} knows no such bot: check token and base_url"
    return f"{host} answered {code}{': ' if words else ''}{words}"


def _wait_s(code: int, asked_s: float | None) -> float | None:
    if code == _CONFLICT:
        return CONFLICT_WAIT_S
    if code != _FLOOD or asked_s is None:
        return None
    return min(max(0.0, asked_s), _RETRY_LIMIT_S)


class Floods:
    """Tells a chat that is written to too often from an account that is: Telegram does not say which one it means.

    When two chats are to wait at the same time, it is the account. Keeps the newest few.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def is_for_chat(self, chat: str, wait_s: float, now: float) -> bool:
        """Note that a chat is to wait; whether that concerns this chat alone."""
        others = {other: until for other, until in self._until.items() if other != chat and until > now}
        self._until = {**others, chat: now + wait_s}
        return not others
