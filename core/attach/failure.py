"""Errors of the facade as values: taken apart on one side, the same class again on the other."""

import msgspec

from core.api.errors import HermesError

Fact = str | int | float | bool | None


class Failure(msgspec.Struct, frozen=True):
    """An error without its class. code: see core.api.errors."""

    code: str
    message: str
    facts: dict[str, Fact] = {}


def _codes(kind: type[HermesError]) -> dict[str, type[HermesError]]:
    found = {kind.code: kind}
    for below in kind.__subclasses__():
        found |= _codes(below)
    return found


def failure_of(error: HermesError) -> Failure:
    """The value of an error."""
    return Failure(code=error.code, message=error.message, facts=dict(error.facts))


def error_of(failure: Failure) -> HermesError:
    """The error again, of the class that its code names; a code that is not known here gives a plain HermesError."""
    kind = _codes(HermesError).get(failure.code)
    if kind is None:
        return HermesError(f"{failure.message} ({failure.code})", **failure.facts)
    return kind(failure.message, **failure.facts)
