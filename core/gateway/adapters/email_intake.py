"""Which mail is taken in, and as what (pure)."""

from hashlib import sha256

import msgspec

from core.api.base import PlatformName
from core.api.sessions import ChatKind, Source
from core.gateway.adapters.email_headers import Headers
from core.gateway.adapters.email_reading import Mail, headers_of, read_mail
from core.gateway.adapters.email_trust import doubt, machine, sender_of
from core.gateway.platform import Inbound
from core.platform_settings import EmailSettings

_ROOT_LIMIT = 200


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a mail: whom it is from and what it says, or the reason not to take it in."""

    sender: str = ""
    mail: Mail | None = None
    reason: str = ""


def judged(raw: bytes, settings: EmailSettings, *, place: str, note: str = "") -> Judged:
    """The mail of these bytes, if it is to be taken in. Never raises: what cannot be read is a reason.

    place: what refs of its files begin with. note: stands in for contents that were not fetched.
    """
    try:
        headers = headers_of(raw)
        sender = sender_of(headers)
        reason = _reason(headers, sender, settings)
        if reason:
            return Judged(sender=sender, reason=reason)
        return Judged(sender=sender, mail=read_mail(raw, headers, place=place, note=note))
    except Exception as error:  # noqa: BLE001 - whatever is in a mail, the ones after it are still read
        return Judged(reason=f"a mail that cannot be read ({type(error).__name__})")


def inbound_of(platform: PlatformName, settings: EmailSettings, sender: str, mail: Mail) -> Inbound:
    """The mail as a message."""
    is_apart = settings.threads == "thread"
    name = mail.sender_name or sender
    return Inbound(
        platform=platform,
        source=Source(
            platform=platform,
            kind=ChatKind.DM,
            chat=sender,
            thread=thread_of(mail.root_id) if is_apart else None,
            chat_name=name,
        ),
        sender_id=sender,
        sender_name=name,
        text=mail.text,
        native_id=mail.native_id,
        title=mail.subject,
        reply_to=mail.reply_to,
        quoted=mail.quoted,
        files=mail.files,
    )


def thread_of(root_id: str) -> str:
    """What names the thread of a mail: the id it began with, or the mark of one that is too long for a name."""
    return root_id if len(root_id) <= _ROOT_LIMIT else sha256(root_id.encode("utf-8", "replace")).hexdigest()


def _reason(headers: Headers, sender: str, settings: EmailSettings) -> str:
    if not sender:
        return "From is not one plain address"
    found = machine(headers, sender, (settings.address.lower(), settings.user.lower()))
    if found or settings.trust == "none":
        return found
    why = doubt(headers, sender, settings.authserv_id)
    return f"the sender is not proved: {why}" if why else ""
