"""What a group of batches does to the tables, inside one transaction."""

from collections.abc import Sequence

import apsw

from core.store.base import Batch
from core.store.batch import Group
from core.store.sqlite_mail import write_mail
from core.store.sqlite_schema import DROP_ROWS, PUT_ENTRIES, PUT_ROWS, READ_REVISIONS, entry_crc, row_crc, strides
from core.store.sqlite_statement import run


def read_revisions(connection: apsw.Connection, batches: Sequence[Batch]) -> dict[str, int]:
    """Revisions of all rows that the batches want to change; a row that is not there is left out."""
    keys = list({put.key: None for batch in batches for put in batch.puts})
    found: dict[str, int] = {}
    for some in strides(keys):
        found.update((key, revision) for key, revision in run(connection, READ_REVISIONS[len(some)], some))
    return found


def write_group(connection: apsw.Connection, group: Group) -> None:
    """Rows, entries and mail. Raises apsw.Error."""
    _write_rows(connection, group)
    _write_entries(connection, group)
    write_mail(connection, group)


def _write_rows(connection: apsw.Connection, group: Group) -> None:
    gone: list[str] = []
    rows: list[tuple[str, int, bytes, int]] = []
    for key, (revision, body) in group.rows.items():
        if body is None:
            gone.append(key)
        else:
            rows.append((key, revision, body, row_crc(key.encode(), revision, body)))
    for keys in strides(gone):
        run(connection, DROP_ROWS[len(keys)], keys)
    for some in strides(rows):
        run(connection, PUT_ROWS[len(some)], [value for row in some for value in row])


def _write_entries(connection: apsw.Connection, group: Group) -> None:
    for some in strides(group.entries):
        values: list[int | str | bytes] = []
        for seq, subject, body in some:
            values += (seq, subject, body, entry_crc(seq, subject.encode(), body))
        run(connection, PUT_ENTRIES[len(some)], values)
