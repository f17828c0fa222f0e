"""What a caller is told when a request cannot be carried out: one shape, with field, value and fix (pure)."""

from collections.abc import Mapping

import msgspec

from core.api.errors import HermesError
from core.http.refusal import HttpRefusal, kind_of, one_line, refusal_of

Value = str | int | float | bool | None
_VALUE_LENGTH = 200


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A failure. message: one line for people; type: as OpenAI's clients know it; code: its stable name.

    field, value, fix: what in the request cannot be, and what could. facts: what else is known, by name.
    """

    message: str
    type: str
    code: str
    field: str = ""
    value: Value = None
    fix: str = ""
    facts: dict[str, Value | tuple[str, ...]] = msgspec.field(default_factory=dict[str, Value | tuple[str, ...]])


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in place of an answer."""

    error: ErrorDetail


class Fault(HttpRefusal):
    """Raised in place of an answer; the guard sends it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str = "",
        value: Value = None,
        fix: str = "",
        facts: Mapping[str, Value | tuple[str, ...]] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(status, code, message, headers=headers)
        self.detail = ErrorDetail(
            message=self.message,
            type=kind_of(status),
            code=code,
            field=field,
            value=value[:_VALUE_LENGTH] if isinstance(value, str) else value,
            fix=one_line(fix),
            facts=dict(facts or {}),
        )

    def body(self) -> bytes:
        """The failure as one line of JSON."""
        return msgspec.json.encode(ErrorBody(error=self.detail)) + b"\n"


def fault_of(error: HermesError, names: Mapping[str, str]) -> Fault:
    """What an error of the facade means to a caller. names: what a field is called over HTTP, by its own name."""
    plain = refusal_of(error)
    facts = dict(error.facts)
    field = str(facts.pop("field", None) or "")
    first, dot, rest = field.partition(".")
    return Fault(
        plain.status,
        plain.code,
        plain.message,
        field=names.get(first, first) + dot + rest,
        value=facts.pop("value", None),
        fix=str(facts.pop("fix", None) or ""),
        facts=facts,
        headers=plain.headers,
    )
