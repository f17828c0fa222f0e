"""Cores that do not come up, and what runs beside many sessions: nothing is left behind, nothing is mixed up."""

import asyncio
from pathlib import Path

import pytest

from core.api.errors import StoreError
from core.clock import SystemClock
from core.config import load
from core.home import prepare
from core.kernel import Kernel
from core.store import open_store
from core.store.base import Batch, Put
from tests.support.runtime_core import CONFIG


async def test_a_core_that_does_not_come_up_leaves_no_job_behind(tmp_path: Path) -> None:
    """Its store is closed and what it had begun is ended; the error names the row."""
    home = tmp_path / "home"

    def prepared() -> None:
        prepare(home)
        (home / "config.yaml").write_text(CONFIG)

    await asyncio.to_thread(prepared)
    store = await open_store("sqlite:core.db", home=home, clock=SystemClock())
    await store.commit(Batch([Put("approval/a1", b"no approval")]))
    await store.close()
    before = asyncio.all_tasks()
    config = await asyncio.to_thread(load, home, {})
    with pytest.raises(StoreError, match="approval/a1"):
        await Kernel.open(home, config)
    assert {job.get_name() for job in asyncio.all_tasks() - before} == set()
