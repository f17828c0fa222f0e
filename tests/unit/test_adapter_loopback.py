"""The platform inside this process: what it keeps, and for how long."""

from core.api.base import DeliveryId, PlatformName
from core.gateway.adapters.loopback import KEPT_CHATS, KEPT_PER_CHAT, LoopbackPlatform
from tests.support.outbox import outbound_to


async def _send(platform: LoopbackPlatform, number: int, chat: str = "8841") -> str:
    return await platform.send(outbound_to(chat, str(number), delivery_id=DeliveryId(f"d{number}")))


async def test_it_keeps_the_newest_messages_of_a_chat() -> None:
    """Oldest first, and no more than its bound."""
    platform = LoopbackPlatform(PlatformName("local"))
    for number in range(KEPT_PER_CHAT + 5):
        await _send(platform, number)
    assert [item.text for item in platform.sent_to("8841")] == [str(item) for item in range(5, KEPT_PER_CHAT + 5)]
    assert platform.sent_to("nobody") == ()


async def test_it_lets_go_of_the_chat_that_was_silent_longest() -> None:
    """Chats are bounded too; one that is spoken to stays."""
    platform = LoopbackPlatform(PlatformName("local"))
    for number in range(KEPT_CHATS):
        await _send(platform, number, str(number))
    await _send(platform, KEPT_CHATS, "0")
    await _send(platform, KEPT_CHATS + 1, "new")
    assert len(platform.sent_to("0")) == 2
    assert platform.sent_to("1") == ()
    assert len(platform.sent_to("new")) == 1


async def test_an_operator_may_open_a_chat_here() -> None:
    """It is the console's own chat."""
    assert LoopbackPlatform(PlatformName("local")).limits.opens_chats


async def test_its_count_can_be_waited_for() -> None:
    """A message that is sent twice counts once."""
    platform = LoopbackPlatform(PlatformName("local"))
    first, again = await _send(platform, 1), await _send(platform, 1)
    await _send(platform, 2)
    await platform.wait_sent(2)
    assert first == again
    assert platform.sent_count == 2
