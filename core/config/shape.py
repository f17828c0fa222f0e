"""What the configuration may hold: values checked against the settings structs, key by key."""

import difflib
import enum
import functools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Meta

from core.api.errors import ConfigError
from core.config import hermes_keys
from core.config.text import KeyPath
from core.secrets import is_reference

_SHOWN_LIMIT = 80
_MASK = "***"


class Place(typing.Protocol):
    """Says where a key was written."""

    def __call__(self, path: KeyPath) -> tuple[str, int | None]:
        """Name of the file or variable, and the line where there is one."""
        ...


def unwrapped(hint: Any) -> tuple[Any, tuple[Meta, ...]]:
    """A type without its annotations, and those that are bounds or descriptions."""
    if typing.get_origin(hint) is typing.Annotated:
        base, *extra = typing.get_args(hint)
        return base, tuple(item for item in extra if isinstance(item, Meta))
    return hint, ()


def options(hint: Any) -> tuple[Any, ...]:
    """The members of a union; the type itself when it is none."""
    base, _ = unwrapped(hint)
    return typing.get_args(base) if typing.get_origin(base) in {types.UnionType, typing.Union} else (base,)


def sections(hint: Any) -> tuple[type[msgspec.Struct], ...]:
    """The structs that a value of this type may be: one for a section, several for a choice, none for a value."""
    found = options(hint)
    if all(isinstance(item, type) and issubclass(item, msgspec.Struct) for item in found):
        return found
    return ()


@functools.cache
def fields_of(section: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The keys of a section, worked out once: it means to resolve every annotation."""
    return msgspec.structs.fields(section)


def default_of(info: msgspec.structs.FieldInfo) -> Any:
    """What a key is that may be left out."""
    return info.default if info.default is not msgspec.NODEFAULT else info.default_factory()


def mapping_of(value: Any) -> dict[str, Any] | None:
    """The value as a mapping of keys; None for anything else."""
    given: Any = value
    return given if isinstance(value, dict) else None


def entries_of(hint: Any) -> tuple[Any, Any] | None:
    """Key and value type of a mapping with free keys; None for anything else."""
    base, _ = unwrapped(hint)
    if typing.get_origin(base) is not dict:
        return None
    key, value = typing.get_args(base)
    return key, value


def is_secret(hint: Any) -> bool:
    """Whether the value must be a reference and is never shown."""
    base, metas = unwrapped(hint)
    if any((meta.extra or {}).get("secret") for meta in metas):
        return True
    return any(is_secret(item) for item in options(base) if item is not base)


def is_secret_list(hint: Any) -> bool:
    """Whether the value is a list of references, none of which is ever shown."""
    base, _ = unwrapped(hint)
    return typing.get_origin(base) is tuple and any(is_secret(item) for item in typing.get_args(base))


def doc_of(hint: Any) -> str:
    """The description of a key."""
    return next((meta.description for meta in unwrapped(hint)[1] if meta.description), "")


def tag_field(section: type[msgspec.Struct]) -> str:
    """The key that chooses between sections; "" where there is no choice."""
    return section.__struct_config__.tag_field or ""


def tag_of(section: type[msgspec.Struct]) -> str:
    """The value that chooses this section."""
    return str(section.__struct_config__.tag)


def hint_at(path: KeyPath, hint: Any) -> Any:
    """Type of the key at a path; None when there is no such key."""
    for name in path:
        if (entries := entries_of(hint)) is not None:
            hint = entries[1]
            continue
        found = [field.type for section in sections(hint) for field in fields_of(section) if field.name == name]
        if not found and not (name and any(tag_field(section) == name for section in sections(hint))):
            return None
        hint = found[0] if found else str
    return hint


def allowed(hint: Any) -> str:
    """What a key takes, in words."""
    if is_secret(hint):
        words = ["env:NAME or file:PATH"]
    elif is_secret_list(hint):
        words = [f"a list of {_bounds_of_list(hint)}env:NAME or file:PATH"]
    else:
        words = [_allowed_one(item, unwrapped(hint)[1]) for item in options(hint) if item is not type(None)]
    if type(None) in options(hint):
        words.append("null")
    return " or ".join(words)


def _bounds_of_list(hint: Any) -> str:
    most = next((meta.max_length for meta in unwrapped(hint)[1] if meta.max_length), None)
    return f"at most {most} of " if most else ""


def _allowed_one(hint: Any, outer: tuple[Meta, ...]) -> str:
    base, inner = unwrapped(hint)
    if words := _choices(base):
        return "one of " + ", ".join(words)
    if base is bool:
        return "true or false"
    if base in {int, float}:
        return _bounds("whole number" if base is int else "number", (*outer, *inner))
    return _text((*outer, *inner))


def _choices(base: Any) -> list[str]:
    if typing.get_origin(base) is typing.Literal:
        return [str(item) for item in typing.get_args(base)]
    if isinstance(base, type) and issubclass(base, enum.Enum):
        return [str(item.value) for item in base]
    return []


def _text(metas: tuple[Meta, ...]) -> str:
    form = next((meta.extra["form"] for meta in metas if meta.extra and "form" in meta.extra), None)
    if form:
        return str(form)
    return "text that is not empty" if any(meta.min_length for meta in metas) else "text"


def _bounds(noun: str, metas: tuple[Meta, ...]) -> str:
    gt = next((meta.gt for meta in metas if meta.gt is not None), None)
    ge = next((meta.ge for meta in metas if meta.ge is not None), None)
    le = next((meta.le for meta in metas if meta.le is not None), None)
    if ge is not None and le is not None:
        return f"a {noun} from {ge} to {le}"
    words = [f"over {gt}"] * (gt is not None) + [f"of at least {ge}"] * (ge is not None)
    words += [f"at most {le}"] * (le is not None)
    return " ".join([f"a {noun}", " and ".join(words)]).rstrip()


def without_empty(values: Mapping[str, Any], hint: Any) -> dict[str, Any]:
    """The values without sections that have no keys, as `http:` with every line below it commented out."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        below = hint_at((name,), hint)
        is_group = below is not None and bool(sections(below) or entries_of(below))
        if value is None and is_group:
            continue
        kept[name] = without_empty(value or {}, below) if is_group else value
    return kept


def leaves(value: Any, hint: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Every single value in force with its path and type, in the order of the structs."""
    entries = entries_of(hint)
    if entries is not None and value:
        for name, item in value.items():
            yield from leaves(item, entries[1], (*path, name))
    elif isinstance(value, msgspec.Struct):
        if field := tag_field(type(value)):
            yield (*path, field), tag_of(type(value)), str
        for info in fields_of(type(value)):
            yield from leaves(getattr(value, info.name), info.type, (*path, info.name))
    else:
        yield path, value, hint


def references(value: Any, hint: Any) -> frozenset[str]:
    """Every reference to a secret that is in force."""
    found: set[str] = set()
    for _, item, kind in leaves(value, hint):
        if is_secret_list(kind):
            found.update(item)
        elif isinstance(item, str) and is_secret(kind):
            found.add(item)
    return frozenset(found)


def shown(value: Any, hint: Any) -> str:
    """A value as an operator sees it. Of a secret only the kind of its reference."""
    if is_secret_list(hint):
        return ", ".join(shown(item, typing.get_args(unwrapped(hint)[0])[0]) for item in value) or "[]"
    if is_secret(hint) and value is not None:
        kind, colon, _ = str(value).partition(":")
        return f"{kind}:{_MASK}" if colon and is_reference(str(value)) else _MASK
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str):
        return value or '""'
    return msgspec.json.encode(value).decode()


class Check:
    """Collects what is wrong with values, each fault with its place, key and fix."""

    def __init__(self, place: Place) -> None:
        self.errors: list[ConfigError] = []
        self._place = place

    def value(self, value: Any, hint: Any, path: KeyPath = ()) -> None:
        """Check one value and all below it."""
        if choices := sections(hint):
            self._section(value, choices, path)
        elif (entries := entries_of(hint)) is not None:
            self._entries(value, entries, path)
        elif is_secret_list(hint):
            self._secrets(value, hint, path)
        elif is_secret(hint):
            self._secret(value, hint, path)
        else:
            self._leaf(value, hint, path)

    def unknown(self, path: KeyPath, hint: Any) -> None:
        """Note a path that leads nowhere, at the first name that is wrong."""
        for depth, name in enumerate(path):
            below = hint_at((name,), hint)
            if below is None:
                known = [field.name for section in sections(hint) for field in fields_of(section)]
                self._unknown(name, known, path[:depth])
                return
            hint = below

    def fault(self, path: KeyPath, what: str, *, value: str = "", fix: str = "") -> None:
        """Note something that is wrong at a key."""
        file, line = self._place(path)
        key = ".".join(path)
        where = f"{file}:{line}" if line is not None else file
        message = f"{where}: {key} {what}" + (f" ({fix})" if fix else "")
        self.errors.append(ConfigError(message, file=file, line=line, key=key, value=value, fix=fix))

    def _section(self, value: Any, choices: tuple[type[msgspec.Struct], ...], path: KeyPath) -> None:
        given = mapping_of(value)
        if given is None:
            self.fault(path, "must be a mapping of keys", value=_quoted(value), fix="indent its keys below it")
            return
        section = self._chosen(given, choices, path)
        if section is None:
            return
        fields = {info.name: info for info in fields_of(section)}
        tag = tag_field(section)
        for name, item in given.items():
            if tag and name == tag:
                continue
            info = fields.get(name)
            if info is None:
                self._unknown(name, [*fields, *([tag] if tag else [])], path, item)
            elif item is not None or not (sections(info.type) or entries_of(info.type)):
                self.value(item, info.type, (*path, name))
        for name, info in fields.items():
            if info.required and name not in given:
                self.fault((*path, name), "is missing", fix=f"set it: {doc_of(info.type)}")

    def _chosen(
        self, value: Mapping[str, Any], choices: tuple[type[msgspec.Struct], ...], path: KeyPath
    ) -> type[msgspec.Struct] | None:
        field = tag_field(choices[0])
        if not field:
            return choices[0]
        names = [tag_of(choice) for choice in choices]
        if field not in value:
            self.fault((*path, field), "is missing", fix=f"one of {', '.join(names)}")
            return None
        wanted = value[field]
        found = next((choice for choice in choices if tag_of(choice) == wanted), None)
        if found is None:
            fix = _nearest(str(wanted), names) or f"one of {', '.join(names)}"
            self.fault((*path, field), f"cannot be {_quoted(wanted)}", value=_quoted(wanted), fix=fix)
        return found

    def _unknown(self, name: str, known: list[str], path: KeyPath, value: object = None) -> None:
        fix = (
            hermes_keys.hint((*path, name), value)
            or _nearest(name, known)
            or (f"one of {', '.join(known)}" if known else "remove it: there are no keys below")
        )
        self.fault((*path, name), "is not a key", fix=fix)

    def _entries(self, value: Any, entries: tuple[Any, Any], path: KeyPath) -> None:
        given = mapping_of(value)
        if given is None:
            self.fault(path, "must be a mapping of names", value=_quoted(value), fix="indent the names below it")
            return
        key_hint, item_hint = entries
        for name, item in given.items():
            try:
                msgspec.convert(name, key_hint)
            except msgspec.ValidationError:
                self.fault((*path, name), "is not a name", value=_quoted(name), fix=allowed(key_hint))
                continue
            self.value(item, item_hint, (*path, name))

    def _secret(self, value: Any, hint: Any, path: KeyPath) -> None:
        if value is None and type(None) in options(hint):
            return
        if not isinstance(value, str) or not is_reference(value):
            fix = "put the secret into a file of mode 600 or a variable and write file:PATH or env:NAME here"
            self.fault(path, "must be a reference, not the secret itself", fix=fix)

    def _secrets(self, value: Any, hint: Any, path: KeyPath) -> None:
        given: Any = value
        try:
            msgspec.convert(["env:NAME"] * len(given) if isinstance(value, list) else None, hint)
        except msgspec.ValidationError:
            # What was written may be the secret itself.
            self.fault(path, "cannot be that", fix=f"allowed: {allowed(hint)}")
            return
        item_hint = typing.get_args(unwrapped(hint)[0])[0]
        for place, item in enumerate(given):
            self._secret(item, item_hint, (*path, str(place)))

    def _leaf(self, value: Any, hint: Any, path: KeyPath) -> None:
        try:
            msgspec.convert(value, hint, strict=True)
        except msgspec.ValidationError:
            self.fault(path, f"cannot be {_quoted(value)}", value=_quoted(value), fix=f"allowed: {allowed(hint)}")
            return
        if isinstance(value, str) and "://" in value and "@" in value.partition("://")[2].partition("/")[0]:
            self.fault(path, "must not hold a user or password", fix="remove what stands before the @")


def _quoted(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_LIMIT else text[: _SHOWN_LIMIT - 3] + "..."


def _nearest(name: str, known: list[str]) -> str:
    found = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else ""
