"""What an action is about: the ids of what was under the cursor when its key came."""

from dataclasses import dataclass

from console.mail_names import mail_name
from console.mail_scopes import MailScope


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is about, taken at the moment of the key and not looked up again.

    mail_id: of a message in a mailbox, 0 for none. scopes: the sets of messages that can be meant.
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

    @property
    def best_id(self) -> str:
        """The id to copy."""
        if self.mail_id:
            return mail_name(self.mail_id)
        ids = (self.message_id, self.approval_id, self.grant_id, self.delivery_id, self.task_id, self.run_id)
        named = (self.invite_id, self.pairing_id, self.session_id, self.platform)
        places = (*named, self.mailbox, self.agent, self.hook, self.job)
        return next((found for found in (*ids, *places) if found), "")
