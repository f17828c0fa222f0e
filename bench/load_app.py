"""The console over a load, as a program for a pseudo-terminal."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.load import LoadHermes
from console.app import run
from console.options import ConsoleOptions
from core.threaded import ThreadedHermes


def main() -> int:
    """Run until `q`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--rate", type=int, required=True, help="journal events a second")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--stats", type=Path, help="file for what the core's loop saw, one JSON line a second")
    chosen = parser.parse_args()
    load = LoadHermes(session_count=chosen.sessions, rate_per_s=chosen.rate, stats=chosen.stats)
    hermes = ThreadedHermes.start(load.open, name="load")
    options = ConsoleOptions(home=chosen.home, is_embedded=True, on_quit="stop")
    try:
        return run(lambda: hermes, options).exit_code
    finally:
        hermes.stop()


if __name__ == "__main__":
    sys.exit(main())
