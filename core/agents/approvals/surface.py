"""Where a decision was shown and looked at: the first time of each counts (pure)."""

import msgspec

from core.api.approvals import Surface
from core.api.base import Mark
from core.api.errors import InvalidInput

COUNT_LIMIT = 16
_NAME_LIMIT = 64


def noted(surfaces: tuple[Surface, ...], name: str, *, is_seen: bool, now: Mark) -> tuple[Surface, ...]:
    """The surfaces after one more note; the same ones when it says nothing new, or there are 16 others already.

    What is seen was delivered too. Raises InvalidInput for a name that cannot be shown.
    """
    if not (1 <= len(name) <= _NAME_LIMIT and name.isprintable() and name.strip() == name):
        raise InvalidInput(
            "no name of a surface",
            field="surface",
            value=name[:_NAME_LIMIT],
            fix=f"1 to {_NAME_LIMIT} printable characters, such as console or telegram",
        )
    found = next((item for item in surfaces if item.name == name), None)
    if found is None:
        if len(surfaces) >= COUNT_LIMIT:
            return surfaces
        return (*surfaces, Surface(name=name, delivered=now, seen=now if is_seen else None))
    if found.seen is not None or not is_seen:
        return surfaces
    return tuple(msgspec.structs.replace(item, seen=now) if item is found else item for item in surfaces)
