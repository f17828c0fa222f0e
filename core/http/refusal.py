"""A request that is answered with an error: status, stable code and one line for people (pure)."""

import math

import msgspec

from core.api import errors

_TEXT_LIMIT = 500
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
_SERVER_ERROR = 500

# The more special error stands before its base.
_STATUS: tuple[tuple[type[errors.HermesError], int], ...] = (
    (errors.InvalidInput, 400),
    (errors.Unauthorised, 401),
    (errors.Overloaded, 429),
    (errors.Refused, 403),
    (errors.NotFound, 404),
    (errors.ConflictError, 409),
    (errors.Unavailable, 503),
)


class HttpRefusal(Exception):
    """Raised by an app in place of an answer. headers: added to those of every error."""

    def __init__(self, status: int, code: str, message: str, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = one_line(message)
        self.headers = headers

    def body(self) -> bytes:
        """The error as one line of JSON."""
        return msgspec.json.encode({"error": self.error()}) + b"\n"

    def error(self) -> dict[str, str]:
        """The error object: message, type and code."""
        return {"message": self.message, "type": kind_of(self.status), "code": self.code}


def kind_of(status: int) -> str:
    """The `type` of an error with that status, in the words that OpenAI's clients know."""
    return _KINDS.get(status, "api_error" if status >= _SERVER_ERROR else _KINDS[400])


def one_line(text: str) -> str:
    """Text from anywhere as one bounded line without control characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _TEXT_LIMIT else line[: _TEXT_LIMIT - 1] + "…"


def retry_after(delay_s: float) -> tuple[str, str]:
    """The Retry-After header for a delay: whole seconds, at least 1."""
    return ("retry-after", str(max(1, math.ceil(delay_s))))


def refusal_of(error: errors.HermesError) -> HttpRefusal:
    """What an error of the facade means to an HTTP caller."""
    status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
    headers: tuple[tuple[str, str], ...] = ()
    if error.retryable and status in {429, 503}:
        delay = error.facts.get("retry_after_s")
        headers = (retry_after(delay if isinstance(delay, int | float) else 1.0),)
    if status == 401:  # noqa: PLR2004 - the one status that must name its scheme
        headers = (("www-authenticate", "Bearer"),)
    return HttpRefusal(status, error.code, error.message, headers=headers)
