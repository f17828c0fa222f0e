"""From exec to the first useful frame, to the first answered key, and from `q` to the end.

Paired with an empty Textual app of the same interpreter on the same kind of terminal. A frame is useful when it shows
counts; a program is interactive when a key that was pressed again and again since its first output has had its effect.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.pseudo_terminal import Program, python
from bench.report import Figure, median

EMPTY_APP = str(Path(__file__).with_name("empty_app.py"))
CONSOLE = [str(Path(sys.executable).with_name("hermes-console"))]
KEY_EVERY_S, DEADLINE_S = 0.02, 30.0
_CONFIG = "http: {port: 0}\nconsole: {on_quit: stop}\n"


def prepared_home(folder: Path) -> Path:
    """A home that has been used once, as on every day but the first."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "config.yaml").write_text(_CONFIG, encoding="utf-8")
    started(home)
    return home


def started(home: Path) -> tuple[float, float, float]:
    """One start of the console as its user types it, on that home."""
    named = {"HERMES_CONSOLE_HOME": str(home)}
    return start_s(CONSOLE, home.parent, named, first=counts, key="9", answered=events_shown)


def counts(text: str) -> bool:
    """Whether the counts of the overview are drawn."""
    return "sessions" in text.lower()


def events_shown(text: str) -> bool:
    """Whether the view of the journal is drawn."""
    return "follow on" in text


def start_s(
    argv: list[str],
    home: Path,
    named: dict[str, str],
    *,
    first: Callable[[str], bool],
    key: str,
    answered: Callable[[str], bool],
) -> tuple[float, float, float]:
    """Seconds to the first frame, to the first answered key, and from `q` to the end."""
    program = Program(argv, home, named=named)
    try:
        painted = program.until(first) - program.began
        text, pressed, now = "", float("-inf"), program.began
        while not answered(text):
            if program.elapsed_s() > DEADLINE_S:
                raise TimeoutError(f"no answer to {key!r}; last: {text[-600:]!r}")
            if program.elapsed_s() - pressed > KEY_EVERY_S:
                program.press(key)
                pressed = program.elapsed_s()
            piece, now = program.read(0.005)
            text += piece
        interactive = now - program.began
        program.drain(0.3)
        program.press("\x1b")
        program.drain(0.3)
        asked = program.press("q")
        ended = program.until_end(deadline_s=15.0) - asked
    finally:
        program.close()
    return painted, interactive, ended


def measure(*, is_short: bool) -> list[Figure]:
    """Ratios to the empty app, and the time to quit."""
    rounds = 2 if is_short else 15
    empty: list[tuple[float, float, float]] = []
    ours: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = prepared_home(folder)
        for _ in range(rounds):
            empty.append(
                start_s(
                    python(EMPTY_APP),
                    folder,
                    {},
                    first=lambda text: "first-paint" in text,
                    key="x",
                    answered=lambda text: "key-answered" in text,
                )
            )
            ours.append(started(home))
    pairs = list(zip(ours, empty, strict=True))
    first = median([mine[0] for mine, _ in pairs])
    paint = median([theirs[0] for _, theirs in pairs])
    ready = median([mine[1] for mine, _ in pairs])
    note = f"{rounds} pairs, median"
    return [
        Figure("empty Textual app, first paint", paint * 1e3, "ms", note=note),
        Figure("first useful frame", first * 1e3, "ms", note=note),
        Figure("first useful frame / empty app", median([m[0] / e[0] for m, e in pairs]), "x", target=0.25),
        Figure("first answered key, core embedded", ready * 1e3, "ms", note=note),
        Figure(
            "first answered key / empty app's first paint", median([m[1] / e[0] for m, e in pairs]), "x", target=1.7
        ),
        Figure("quit, core embedded", median([m[2] for m, _ in pairs]), "s", target=0.5),
    ]
