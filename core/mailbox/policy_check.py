"""Whether rules of a mailbox can be kept, each field by itself and those that belong together (pure)."""

import math
import re

from core.api.errors import InvalidInput
from core.api.mailboxes import Guarantee, MailboxPolicy
from core.mailbox.policy import LONGEST_DELAY_S

NAME_LIMIT = 200
_NAME = re.compile(r"[^\s-]\S*")

_COUNT_LIMIT = 10**12
_BODY_LIMIT_BYTES = 64 * 1_048_576
_DAY_S = 86_400.0

# Field, least, most.
_SECONDS: tuple[tuple[str, float, float], ...] = (
    ("block_s", 0.0, 3_600.0),
    ("visibility_s", 0.1, 30 * _DAY_S),
    ("retry_base_s", 0.0, LONGEST_DELAY_S),
    ("retry_cap_s", 0.0, LONGEST_DELAY_S),
    ("ttl_s", 0.0, LONGEST_DELAY_S),
    ("dedupe_s", 0.0, LONGEST_DELAY_S),
    ("dead_keep_s", 0.0, 10 * LONGEST_DELAY_S),
)
_COUNTS: tuple[tuple[str, int, int], ...] = (
    ("capacity", 0, _COUNT_LIMIT),
    ("in_flight_limit", 0, _COUNT_LIMIT),
    ("max_deliveries", 1, 1_000),
    ("max_crashes", 1, 1_000),
    ("body_limit_bytes", 1, _BODY_LIMIT_BYTES),
    ("dead_keep_count", 0, _COUNT_LIMIT),
)


def check_policy(policy: MailboxPolicy) -> None:
    """Raises InvalidInput for the first rule that cannot be kept; facts: field, value, fix."""
    for field, least, most in (*_SECONDS, *_COUNTS):
        value: float = getattr(policy, field)
        if not (math.isfinite(value) and least <= value <= most):
            unit = " seconds" if field.endswith("_s") else ""
            raise InvalidInput(
                f"{field} is {value:g}", field=field, value=value, fix=f"use {least:g} to {most:.12g}{unit}"
            )
    if policy.retry_cap_s < policy.retry_base_s:
        raise InvalidInput(
            f"retry_cap_s is {policy.retry_cap_s:g}, less than retry_base_s",
            field="retry_cap_s",
            value=policy.retry_cap_s,
            fix=f"use {policy.retry_base_s:g} or more",
        )
    if policy.guarantee is Guarantee.EXACTLY_ONCE:
        _check_exactly_once(policy)


def check_name(name: str) -> None:
    """Raises InvalidInput for a name that could not be shown, typed or found again."""
    if len(name) > NAME_LIMIT or not _NAME.fullmatch(name) or not name.isprintable():
        shown = name[:NAME_LIMIT]
        raise InvalidInput(
            "a mailbox cannot have that name",
            field="mailbox",
            value=shown.encode("unicode_escape").decode(),
            fix=f"use 1 to {NAME_LIMIT} visible characters without spaces, the first of them no dash",
        )


def _check_exactly_once(policy: MailboxPolicy) -> None:
    if not policy.durable:
        raise InvalidInput(
            "exactly once cannot be kept in memory", field="durable", value=False, fix="make the mailbox durable"
        )
    if not policy.dedupe_s:
        raise InvalidInput(
            "exactly once needs a time for which keys are remembered",
            field="dedupe_s",
            value=policy.dedupe_s,
            fix="use as long as senders try again",
        )
