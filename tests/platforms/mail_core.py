"""A whole core whose connections are mailboxes, and what a test waits for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

from core.api.platforms import ListPlatforms, PlatformState, PlatformView
from core.connect import attach
from core.home import prepare
from core.kernel import Kernel
from tests.platforms.mail_programs import MailServers
from tests.platforms.whole_core import whole_core
from tests.support.email_rig import AUTHSERV
from tests.support.runtime_core import some

ACCOUNT = """
  {name}:
    kind: email
    address: {local}@example.org
    user: {local}
    password: file:secrets/{local}
    allow_all: true
    authserv_id: {authserv}
    imap: {{host: 127.0.0.1, port: {imap}, security: none}}
    smtp: {{host: 127.0.0.1, port: {smtp}, security: none}}
    poll_s: {poll_s}
    deadline_s: 5
    {more}
"""


SERVED = """
http: {port: 0}
agents:
  main: {runner: scripted, scenario: builtin:echo, pace: 0}
deliveries: {base_s: 0.2, cap_s: 2}
platforms:
"""


def account(
    servers: MailServers,
    *,
    name: str = "post",
    local: str = "bot",
    poll_s: float = 600.0,
    more: str = "",
    imap: int = 0,
    smtp: int = 0,
) -> str:
    """One connection of the configuration. imap, smtp: other ports than those of the servers."""
    return ACCOUNT.format(
        name=name,
        local=local,
        authserv=AUTHSERV,
        imap=imap or servers.ports[0],
        smtp=smtp or servers.ports[2],
        poll_s=poll_s,
        more=more,
    )


@asynccontextmanager
async def mail_core(home: Path, *accounts: str) -> AsyncIterator[Kernel]:
    """A core that answers mail with what it was told, once every mailbox is open."""
    async with whole_core(home, "".join(accounts), {"bot": "right", "help": "right"}) as kernel:
        await stands(kernel)
        yield kernel


async def views(kernel: Kernel) -> Sequence[PlatformView]:
    """The connections."""
    return (await kernel.query(ListPlatforms())).platforms


async def stands(kernel: Kernel) -> None:
    """Wait until every connection stands."""

    async def found() -> bool | None:
        return all(view.state is PlatformState.CONNECTED for view in await views(kernel)) or None

    await some(found)


async def got(
    servers: MailServers, count: int, *, local: str = "ana", fits: Callable[[EmailMessage], bool] = lambda _: True
) -> list[EmailMessage]:
    """What somebody got, once it is that many."""

    async def found() -> list[EmailMessage] | None:
        mails = [mail for mail in await asyncio.to_thread(servers.mails, local) if fits(mail)]
        return mails if len(mails) >= count else None

    async with asyncio.timeout(60):
        while (mails := await found()) is None:  # noqa: ASYNC110 - a folder has no event
            await asyncio.sleep(0.05)
    return mails


def prepared(home: Path, *accounts: str) -> None:
    """A home for a core in a process of its own. Blocks."""
    prepare(home)
    (home / "config.yaml").write_text(SERVED + "".join(accounts))
    file = home / "secrets" / "bot"
    file.write_text("right")
    file.chmod(0o600)


async def reads(home: Path) -> bool | None:
    """Whether the connections of that core stand; None when they do not. What came before is not read."""
    remote = await attach(home)
    try:
        found = (await remote.query(ListPlatforms())).platforms
        return all(view.state is PlatformState.CONNECTED for view in found) or None
    finally:
        await remote.close()
