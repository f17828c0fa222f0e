"""One thing that wants a human: what it is, since when, and where it leads (pure)."""

import msgspec


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to look at.

    id: unique, the same for as long as the cause is. place, argument: where Enter leads.
    tone: needs or failing. subject: session, platform or part. age_s: since when; None when
    nobody knows. key: what settles it.
    """

    id: str
    kind: str
    tone: str
    subject: str
    text: str
    place: str
    argument: str = ""
    age_s: float | None = None
    key: str = "enter"
