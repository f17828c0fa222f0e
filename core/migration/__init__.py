"""Taking over what another gateway has: read, planned, shown, and only then written."""

import os
from pathlib import Path

from core.api.errors import ConfigError
from core.api.processes import ImportView
from core.config import check
from core.home import prepare
from core.migration.hermes_home import HermesHome, read_home
from core.migration.plan import Here, Plan, planned
from core.migration.writing import unfit, written


def import_hermes(home: Path, source: Path, *, write: bool) -> ImportView:
    """What a Hermes home has to give, taken over when it is to be written. Blocks.

    Raises InvalidInput when there is no such home, ConfigError when ours cannot be used or written; then nothing is
    written. What is read is never changed.
    """
    there = read_home(source)
    if write:
        prepare(home)
    here = Here.of(home, check(home, os.environ))
    plan, problems = _fitting(home, there, here)
    changed = written(home, plan) if write else ()
    return ImportView(
        source=str(there.path),
        home=str(home),
        items=plan.items,
        problems=(*there.problems, *here.problems, *problems),
        is_written=write,
        written=changed,
        pairings=plan.pairings,
    )


def _fitting(home: Path, there: HermesHome, here: Here) -> tuple[Plan, tuple[str, ...]]:
    """What can be taken, without what could not be used here; and why nothing could be written at all."""
    known: dict[str, str] = {}
    while True:
        plan = planned(there, here, known)
        try:
            found = unfit(home, plan.config)
        except ConfigError as error:
            return plan, (error.message,)
        if found.keys() <= known.keys():
            return plan, tuple(found.values())
        known |= found


__all__ = ["import_hermes"]
