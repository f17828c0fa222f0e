"""Where each delivery is: the messages of all outboxes by the ids of deliveries and by session."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from core.api.base import DeliveryId, MailId, SessionId
from core.api.errors import NotFound
from core.api.mail import MailState
from core.gateway.delivery import OUTBOX
from core.gateway.platform import Outbound
from core.letters import Letter, Mailroom

_outbounds = msgspec.msgpack.Decoder(Outbound)


class DeliveryLetters:
    """Of a session only those are known that may still be sent; one that is sent again is known anew."""

    def __init__(self, mail: Mailroom) -> None:
        self._mail = mail
        self._places: dict[DeliveryId, tuple[str, MailId]] = {}
        self._by_session: defaultdict[SessionId, set[DeliveryId]] = defaultdict(set)

    def unsent(self, session_id: SessionId) -> int:
        """Deliveries of a session that will still be tried; dead ones are not counted."""
        ids = self._by_session.get(session_id)
        if ids is None:
            return 0
        # What is over is not looked at again: the dead of a session may be many, and stay.
        ids -= {each for each in ids if (letter := self.find(each)) is None or letter.state is MailState.DEAD}
        if not ids:
            del self._by_session[session_id]
        return len(ids)

    def get(self, delivery_id: DeliveryId) -> Letter:
        """The message of a delivery. Raises NotFound when it neither waits nor is dead."""
        letter = self.find(delivery_id)
        if letter is None:
            raise NotFound(
                f"no delivery {delivery_id} is waiting or dead",
                noun="delivery",
                id=delivery_id,
                fix="see `deliveries list`",
            )
        return letter

    def find(self, delivery_id: DeliveryId) -> Letter | None:
        """The same, or None."""
        place = self._places.get(delivery_id)
        return None if place is None else self._mail.find_letter(*place)

    def know(self, outbound: Outbound, mailbox: str, mail_id: MailId) -> None:
        """A delivery is that message from now on."""
        self._places[outbound.delivery_id] = (mailbox, mail_id)
        self._by_session[outbound.session_id].add(outbound.delivery_id)

    def forget(self, outbound: Outbound) -> None:
        """It is over."""
        self._places.pop(outbound.delivery_id, None)
        ids = self._by_session.get(outbound.session_id)
        if ids is not None:
            ids.discard(outbound.delivery_id)
            if not ids:
                del self._by_session[outbound.session_id]

    def redriven(self, mail_ids: Sequence[MailId]) -> None:
        """An operator sent dead answers again as mail: the same deliveries under other ids."""
        for mailbox in self._mail.names(OUTBOX):
            for mail_id in mail_ids:
                letter = self._mail.find_letter(mailbox, mail_id)
                outbound = None if letter is None else find_outbound(letter)
                if outbound is not None:
                    self.know(outbound, mailbox, mail_id)


def outbound_of(letter: Letter) -> Outbound:
    """What is to be sent. Raises DecodeError for a message that somebody else put into the outbox."""
    return _outbounds.decode(letter.body)


def find_outbound(letter: Letter) -> Outbound | None:
    """The same, or None."""
    try:
        return outbound_of(letter)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
