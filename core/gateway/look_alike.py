"""Names that imitate others: the same to the eye, or with letters that nobody sees (pure)."""

import unicodedata

# Cyrillic and Greek letters, and some others, that look like Latin ones; digits that look like letters.
_LOOKS = str.maketrans(
    {
        letter: latin
        for latin, letters in (
            ("a", "\u0430\u03b1\u0251@"),
            ("b", "\u0432\u03b2"),
            ("c", "\u0441\uabaf"),
            ("d", "\u0501"),
            ("e", "\u0435\u0451\u03b53"),
            ("f", "\u0493"),
            ("g", "\u0261"),
            ("h", "\u04bb\u043d\u0570"),
            ("i", "\u0456\u0457\u03b9\u0131"),
            ("j", "\u0458"),
            ("k", "\u043a\u03ba"),
            ("l", "\u04cf\u029f1|\u01c0"),
            ("m", "\u043c"),
            ("n", "\u03b7"),
            ("o", "\u043e\u03bf\u03c3\u05850"),
            ("p", "\u0440\u03c1"),
            ("q", "\u051b"),
            ("s", "\u04555$"),
            ("t", "\u0442\u03c4"),
            ("u", "\u03c5\u057d"),
            ("v", "\u0475\u03bd"),
            ("w", "\u051d\u03c9"),
            ("x", "\u0445\u03c7"),
            ("y", "\u0443\u04af\u03b3"),
        )
        for letter in letters
    }
)
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Those that Unicode counts as letters, marks or symbols; all others are of its groups for what is not shown."""
_UNSHOWN = frozenset({"Cc", "Cf", "Co", "Cs"})
_JOINER = "\u200d"
_FIRST_TAG, _LAST_TAG = "\U000e0020", "\U000e007f"


def skeleton(name: str) -> str:
    """What is left of a name for the eye: two names with the same skeleton look alike. "" for an empty one."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold().translate(_LOOKS))
    kept = (letter for letter in plain if not _is_unseen(letter) and unicodedata.category(letter) != "Mn")
    # A second time: what was left of a letter with a mark may be one of the table.
    shown = "".join(kept).translate(_LOOKS)
    return "".join(shown.split()).replace("rn", "m").replace("vv", "w").replace("i", "l")


def hidden_letters(name: str) -> list[str]:
    """What is odd about the letters of a name, in words."""
    found: list[str] = []
    if any(letter in _TURNING for letter in name):
        found.append("the name holds letters that turn the direction of text")
    before = ["", *name]
    if any(_hides(letter, last) for last, letter in zip(before, name, strict=False)):
        found.append("the name holds letters that cannot be seen")
    return found


def _hides(letter: str, last: str) -> bool:
    if letter == _JOINER or _FIRST_TAG <= letter <= _LAST_TAG:
        # Among emoji they are part of one sign; after a letter they hide.
        return last.isalnum()
    return letter not in _TURNING and _is_unseen(letter)


def _is_unseen(letter: str) -> bool:
    return letter in _UNSEEN or unicodedata.category(letter) in _UNSHOWN
