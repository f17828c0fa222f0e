"""Which member of a group gets the next message: in turn, the least loaded, or always the same for a key (pure)."""

from collections.abc import Iterable
from enum import StrEnum
from hashlib import blake2b

import msgspec


class Balance(StrEnum):
    """How a group shares its work.

    round_robin: one after the other. least_loaded: whose mailbox holds least. sticky: messages
    of one key go to one member, so that they keep their order.
    """

    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"
    STICKY = "sticky"


class Member(msgspec.Struct, frozen=True, gc=False):
    """A member as the choice sees it.

    depth: live messages of its mailbox. is_ready: it runs, and its mailbox takes and gives.
    has_room: one more message fits.
    """

    name: str
    depth: int = 0
    is_ready: bool = True
    has_room: bool = True


def choose(balance: Balance, members: Iterable[Member], *, key: str = "", last: str = "") -> Member | None:
    """The member for the next message; None when none is ready.

    key: what `sticky` goes by. last: name of the member that was chosen before, "" at first.
    A full member is passed over, except under `sticky`, where another one would break the order.
    """
    ready = [member for member in members if member.is_ready]
    if not ready:
        return None
    if balance is Balance.STICKY:
        return max(ready, key=lambda member: _score(key, member.name))
    roomy = [member for member in ready if member.has_room] or ready
    if balance is Balance.LEAST_LOADED:
        least = min(member.depth for member in roomy)
        roomy = [member for member in roomy if member.depth == least]
    return _following(roomy, last)


def _following(members: list[Member], last: str) -> Member:
    """The next one round the ring of names, which holds also when members come and go."""
    later = [member for member in members if member.name > last]
    return min(later or members, key=_name)


def _score(key: str, name: str) -> tuple[bytes, str]:
    # The highest score wins; scores of the others do not depend on who else is there, so only the
    # share of a member that comes or goes moves. A length before the key keeps pairs apart.
    text = f"{len(key)}:{key}:{name}".encode(errors="surrogatepass")
    return blake2b(text, digest_size=8).digest(), name


def _name(member: Member) -> str:
    return member.name
