"""Which chat a request belongs to, and what becomes of one that is repeated."""

import asyncio
from typing import Any

from core.api.errors import Overloaded
from core.api.runs import Stop, TextDelta, TurnEnded
from core.api.sessions import Mode
from tests.support.api_rig import SESSION, Api
from tests.support.fake_inbox import PLAIN, FakeInbox

FAILED = TurnEnded(stop=Stop.ERROR, error="it broke", code="upstream_down")


async def test_a_chat_named_in_the_header_is_continued() -> None:
    """The caller's own id is the chat, and is echoed."""
    api = Api()
    answer = await api.ask("hello", headers={SESSION: "my-chat"})
    assert api.inbox.received[0].source.chat == "my-chat"
    assert answer.headers[SESSION] == "my-chat"


async def test_a_caller_that_brings_its_history_is_led_back_to_its_chat() -> None:
    """Clients that know no session header still have one session for one conversation."""
    api = Api()
    first = await api.ask({"role": "system", "content": "s"}, "one")
    text = first.json()["choices"][0]["message"]["content"]
    history = [{"role": "system", "content": "s"}, {"role": "user", "content": "one"}]
    second = await api.ask(*history, {"role": "assistant", "content": text}, "two", stream=True)
    assert second.headers[SESSION] == first.headers[SESSION]


async def test_two_conversations_that_began_alike_stay_apart() -> None:
    """A history leads to a chat once; then the chat has moved on."""
    api = Api()
    for _ in range(2):
        await api.ask("one")
    history: list[Any] = ["one", {"role": "assistant", "content": "Hello there"}]
    chats = [(await api.ask(*history, follow_up)).headers[SESSION] for follow_up in ("two", "three")]
    assert chats[0] != chats[1]


async def test_a_history_for_another_model_begins_a_new_chat() -> None:
    """A session keeps its agent."""
    api = Api()
    first = await api.ask("one")
    second = await api.ask("one", {"role": "assistant", "content": "Hello there"}, "two", model="coder")
    assert second.headers[SESSION] != first.headers[SESSION]


async def test_a_failed_answer_is_not_led_back_to() -> None:
    """Only what was answered counts as history."""
    api = Api(FakeInbox((TextDelta(text="par"), FAILED)))
    first = await api.ask("one")
    second = await api.ask("one", {"role": "assistant", "content": "par"}, "two")
    assert second.headers[SESSION] != first.headers[SESSION]


async def test_a_refused_message_leaves_the_history_known() -> None:
    """A caller that tries again after 429 is led to the same chat."""
    api = Api()
    first = await api.ask("one")
    history: list[Any] = ["one", {"role": "assistant", "content": "Hello there"}, "two"]
    api.inbox.error = Overloaded("full")
    assert (await api.ask(*history)).status == 429
    api.inbox.error = None
    assert (await api.ask(*history)).headers[SESSION] == first.headers[SESSION]


async def test_a_repeated_idempotency_key_gets_the_first_answer_again() -> None:
    """Taken in once, answered twice, as a stream too."""
    api = Api()
    headers = {"idempotency-key": "k1"}
    first = await api.ask("hello", headers=headers)
    second = await api.ask("hello", headers=headers)
    third = await api.ask("hello", headers=headers, stream=True)
    assert second.json() == first.json()
    assert second.headers[SESSION] == first.headers[SESSION]
    assert '"delta":{"content":"Hello there"}' in third.events()[1]
    assert third.events()[-1] == "data: [DONE]"
    assert len(api.inbox.received) == 1
    assert api.inbox.received[0].native_id == "k1"


async def test_a_repeated_key_without_an_answer_is_409() -> None:
    """What is not answered yet cannot be answered again."""
    gate = asyncio.Event()
    api = Api(FakeInbox((gate, *PLAIN)))
    caller = api.caller("hello", headers={"idempotency-key": "k1"})
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.make(api.app))
        await api.inbox.arrived.wait()
        again = await api.ask("hello", headers={"idempotency-key": "k1"})
        gate.set()
    assert (again.status, again.error()["code"]) == (409, "already_taken_in")
    assert caller.answer.status == 200


async def test_the_mode_header_is_handed_on() -> None:
    """The caller says what to do when its chat is busy."""
    api = Api()
    await api.ask("hello", headers={"x-hermes-mode": "steer"})
    assert api.inbox.received[0].mode is Mode.STEER
