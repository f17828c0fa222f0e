"""The Matrix adapter and a homeserver that refuses, lies, or sends what is no event: run() ends in order or goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.errors import ConfigError
from core.clock import SystemClock
from core.gateway.adapters.matrix import create
from core.gateway.adapters.matrix_events import read
from core.gateway.adapters.matrix_rooms import Room, inbound_of, joins
from core.gateway.platform import PlatformContext, PlatformError, PlatformErrorKind
from core.ids import IdSource
from core.platform_settings import MatrixSettings
from core.secrets import Secret
from tests.support.fake_matrix import MatrixFault
from tests.support.no_http import NoHttp
from tests.support.platform_rig import NAME, RigInbox, outbound, running
from tests.support.rig_matrix import ANA, BOT, FakeMatrixRig, matrix_rig

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    *("type", "sender", "event_id", "content", "state_key", "m.relates_to", "rel_type", "key", "m.in_reply_to", "body"),
    *(
        "msgtype",
        "m.new_content",
        "m.mentions",
        "user_ids",
        "url",
        "info",
        "size",
        "filename",
        "unsigned",
        "membership",
    ),
)
WORDS = st.sampled_from(
    [
        "m.room.message",
        "m.reaction",
        "m.replace",
        "m.thread",
        "m.annotation",
        "$e",
        "@a:b",
        "m.image",
        "mxc://a/b",
        "> x\n\ny",
    ]
)
EVENTS = st.recursive(
    ANYTHING | WORDS, lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=8), max_leaves=30
)


@pytest.fixture
async def rig() -> AsyncIterator[FakeMatrixRig]:
    """The bot and Ana at the fake homeserver."""
    async with matrix_rig() as found:
        yield found


@given(EVENTS)
def test_whatever_comes_as_an_event_is_read_or_left(event: Any) -> None:
    """No shape of it raises, and what is read can be handed in."""
    room = Room("!r")
    if isinstance(event, dict):
        room.apply(event)
        found = read(event)
        if found is not None and hasattr(found, "files"):
            inbound_of(NAME, room, found, None, BOT)


HOSTILE_EVENTS: tuple[Any, ...] = (
    None,
    17,
    [],
    {},
    {"type": "m.room.message"},
    {"type": "m.room.message", "event_id": "$x", "sender": 5, "content": {"body": "x"}},
    {"type": "m.room.message", "event_id": "$x1", "sender": ANA, "content": "x"},
    {"type": "m.room.message", "event_id": "$x2", "sender": ANA, "content": {"msgtype": [], "body": {}}},
    {"type": "m.room.message", "event_id": "$x3" * 1000, "sender": ANA, "content": {"body": "long id"}},
    {"type": "m.room.message", "event_id": "$x4", "sender": ANA, "content": {"msgtype": "m.image", "url": "http://x/"}},
    {
        "type": "m.room.message",
        "event_id": "$x5",
        "sender": ANA,
        "content": {"m.relates_to": {"rel_type": "m.replace"}},
    },
    {"type": "m.reaction", "event_id": "$x6", "sender": ANA, "content": {"m.relates_to": {"event_id": 3, "key": "x"}}},
    {"type": "m.room.member", "event_id": "$x7", "sender": ANA, "state_key": 3, "content": {"membership": []}},
    {"type": "m.room.name", "event_id": "$x8", "sender": ANA, "state_key": "", "content": {"name": {"a": 1}}},
)


async def test_events_that_are_none_hold_nothing_up(rig: FakeMatrixRig) -> None:
    """What comes after them comes in."""
    inbox = RigInbox()
    room = rig.server.rooms[rig.room_id]
    async with running(rig.platform, inbox):
        await rig.say("before")
        await inbox.until(lambda: bool(inbox.received))
        for event in HOSTILE_EVENTS:
            room.places.append(len(rig.server.log))
            rig.server.log.append(event)
        await rig.say("after")
        await inbox.until(lambda: "after" in inbox.texts)
    assert inbox.texts[0] == "before"
    assert inbox.texts[-1] == "after"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"[]",
        b"null",
        b'{"next_batch": 7}',
        b'{"rooms": 5}',
        b"\xff\xfe\x00",
        b"[" * 200_000,
    ],
)
async def test_an_answer_that_is_no_batch_ends_the_run_in_order(rig: FakeMatrixRig, body: bytes) -> None:
    """The same is asked for again after a while; nothing is kept as if it had been read."""
    inbox = RigInbox()
    rig.server.sync_answers.append(httpx.Response(200, content=body))
    async with running(rig.platform, inbox, must_stand=False) as run:
        assert (await run.failure()).kind is PlatformErrorKind.RETRY_AFTER
    assert inbox.kept_cursor == ""


@pytest.mark.parametrize(
    "rooms",
    [
        5,
        {"join": []},
        {"join": {"!x": 5}},
        {"join": {"!x": {"timeline": []}}},
        {"join": {"": {"timeline": {"events": [{}]}}}},
        {"join": {"\ud800": {"timeline": {"events": [{}]}}}},
        {"join": {"!x": {"timeline": {"limited": True, "prev_batch": {}, "events": ["a"]}}}},
        {"invite": {"!x": {"invite_state": {"events": "no"}}}},
        {"invite": {"!x": None}},
        {"leave": {"!x": None, "\ud800": 1}},
    ],
)
async def test_a_batch_of_wrong_types_is_passed_over(rig: FakeMatrixRig, rooms: Any) -> None:
    """Reading goes on behind it."""
    inbox = RigInbox()
    inbox.kept_cursor = '{"since": "s0"}'
    body = json.dumps({"next_batch": f"s{len(rig.server.log)}", "rooms": rooms}).encode()
    rig.server.sync_answers.append(httpx.Response(200, content=body))
    async with running(rig.platform, inbox):
        await rig.say("after")
        await inbox.until(lambda: bool(inbox.received))
    assert inbox.texts == ["after"]


@pytest.mark.parametrize(
    ("fault", "kind", "wait_s"),
    [
        (MatrixFault(429, "M_LIMIT_EXCEEDED", retry_after_ms=1500), PlatformErrorKind.RETRY_AFTER, 1.5),
        (MatrixFault(429, "M_LIMIT_EXCEEDED"), PlatformErrorKind.RETRY_AFTER, None),
        (MatrixFault(429, "M_LIMIT_EXCEEDED", retry_after_ms="soon"), PlatformErrorKind.RETRY_AFTER, None),
        (MatrixFault(429, "M_LIMIT_EXCEEDED", retry_after_ms=-5), PlatformErrorKind.RETRY_AFTER, 0.0),
        (MatrixFault(429, "M_LIMIT_EXCEEDED", retry_after_ms=1e300), PlatformErrorKind.RETRY_AFTER, 86_400.0),
        (MatrixFault(401, "M_UNKNOWN_TOKEN", soft_logout=True), PlatformErrorKind.UNAUTHORISED, None),
        (MatrixFault(401, "M_MISSING_TOKEN"), PlatformErrorKind.UNAUTHORISED, None),
        (MatrixFault(403, "M_USER_DEACTIVATED"), PlatformErrorKind.UNAUTHORISED, None),
        (MatrixFault(403, "M_FORBIDDEN"), PlatformErrorKind.REFUSED, None),
        (MatrixFault(404, "M_NOT_FOUND"), PlatformErrorKind.GONE, None),
        (MatrixFault(413, "M_TOO_LARGE"), PlatformErrorKind.REFUSED, None),
        (MatrixFault(400, "M_BAD_JSON"), PlatformErrorKind.REFUSED, None),
        (MatrixFault(500, "M_UNKNOWN"), PlatformErrorKind.RETRY_AFTER, None),
        (MatrixFault(404, ""), PlatformErrorKind.RETRY_AFTER, None),
        (MatrixFault(403, ""), PlatformErrorKind.RETRY_AFTER, None),
        (MatrixFault(418, "ORG_SOMETHING"), PlatformErrorKind.REFUSED, None),
    ],
)
async def test_a_refusal_is_one_of_four_kinds(
    rig: FakeMatrixRig, fault: MatrixFault, kind: PlatformErrorKind, wait_s: float | None
) -> None:
    """By the server's own word; without one nothing is known of the chat, and it is tried again."""
    rig.server.faults.append(fault)
    with pytest.raises(PlatformError) as caught:
        await rig.platform.send(outbound(rig, "text", 1))
    assert (caught.value.kind, caught.value.retry_after_s) == (kind, wait_s)
    assert "token-" not in caught.value.message


async def test_a_server_that_quotes_the_token_does_not_make_it_known(rig: FakeMatrixRig) -> None:
    """Its words are masked."""
    token = next(token for token, user in rig.server.tokens.items() if user == BOT)
    fault = MatrixFault(403, "M_FORBIDDEN")
    fault.answer = httpx.Response(403, json={"errcode": "M_FORBIDDEN", "error": f"no {token}\nno"})
    rig.server.faults.append(fault)
    with pytest.raises(PlatformError) as caught:
        await rig.platform.send(outbound(rig, "text", 1))
    assert caught.value.message.endswith("M_FORBIDDEN no *** no")


async def test_the_token_of_another_account_is_a_fault_of_the_configuration(rig: FakeMatrixRig) -> None:
    """Trying again cannot help."""
    rig.server.tokens = dict.fromkeys(rig.server.tokens, ANA)
    with pytest.raises(ConfigError) as caught:
        await rig.platform.run(RigInbox())
    assert caught.value.facts["key"] == "user_id"


@pytest.mark.parametrize("cursor", ["", "nonsense", "[]", '{"since": 5}', '{"since": "s0", "encrypted": 7}', "\ud800"])
async def test_a_cursor_that_cannot_be_read_begins_anew(rig: FakeMatrixRig, cursor: str) -> None:
    """Old messages stay old."""
    await rig.say("old")
    inbox = RigInbox()
    inbox.kept_cursor = cursor
    async with running(rig.platform, inbox):
        await inbox.until(lambda: inbox.kept_cursor != cursor)
        await rig.say("new")
        await inbox.until(lambda: bool(inbox.received))
    assert inbox.texts == ["new"]


async def test_nobody_changes_what_another_one_said(rig: FakeMatrixRig) -> None:
    """A correction by somebody else is left out, though the server lets it through."""
    inbox = RigInbox()
    room = rig.server.rooms[rig.room_id]
    async with running(rig.platform, inbox):
        native_id = await rig.say("mine")
        await inbox.until(lambda: bool(inbox.received))
        content = {
            "body": "* theirs",
            "m.new_content": {"body": "theirs"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": native_id},
        }
        rig.server.append(room, "@eve:test.local", "m.room.message", content)
        await rig.correct(native_id, "still mine")
        await inbox.until(lambda: bool(inbox.edits))
    assert [edit.text for edit in inbox.edits] == ["still mine"]


@pytest.mark.parametrize("given", [{}, {"token": "env:T", "password": "env:P"}])
def test_an_account_has_a_token_or_a_password(given: dict[str, str]) -> None:
    """Not both, not neither."""
    clock = SystemClock()
    context = PlatformContext(clock=clock, ids=IdSource(clock), http=NoHttp(), secret=lambda _: Secret("x"))
    settings = MatrixSettings(homeserver="http://h", user_id=BOT, **given)
    with pytest.raises(ConfigError, match="either token or password"):
        create(NAME, settings, context)


@pytest.mark.parametrize(
    ("policy", "listed", "direct"),
    [("none", False, False), ("allowed", True, False), ("direct", True, True), ("all", True, True)],
)
def test_invitations_are_followed_as_configured(policy: Any, listed: bool, direct: bool) -> None:
    """Of who is listed, into direct chats, and of strangers into groups."""
    settings = MatrixSettings(homeserver="http://h", user_id=BOT, auto_join=policy, admins=("@boss:x",))
    assert joins(settings, "@boss:x", is_direct=False) is listed
    assert joins(settings, ANA, is_direct=True) is direct
    assert joins(settings, ANA, is_direct=False) is (policy == "all")


async def test_many_rooms_at_once_are_all_heard(rig: FakeMatrixRig) -> None:
    """One of them that cannot be taken in holds up none of the others."""
    rooms = [await rig.human.create_room(BOT) for _ in range(20)]
    inbox = RigInbox()
    async with running(rig.platform, inbox):
        for number, room_id in enumerate(rooms):
            await rig.human.say(room_id, f"room {number}")
        await inbox.until(lambda: len(inbox.received) >= 20)
    assert sorted(inbox.texts) == sorted(f"room {number}" for number in range(20))


async def test_a_cancelled_run_leaves_no_connection_behind(rig: FakeMatrixRig) -> None:
    """Nor does one that failed."""
    async with running(rig.platform, RigInbox()):
        assert rig.platform._calls.web._client is not None
    assert rig.platform._calls.web._client is None
    await asyncio.sleep(0)
