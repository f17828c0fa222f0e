"""Runs every measurement and prints one table; with --record also writes it to docs/performance.md."""

import argparse
import importlib
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.report import ALL, MAIL, RELAY, Figure, as_markdown, record

PARTS = ("startup", "keys", "stall", "table", "gateway", "access", "outbox", "relay", "agents", "mailbox")
OWN_TABLES = {"mailbox": MAIL, "relay": RELAY}
"""Parts with a table of their own on the page, which can be recorded by themselves."""


def main() -> int:
    """Exit code 1 when a measurement could not be taken; a missed target is shown and does not fail the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument(
        "--short", action="store_true", help="few and small runs: shows that everything can be measured"
    )
    parser.add_argument(
        "--record", action="store_true", help="write what was measured whole to docs/performance.md, table by table"
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    tables: dict[str, list[Figure]] = {}
    failed: list[str] = []
    for name in options.parts or PARTS:
        began = time.monotonic()
        print(f"measuring {name} ...", end=" ", file=sys.stderr, flush=True)
        try:
            found = importlib.import_module(f"bench.{name}").measure(is_short=options.short)
            tables.setdefault(OWN_TABLES.get(name, ALL), []).extend(found)
        except Exception as error:  # noqa: BLE001 - one part that cannot be measured leaves the others standing
            failed.append(f"{name}: {type(error).__name__}: {error}")
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    print(machine + (", short form" if options.short else ""))
    figures = [figure for table in tables.values() for figure in table]
    print(as_markdown(figures))
    for line in failed:
        print(f"not measured: {line}")
    if options.record and not options.short and not failed:
        for table, measured in tables.items():
            if table is not ALL or not options.parts:
                record(measured, f"{machine}, {time.strftime('%Y-%m-%d')}", table)
    print(f"{len(figures)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
