"""Pure formatting: what a screen shows of text, ages, sizes and secrets."""

import pytest

from console import text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "<ESC>[31mred<ESC>[0m"),
        ("a\x00b\x07c\x7f", "a<NUL>b<BEL>c<DEL>"),
        ("\x9b2J", "<U+009B>2J"),
        ("evil\u202egpj.exe", "evil<U+202E>gpj.exe"),
        ("zero\u200bwidth\u2060\ufeff", "zero<U+200B>width<U+2060><U+FEFF>"),
        ("tag\U000e0041", "tag<U+E0041>"),
        ("half \ud83d", "half <U+D83D>"),
        ("filler\u3164\u115f", "filler<U+3164><U+115F>"),
        ("a\tb", "a    b"),
        ("nb\u00a0sp", "nb sp"),
        ("[red]markup[/red]", "[red]markup[/red]"),
        ("grin \U0001f600", "grin \U0001f600"),
        ("heart \u2764\ufe0f", "heart \u2764"),
        ("x\ufe0f", "x<U+FE0F>"),
        ("e\u0301te\u0301", "e\u0301te\u0301"),
        ("z" + "\u0301" * 10, "z" + "\u0301" * 3 + "<+7 marks>"),
        ("مرحبا", "مرحبا"),
    ],
)
def test_what_cannot_be_seen_becomes_a_mark(raw: str, shown: str) -> None:
    """Control characters, direction overrides and zero-width characters are shown, real letters stay."""
    assert text.clean(raw) == shown


def test_line_breaks_become_spaces_unless_they_are_kept() -> None:
    """A cell has one line; a text may have several."""
    assert text.clean("a\r\nb\nc\rd") == "a b c<CR>d"
    assert text.clean("a\r\nb\nc", keep_newlines=True) == "a\nb\nc"


def test_text_that_is_decided_about_hides_nothing() -> None:
    """Odd spaces, tabs, line ends and spaces at the ends of lines are marked too."""
    shown = text.reveal("rm\u00a0-rf\t/ \r\nend  \u202e")
    assert shown == "rm<U+00A0>-rf<TAB>/ <CR>\nend  <U+202E>"
    assert text.reveal("a  \nb") == "a<SPACE><SPACE>\nb"
    assert text.reveal("plain text") == "plain text"


@pytest.mark.parametrize(
    ("raw", "width", "shown"),
    [
        ("abc", 5, "abc  "),
        ("abcdef", 5, "abcd…"),
        ("漢字漢字", 5, "漢字…"),
        ("漢字漢字", 4, "漢… "),
        ("漢", 1, "…"),
        ("abc", 0, ""),
        ("", 3, "   "),
    ],
)
def test_fit_gives_exactly_the_cells_that_were_asked_for(raw: str, width: int, shown: str) -> None:
    """Wide characters are measured; what is cut gets an ellipsis, what is short gets spaces."""
    fitted = text.fit(raw, width)
    assert fitted == shown
    assert text.cell_width(fitted) == width


def test_numbers_are_padded_on_the_left() -> None:
    """Ages and counts stand on the right of their column."""
    assert text.fit_right("12s", 6) == "   12s"
    assert text.fit_right("1234567", 4) == "123…"


@pytest.mark.parametrize(
    ("raw", "width", "lines"),
    [
        ("", 10, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("one two three", 8, ["one two", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("a\n\nb", 10, ["a", "", "b"]),
        ("漢字漢字", 4, ["漢字", "漢字"]),
        ("漢字漢字", 3, ["漢", "字", "漢", "字"]),
        ("ab cdefghijkl", 5, ["ab", "cdefg", "hijkl"]),
        ("  indented text", 10, ["  indented", "text"]),
    ],
)
def test_wrap_breaks_at_spaces_and_splits_what_has_none(raw: str, width: int, lines: list[str]) -> None:
    """No line is wider than asked for; line breaks of the text stay."""
    assert text.wrap(raw, width) == lines


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "?"),
        (float("nan"), "?"),
        (float("inf"), "?"),
        (-60, "?"),
        (-0.5, "0.0s"),
        (0, "0.0s"),
        (0.44, "0.4s"),
        (0.99, "0.9s"),
        (1, "1s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (250, "4m10s"),
        (3599, "59m59s"),
        (3 * 3600 + 7 * 60, "3h07m"),
        (2 * 86400 + 4 * 3600, "2d04h"),
        (120 * 86400, "120d"),
    ],
)
def test_an_age_is_short_and_never_rounded_up(seconds: float | None, shown: str) -> None:
    """An age takes at most six cells; one that is not known is a question mark."""
    assert text.age(seconds) == shown


def test_sizes_and_counts_are_short() -> None:
    """Bytes in binary units, numbers with separators, short numbers with one letter; unknown is a question mark."""
    assert [text.size(n) for n in (0, 812, 3200, 43_000_000, None)] == ["0 B", "812 B", "3.1 KiB", "41 MiB", "?"]
    assert [text.count(n) for n in (7, 1204, None)] == ["7", "1,204", "?"]
    assert [text.short_count(n) for n in (812, 1234, 41_000, 1.2e6, None)] == ["812", "1.2k", "41k", "1.2M", "?"]


def test_times_are_shown_in_a_zone_and_say_it_when_asked() -> None:
    """An instant is UTC seconds; the offset is part of the long forms."""
    assert text.clock_time(1_700_000_000, offset_s=0) == "22:13:20"
    assert text.clock_time(1_700_000_000, offset_s=3600, show_offset=True) == "23:13:20+01:00"
    assert text.stamp(1_700_000_000, offset_s=0) == "2023-11-14 22:13:20+00:00"
    assert text.clock_time(None) == text.clock_time(1e300) == text.stamp(float("nan")) == "?"


def test_a_long_id_keeps_its_beginning_and_its_end() -> None:
    """Ids that begin alike can still be told apart."""
    assert text.short_id("telegram:dm:8841", 20) == "telegram:dm:8841"
    assert text.short_id("telegram:dm:8841", 10) == "tel…m:8841"
    assert text.cell_width(text.short_id("漢字漢字漢字漢字", 7)) <= 7
    assert text.short_id("abc", 0) == ""


@pytest.mark.parametrize(
    "secret",
    [
        "sk-abcdefghijklmnop1234",
        "ghp_ABCDEFGHIJKLMNOPQRST",
        "xoxb-1234567890-abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "Bearer abcdef0123456789",
        "token=0123456789abcdef",
        'password: "hunter2hunter2"',
        "api_key=deadbeefdeadbeef",
        "https://ana:s3cretpass@example.org/x",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    ],
)
def test_what_looks_like_a_key_is_masked(secret: str) -> None:
    """Known shapes of keys become ***, what is around them stays."""
    shown = text.redact(f"before {secret} after")
    assert "***" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    for part in (
        "abcdefghijklmnop",
        "ABCDEFGHIJ",
        "1234567890-",
        "IOSFODNN7",
        "0123456789",
        "hunter2",
        "deadbeef",
        "s3cret",
    ):
        assert part not in shown


def test_ordinary_text_is_not_masked() -> None:
    """Words that only look a little like keys stay."""
    plain = "the key is under the mat; monkey=ape; sk-8 size; commit 9f3c77b0aabbccdd"
    assert text.redact(plain) == plain
