"""Running one SQL statement: the one place where the store's types meet the driver's."""

from collections.abc import Sequence
from typing import Any

import apsw


def run(connection: apsw.Connection, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run it to its end. Returns its rows; raises apsw.Error."""
    # The driver's own annotation of a value is not known to Python 3.11.
    driver: Any = connection
    rows: list[tuple[Any, ...]] = driver.execute(statement, values).fetchall()
    return rows


def number(connection: apsw.Connection, statement: str, values: Sequence[Any] = ()) -> int:
    """The one whole number that a query answers with. Raises apsw.Error, also when it is something else."""
    rows = run(connection, statement, values)
    if not rows or type(rows[0][0]) is not int:
        raise apsw.CorruptError(f"{statement} gave {rows[:1]!r}")
    return rows[0][0]
