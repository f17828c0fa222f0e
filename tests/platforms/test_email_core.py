"""Mail through a whole core: what people write comes back once, as a reply, whatever happens to the servers."""

import asyncio
import smtplib
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from core.api.errors import Overloaded
from core.api.sessions import ListSessions
from core.api.system import AlarmRaised
from core.platform_settings import MailServer
from tests.platforms.conftest import Tally
from tests.platforms.mail_core import account, got, mail_core, prepared, reads, stands, views
from tests.platforms.mail_programs import MailServers, Programs, email_rig
from tests.support.email_rig import ANA, EmailRig, post, text_of
from tests.support.platform_rig import RigInbox, outbound, running
from tests.support.runtime_core import some, until
from tests.support.served_core import ServedCore
from tests.support.tcp_line import tcp_line

PLATFORM = "email"


@pytest.fixture
async def rig(servers: MailServers) -> AsyncIterator[EmailRig]:
    """The adapter alone."""
    async with email_rig(servers) as found:
        yield found


async def say(servers: MailServers, text: str, **more: str) -> str:
    """Ana writes, or whom `sender` names."""
    return await asyncio.to_thread(lambda: post(servers, text, **more))  # type: ignore[arg-type]


def numbers(mails: list[EmailMessage]) -> list[str]:
    """What was echoed, without subjects."""
    return [text_of(mail).rpartition("\n")[2] for mail in mails]


async def test_a_mail_is_answered_in_its_thread(servers: MailServers, tmp_path: Path) -> None:
    """By a push, with the subject, the whole chain of ids, a mark that a program wrote it, and as HTML too."""
    async with mail_core(tmp_path / "home", account(servers, poll_s=600.0, more="threads: thread")) as kernel:
        chain = "<r1@home.example.org> <r2@home.example.org>"
        theirs = await say(
            servers, "is it **up**?", Subject="AW: Größe", References=chain, In_Reply_To="<r2@home.example.org>"
        )
        (first,) = await got(servers, 1)
        assert text_of(first) == "is it **up**?"
        assert first["Subject"] == "Re: Größe"
        assert first["In-Reply-To"] == f"<{theirs}>"
        assert str(first["References"]).split() == [*chain.split(), f"<{theirs}>"]
        assert first["Auto-Submitted"] == "auto-replied"
        assert str(first["Message-ID"]).endswith("@example.org>")
        assert "authenticated=True" in first["Received"] or "LoginPassword" in first["Received"]
        html = first.get_body(("html",))
        assert html is not None
        assert "<strong>up</strong>" in html.get_content()
        second = await say(
            servers,
            "thanks",
            Subject=first["Subject"],
            References=f"{first['References']} {first['Message-ID']}",
            In_Reply_To=str(first["Message-ID"]),
        )
        answer = (await got(servers, 2))[1]
        assert str(answer["References"]).split()[-2:] == [str(first["Message-ID"]), f"<{second}>"]
        sessions = (await kernel.query(ListSessions())).sessions
        assert [(view.source.chat, view.source.thread) for view in sessions] == [(ANA, "r1@home.example.org")]


async def test_files_come_and_go(servers: MailServers, tmp_path: Path, tally: Tally) -> None:
    """Byte for byte: one that came with a mail, and the same one in an answer that names it."""
    content = bytes(range(256)) * 300
    async with mail_core(tmp_path / "home", account(servers)):
        await asyncio.to_thread(lambda: post(servers, "look", files=[("Bild ä.bin", content)]))
        (first,) = await got(servers, 1)
        path = text_of(first).rpartition(": ")[2].rstrip("]")
        # The agent's own tools are told a path of its workspace.
        (copy,) = await asyncio.to_thread(lambda: list((tmp_path / "home").rglob(path)))
        assert await asyncio.to_thread(copy.read_bytes) == content
        await say(servers, f"send it back\nMEDIA:{path}")
        second = (await got(servers, 2))[1]
    (part,) = second.iter_attachments()
    assert part.get_payload(decode=True) == content
    assert text_of(second).strip() == "send it back"
    tally.add(in_=2, out=2, media=2)


async def test_two_accounts_keep_their_own_mail(servers: MailServers, tmp_path: Path) -> None:
    """Each answers from its address what was written to it, at the same time."""
    servers.set_password("help", "right")
    async with mail_core(tmp_path / "home", account(servers), account(servers, name="desk", local="help")):
        for number in range(5):
            await say(servers, f"bot {number}", to="bot@example.org")
            await say(servers, f"help {number}", to="help@example.org")
        mails = await got(servers, 10)
    assert sorted((str(mail["From"]), text_of(mail)) for mail in mails) == sorted(
        (f"{local}@example.org", f"{local} {number}") for local in ("bot", "help") for number in range(5)
    )


async def test_servers_that_are_killed_lose_and_repeat_nothing(
    servers: MailServers, tmp_path: Path, tally: Tally
) -> None:
    """Sixty numbered mails while IMAP and SMTP are killed in turn: each is answered once, in order."""
    async with mail_core(tmp_path / "home", account(servers, poll_s=2.0)) as kernel:
        for number in range(60):
            if number in {10, 30}:
                await servers.kill_imap()
            if number in {20, 40}:
                await servers.start_imap()
            if number == 50:
                await servers.kill_smtp()
                await servers.start_smtp()
            await say(servers, f"{number}")
        mails = await got(servers, 60)
        await stands(kernel)
        await say(servers, "last")
        mails = await got(servers, 61)
        tally.add(in_=61, replies=61, reconnects=(await views(kernel))[0].restart_count)
    tally.numbered([*(f"{number}" for number in range(60)), "last"], numbers(mails), "out")
    assert len({mail["Message-ID"] for mail in mails}) == 61


async def test_what_came_while_the_core_was_away_is_answered(
    servers: MailServers, tmp_path: Path, tally: Tally
) -> None:
    """And what it answered before is not answered again; what was there before the first start never."""
    await say(servers, "long ago")
    async with mail_core(tmp_path / "home", account(servers)):
        await say(servers, "before")
        await got(servers, 1)
    for number in range(5):
        await say(servers, f"away {number}")
    async with mail_core(tmp_path / "home", account(servers)):
        await got(servers, 6)
        await say(servers, "after")
        mails = await got(servers, 7)
    tally.numbered(["before", *(f"away {number}" for number in range(5)), "after"], numbers(mails), "out")


async def test_a_core_that_is_killed_loses_nothing(servers: MailServers, tmp_path: Path, tally: Tally) -> None:
    """Each mail is answered; what was sent again, for nobody knew whether it had been, has the same Message-ID."""
    home = tmp_path / "home"
    await asyncio.to_thread(prepared, home, account(servers))
    served = ServedCore(home)
    await served.start()
    try:
        await some(lambda: reads(home))
        for number in range(40):
            await say(servers, f"{number}")
            if number in {13, 27}:
                await served.kill()
                await served.start()
        await got(servers, 40, fits=is_new())
    finally:
        await served.kill()
    by_id = {str(mail["Message-ID"]): mail for mail in await asyncio.to_thread(servers.mails, "ana")}
    assert sorted(numbers(list(by_id.values())), key=int) == [f"{number}" for number in range(40)]
    tally.add(in_=40, out=40, replies=40, reconnects=2)


def is_new() -> Callable[[EmailMessage], bool]:
    """Whether a mail is the first of its id: readers of mail show the others not."""
    firsts: dict[str, str] = {}
    return lambda mail: firsts.setdefault(str(mail["Message-ID"]), str(mail["X-File"])) == str(mail["X-File"])


async def test_a_folder_that_was_numbered_anew_is_not_answered_again(servers: MailServers, tmp_path: Path) -> None:
    """What came in between is answered, though all numbers are others."""
    async with mail_core(tmp_path / "home", account(servers)):
        for number in range(10):
            await say(servers, f"before {number}")
        await got(servers, 10)
    await servers.kill_imap()
    await say(servers, "between")
    await asyncio.to_thread(forget_numbers, servers.folder / "mail" / "bot")
    await servers.start_imap()
    async with mail_core(tmp_path / "home", account(servers)):
        await got(servers, 11)
        await say(servers, "after")
        mails = await got(servers, 12)
    assert sorted(numbers(mails)[10:]) == ["after", "between"]


def forget_numbers(folder: Path) -> None:
    """As after a restore of the mails alone: all are numbered again, backwards, under another UIDVALIDITY."""
    for path in folder.glob("dovecot*"):
        path.unlink()
    mails = sorted(path.name for part in ("new", "cur") for path in (folder / part).iterdir())
    lines = [f"{number} :{name}" for number, name in enumerate(reversed(mails), 1)]
    (folder / "dovecot-uidlist").write_text("\n".join([f"3 V77 N{len(mails) + 1} G{'ab' * 16}", *lines, ""]))
    (folder / "dovecot-uidlist").chmod(0o666)


async def test_a_line_that_fell_silent_is_found_out(servers: MailServers, tmp_path: Path, tally: Tally) -> None:
    """The mails of the silence are answered once it is over."""
    async with (
        tcp_line(servers.ports[0]) as line,
        mail_core(tmp_path / "home", account(servers, poll_s=1.0, imap=line.port)) as kernel,
    ):
        await say(servers, "before")
        await got(servers, 1)
        line.deafen()
        await say(servers, "in the silence")

        async def is_known() -> bool | None:
            return any("no answer within" in view.last_error for view in await views(kernel)) or None

        await some(is_known)
        line.mend()
        mails = await got(servers, 2)
        tally.add(reconnects=(await views(kernel))[0].restart_count)
    tally.numbered(["before", "in the silence"], numbers(mails), "out")


async def test_a_sender_who_is_not_proved_is_counted_and_told_once(servers: MailServers, tmp_path: Path) -> None:
    """Nobody is answered, and the next mail of the real one is."""
    async with mail_core(tmp_path / "home", account(servers)) as kernel:
        seen: list[str] = []

        def noted(event: AlarmRaised) -> bool:
            seen.append(event.error)
            return "not proved" in event.error

        alarm = asyncio.ensure_future(until(kernel, AlarmRaised, fits=noted))
        for _ in range(2):
            await say(servers, "pay me", envelope="eve@example.net")
        await say(servers, "a note of a list", Auto_Submitted="auto-generated")
        await say(servers, "it is me")
        (mail,) = await got(servers, 1)
        assert text_of(mail) == "it is me"
        await alarm

        async def counted() -> int | None:
            (view,) = await views(kernel)
            return view.refused_count if view.refused_count >= 3 else None

        assert await some(counted) == 3
        assert len([error for error in seen if "not proved" in error]) == 1


async def test_tls_is_proved_with_the_authority_that_is_named(dovecot: Programs, tmp_path: Path) -> None:
    """Reading by TLS from the start, sending by STARTTLS; without the authority nothing is said at all."""
    servers = MailServers(dovecot, has_tls=True)
    plain = "\n".join(line for line in account(servers).splitlines() if "security: none" not in line)

    def secured(imap: str, smtp: str) -> str:
        ways = [f"imap: {{host: localhost, {imap}}}", f"smtp: {{host: localhost, {smtp}}}"]
        return "\n    ".join([plain, f"ca_file: {servers.folder}/tls/cert.pem", *ways]) + "\n"

    imap, imap_tls, smtp, smtp_tls = (f"port: {port}" for port in servers.ports)
    try:
        await servers.open()
        async with mail_core(tmp_path / "home", secured(imap_tls, f"{smtp}, security: starttls")):
            await say(servers, "hello")
            await got(servers, 1)
        async with mail_core(tmp_path / "home", secured(f"{imap}, security: starttls", smtp_tls)):
            await say(servers, "hello again")
            await got(servers, 2)
        log = await asyncio.to_thread((servers.folder / "dovecot.log").read_text)
        assert ", TLS, " in log
        async with email_rig(servers) as rig:
            stranger = rig.made(imap=MailServer(host="localhost", port=servers.ports[1]))
            async with running(stranger, RigInbox(), must_stand=False) as run:
                failure = await run.failure()
        assert "certificate" in failure.message
    finally:
        await servers.close()


async def test_a_thread_is_found_again_after_a_new_start(servers: MailServers, rig: EmailRig) -> None:
    """Subject and ids of a mail that this core never saw come from the folder itself."""
    theirs = await asyncio.to_thread(
        lambda: post(servers, "long ago", Subject="Old thing", References="<a@x> <b@x>", In_Reply_To="<b@x>")
    )
    await rig.platform.send(outbound(rig, "late answer", 1, reply_to=theirs))
    (mail,) = await got(servers, 1)
    assert (mail["Subject"], mail["References"]) == ("Re: Old thing", f"<a@x> <b@x> <{theirs}>")


async def test_a_mail_that_is_too_large_is_said_to_be(servers: MailServers, rig: EmailRig) -> None:
    """Its headers are read and nothing else; the next one comes in."""
    inbox = RigInbox()
    async with running(rig.made(mail_bytes=10_000), inbox):
        await asyncio.to_thread(lambda: post(servers, "x" * 20_000, Subject="Much"))
        await rig.say("little")
        await inbox.until(lambda: len(inbox.received) >= 2)
    assert inbox.texts[0].startswith("Subject: Much\n\n[This mail was not read: it has 2")
    assert inbox.texts[1] == "little"


async def test_a_sender_with_a_full_queue_holds_nobody_else_up(servers: MailServers, rig: EmailRig) -> None:
    """The own order is kept, though others overtake."""
    inbox = RigInbox()
    async with running(rig.platform, inbox):
        inbox.faults.append(Overloaded("full", bound="queue", limit=1, retry_after_s=1.0))
        await rig.say("ana 1")
        await rig.say("ana 2")
        await asyncio.to_thread(lambda: post(servers, "ben 1", sender="ben@example.org"))
        await inbox.until(lambda: len(inbox.received) >= 3)
    assert [text for text in inbox.texts if "ana" in text] == ["ana 1", "ana 2"]
    assert inbox.twice == []


async def test_a_mail_without_end_of_hostility_stops_nothing(servers: MailServers, rig: EmailRig) -> None:
    """Broken encodings, nested parts, forged headers: each is taken in or turned away, and the next one is read."""
    inbox = RigInbox()
    hostile = [
        b'From: ana@example.org\r\nContent-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n--\r\n',
        b'From: ana@example.org\r\nContent-Type: text/plain; charset="\xff"\r\nContent-Transfer-Encoding: x\r\n\r\nq',
        b"From: ana@example.org\r\nFrom: eve@example.org\r\n\r\ntwo",
        b"From: ana@example.org\r\nSubject: =?utf-8?b?/////w==?= \x1b[2J\r\nMessage-ID: <a\r\n b@x>\r\n\r\nescape",
        b"From: ana@example.org\r\n" + b"X: y\r\n" * 5000 + b"\r\nmany",
        b"\r\n\r\n",
    ]

    def deliver() -> None:
        with smtplib.SMTP("127.0.0.1", servers.ports[2], timeout=20) as client:
            for raw in hostile:
                client.sendmail(ANA, ["bot@example.org"], raw)

    async with running(rig.platform, inbox):
        await asyncio.to_thread(deliver)
        await rig.say("the last")
        await inbox.until(lambda: "the last" in inbox.texts)
    assert len(inbox.received) + len(inbox.refusals) == len(hostile) + 1
    assert "From is not one plain address" in inbox.refusals
    assert all("\x1b" not in inbound.title + inbound.text for inbound in inbox.received)
