"""bindings.json of HotPlex: read with care, written as Go prints it."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.errors import InvalidInput
from core.relay.hotplex_file import FileBinding, read_bindings, write_bindings

GOLDEN = """{
  "version": 1,
  "bindings": [
    {
      "platform": "slack",
      "chat_id": "C12345",
      "bots": {
        "audit": "http://a/?x=1\\u0026y=2",
        "security-bot": "http://other-hotplex:8080"
      }
    }
  ]
}
"""
EMPTY = '{\n  "version": 1,\n  "bindings": []\n}\n'


def _entry(entry: str) -> str:
    return f'{{"version": 1, "bindings": [{entry}]}}'


@pytest.mark.parametrize("document", [GOLDEN, EMPTY])
def test_a_golden_file_is_read_and_written_letter_for_letter(document: str) -> None:
    """Two spaces, escapes of Go, a line feed at the end."""
    assert write_bindings(read_bindings(document)) == document


def test_the_addresses_are_those_of_the_file() -> None:
    """Escapes are taken away."""
    (binding,) = read_bindings(GOLDEN.encode())
    assert binding == FileBinding(
        platform="slack",
        chat_id="C12345",
        bots=(("audit", "http://a/?x=1&y=2"), ("security-bot", "http://other-hotplex:8080")),
    )


def test_the_same_chat_on_two_platforms_is_two_bindings() -> None:
    """HotPlex itself loses one of them."""
    one = '{"platform":"slack","chat_id":"SAME","bots":{"a":"http://a"}}'
    document = _entry(f"{one},{one.replace('slack', 'telegram')}")
    assert [binding.platform for binding in read_bindings(document)] == ["slack", "telegram"]


@pytest.mark.parametrize("bots", ["null", "{}"])
def test_a_binding_without_bots_is_read(bots: str) -> None:
    """Go writes one so."""
    (binding,) = read_bindings(_entry(f'{{"platform":"slack","chat_id":"C","bots":{bots}}}'))
    assert binding.bots == ()


def test_keys_have_any_case_and_unknown_ones_are_passed_over() -> None:
    """As Go reads them; names of bots keep theirs."""
    document = '{"Version":1,"x":{},"BINDINGS":[{"Platform":"p","CHAT_ID":"c","note":1,"bots":{"A":"u","a":"v"}}]}'
    (binding,) = read_bindings(document)
    assert binding.bots == (("A", "u"), ("a", "v"))


@pytest.mark.parametrize(
    ("document", "field", "why"),
    [
        ("", "the file", "line 1, column 1"),
        ('{\n  "version": 1,\n  bindings', "the file", "line 3, column 3"),
        (GOLDEN + "x", "the file", "line 14, column 1"),
        (GOLDEN + GOLDEN, "the file", "line 14, column 1"),
        ("\ufeff" + GOLDEN, "the file", "JSON"),
        ("[" * 100_000, "the file", "deep"),
        ("null", "the file", "missing or null"),
        ("[]", "the file", "a list, not an object"),
        ('{"bindings":[]}', "version", "version is missing"),
        ('{"version":99,"bindings":[]}', "version", "version is 99"),
        ('{"version":"1","bindings":[]}', "version", "version is"),
        ('{"version":true,"bindings":[]}', "version", "version is true"),
        ('{"version":1.0,"bindings":[]}', "version", "version is 1.0"),
        ('{"version":1,"version":1,"bindings":[]}', "the file", "twice"),
        ('{"version":1,"Version":1,"bindings":[]}', "the file", "twice"),
        ('{"version":1}', "bindings", "missing or null"),
        ('{"version":1,"bindings":null}', "bindings", "missing or null"),
        ('{"version":1,"bindings":{}}', "bindings", "an object, not a list"),
        (_entry("null"), "bindings[0]", "missing or null"),
        (_entry("5"), "bindings[0]", "a number"),
        (_entry('{"chat_id":"c","bots":{}}'), "bindings[0].platform", "missing or null"),
        (_entry('{"platform":5,"chat_id":"c","bots":{}}'), "bindings[0].platform", "a number, not a text"),
        (_entry('{"platform":"p","chat_id":"","bots":{}}'), "bindings[0].chat_id", "empty"),
        (_entry('{"platform":"p","chat_id":"c"}'), "bindings[0].bots", "missing or null"),
        (_entry('{"platform":"p","chat_id":"c","bots":[]}'), "bindings[0].bots", "a list"),
        (_entry('{"platform":"p","chat_id":"c","bots":{"a":null}}'), "bindings[0].bots.a", "missing or null"),
        (_entry('{"platform":"p","chat_id":"c","bots":{"a":"u","a":"v"}}'), "bindings[0].bots", '"a" twice'),
        (
            _entry(",".join(['{"platform":"p","chat_id":"c","bots":{}}'] * 2)),
            "bindings[1]",
            r"p:c is bound in bindings\[0\] too",
        ),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_with_the_place(document: str, field: str, why: str) -> None:
    """Where HotPlex takes it for an empty one, picks one of two, or stops with a fault."""
    with pytest.raises(InvalidInput, match=why) as caught:
        read_bindings(document)
    assert caught.value.facts["field"] == field
    assert {"value", "fix"} <= caught.value.facts.keys()


def test_a_key_of_half_a_letter_is_refused_in_words_that_can_be_sent() -> None:
    """The error goes to whoever asked, as JSON in UTF-8."""
    with pytest.raises(InvalidInput) as caught:
        read_bindings('{"\\ud800":1,"\\ud800":2}')
    msgspec.json.encode([caught.value.message, caught.value.facts])


_WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
_BOTS = st.dictionaries(_WORDS, _WORDS).map(lambda bots: tuple(sorted(bots.items())))
_BINDINGS = st.lists(
    st.builds(FileBinding, platform=_WORDS, chat_id=_WORDS, bots=_BOTS),
    unique_by=lambda binding: (binding.platform, binding.chat_id),
)


@given(_BINDINGS)
def test_every_binding_survives_its_file(bindings: list[FileBinding]) -> None:
    """In the order of platform and chat, whatever order they came in."""
    wanted = tuple(sorted(bindings, key=lambda binding: (binding.platform, binding.chat_id)))
    assert read_bindings(write_bindings(bindings)) == wanted
    assert write_bindings(reversed(bindings)) == write_bindings(bindings)


@given(st.text() | st.binary())
def test_no_file_crashes_the_reader(document: str | bytes) -> None:
    """It is one, or refused."""
    with contextlib.suppress(InvalidInput):
        read_bindings(document)
