"""Whose a session is: what an agent keeps for somebody goes by it."""

import pytest

from core.api.base import PlatformName
from core.api.sessions import ChatKind, Source
from core.gateway.beginning import owner
from tests.support.views import session


@pytest.mark.parametrize(
    ("kind", "user", "whose"),
    [
        (ChatKind.DM, None, "local:bo"),
        (ChatKind.GROUP, None, "group:local:c1"),
        (ChatKind.THREAD, None, "group:local:c1"),
        (ChatKind.GROUP, "bo", "local:bo"),
    ],
)
def test_a_session_that_all_in_a_chat_share_belongs_to_none_of_them(
    kind: ChatKind, user: str | None, whose: str
) -> None:
    """What the agent keeps for one person is not in reach of the others."""
    view = session(source=Source(platform=PlatformName("local"), kind=kind, chat="c1", user=user))
    assert owner(view, "bo") == whose
