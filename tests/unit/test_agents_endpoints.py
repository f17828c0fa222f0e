"""Addresses of agents: what is shown of one, and which is none."""

import pytest

from core.agents.endpoints import check_address, shown_address
from core.api.base import AgentName
from core.api.errors import Unavailable


@pytest.mark.parametrize(
    "address", ["http://h:1/v1", "http://ana:pass@h:1/v1", "http://h:1/v1?key=pass", "http://h:1/v1#pass"]
)
def test_an_address_is_shown_without_what_may_be_secret(address: str) -> None:
    """Neither a password before the host nor what follows the path."""
    assert shown_address(address) == "http://h:1/v1"


def test_what_is_no_address_is_named() -> None:
    """With its field and what is to be done."""
    check_address(AgentName("main"), "http://h:1/v1")
    with pytest.raises(Unavailable, match="base_url is not an address") as raised:
        check_address(AgentName("main"), "http://here:there/v1")
    assert raised.value.facts["field"] == "base_url"
    assert raised.value.facts["fix"]
