"""Messages and rules of a mailbox for tests that draw them, at times that never fall together."""

from hypothesis import strategies as st

from core.api.mail import Priority
from core.api.mailboxes import Guarantee, Overflow
from core.mailbox.message import Draft
from tests.support.mail_oracle import Match

SENDERS = st.sampled_from(["ana", "bo", "cy"])
TYPES = st.sampled_from(["", "x", "y"])
RULES = {
    "capacity": st.sampled_from([0, 0, 2, 5]),
    "overflow": st.sampled_from([rule for rule in Overflow if rule is not Overflow.BLOCK]),
    "max_deliveries": st.integers(1, 4),
    "in_flight_limit": st.sampled_from([0, 0, 1, 2]),
    "ttl_s": st.sampled_from([0.0, 0.0, 6.9]),
    "keep_expired": st.booleans(),
    "ordered": st.booleans(),
}
DRAFTS = st.builds(
    Draft,
    payload=st.just("x"),
    sender=SENDERS,
    message_type=TYPES,
    priority=st.sampled_from(Priority),
    key=st.sampled_from(["", "", "k1", "k2", "k3"]),
    order_key=st.sampled_from(["", "", "", "one"]),
    # No two of these are whole seconds apart, and no sum is whole: nothing is due at the very moment of a step.
    delay_s=st.sampled_from([0.0, 0.0, 0.0, 2.3, 3.4]),
    ttl_s=st.sampled_from([None, None, 0.0, 4.6]),
    guarantee=st.sampled_from([None, None, None, Guarantee.AT_MOST_ONCE]),
)
MATCHES: st.SearchStrategy[Match | None] = st.one_of(
    st.none(),
    SENDERS.map(lambda sender: lambda mail: mail.sender == sender),
    TYPES.map(lambda word: lambda mail: mail.message_type == word),
)
