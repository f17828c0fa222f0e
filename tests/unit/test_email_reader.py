"""Reading a folder when servers do not do what they should, and sending to people who should not be written to."""

import asyncio

import msgspec
import pytest

from core.api.base import DeliveryId
from core.api.errors import ConfigError, Overloaded
from core.gateway.adapters.email import Replies
from core.gateway.platform import PlatformError, PlatformErrorKind
from core.platform_settings import MailServer
from tests.support.email_rig import ANA, BOT, post
from tests.support.platform_rig import RigInbox, outbound, running
from tests.support.rig_email import FakeRig, fake_rig


async def said_after(rig: FakeRig, inbox: RigInbox) -> list[str]:
    """What comes in after Ana wrote a word more."""
    await rig.say("and then")
    await inbox.until(lambda: "and then" in inbox.texts)
    return inbox.texts


async def failed(rig: FakeRig, **settings: object) -> PlatformError:
    """With what a connection ends that cannot stand."""
    async with running(rig.made(**settings), RigInbox(), must_stand=False) as run:
        return await run.failure()


@pytest.mark.parametrize(
    "missing", [{"IDLE"}, {"SASL-IR"}, {"AUTH=PLAIN", "SASL-IR"}, {"ID"}, {"IDLE", "ID", "AUTH=PLAIN", "SASL-IR"}]
)
async def test_a_server_may_be_able_to_do_little(missing: set[str]) -> None:
    """Without a push it is asked, without one way to log in there is another."""
    async with fake_rig() as rig:
        rig.office.imap.capabilities = [word for word in rig.office.imap.capabilities if word not in missing]
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            assert await said_after(rig, inbox) == ["and then"]
        assert ("NOOP" in rig.office.imap.said) == ("IDLE" in missing)


async def test_a_server_need_not_say_what_comes_next() -> None:
    """Then the end of the folder is looked for."""
    async with fake_rig() as rig:
        rig.office.imap.has_uid_next = False
        await rig.say("long ago")
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            assert await said_after(rig, inbox) == ["and then"]


async def test_a_mail_that_ends_every_connection_is_passed_over() -> None:
    """After a few attempts, and it is counted; those around it come in, and it does too when it can be had again."""
    async with fake_rig() as rig:
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            pass
        for text in ("one", "two", "three"):
            await rig.say(text)
        rig.office.imap.poison = {2}
        platform = rig.platform
        for _ in range(3):
            async with running(platform, inbox) as run:
                assert (await run.failure()).kind is PlatformErrorKind.RETRY_AFTER
        async with running(platform, inbox):
            await inbox.until(lambda: "three" in inbox.texts)
        assert inbox.texts == ["one", "three"]
        assert inbox.refusals == ["a mail that could not be fetched in 3 attempts; it is tried again every hour"]
        rig.office.imap.poison = set()
        async with running(rig.restarted(), inbox):
            await inbox.until(lambda: "two" in inbox.texts)
    assert inbox.twice == []


@pytest.mark.parametrize("end", [b"* BYE going down\r\n", b"", b"* 1 FETCH (((\r\n", b"garbage\r\n"])
async def test_a_server_that_leaves_while_we_wait_is_noticed(end: bytes) -> None:
    """With a word, without one, and with nonsense."""
    async with fake_rig() as rig:
        rig.office.imap.idle_ends_with = end or b"\r"
        failure = await failed(rig, poll_s=100.0)
        assert failure.kind is PlatformErrorKind.RETRY_AFTER


async def test_a_folder_that_is_not_there_is_for_an_operator() -> None:
    """Trying again soon does not help."""
    async with fake_rig() as rig:
        assert (await failed(rig, folder="Nowhere")).kind is PlatformErrorKind.REFUSED


async def test_a_server_that_cannot_number_is_of_no_use() -> None:
    """Without UIDVALIDITY nobody can tell what was read."""
    async with fake_rig() as rig:
        rig.office.imap.validity = -1
        assert "UIDVALIDITY" in (await failed(rig)).message


async def test_nothing_is_believed_that_was_said_before_tls() -> None:
    """It may come from somebody in between; the password is not said at all."""
    async with fake_rig() as rig:
        rig.office.imap.before_tls = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
        server = MailServer(host="127.0.0.1", port=rig.office.imap.port, security="starttls")
        assert "before TLS" in (await failed(rig, imap=server)).message
        assert not {"LOGIN", "AUTHENTICATE"} & set(rig.office.imap.said)


async def test_a_folder_answers_with_its_last_mail_though_nothing_is_new() -> None:
    """A range that ends in a star always holds one: it is not read again."""
    async with fake_rig() as rig:
        inbox = RigInbox()
        async with running(rig.made(poll_s=1.0), inbox):
            await said_after(rig, inbox)
            before = inbox.heard_count
            await inbox.until(lambda: inbox.heard_count > before + 1)
        assert inbox.texts == ["and then"]
        assert len([line for line in rig.office.imap.said if "BODY.PEEK" in line]) == 1


async def test_what_was_taken_is_seen_and_what_was_refused_is_not() -> None:
    """An operator finds the rest unread in the folder."""
    async with fake_rig() as rig:
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            await asyncio.to_thread(lambda: post(rig.office, "me", envelope="eve@example.net"))
            await said_after(rig, inbox)
            await rig.say("last")
            await inbox.until(lambda: "last" in inbox.texts)
        flags = [mail.flags for mail in rig.office.imap.mails]
    assert flags[:2] == [set(), {"\\Seen"}]
    assert inbox.refusals == ["the sender is not proved: DMARC did not pass"]


async def test_files_are_fetched_again_later() -> None:
    """Also after the message was handed in, and not under other numbers."""
    async with fake_rig() as rig:
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            await rig.say("see", files=[("a.bin", b"content")])
            await inbox.until(lambda: bool(inbox.received))
        (file,) = inbox.received[0].files
        platform = rig.made()
        assert b"".join([piece async for piece in platform.fetch(file.ref)]) == b"content"
        for ref in ("", "x/y/z", "41/1", "41/9/0", f"{file.ref}9", "42/1/1", "41/1/1/1"):
            with pytest.raises(PlatformError) as caught:
                _ = [piece async for piece in platform.fetch(ref)]
            assert caught.value.kind is PlatformErrorKind.GONE


async def test_parts_of_a_long_answer_stay_in_the_thread() -> None:
    """The later ones follow the first, also when the core was started in between."""
    async with fake_rig() as rig:
        theirs = await asyncio.to_thread(lambda: post(rig.office, "how?", Subject="Question"))
        first = msgspec.structs.replace(outbound(rig, "so", 1, reply_to=theirs), part_count=3)
        parts = [first]
        for part in (2, 3):
            name = DeliveryId(f"{first.delivery_id}.{part}")
            parts.append(msgspec.structs.replace(first, delivery_id=name, text=f"{part}", reply_to="", part=part))
        ids = [await rig.platform.send(part) for part in parts[:2]]
        await rig.made().send(parts[2])
        mails = rig.office.mails("ana")
    assert mails[1]["In-Reply-To"] == mails[2]["In-Reply-To"] == f"<{ids[0]}>"
    assert mails[1]["Subject"] == mails[0]["Subject"] == "Re: Question"
    assert mails[1]["References"] == f"<{theirs}> <{ids[0]}>"


@pytest.mark.parametrize("chat", [BOT, BOT.upper(), "nobody", "a@b\r\nBcc: c@d", "ünal@example.org", "-x@example.org"])
async def test_some_are_never_written_to(chat: str) -> None:
    """Ourselves, and what is no address."""
    async with fake_rig() as rig:
        source = msgspec.structs.replace(rig.source, chat=chat)
        with pytest.raises(PlatformError) as caught:
            await rig.platform.send(outbound(rig, "text", 1, source=source))
        assert caught.value.kind is PlatformErrorKind.REFUSED


async def test_a_full_mailbox_holds_up_its_owner_only() -> None:
    """Trying again later may help."""
    async with fake_rig() as rig:
        source = msgspec.structs.replace(rig.source, chat="full@example.org")
        with pytest.raises(PlatformError) as caught:
            await rig.platform.send(outbound(rig, "text", 1, source=source))
        assert (caught.value.kind, caught.value.is_for_chat) == (PlatformErrorKind.RETRY_AFTER, True)


async def test_a_thread_gets_so_many_answers_an_hour() -> None:
    """The next one waits; what failed does not count, nor does another thread, nor news."""
    async with fake_rig() as rig:
        platform = rig.made(replies_per_thread_per_hour=2)
        for number in range(2):
            await platform.send(outbound(rig, "text", number, reply_to="1@home"))
        with pytest.raises(PlatformError) as caught:
            await platform.send(outbound(rig, "text", 9, reply_to="1@home"))
        assert (caught.value.kind, caught.value.is_for_chat) == (PlatformErrorKind.RETRY_AFTER, True)
        assert 3_500 < (caught.value.retry_after_s or 0) <= 3_600
        await platform.send(outbound(rig, "text", 10, reply_to="2@home"))
        for number in range(3):
            await platform.send(outbound(rig, "news", 20 + number))
        assert len(await rig.told()) == 6


def test_answers_of_an_hour_ago_do_not_count() -> None:
    """Nor do those that failed."""
    now = [0.0]
    replies = Replies(1, lambda: now[0])
    with pytest.raises(ValueError), replies.one_more("t", is_reply=True):
        raise ValueError
    with replies.one_more("t", is_reply=True):
        pass
    with pytest.raises(PlatformError), replies.one_more("t", is_reply=True):
        pass
    now[0] = 3_600.0
    with replies.one_more("t", is_reply=True):
        pass


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"address": "bot"}, "address"),
        ({"authserv_id": " "}, "authserv_id"),
        ({"imap": MailServer(host="mail.example.org", security="none")}, "imap.security"),
    ],
)
async def test_what_would_be_unsafe_is_not_set_up(settings: dict[str, object], key: str) -> None:
    """With the key and what to do about it."""
    async with fake_rig() as rig:
        with pytest.raises(ConfigError) as caught:
            rig.made(**settings)
        assert caught.value.facts["key"] == key
        assert caught.value.facts["fix"]


async def test_everybody_is_believed_where_that_is_set() -> None:
    """In a closed system; mail of programs is left alone all the same."""
    async with fake_rig() as rig:
        inbox = RigInbox()
        async with running(rig.made(trust="none", authserv_id=""), inbox):
            await asyncio.to_thread(lambda: post(rig.office, "unproved", envelope="eve@example.net"))
            await asyncio.to_thread(lambda: post(rig.office, "automatic", Auto_Submitted="auto-replied"))
            await said_after(rig, inbox)
    assert inbox.texts == ["unproved", "and then"]


async def test_too_many_put_off_are_waited_for() -> None:
    """One sender's mails are handed in in order however often the queue is full."""
    async with fake_rig() as rig:
        inbox = RigInbox()
        inbox.faults.extend([Overloaded("full", bound="queue", limit=1, retry_after_s=0.1) for _ in range(3)])
        async with running(rig.platform, inbox):
            for number in range(5):
                await rig.say(f"{number}")
            await asyncio.to_thread(lambda: post(rig.office, "other", sender="ben@example.org"))
            await inbox.until(lambda: len(inbox.received) >= 6)
    assert [text for text in inbox.texts if text != "other"] == ["0", "1", "2", "3", "4"]
    assert {item.sender_id for item in inbox.received} == {ANA, "ben@example.org"}
