"""Names that imitate others: what they look like, and what in them cannot be seen."""

import pytest

from core.gateway.look_alike import hidden_letters, skeleton

UNSEEN = "\u00ad\u200b\u2060\u2063\u2800\u3164\ufeff\u206a\ufff9\ue000\x07\U000e0041\U000e0001\U0001d173\U0001bca0"


@pytest.mark.parametrize(
    "name", ["M\u0430ra", "MARA", "M a r a", "M\u00e1ra", "\uff2d\uff41\uff52\uff41", "M\u202eara"]
)
def test_names_that_look_alike_have_one_skeleton(name: str) -> None:
    """Other alphabets, capitals, blanks, marks, wide letters, letters that turn text."""
    assert skeleton(name) == skeleton("Mara")


def test_names_that_do_not_look_alike_have_two() -> None:
    """And one that shows nothing looks like no other."""
    assert len({skeleton(name) for name in ("Mara", "Maria", "Mar", "Tamara")}) == 4
    assert skeleton("\u200b\u2800 ") == ""


@pytest.mark.parametrize("letter", UNSEEN)
def test_letters_that_nobody_sees_make_no_other_name(letter: str) -> None:
    """They are told of, and count for nothing."""
    assert skeleton(f"Mar{letter}a") == skeleton("Mara")
    assert hidden_letters(f"Mar{letter}a") == ["the name holds letters that cannot be seen"]


@pytest.mark.parametrize(
    "name", ["Mara", "\u00c5sa \u738b", "\U0001f469\u200d\U0001f680", "\u2764\ufe0f\u200d\U0001f525", "1\ufe0f\u20e3"]
)
def test_ordinary_names_and_signs_hide_nothing(name: str) -> None:
    """Signs that are made of several are no disguise."""
    assert hidden_letters(name) == []


def test_a_flag_of_a_region_hides_nothing_and_its_letters_after_a_name_do() -> None:
    """They are the same letters that nobody sees."""
    region = "".join(chr(0xE0000 + ord(letter)) for letter in "gbeng") + "\U000e007f"
    assert hidden_letters(f"\U0001f3f4{region}") == []
    assert hidden_letters(f"Mara{region}") != []


def test_letters_that_turn_text_are_told_of() -> None:
    """They are one finding, and not letters that cannot be seen."""
    assert hidden_letters("M\u202eara") == ["the name holds letters that turn the direction of text"]
