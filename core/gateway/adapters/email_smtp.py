"""Hands a mail over to an SMTP server, and says what its answer means for the next attempt.

On aiosmtplib: typed, without dependencies of its own, and a send that is given up is really given up. smtplib would
hold one of the few threads that all of the core shares for as long as a silent server lets it wait.
"""

import asyncio
import contextlib
import re
import ssl
from email.message import EmailMessage

from core.gateway.platform import PlatformError, PlatformErrorKind
from core.platform_settings import SmtpServer
from core.secrets import Secret

_GOODBYE_S = 2.0
_SLOWEST_BYTES_PER_S = 50_000
_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
_GONE = frozenset({(1, 0), (1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1)})
_CREDENTIAL = frozenset({(7, 8), (7, 9), (7, 11), (7, 14), (7, 57)})
_FULL = (2, 2)
_CREDENTIAL_CODES = frozenset({530, 534, 535})
_ADDRESS_CODES = frozenset({550, 551, 553})
_PERMANENT = 500


async def hand_over(
    server: SmtpServer, tls: ssl.SSLContext | None, user: str, password: Secret, mail: EmailMessage, deadline_s: float
) -> None:
    """Send one mail to whom it names. Raises PlatformError.

    Its connection is its own: answers are rare, and none can hold another up.
    """
    import aiosmtplib

    raw = await asyncio.to_thread(mail.as_bytes)
    sender, to = (str(mail[name].addresses[0].addr_spec) for name in ("From", "To"))
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.security == "ssl",
        start_tls=server.security == "starttls",
        tls_context=tls,
        timeout=deadline_s,
        local_hostname=sender.rpartition("@")[2],
    )
    try:
        await client.connect()
        await client.ehlo()
        # Without TLS it is a server of this machine, which may know us by that alone.
        if server.security != "none" or client.supports_extension("auth"):
            await client.login(user, password.reveal())
        await client.sendmail(sender, [to], raw, timeout=sending_s(len(raw), deadline_s))
        with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await client.quit()
    except aiosmtplib.SMTPRecipientsRefused as error:
        first = error.recipients[0]
        raise failure(first.code, first.message, is_about_address=True) from None
    except aiosmtplib.SMTPAuthenticationError as error:
        kind = PlatformErrorKind.UNAUTHORISED if error.code >= _PERMANENT else PlatformErrorKind.RETRY_AFTER
        raise PlatformError(kind, f"the mail server does not let us in ({error.code})") from None
    except aiosmtplib.SMTPResponseException as error:
        raise failure(error.code, error.message) from None
    except aiosmtplib.SMTPNotSupported:
        raise PlatformError(PlatformErrorKind.REFUSED, "the mail server cannot do what is configured") from None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise PlatformError(
            PlatformErrorKind.RETRY_AFTER, f"the mail server cannot be reached: {_cause(error)}"
        ) from None
    finally:
        client.close()


def sending_s(size_bytes: int, deadline_s: float) -> float:
    """How long a mail may take: its answer comes once all of it has crossed a slow line (pure)."""
    return deadline_s + size_bytes / _SLOWEST_BYTES_PER_S


def failure(code: int, text: str, *, is_about_address: bool = False) -> PlatformError:
    """What an answer of the server means: by its enhanced code (RFC 3463), else by its code (pure)."""
    found = _ENHANCED.match(text)
    detail = (int(found[2]), int(found[3])) if found else None
    said = f"{code}{f' {found[0].strip()}' if found else ''}"
    if code < _PERMANENT:
        text = f"the mail server wants us to wait ({said})"
        return PlatformError(PlatformErrorKind.RETRY_AFTER, text, is_for_chat=is_about_address)
    if code in _CREDENTIAL_CODES or detail in _CREDENTIAL:
        return PlatformError(PlatformErrorKind.UNAUTHORISED, f"the mail server does not let us in ({said})")
    if detail == _FULL:
        return PlatformError(PlatformErrorKind.RETRY_AFTER, f"the mailbox is full ({said})", is_for_chat=True)
    if detail in _GONE or (detail is None and is_about_address and code in _ADDRESS_CODES):
        return PlatformError(PlatformErrorKind.GONE, f"there is no such address ({said})")
    return PlatformError(PlatformErrorKind.REFUSED, f"the mail server refuses the mail ({said})")


def _cause(error: Exception) -> str:
    """Never a library's own words, which may hold an address."""
    inner = error.__cause__ or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {inner.verify_message}"
    return type(error).__name__
