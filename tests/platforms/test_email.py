"""The contract of platforms over a mailbox on real servers: Dovecot for IMAP, aiosmtpd for SMTP."""

from collections.abc import AsyncIterator

import pytest

from tests.platforms.mail_programs import MailServers, email_rig
from tests.support.email_rig import EmailRig
from tests.support.platform_cases import ConnectionCases, IntakeCases
from tests.support.platform_send_cases import FaultCases, SendingCases

PLATFORM = "email"


class OfMail:
    """Servers of their own for each case."""

    @pytest.fixture
    async def rig(self, servers: MailServers) -> AsyncIterator[EmailRig]:
        """A mailbox that Ana writes to."""
        async with email_rig(servers) as found:
            yield found


class TestConnection(OfMail, ConnectionCases):
    """Lifecycle and ids."""


class TestIntake(OfMail, IntakeCases):
    """What comes in."""


class TestSending(OfMail, SendingCases):
    """What goes out."""


class TestFaults(OfMail, FaultCases):
    """What goes wrong."""
