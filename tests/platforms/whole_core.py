"""A whole core with an agent that says what it was told, in a home of its own, with connections of a test."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from core.api.platforms import ListPlatforms, PlatformView
from core.home import prepare
from core.host import open_core
from core.kernel import Kernel

_CONFIG = """
http: {enabled: false}
agents:
  main: {runner: scripted, scenario: builtin:echo, pace: 0}
deliveries: {base_s: 0.2, cap_s: 2}
core: {drain_s: 5}
sessions: {burst_s: 0}
platforms:
"""


@asynccontextmanager
async def whole_core(home: Path, platforms: str, secrets: Mapping[str, str]) -> AsyncIterator[Kernel]:
    """The core, for as long as the block lasts. platforms: YAML of that section, set in by two spaces; secrets: texts
    of files below `secrets` by name, `file:secrets/NAME` in the configuration.
    """
    await asyncio.to_thread(_prepared, home, platforms, secrets)
    kernel = await open_core(home)
    try:
        yield kernel
    finally:
        await kernel.stop(2, "the test is over")


async def view_of(kernel: Kernel, name: str) -> PlatformView:
    """A connection as an operator sees it."""
    found = await kernel.query(ListPlatforms())
    return next(view for view in found.platforms if view.name == name)


def _prepared(home: Path, platforms: str, secrets: Mapping[str, str]) -> None:
    prepare(home)
    (home / "config.yaml").write_text(_CONFIG + platforms)
    for name, text in secrets.items():
        file = home / "secrets" / name
        file.write_text(text)
        file.chmod(0o600)
