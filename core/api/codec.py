"""The vocabulary to and from tagged JSON, for the journal, the socket and the shell."""

from typing import Any, TypeVar, Union

import msgspec

from core.api import (
    access,
    approvals,
    bindings,
    breakers,
    chat_commands,
    chats,
    deliveries,
    hooks,
    jobs,
    mail,
    mailboxes,
    outboxes,
    pairings,
    platforms,
    policies,
    processes,
    profiles,
    relay_targets,
    relay_tasks,
    runs,
    session_orders,
    session_queue,
    sessions,
    streams,
    system,
    tasks,
    transcripts,
)
from core.api.base import Actor, Command, Event, Query, Record, Seq, View
from core.api.errors import InvalidInput

T = TypeVar("T")

_NOUNS = (
    sessions,
    session_queue,
    session_orders,
    transcripts,
    runs,
    tasks,
    streams,
    policies,
    approvals,
    access,
    pairings,
    deliveries,
    outboxes,
    breakers,
    bindings,
    relay_tasks,
    relay_targets,
    chats,
    platforms,
    chat_commands,
    profiles,
    mailboxes,
    mail,
    processes,
    hooks,
    jobs,
    system,
)


def _words(kind: type[Any]) -> tuple[type[Any], ...]:
    return tuple(
        item
        for noun in _NOUNS
        for item in vars(noun).values()
        if isinstance(item, type) and issubclass(item, kind) and item.__module__ == noun.__name__
    )


COMMANDS: tuple[type[Command[Any]], ...] = _words(Command)
QUERIES: tuple[type[Query[Any]], ...] = _words(Query)
EVENTS: tuple[type[Event], ...] = _words(Event)
VIEWS: tuple[type[View], ...] = _words(View)


def _union(types: tuple[type[Any], ...]) -> Any:
    return Union[types]


# A struct field typed with a base class is not decoded as the subclass that its tag
# names, so records and pages of records have a twin here whose event is the union.
_Line = msgspec.defstruct(
    "_Line",
    [
        ("seq", Seq),
        ("at", float),
        ("actor", Actor),
        ("subject", str),
        ("event", _union(EVENTS)),
        ("durable", bool, True),
        ("correlation", str, ""),
    ],
    frozen=True,
    tag="Record",
    forbid_unknown_fields=True,
)
_Page = msgspec.defstruct(
    "_Page",
    [("records", tuple[_Line, ...]), ("head", Seq), ("reached", Seq | None, None)],  # type: ignore[valid-type]
    frozen=True,
    tag="EventPage",
    forbid_unknown_fields=True,
)

_encoder = msgspec.json.Encoder()
_commands: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_union(COMMANDS))
_queries: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_union(QUERIES))
_events: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_union(EVENTS))
_views: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    _union((*(view for view in VIEWS if view is not system.EventPage), _Page))
)
_records: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Line)


def _decoded(decoder: msgspec.json.Decoder[T], line: bytes, what: str) -> T:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"not a {what}: {error}", field=what, fix="send a known, whole, tagged object") from error


def _record(line: Any) -> Record:
    return Record(
        seq=line.seq,
        at=line.at,
        actor=line.actor,
        subject=line.subject,
        event=line.event,
        durable=line.durable,
        correlation=line.correlation,
    )


def encode(word: object) -> bytes:
    """Any word of the facade, or a Record, as JSON without a line break."""
    return _encoder.encode(word)


def decode_command(line: bytes) -> Command[Any]:
    """A command. Raises InvalidInput when it is not one."""
    return _decoded(_commands, line, "command")


def decode_query(line: bytes) -> Query[Any]:
    """A query. Raises InvalidInput when it is not one."""
    return _decoded(_queries, line, "query")


def decode_event(line: bytes) -> Event:
    """An event. Raises InvalidInput when it is not one."""
    event: Event = _decoded(_events, line, "event")
    return event


def decode_view(line: bytes) -> View:
    """A view or receipt. Raises InvalidInput when it is not one."""
    found = _decoded(_views, line, "view")
    if isinstance(found, _Page):
        page: Any = found
        return system.EventPage(
            records=tuple(_record(item) for item in page.records), head=page.head, reached=page.reached
        )
    view: View = found
    return view


def decode_record(line: bytes) -> Record:
    """A record. Raises InvalidInput when it is not one."""
    return _record(_decoded(_records, line, "record"))
