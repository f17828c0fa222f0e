"""Server-sent events from bytes, tolerantly and without I/O: what comes is cut anywhere and ends anyhow (pure)."""

import re

EVENT_LIMIT_BYTES = 8_388_608
_BREAK = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class SseTooLargeError(Exception):
    """One line or event is larger than the limit."""


class SseParser:
    """Feeds on bytes and gives the `data` of whole events. Comments and other fields are left out."""

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._rest = bytearray()
        self._looked_at = 0
        self._skips_lf = False
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._is_first_line = True

    def feed(self, chunk: bytes) -> list[str]:
        """Data of the events that are whole now. Raises SseTooLargeError."""
        if self._skips_lf and chunk:
            # The second half of a CR LF whose first half ended the chunk before.
            chunk = chunk.removeprefix(b"\n")
            self._skips_lf = False
        self._rest += chunk
        events: list[str] = []
        start = 0
        position = self._looked_at
        while found := _BREAK.search(self._rest, position):
            self._line(bytes(self._rest[start : found.start()]), events)
            start = position = found.end()
            self._skips_lf = found[0] == b"\r" and start == len(self._rest)
        del self._rest[:start]
        self._looked_at = len(self._rest)
        self._check(len(self._rest))
        return events

    def finish(self) -> list[str]:
        """What was left when the bytes ended; senders that forget the last empty line are forgiven."""
        events: list[str] = []
        rest = bytes(self._rest)
        self._rest.clear()
        self._looked_at = 0
        if rest:
            self._line(rest, events)
        self._dispatch(events)
        return events

    def _line(self, line: bytes, events: list[str]) -> None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BOM)
        self._check(len(line))
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._data_bytes += len(value) + 1
            self._check(self._data_bytes)

    def _dispatch(self, events: list[str]) -> None:
        if self._data:
            events.append(b"\n".join(self._data).decode(errors="replace"))
            self._data = []
            self._data_bytes = 0

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            raise SseTooLargeError(f"more than {self._limit_bytes} bytes in one event")
