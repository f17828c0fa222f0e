"""The pure parts behind webhooks: templates, signatures, the rate and the short memory."""

import hashlib
import hmac

import pytest

from core.gateway.adapters.rate import Bucket
from core.gateway.adapters.recent import Recent
from core.gateway.adapters.signature import is_signed, signature
from core.gateway.adapters.template import MissingField, Template
from core.secrets import Secret
from core.timely import is_timely

BODY = {"a": {"b": [{"c": "x"}]}, "n": 5, "f": 1.5, "t": True, "z": None, "l": [1, "two"], "{a}": "brace"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{a.b.0.c}", "x"),
        ("{n} {f} {t} {z}", "5 1.5 true null"),
        ("{l}", '[1,"two"]'),
        ("{{n}} {n}", "{n} 5"),
        ("{{{n}}}", "{5}"),
        ("two\nlines {n}", "two\nlines 5"),
    ],
)
def test_fields_are_put_in_as_text(text: str, shown: str) -> None:
    """Strings as they are, everything else as JSON, braces by doubling them."""
    assert Template(text).render(BODY) == shown


def test_what_a_field_holds_is_not_a_template() -> None:
    """Text from outside is put in once and not read again."""
    assert Template("{x}").render({"x": "{n} {{"}) == "{n} {{"


@pytest.mark.parametrize("path", ["missing", "a.x", "a.b.1", "a.b.c", "n.real", "a.b.-1", "l.__len__", "a.b.0.c.0"])
def test_a_field_that_is_not_there_is_named(path: str) -> None:
    """Nothing but objects and lists is looked into."""
    with pytest.raises(MissingField) as caught:
        Template("{" + path + "}").render(BODY)
    assert caught.value.path == path


@pytest.mark.parametrize("text", ["{", "}", "{}", "{a", "a}", "{a!r}", "{a:>5}", "{a[0]}", "{a..b}", "{ a }", "{a{b}}"])
def test_what_is_no_template_is_refused(text: str) -> None:
    """No formats, no indexes, no attributes, no half braces."""
    with pytest.raises(ValueError, match=r"brace|field"):
        Template(text)


def test_the_signature_is_the_documented_one() -> None:
    """v1= and HMAC-SHA256 over time, a dot and the raw body."""
    expected = hmac.new(b"s", b"1700000000.{}", hashlib.sha256).hexdigest()
    assert signature(Secret("s"), "1700000000", b"{}") == f"v1={expected}"


def test_only_the_right_signature_is_right() -> None:
    """Text that is no ASCII is compared like any other."""
    good = signature(Secret("s"), "1", b"x")
    assert is_signed(Secret("s"), "1", b"x", good)
    assert not is_signed(Secret("s"), "1", b"x", good[:-1])
    assert not is_signed(Secret("s"), "1", b"x", "v1=\u2603")


@pytest.mark.parametrize(("timestamp", "timely"), [("100", True), ("90", True), ("110", True), ("89", False)])
def test_a_time_is_good_on_both_sides_of_now(timestamp: str, timely: bool) -> None:
    """Clocks differ in both directions."""
    assert is_timely(timestamp, 100.0, 10.0) is timely


def test_a_bucket_gives_its_minute_and_fills_again() -> None:
    """A step back of the clock gives nothing away."""
    bucket = Bucket(60, 0.0)
    assert [bucket.wait_s(0.0) for _ in range(60)] == [0.0] * 60
    assert bucket.wait_s(0.0) == pytest.approx(1.0)
    assert bucket.wait_s(-50.0) == pytest.approx(1.0)
    assert bucket.wait_s(-49.0) == 0.0


def test_a_memory_lets_go_of_the_oldest() -> None:
    """By number and by age."""
    memory: Recent[str, int] = Recent(limit=2, keep_s=10.0)
    for number, key in enumerate("abc"):
        memory.put(key, number, float(number))
    assert [memory.find(key, 2.0) for key in "abc"] == [None, 1, 2]
    assert memory.find("b", 12.0) is None
    memory.put("d", 3, 13.0)
    assert len(memory) == 1
    memory.drop("d")
    assert memory.find("d", 13.0) is None
