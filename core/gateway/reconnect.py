"""How long a connection that failed is left alone (pure)."""

from core.backoff import ceiling_s
from core.gateway.platform import PlatformError, PlatformErrorKind

_BASE_S = 1.0
_CAP_S = 60.0
_OPERATOR_WAIT_S = 300.0


def reconnect_wait_s(error: PlatformError, failures: int) -> float:
    """Seconds until the next attempt. failures: in a row; one that only an operator can mend is given time."""
    if error.is_conflict and not error.holder and error.retry_after_s:
        # Two that take turns would go on for ever if neither waited longer than before.
        return max(0.0, min(_OPERATOR_WAIT_S, error.retry_after_s * 2.0 ** min(failures - 1, 10)))
    if error.retry_after_s is not None and error.retry_after_s >= _BASE_S:
        return error.retry_after_s
    if error.kind is not PlatformErrorKind.RETRY_AFTER:
        return _OPERATOR_WAIT_S
    # Also for whoever asks for no wait at all: they may go on to do so.
    return ceiling_s(failures, base_s=_BASE_S, cap_s=_CAP_S)
