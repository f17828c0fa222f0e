"""A hook that writes each event as a line of JSON to `hook-events.jsonl` in the home folder of the user.

Off by itself; `hooks: {on: [event_lines]}` in config.yaml switches it on. Begins anew at 10 MB and keeps one old file.
What people write is in it, so nobody else may read it.
"""

import json
import os
from pathlib import Path
from typing import Any

FILE = Path.home() / "hook-events.jsonl"
LIMIT_BYTES = 10_000_000


def handle(event_type: str, context: dict[str, Any]) -> None:
    """Write one line."""
    if FILE.exists() and FILE.stat().st_size > LIMIT_BYTES:
        FILE.replace(FILE.with_suffix(".jsonl.1"))
    with os.fdopen(os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as lines:
        lines.write(json.dumps({"event": event_type, "context": context}) + "\n")
