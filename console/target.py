"""What an action is about: the ids of what was under the cursor when its key came."""

from dataclasses import dataclass

from console.mail_names import mail_name
from console.mail_scopes import MailScope


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is about, taken at the moment of the key and not looked up again.

    mail_id: of a message in a mailbox, 0 for none. scopes: the sets of messages that can be meant. binding: its key
    in the rows of the relay; bot: one of it; origin: a far side; relay_id: a message from bot to bot, relay_ids: those
    marked.
    """

    session_id: str = ""
    approval_id: str = ""
    approval_ids: tuple[str, ...] = ()
    delivery_id: str = ""
    message_id: str = ""
    platform: str = ""
    mailbox: str = ""
    mail_id: int = 0
    scopes: tuple[MailScope, ...] = ()
    task_id: str = ""
    run_id: str = ""
    agent: str = ""
    grant_id: str = ""
    hook: str = ""
    job: str = ""
    pairing_id: str = ""
    invite_id: str = ""
    binding: str = ""
    bot: str = ""
    origin: str = ""
    peer: str = ""
    relay_id: str = ""
    relay_ids: tuple[str, ...] = ()

    @property
    def is_of_relay(self) -> bool:
        """Whether it is something of the relay, so that its breaker is one of the relay too."""
        return bool(self.origin or self.binding or self.relay_id)

    @property
    def best_id(self) -> str:
        """The id to copy."""
        if self.mail_id:
            return mail_name(self.mail_id)
        ids = (self.message_id, self.approval_id, self.grant_id, self.delivery_id, self.task_id, self.run_id)
        named = (self.relay_id, self.invite_id, self.pairing_id, self.session_id, self.platform)
        places = (*named, self.mailbox, self.agent, self.hook, self.job, self.bot, self.origin, self.peer)
        return next((found for found in (*ids, *places) if found), "")
