"""How the body of a stored row becomes a value again."""

from typing import TypeVar

import msgspec

from core.api.errors import StoreError

T = TypeVar("T")


def decoded(decoder: msgspec.json.Decoder[T], key: str, body: bytes) -> T:
    """What the row of that key says. Raises StoreError (corrupt) that names it when it cannot be read."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"row {key} cannot be read: {error}", cause="corrupt", fix="restore a backup") from error
