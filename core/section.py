"""What every section of the configuration is made of: a strict mapping, names, references to secrets."""

from typing import Annotated

import msgspec
from msgspec import Meta

SecretRef = Annotated[str, Meta(extra={"secret": True})]
"""A reference, env:NAME or file:PATH. A secret itself is refused here."""

Name = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", extra={"form": "a name of a-z 0-9 _ . - with at most 64 letters"})
]
Url = Annotated[str, Meta(pattern=r"^https?://", extra={"form": "an address that begins with http:// or https://"})]
PositiveInt = Annotated[int, Meta(ge=1)]
PositiveFloat = Annotated[float, Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the configuration; keys that it does not know are errors."""
