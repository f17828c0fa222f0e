"""What an adapter itself did not take in is counted, and an operator is told once for each reason."""

import pytest

from core.api.system import AlarmRaised
from core.gateway.platform import Inbox
from tests.support.outbox import LOCAL, outbox


async def test_each_reason_is_told_once_and_every_message_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it comes, and in one line."""
    async with outbox(monkeypatch, start=False) as built:
        await built.platforms.start()
        await built.clock.advance(0)
        inbox: Inbox | None = built.fake().inbox
        assert inbox is not None
        for reason in ("no proof", "no proof", "a list\nof it", "no proof"):
            inbox.refused(reason)
        (view,) = [view for view in built.platforms.views if view.name == LOCAL]
        assert view.refused_count == 4
        alarms = [event for event in built.live if isinstance(event, AlarmRaised)]
        assert [alarm.error for alarm in alarms] == [
            "a message was not taken in: no proof",
            "a message was not taken in: a list of it",
        ]
        assert {alarm.what for alarm in alarms} == {f"platform {LOCAL}"}
