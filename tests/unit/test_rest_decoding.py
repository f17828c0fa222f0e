"""Bodies and query strings: what does not fit is refused by the name of its field, and whatever comes is answered."""

from collections.abc import Callable
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from core.api.errors import AlreadyDecided, InvalidInput, Overloaded
from core.rest.decoding import body_of, query_of
from core.rest.fault import ErrorBody, Fault, fault_of
from core.rest.task_words import NAMES, AgentCommand, TasksQuery


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """A query."""

    names: tuple[str, ...] = ()
    limit: Annotated[int, Meta(ge=1, le=5)] = 1
    is_on: bool = False


_command = msgspec.json.Decoder(AgentCommand)


def refused(body: bytes) -> Fault:
    """How a body is refused."""
    with pytest.raises(Fault) as raised:
        body_of(body, _command)
    return raised.value


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "message"),
        (b"", "message"),
        (b'{"message": 1}', "message"),
        (b'{"message": "a", "policy": {"resources": {"cpu_s": "x"}}}', "policy.resources.cpu_s"),
        (b'{"message": "a", "policy": {"resources": {"gpu": 1}}}', "policy.resources.gpu"),
        (b'{"message": "a", "attachments": [{"a": 1}, 2]}', "attachments[1]"),
        (b"[]", ""),
    ],
)
def test_a_body_that_does_not_fit_names_its_field(body: bytes, field: str) -> None:
    """With what is wrong and what would be right."""
    fault = refused(body)
    assert (fault.status, fault.detail.field) == (400, field)
    assert fault.detail.fix


def caught(work: Callable[[], object]) -> Fault | None:
    """How it is refused, if it is."""
    try:
        work()
    except Fault as fault:
        return fault
    return None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_body_or_a_refusal(body: bytes) -> None:
    """Nothing else is raised."""
    fault = caught(lambda: body_of(body, _command))
    if fault is not None:
        assert fault.status == 400
        assert msgspec.json.decode(fault.body(), type=ErrorBody).error.message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_query_or_a_refusal(query: bytes) -> None:
    """Nothing else is raised."""
    fault = caught(lambda: query_of(query, TasksQuery))
    assert fault is None or fault.status == 400


def test_a_query_is_read_by_its_types() -> None:
    """Lists repeated or with commas, numbers and booleans as words."""
    found = query_of(b"names=a,b&names=c%20d&limit=3&is_on=true", Shape)
    assert found == Shape(names=("a", "b", "c d"), limit=3, is_on=True)
    assert query_of(b"", Shape) == Shape()


@pytest.mark.parametrize(
    ("query", "field"),
    [(b"limit=9", "limit"), (b"limit=x", "limit"), (b"limit=1&limit=2", "limit"), (b"color=1", "color")],
)
def test_a_query_that_does_not_fit_names_its_field(query: bytes, field: str) -> None:
    """Also when it is there twice."""
    with pytest.raises(Fault) as raised:
        query_of(query, Shape)
    assert (raised.value.status, raised.value.detail.field) == (400, field)


def test_errors_of_the_core_name_fields_as_the_caller_does() -> None:
    """Nested ones too; what else is known goes along; a bound says when to come back."""
    fault = fault_of(InvalidInput("bad", field="provenance.source", value="x" * 999, fix="shorter"), NAMES)
    assert (fault.status, fault.detail.field, fault.detail.fix) == (400, "input_provenance.source", "shorter")
    assert len(str(fault.detail.value)) == 200
    late = fault_of(AlreadyDecided("too late", by="ana", outcome="denied"), {})
    assert (late.status, late.detail.code, late.detail.facts) == (409, "decided", {"by": "ana", "outcome": "denied"})
    full = fault_of(Overloaded("full", bound="queue", limit=1, retry_after_s=2.5), {})
    assert (full.status, full.headers) == (429, (("retry-after", "3"),))
