"""The attach protocol without any I/O: bytes to frames, the handshake, and the credit of a subscription.

A frame is four bytes of length, most significant first, and that many bytes of JSON. The
caller says Hello, the core says Welcome or Rejected; nothing else may come before. Then
requests and subscriptions go on side by side, each with a number chosen by the caller.
"""

from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from core.api.base import Actor, Seq
from core.api.errors import HermesError, Refused, Unavailable
from core.attach.failure import Failure, error_of, failure_of
from core.machine import Machine

PROTOCOL = 1
FRAME_LIMIT_BYTES = 32 * 1024 * 1024
GREETING_LIMIT_BYTES = 4096
CREDIT_LIMIT = 65_536

_LENGTH_BYTES = 4


class Frame(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """One thing that one side says to the other."""


class Hello(Frame, frozen=True):
    """The caller's first word. version: of the program, for people."""

    protocol: int
    version: str


class Execute(Frame, frozen=True):
    """A command."""

    id: int
    actor: Actor
    command: msgspec.Raw


class Ask(Frame, frozen=True):
    """A query."""

    id: int
    query: msgspec.Raw


class Subscribe(Frame, frozen=True):
    """Records after `after`, at most `credit` before more is granted."""

    id: int
    after: Seq
    credit: int


class Grant(Frame, frozen=True):
    """More credit for a subscription."""

    id: int
    credit: int


class Unsubscribe(Frame, frozen=True):
    """The end of a subscription, wished by the caller."""

    id: int


class Ping(Frame, frozen=True):
    """A question whether anybody is there."""

    id: int


class Welcome(Frame, frozen=True):
    """The core's first word."""

    protocol: int
    version: str


class Rejected(Frame, frozen=True):
    """The core's only word to a caller that it will not serve."""

    failure: Failure


class Answer(Frame, frozen=True):
    """A receipt or view."""

    id: int
    view: msgspec.Raw


class Failed(Frame, frozen=True):
    """A request that ended in an error."""

    id: int
    failure: Failure


class Told(Frame, frozen=True):
    """One record of a subscription; takes one of its credit."""

    id: int
    record: msgspec.Raw


class Ended(Frame, frozen=True):
    """The end of a subscription, and why."""

    id: int
    failure: Failure


class Pong(Frame, frozen=True):
    """Somebody is there."""

    id: int


class Draining(Frame, frozen=True):
    """The core is about to stop: what runs is answered, nothing new is taken."""


CallerFrame = Hello | Execute | Ask | Subscribe | Grant | Unsubscribe | Ping
CoreFrame = Welcome | Rejected | Answer | Failed | Told | Ended | Pong | Draining


class AttachState(StrEnum):
    """Where a connection is."""

    HELLO = "hello"
    READY = "ready"
    DRAINING = "draining"
    CLOSED = "closed"


class AttachEvent(StrEnum):
    """What moves a connection on."""

    GREETED = "greeted"
    DRAIN = "drain"
    CLOSE = "close"


ATTACH = Machine(
    "attach",
    AttachState,
    {
        AttachState.HELLO: {AttachEvent.GREETED: AttachState.READY, AttachEvent.CLOSE: AttachState.CLOSED},
        AttachState.READY: {AttachEvent.DRAIN: AttachState.DRAINING, AttachEvent.CLOSE: AttachState.CLOSED},
        AttachState.DRAINING: {AttachEvent.CLOSE: AttachState.CLOSED},
        AttachState.CLOSED: {},
    },
)

_encoder = msgspec.json.Encoder()
_caller_frames: msgspec.json.Decoder[CallerFrame] = msgspec.json.Decoder(CallerFrame)
_core_frames: msgspec.json.Decoder[CoreFrame] = msgspec.json.Decoder(CoreFrame)

F = TypeVar("F", bound=Frame)


def packed(frame: Frame) -> bytes:
    """A frame as bytes. Raises Refused when it is larger than the other side takes."""
    body = _encoder.encode(frame)
    if len(body) > FRAME_LIMIT_BYTES:
        raise Refused(
            f"{len(body)} bytes are more than the {FRAME_LIMIT_BYTES} that fit; ask for less at a time",
            rule="frame_limit",
            fix="use a smaller limit",
        )
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class _Wire(Generic[F]):
    """What both sides share: cutting bytes into frames, and the state.

    Whatever comes in, nothing is raised: what cannot be understood closes the connection,
    and `fault` says why.
    """

    def __init__(self, decoder: "msgspec.json.Decoder[F]", version: str) -> None:
        self.state = AttachState.HELLO
        self.fault: HermesError | None = None
        self.peer_version = ""
        self._decoder = decoder
        self._version = version
        self._held = bytearray()
        self._outgoing = bytearray()

    @property
    def is_open(self) -> bool:
        """Whether frames may still go to and fro."""
        return self.state in {AttachState.READY, AttachState.DRAINING}

    def receive(self, received: bytes) -> list[F]:
        """Take in bytes, cut anywhere; returns the whole frames that came after the greeting."""
        self._held += received
        frames: list[F] = []
        while self.state is not AttachState.CLOSED and (body := self._next_body()) is not None:
            try:
                frame = self._decoder.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self.close(Unavailable("the other side does not speak the attach protocol", fix="restart the core"))
                break
            if self.state is AttachState.HELLO:
                self.greet(frame)
            elif self.take(frame):
                frames.append(frame)
        if self.state is AttachState.CLOSED:
            self._held.clear()
        return frames

    def send(self, frame: Frame) -> None:
        """Put a frame among the outgoing bytes; on a closed connection it is let go."""
        if self.state is not AttachState.CLOSED:
            self._outgoing += packed(frame)

    @property
    def outgoing_bytes(self) -> int:
        """How many bytes wait to be sent."""
        return len(self._outgoing)

    def outgoing(self) -> bytes:
        """The bytes to send since the last call."""
        ready = bytes(self._outgoing)
        self._outgoing.clear()
        return ready

    def close(self, fault: HermesError | None = None) -> None:
        """End the connection; bytes that are outgoing may still be sent. The first fault stays."""
        if self.state is not AttachState.CLOSED:
            self.state = ATTACH.step(self.state, AttachEvent.CLOSE)
            self.fault = fault

    def greet(self, frame: F) -> None:
        """The first frame of the other side."""
        raise AssertionError(frame)

    def take(self, frame: F) -> bool:
        """A frame after the greeting: whether it is one for the shell."""
        raise AssertionError(frame)

    def _next_body(self) -> bytes | None:
        if len(self._held) < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._held[:_LENGTH_BYTES], "big")
        limit = GREETING_LIMIT_BYTES if self.state is AttachState.HELLO else FRAME_LIMIT_BYTES
        if length > limit:
            self.close(Unavailable(f"a frame of {length} bytes is too large", limit=limit))
            return None
        if len(self._held) < _LENGTH_BYTES + length:
            return None
        body = bytes(self._held[_LENGTH_BYTES : _LENGTH_BYTES + length])
        del self._held[: _LENGTH_BYTES + length]
        return body


class CoreWire(_Wire[CallerFrame]):
    """The core's side of a connection."""

    def __init__(self, version: str) -> None:
        super().__init__(_caller_frames, version)

    def greet(self, frame: CallerFrame) -> None:
        """Welcome a caller of the same protocol, reject any other."""
        if not isinstance(frame, Hello):
            self.reject(Refused("a connection begins with Hello", rule="hello"))
        elif frame.protocol != PROTOCOL:
            self.reject(mismatch(core=(PROTOCOL, self._version), console=(frame.protocol, frame.version)))
        else:
            self.peer_version = frame.version
            self.state = ATTACH.step(self.state, AttachEvent.GREETED)
            self.send(Welcome(PROTOCOL, self._version))

    def take(self, frame: CallerFrame) -> bool:
        """Pings are answered here; a second Hello ends the connection."""
        if isinstance(frame, Ping):
            self.send(Pong(frame.id))
            return False
        if isinstance(frame, Hello):
            self.close(Refused("Hello was said already", rule="hello"))
            return False
        return True

    def reject(self, error: HermesError) -> None:
        """Say why this caller is not served, and close."""
        self.send(Rejected(failure_of(error)))
        self.close(error)

    def drain(self) -> None:
        """Tell the caller that the core is about to stop."""
        if self.state is AttachState.READY:
            self.state = ATTACH.step(self.state, AttachEvent.DRAIN)
            self.send(Draining())


class CallerWire(_Wire[CoreFrame]):
    """The caller's side of a connection. Says Hello by itself."""

    def __init__(self, version: str) -> None:
        super().__init__(_core_frames, version)
        self.send(Hello(PROTOCOL, version))

    def greet(self, frame: CoreFrame) -> None:
        """Welcome opens the connection; anything else ends it."""
        if isinstance(frame, Rejected):
            self.close(error_of(frame.failure))
        elif not isinstance(frame, Welcome):
            self.close(Refused("a core answers Hello with Welcome", rule="hello"))
        elif frame.protocol != PROTOCOL:
            self.close(mismatch(core=(frame.protocol, frame.version), console=(PROTOCOL, self._version)))
        else:
            self.peer_version = frame.version
            self.state = ATTACH.step(self.state, AttachEvent.GREETED)

    def take(self, frame: CoreFrame) -> bool:
        """Draining changes the state; a second greeting ends the connection."""
        if isinstance(frame, Draining):
            if self.state is AttachState.READY:
                self.state = ATTACH.step(self.state, AttachEvent.DRAIN)
            return False
        if isinstance(frame, Welcome | Rejected):
            self.close(Refused("the core greeted twice", rule="hello"))
            return False
        return not isinstance(frame, Pong)


class Credit:
    """How many records may still be sent. Both sides count, so that neither has to trust the other."""

    def __init__(self, granted: int) -> None:
        self.left = 0
        self.grant(granted)

    def grant(self, more: int) -> None:
        """Allow more records. Raises Refused for an amount that cannot be."""
        if not 1 <= more <= CREDIT_LIMIT or self.left + more > CREDIT_LIMIT:
            raise Refused(f"credit must be 1 to {CREDIT_LIMIT} in all", rule="credit")
        self.left += more

    def spend(self) -> None:
        """Account for one record. Raises Refused when there was no credit for it."""
        if self.left < 1:
            raise Refused("a record came without credit", rule="credit")
        self.left -= 1


def mismatch(*, core: tuple[int, str], console: tuple[int, str]) -> Refused:
    """The error for two programs that cannot understand each other. Each: protocol and program version."""
    return Refused(
        f"the core speaks attach protocol {core[0]} (version {core[1]}), this console {console[0]} "
        f"(version {console[1]})",
        rule="protocol",
        fix="run the same version on both sides; restart the core after an update",
    )


def raw(word: bytes) -> msgspec.Raw:
    """An encoded word, to be put into a frame as it is."""
    return msgspec.Raw(word)


def raw_bytes(word: Any) -> bytes:
    """The encoded word that came in a frame."""
    return bytes(word)
