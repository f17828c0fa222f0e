"""The first frame: drawn without Textual, true about its age, taken back when the start fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyte
import pytest

from console.prepaint import COUNT_KEYS, FRAME_FILE, frame_lines, paint, save_frame, undo
from console.theme import DARK
from tests.support.pty_program import ROOT

COUNTS = {"sessions": 1204, "running": 18, "waiting": 3, "queued": 0, "failed": 1, "approvals": 2, "dead": 14, "odd": 1}


def _saved(home: Path) -> str:
    return (home / FRAME_FILE).read_text()


def test_a_frame_keeps_counts_only_and_is_private(tmp_path: Path) -> None:
    """No text from outside is kept; the file is readable for its owner alone."""
    save_frame(tmp_path, at=1_700_000_000.0, counts=COUNTS, theme=DARK)
    kept = json.loads(_saved(tmp_path))
    assert set(kept["counts"]) == set(COUNT_KEYS)
    assert set(kept["colours"]) == {"ground", "plain", "quiet"}
    assert (tmp_path / FRAME_FILE).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [FRAME_FILE]


def test_a_home_that_cannot_be_written_to_keeps_nothing(tmp_path: Path) -> None:
    """Saving is never a reason to fail."""
    save_frame(tmp_path / "missing", at=1.0, counts=COUNTS)
    assert not (tmp_path / "missing").exists()


def test_the_frame_shows_what_was_and_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of last time are marked with their time."""
    monkeypatch.setenv("TZ", "UTC")
    __import__("time").tzset()
    save_frame(tmp_path, at=1_700_000_000.0, counts=COUNTS)
    lines = frame_lines(_saved(tmp_path), 80)
    assert lines[0] == " HERMES  starting..."
    assert lines[1] == " overview" + "2 decisions open as of 22:13".rjust(70) + " "
    assert lines[4] == "  The core is starting."
    assert lines[6] == " sessions      1,204   18 run   3 wait   1 failed"
    assert lines[7] == " deliveries    14 dead"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{}",
        "not json",
        '{"at": "x", "counts": []}',
        '{"at": 1e400, "counts": {"sessions": -1, "running": "\x1b[2J", "dead": 1.5}}',
        '{"at": true, "counts": {"sessions": true}}',
        "\x00" * 100,
        '{"colours": {"ground": "#\x1b[2Jxx"}}',
    ],
)
def test_a_broken_frame_shows_nothing_untrue(frame: str) -> None:
    """Whatever is in the file, only numbers of ours are drawn."""
    lines = frame_lines(frame, 80)
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_without_a_terminal_nothing_is_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In a pipe the program says nothing before it has something to say."""
    assert paint(tmp_path) is False
    undo()
    assert capfd.readouterr() == ("", "")


PROGRAM = """
import os, sys
from console import prepaint
heavy = {"textual", "rich", "json", "re", "pathlib", "asyncio"} & set(sys.modules)
assert prepaint.paint(sys.argv[1]) is True
os.write(int(sys.argv[2]), ("heavy " + " ".join(sorted(heavy - set(sys.argv[3:]))) + "\\n").encode())
sys.stdin.readline()
prepaint.undo()
"""


def _run_on_terminal(
    home: Path, env: dict[str, str], *, rows: int = 24, columns: int = 80
) -> tuple[pyte.Screen, bytes, str]:
    """Run the program on a terminal; its screen while painted, all its bytes, and what it imported."""
    import fcntl
    import struct
    import termios

    before = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, check=True)
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    read_end, write_end = os.pipe()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(home), str(write_end), *before.stdout.decode().split()],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", "PYTHONUTF8": "1"} | env,
        pass_fds=(write_end,),
    )
    os.close(write_end)
    report = os.read(read_end, 4096).decode()
    os.close(read_end)
    data = os.read(master, 65536)
    screen = pyte.Screen(columns, rows)
    pyte.ByteStream(screen).feed(data)
    os.write(master, b"\n")
    assert program.wait(30) == 0
    os.close(slave)
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:
            break
        data += more
    os.close(master)
    return screen, data, report


def test_the_frame_is_drawn_without_anything_heavy_and_taken_back(tmp_path: Path) -> None:
    """On a real terminal: the layout of the Overview, no import of Textual or rich, and the terminal as it was."""
    save_frame(tmp_path, at=1_700_000_000.0, counts=COUNTS, theme=DARK)
    screen, data, report = _run_on_terminal(tmp_path, {"COLORTERM": "truecolor"})
    assert report.split() == ["heavy"]
    assert screen.display[0].startswith(" HERMES  starting...")
    assert "1,204" in screen.display[6]
    assert b"\x1b[48;2;18;22;28m\x1b[2J" in data
    assert data.startswith(b"\x1b[?1049h")
    assert data.rstrip().endswith(b"\x1b[0m\x1b[?25h\x1b[?1049l")


@pytest.mark.parametrize("env", [{"NO_COLOR": "1", "COLORTERM": "truecolor"}, {}])
def test_the_frame_has_no_colours_where_none_are_wanted(tmp_path: Path, env: dict[str, str]) -> None:
    """NO_COLOR, or a terminal that does not say that it has them."""
    save_frame(tmp_path, at=1_700_000_000.0, counts=COUNTS, theme=DARK)
    screen, data, _ = _run_on_terminal(tmp_path, env)
    assert b"8;2;" not in data
    assert "The core is starting." in screen.display[4]


def test_a_tiny_terminal_gets_one_line(tmp_path: Path) -> None:
    """What does not fit is left out."""
    screen, _, _ = _run_on_terminal(tmp_path, {}, rows=8, columns=40)
    assert [line.strip() for line in screen.display if line.strip()] == ["HERMES  starting..."]
