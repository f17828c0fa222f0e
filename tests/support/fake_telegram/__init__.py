"""A strict Bot API of Telegram on loopback, with the people of its chats in the hands of a test.

It is made from the public description of the Bot API and knows nothing of our adapter; other people's clients prove
it in tests/platforms. It is stricter than the real one: a parameter that a method does not know is refused, not
ignored, and so is a second answer to one press.
"""

from tests.support.fake_telegram.faults import Fault
from tests.support.fake_telegram.people import People
from tests.support.fake_telegram.server import FakeTelegram
from tests.support.fake_telegram.world import Bot, Chat, World

__all__ = ["Bot", "Chat", "FakeTelegram", "Fault", "People", "World"]
