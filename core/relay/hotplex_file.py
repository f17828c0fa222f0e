"""bindings.json of HotPlex, version 1: read with care, written as Go prints it (pure).

Nothing is guessed: a file that HotPlex would take for an empty one, or would stumble over, is refused with the place.
"""

from collections.abc import Iterable

import msgspec

from core.api.errors import InvalidInput
from core.relay import go_json

VERSION = 1


class FileBinding(msgspec.Struct, frozen=True, kw_only=True):
    """One binding of the file. bots: names and addresses, as they stand there."""

    platform: str
    chat_id: str
    bots: tuple[tuple[str, str], ...]


def read_bindings(document: str | bytes) -> tuple[FileBinding, ...]:
    """The bindings of a file, in its order. Addresses are not looked at.

    Keys that nobody knows are passed over. Raises InvalidInput that names the line or the field: what is no JSON or no
    object, another version, a key that is there twice, an entry that is null, and one chat in two entries.
    """
    top = _object("the file", go_json.read(document, "the file"))
    version = top.get("version")
    if version != VERSION or isinstance(version, bool) or not isinstance(version, int):
        said = "missing" if version is None else go_json.shown(version)
        raise _refused("version", said, f"version is {said}", f"a file of version {VERSION}")
    entries = go_json.items(top.get("bindings"))
    if entries is None:
        raise _wrong("bindings", top.get("bindings"), "a list")
    return _distinct(_binding(f"bindings[{index}]", item) for index, item in enumerate(entries))


def write_bindings(bindings: Iterable[FileBinding]) -> str:
    """The file: two spaces, a line feed at the end, all by platform, chat and name."""
    by_key = sorted(bindings, key=lambda binding: (binding.platform, binding.chat_id))
    entries = [
        {"platform": binding.platform, "chat_id": binding.chat_id, "bots": dict(sorted(binding.bots))}
        for binding in by_key
    ]
    return go_json.write({"version": VERSION, "bindings": entries}, indent=2) + "\n"


def _binding(field: str, value: object) -> FileBinding:
    entry = _object(field, value)
    platform, chat_id = (_text(f"{field}.{name}", entry.get(name)) for name in ("platform", "chat_id"))
    bots = entry.get("bots")
    # Go writes a binding without any bots so.
    pairs = () if bots is None and "bots" in entry else _pairs(f"{field}.bots", bots)
    return FileBinding(
        platform=platform,
        chat_id=chat_id,
        bots=tuple((name, _text(f"{field}.bots.{name}", url)) for name, url in pairs),
    )


def _distinct(bindings: Iterable[FileBinding]) -> tuple[FileBinding, ...]:
    seen: dict[tuple[str, str], int] = {}
    found: list[FileBinding] = []
    for index, binding in enumerate(bindings):
        key = (binding.platform, binding.chat_id)
        first = seen.setdefault(key, index)
        if first != index:
            name = f"{binding.platform}:{binding.chat_id}"
            raise _refused(f"bindings[{index}]", name, f"{name} is bound in bindings[{first}] too", "keep one of them")
        found.append(binding)
    return tuple(found)


def _object(field: str, value: object) -> dict[str, object]:
    """An object by its keys in lower case."""
    return dict(_pairs(field, value, is_folded=True))


def _pairs(field: str, value: object, *, is_folded: bool = False) -> list[tuple[str, object]]:
    """The pairs of an object, of which no key may be there twice."""
    if not isinstance(value, go_json.Pairs):
        raise _wrong(field, value, "an object")
    found: dict[str, object] = {}
    for name, item in value:
        key = go_json.clean(go_json.folded(name) if is_folded else name)
        if key in found:
            raise _refused(field, key, f"{field} has {go_json.shown(key)} twice", "keep one of them")
        found[key] = item
    return list(found.items())


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(field, value, "a text")
    if not value:
        raise _refused(field, "", f"{field} is empty", "give it a value")
    return go_json.clean(value)


def _wrong(field: str, value: object, wanted: str) -> InvalidInput:
    said = "missing or null" if value is None else f"{go_json.kind(value)}, not {wanted}"
    return _refused(field, go_json.shown(value), f"{field} is {said}", f"write {wanted}")


def _refused(field: str, value: str, why: str, fix: str) -> InvalidInput:
    return InvalidInput(f"bindings.json cannot be read: {why}", field=field, value=value, fix=fix)
