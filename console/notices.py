"""Full-screen notices: the core did not start, the terminal is too small (pure)."""

from console import text
from console.mirror import Mirror
from core.api.errors import HermesError

Fact = tuple[str, str, str]

_TITLES = {
    "home_busy": "another core holds this home",
    "config": "the configuration cannot be used",
    "store": "the store cannot be opened",
    "unavailable": "no core can be reached",
}
_SHOWN_FIRST = ("file", "line", "key", "value", "path", "cause", "pid", "home", "fix")


def failure_fields(error: Exception) -> list[Fact]:
    """What stopped the core from starting: message, facts, the way out. Nothing of a stack."""
    if not isinstance(error, HermesError):
        words = text.clean(f"{type(error).__name__}: {error}")
        return [
            ("-- the core did not start", "", ""),
            ("error", text.redact(words), "failing"),
            ("", "this is a fault of the program; please report it", "quiet"),
            *_ways_out(),
        ]
    title = _TITLES.get(error.code, "the core did not start")
    facts: list[Fact] = [(f"-- {title}", "", ""), ("error", text.redact(text.clean(error.message)), "failing")]
    names = [name for name in _SHOWN_FIRST if name in error.facts]
    names += [name for name in error.facts if name not in _SHOWN_FIRST]
    for name in names:
        value = error.facts[name]
        if value is not None and value != "":
            tone = "strong" if name == "fix" else "plain"
            facts.append((text.clean(name), text.redact(text.clean(str(value))), tone))
    if error.code == "home_busy":
        facts.append(("or", "hermes-console attach  opens a screen on the core that runs", "strong"))
    return [*facts, *_ways_out()]


def _ways_out() -> list[Fact]:
    return [("", "", "plain"), ("r", "try again", "plain"), ("q", "leave", "plain")]


def size_fields(mirror: Mirror, width: int, height: int, least: tuple[int, int]) -> list[Fact]:
    """The terminal is too small; what needs a human is still said."""
    waiting, failed = len(mirror.open_approvals), mirror.counts["failed"]
    return [
        ("size", f"{width}x{height}", "plain"),
        ("needed", f"{least[0]}x{least[1]}", "strong"),
        ("waiting", f"{waiting} decisions", "needs" if waiting else "plain"),
        ("failed", f"{failed} sessions", "failing" if failed else "plain"),
    ]
