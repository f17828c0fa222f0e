"""Secrets that come back: whoever was given one may quote it, and nothing that is stored may hold it (pure)."""

import json
from collections.abc import Callable, Iterable

from core.secrets import Secret

MASK = "***"
_SECRET_LINE_MIN = 8


def redactor(secrets: Iterable[Secret]) -> Callable[[str], str]:
    """A function that puts *** for every one of these values; of one with several lines also for each line."""
    # The longest first, so that a value that holds another one does not leave its rest behind.
    ordered = sorted(_values(secrets) - {""}, key=len, reverse=True)

    def redacted(text: str) -> str:
        for value in ordered:
            text = text.replace(value, MASK)
        return text

    return redacted


def _values(secrets: Iterable[Secret]) -> set[str]:
    values: set[str] = set()
    for secret in secrets:
        whole = secret.reveal()
        lines = [line.strip() for line in whole.splitlines()]
        values |= {whole, *(line for line in lines if len(line) >= _SECRET_LINE_MIN)}
    return values


def hidden_in_lines(secrets: Iterable[Secret]) -> tuple[bytes, ...]:
    """What Child is to hide in lines of JSON: values as they are, as JSON writes them, and as JSON in JSON does, each
    of several lines also alone; the short ones left out.

    A short value is found in what means something else, and the line would be broken.
    """
    written: set[str] = set()
    for value in _values(secrets):
        once = json.dumps(value)[1:-1]
        written |= {value, once, json.dumps(once)[1:-1]}
    return tuple(sorted((form.encode() for form in written if len(form) >= _SECRET_LINE_MIN), key=len, reverse=True))


class Mask:
    """Puts *** for a key in JSON, however that writes it. One that is too short to be told from other text stays."""

    def __init__(self, key: Secret | None) -> None:
        self._forms = [] if key is None else [form.decode() for form in hidden_in_lines([key])]

    def __call__(self, text: str) -> str:
        """The text without it."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text
