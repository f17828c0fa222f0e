"""A text with fields of a JSON body in it: `{a.b.0.c}`, with `{{` and `}}` for braces (pure).

Fields are looked up in objects by key and in lists by number, and nothing else can be
asked for: no attributes, no formats, no code.
"""

import re
from typing import TypeGuard

import msgspec

_TOKENS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_PATH = re.compile(r"[A-Za-z0-9_@$/-]+(?:\.[A-Za-z0-9_@$/-]+)*")
_INDEX_DIGITS = 9
_BRACES = {"{{": "{", "}}": "}"}


class MissingField(LookupError):
    """The body lacks a field that the template names. `path` is its name."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Template:
    """A parsed template. Raises ValueError, with what is wrong, when the text is none."""

    def __init__(self, text: str) -> None:
        self._pieces: list[str | tuple[str, ...]] = []
        for token in _TOKENS.finditer(text):
            self._pieces.append(_piece(token))

    def render(self, body: object) -> str:
        """The text for one body. Raises MissingField."""
        return "".join(piece if isinstance(piece, str) else _shown(_looked_up(piece, body)) for piece in self._pieces)


def _piece(token: re.Match[str]) -> str | tuple[str, ...]:
    whole, path = token.group(), token.group(1)
    if path is not None:
        if _PATH.fullmatch(path) is None:
            raise ValueError(f"{{{path}}} is no field; write {{a.b}} or {{a.0}}, and {{{{ for a brace")
        return tuple(path.split("."))
    if whole in {"{", "}"}:
        raise ValueError(f"there is a single {whole}; write {whole * 2} for a brace")
    return _BRACES.get(whole, whole)


def _looked_up(path: tuple[str, ...], body: object) -> object:
    found = body
    for part in path:
        if _is_object(found) and part in found:
            found = found[part]
        elif _is_list(found) and part.isdigit() and int(part[:_INDEX_DIGITS]) < len(found):
            found = found[int(part[:_INDEX_DIGITS])]
        else:
            raise MissingField(".".join(path))
    return found


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
