"""A mailbox does what a few lists and dicts say, whatever is asked of it, in memory and over crashes."""

from hypothesis import settings

from tests.support.mail_machine import DurableMailboxAgrees, MailboxAgrees


class StoredMailboxAgrees(DurableMailboxAgrees):
    """A durable mailbox in a file."""

    kind = "sqlite"


TestInMemory = MailboxAgrees.TestCase
TestInMemory.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestDurable = DurableMailboxAgrees.TestCase
TestDurable.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestStored = StoredMailboxAgrees.TestCase
TestStored.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
