"""What our Agent2Agent half refuses, and what its operator reads of it."""

from typing import Any

import pytest

from core.api.errors import StoreError
from core.relay.inbound import Message, Taken
from tests.support.a2a_rig import Rig, message
from tests.support.fake_inbound import FakeInbound


@pytest.mark.parametrize(
    ("method", "params", "status", "code"),
    [
        ("SendMessage", {"message": {"messageId": "", "parts": []}}, 400, "invalid_params"),
        ("Nonsense", {}, 404, "method_not_found"),
        ("SendMessage", {**message(), "configuration": {"taskPushNotificationConfig": {"url": "x"}}}, 400, "push"),
    ],
)
async def test_what_cannot_be_taken_is_noted_for_the_operator(method: str, params: Any, status: int, code: str) -> None:
    """Who sends it, and why it was refused; a task that is not there is an answer and no refusal."""
    rig = Rig(FakeInbound())
    await rig.code(method, params)
    ((peer, noted, word),) = rig.refused
    assert (peer, noted) == ("ann", status)
    assert word.startswith(code)
    assert await rig.code("GetTask", {"id": "none"}) == -32001
    assert len(rig.refused) == 1


async def test_a_store_that_takes_nothing_is_a_reason_to_come_again() -> None:
    """503 with Retry-After, and our operator reads of it."""

    class Full(FakeInbound):
        async def take(self, message: Message) -> Taken:
            raise StoreError("the disk is full")

    rig = Rig(Full())
    found = await rig.post({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message()})
    assert (found.status, found.headers["retry-after"]) == (503, "1")
    assert rig.refused == [("ann", 503, "store")]
