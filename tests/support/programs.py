"""Programs that a test has started, directly or not."""

import asyncio
from pathlib import Path


async def ended(pid: int) -> None:
    """Return once a process has ended, also one that nobody has taken note of."""
    async with asyncio.timeout(20):
        while True:
            try:
                state = (await asyncio.to_thread(Path(f"/proc/{pid}/stat").read_text)).rpartition(")")[2].split()[0]
            except OSError:
                return
            if state == "Z":
                return
            await asyncio.sleep(0.01)
