"""Bodies and query strings into structs, strictly: what is not known or does not fit is refused by its name (pure)."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qsl

import msgspec

from core.rest.fault import Fault

T = TypeVar("T")

FIELD_LIMIT = 200
"""Parameters of one query string."""

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<place>[^`]*)`)?$", re.DOTALL)
_NAMED = re.compile(r"(?:unknown|required) field `(?P<name>[^`]*)`")


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body or a query string without any field."""


class Anything(msgspec.Struct, frozen=True):
    """A body of which nothing is wanted, whatever it holds."""


def body_of(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A body as JSON; an empty one is an empty object. Raises Fault 400."""
    try:
        return decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        raise misfit(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fault(400, "malformed_json", f"the body is not JSON: {error}", fix="send one JSON object") from None


def query_of(query: bytes, kind: type[T]) -> T:
    """A query string; a field that may have several values takes them repeated or with commas. Raises Fault 400."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=FIELD_LIMIT, errors="strict")
    except ValueError:
        raise Fault(400, "invalid", "the query string is not one", fix="send it percent-encoded") from None
    plural = {item.encode_name for item in msgspec.structs.fields(_struct(kind)) if _is_plural(item.type)}
    found: dict[str, str | list[str]] = {}
    for name, value in pairs:
        if name in plural:
            several = found.setdefault(name, [])
            assert isinstance(several, list), "a plural field is always a list"
            several += [part for part in value.split(",") if part]
        elif name in found:
            raise Fault(400, "invalid", f"{name} is there twice", field=name, value=value, fix="send it once")
        else:
            found[name] = value
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        raise misfit(error, found) from None


def misfit(error: msgspec.ValidationError, given: Mapping[str, object] | None = None) -> Fault:
    """What does not fit, by the name of its field."""
    found = _PLACE.match(str(error))
    what = found["what"] if found is not None else str(error)
    field = ((found["place"] if found is not None else None) or "").removeprefix("$").removeprefix(".")
    named = _NAMED.search(what)
    fix = "send what is expected"
    if named is not None:
        field = f"{field}.{named['name']}" if field else named["name"]
        fix = "leave it out, or correct its name" if "unknown" in what else "send it"
    value = (given or {}).get(field)
    message = f"{field}: {what}" if field and named is None else what
    return Fault(400, "invalid", message, field=field, value=value if isinstance(value, str) else None, fix=fix)


def _struct(kind: type[Any]) -> type[msgspec.Struct]:
    assert issubclass(kind, msgspec.Struct), "a query is a struct"
    return kind


def _is_plural(kind: object) -> bool:
    return get_origin(kind) is tuple
