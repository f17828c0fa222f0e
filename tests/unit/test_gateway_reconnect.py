"""How long a connection that failed is left alone."""

import pytest

from core.gateway.platform import PlatformError, PlatformErrorKind
from core.gateway.reconnect import reconnect_wait_s


@pytest.mark.parametrize("asked_s", [0.0, -1.0, 0.001])
def test_a_platform_that_asks_for_no_wait_is_not_asked_without_a_pause(asked_s: float) -> None:
    """Each attempt waits longer than the one before, up to a minute."""
    error = PlatformError(PlatformErrorKind.RETRY_AFTER, "slow down", retry_after_s=asked_s)
    waits = [reconnect_wait_s(error, failures) for failures in range(1, 10)]
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert waits[-1] == 60.0


def test_a_platform_that_asks_for_a_long_wait_gets_it() -> None:
    """However often it failed."""
    error = PlatformError(PlatformErrorKind.RETRY_AFTER, "slow down", retry_after_s=400.0)
    assert {reconnect_wait_s(error, failures) for failures in (1, 5, 50)} == {400.0}
