"""The attach protocol under any cut and any garbage."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.api.base import Actor, ActorKind, Seq
from core.api.codec import encode
from core.api.errors import Refused
from core.api.system import GetHealth, Shutdown
from core.attach.failure import Failure
from core.attach.frames import (
    CREDIT_LIMIT,
    PROTOCOL,
    Answer,
    Ask,
    AttachState,
    CallerWire,
    CoreWire,
    Credit,
    Ended,
    Execute,
    Failed,
    Frame,
    Grant,
    Hello,
    Ping,
    Subscribe,
    Told,
    Unsubscribe,
    packed,
    raw,
    raw_bytes,
)

NUMBERS = st.integers(0, 2**31)
FACTS = st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.text(max_size=5), max_size=2)
CALLER_FRAMES = st.one_of(
    st.builds(Execute, NUMBERS, st.just(Actor(ActorKind.OPERATOR, "ana")), st.just(raw(encode(Shutdown())))),
    st.builds(Ask, NUMBERS, st.just(raw(encode(GetHealth())))),
    st.builds(Subscribe, NUMBERS, NUMBERS.map(Seq), st.integers(1, 100)),
    st.builds(Grant, NUMBERS, st.integers(1, 100)),
    st.builds(Unsubscribe, NUMBERS),
)
FAILURES = st.builds(Failure, st.sampled_from(["invalid", "new"]), st.text(max_size=20), FACTS)
CORE_FRAMES = st.one_of(
    st.builds(Answer, NUMBERS, st.just(raw(b'{"type":"X","n":[1,2]}'))),
    st.builds(Failed, NUMBERS, FAILURES),
    st.builds(Told, NUMBERS, st.just(raw(b"{}"))),
    st.builds(Ended, NUMBERS, FAILURES),
)


def cut(body: bytes, places: list[int]) -> list[bytes]:
    """The bytes in pieces, cut at those places."""
    marks = sorted({place % (len(body) + 1) for place in places})
    return [body[start:end] for start, end in zip([0, *marks], [*marks, len(body)], strict=True)]


def plain(frames: list[Any]) -> list[Any]:
    """Frames in a form that can be compared: an encoded word inside as its bytes."""
    return [
        (type(frame), *(raw_bytes(value) if type(value).__name__ == "Raw" else value for value in values_of(frame)))
        for frame in frames
    ]


def values_of(frame: Frame) -> list[Any]:
    """The fields of a frame."""
    return [getattr(frame, name) for name in frame.__struct_fields__]


def opened() -> tuple[CallerWire, CoreWire]:
    """Two sides that have greeted each other."""
    caller, core = CallerWire("0.1.0"), CoreWire("0.2.0")
    assert core.receive(caller.outgoing()) == []
    assert caller.receive(core.outgoing()) == []
    return caller, core


@given(st.lists(CALLER_FRAMES, max_size=8), st.lists(st.integers(0, 4000), max_size=12))
def test_frames_arrive_whole_however_the_bytes_are_cut(frames: list[Frame], places: list[int]) -> None:
    """From the caller, its Hello included: same frames, same order, nothing left over."""
    caller, core = CallerWire("0.1.0"), CoreWire("0.2.0")
    for frame in frames:
        caller.send(frame)
    received = [frame for piece in cut(caller.outgoing(), places) for frame in core.receive(piece)]
    assert plain(list(received)) == plain(list(frames))
    assert (core.state, core.fault, core.peer_version) == (AttachState.READY, None, "0.1.0")


@given(st.lists(CORE_FRAMES, max_size=8), st.lists(st.integers(0, 4000), max_size=12))
def test_answers_arrive_whole_however_the_bytes_are_cut(frames: list[Frame], places: list[int]) -> None:
    """The same on the way back."""
    caller, core = opened()
    for frame in frames:
        core.send(frame)
    received = [frame for piece in cut(core.outgoing(), places) for frame in caller.receive(piece)]
    assert plain(list(received)) == plain(list(frames))


@given(st.binary(max_size=300), st.booleans(), st.booleans(), st.integers(0, 300))
def test_garbage_never_raises_and_at_most_closes(garbage: bytes, is_greeted: bool, frame_it: bool, cut_at: int) -> None:
    """On either side, before and after the greeting, framed or not: no exception, and a closed wire stays closed."""
    sides: list[Any] = list(opened()) if is_greeted else [CallerWire("1"), CoreWire("1")]
    sent = len(garbage).to_bytes(4, "big") + garbage if frame_it else garbage
    for side in sides:
        for piece in (sent[:cut_at], sent[cut_at:]):
            assert all(isinstance(frame, Frame) for frame in side.receive(piece))
        if side.state is AttachState.CLOSED:
            assert side.fault is not None
            assert side.receive(packed(Ping(1))) == []


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=5), st.lists(CALLER_FRAMES))
def test_flipped_bytes_never_raise(flips: list[tuple[int, int]], frames: list[Frame]) -> None:
    """A damaged stream is understood, or closes the connection."""
    caller, core = CallerWire("0.1.0"), CoreWire("0.2.0")
    for frame in frames:
        caller.send(frame)
    body = bytearray(caller.outgoing())
    for place, value in flips:
        body[place % len(body)] ^= value
    core.receive(bytes(body))
    assert core.state in AttachState


def test_deep_nesting_closes_and_nothing_more() -> None:
    """JSON that would exhaust a recursive parser is garbage like any other."""
    _, core = opened()
    body = b'{"type":"Ask","id":1,"query":' + b"[" * 1_000_000
    assert core.receive(len(body).to_bytes(4, "big") + body) == []
    assert core.state is AttachState.CLOSED


@given(st.integers(0, 100).filter(lambda number: number != PROTOCOL), st.text(max_size=20))
def test_another_protocol_is_rejected_with_both_named(protocol: int, version: str) -> None:
    """The caller gets the same error that the core has."""
    caller, core = CallerWire("0.1.0"), CoreWire("0.2.0")
    core.receive(packed(Hello(protocol, version)))
    caller.receive(core.outgoing())
    assert (core.state, caller.state) == (AttachState.CLOSED, AttachState.CLOSED)
    assert isinstance(caller.fault, Refused)
    assert caller.fault.facts["rule"] == "protocol"
    assert str(protocol) in caller.fault.message


class WireMachine(RuleBasedStateMachine):
    """Both sides in any order of acts: no frame before the greeting, none after the end, no record without credit."""

    def __init__(self) -> None:
        super().__init__()
        self.caller, self.core = CallerWire("1"), CoreWire("1")
        self.to_core, self.to_caller = b"", b""
        self.credit = Credit(3)
        self.told = 0
        self.granted = 3

    @rule()
    def carry_to_core(self) -> None:
        """Bytes travel."""
        for frame in self.core.receive(self.caller.outgoing()):
            assert self.core.is_open
            assert not isinstance(frame, Hello | Ping)

    @rule()
    def carry_to_caller(self) -> None:
        """Bytes travel back."""
        for frame in self.caller.receive(self.core.outgoing()):
            assert self.caller.is_open
            assert isinstance(frame, Answer | Told)

    @precondition(lambda self: self.caller.is_open)
    @rule()
    def ask(self) -> None:
        """A request and a sign of life."""
        self.caller.send(Ask(1, raw(b"{}")))
        self.caller.send(Ping(2))

    @precondition(lambda self: self.core.is_open)
    @rule()
    def tell(self) -> None:
        """A record, when there is credit."""
        if self.credit.left:
            self.credit.spend()
            self.told += 1
            self.core.send(Told(1, raw(b"{}")))

    @rule(more=st.integers(-2, CREDIT_LIMIT))
    def grant(self, more: int) -> None:
        """More credit, or an amount that cannot be."""
        try:
            self.credit.grant(more)
        except Refused:
            assert more < 1 or self.credit.left + more > CREDIT_LIMIT
        else:
            self.granted += more

    @rule()
    def drain(self) -> None:
        """The core is about to stop."""
        self.core.drain()

    @precondition(lambda self: self.told > 5)
    @rule()
    def close(self) -> None:
        """The core closes."""
        self.core.close()

    @invariant()
    def never_more_than_granted(self) -> None:
        """Records told and credit left add up."""
        assert self.told + self.credit.left == self.granted


TestWireMachine = WireMachine.TestCase
