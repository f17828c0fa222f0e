"""What a tool process said, of which head and tail are kept when it says too much (pure)."""

OUTPUT_LIMIT_BYTES = 262_144


class Output:
    """Bytes as they come in. limit_bytes: what is kept, half of it from the beginning and half from the end."""

    def __init__(self, limit_bytes: int = OUTPUT_LIMIT_BYTES) -> None:
        self._half = max(1, limit_bytes // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self._count = 0

    @property
    def is_cut(self) -> bool:
        """Whether something is missing."""
        return self._count > 2 * self._half

    def feed(self, data: bytes) -> None:
        """Take more."""
        self._count += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room < len(data) else b""
        # Not at every call: moving the tail along costs as much as it is long.
        if len(self._tail) > 4 * self._half:
            del self._tail[: -self._half]

    def text(self) -> str:
        """All of it, or head and tail with a line that says how much is missing. What is no UTF-8 is marked."""
        tail = self._tail[-self._half :]
        head, end = self._head.decode(errors="replace"), tail.decode(errors="replace")
        if not self.is_cut:
            return (self._head + tail).decode(errors="replace")
        return f"{head}{_gap(self._count - len(self._head) - len(tail), 'bytes')}{end}"


def shortened(text: str, limit: int) -> str:
    """A text of about `limit` characters at most: its head and its tail."""
    if len(text) <= limit:
        return text
    half = max(1, limit // 2)
    return f"{text[:half]}{_gap(len(text) - 2 * half, 'characters')}{text[-half:]}"


def _gap(count: int, what: str) -> str:
    return f"\n[... {count} {what} are not shown ...]\n"
