"""A Dovecot and an SMTP server, fetched into folders of their own and run on this machine only.

Dovecot is unpacked from packages of Debian, not installed. It looks for its parts under /usr, so it runs in a mount
namespace of its own in which they lie there. As root it runs as nobody, else in a user namespace as whoever runs the
tests.
"""

import asyncio
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.installed import sealed
from tests.platforms.installed import environment, left_out
from tests.support.email_rig import EmailRig
from tests.support.tcp_line import tcp_line
from tests.support.tree import ROOT

FOLDER = Path(os.environ.get("HERMES_DOVECOT_DIR", ROOT / ".venv-dovecot")).absolute()
PACKAGES = [
    "dovecot-core",
    "dovecot-imapd",
    "libexttextcat-2.0-0",
    "libexttextcat-data",
    "libstemmer0d",
    "libsodium23",
    "libapparmor1",
    "liblua5.4-0",
    "libunwind8",
    "libwrap0",
    "libtirpc3",
]
HERE = Path(__file__).parent
_INSTALL_LIMIT_S = 300
_START_LIMIT_S = 20.0
_IS_ROOT = os.geteuid() == 0
NAMESPACE = ("unshare", *(() if _IS_ROOT else ("--user", "--map-current-user", "--keep-caps")), "--mount")
_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
listen = 127.0.0.1
protocols = imap
ssl = {ssl}
{certificate}
disable_plaintext_auth = no
auth_mechanisms = plain login
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{folder}/mail/%n
mail_max_userip_connections = 200
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/home/%n
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = {ssl}
  }}
}}
service anvil {{
  chroot =
  # Who fails to log in often is not kept waiting.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


class Programs(NamedTuple):
    """root: what was unpacked. python: with the SMTP server."""

    root: Path
    python: Path


def mail_programs() -> Programs:
    """Where both are, fetched when they are missing. What this machine cannot fetch or run is left out."""
    python = environment("platforms") / "python"
    if not all(shutil.which(program) for program in ("apt-get", "dpkg", "unshare")):
        left_out("Dovecot is unpacked from packages of Debian, which this machine has no programs for")
    try:
        root = sealed(FOLDER, (), " ".join(PACKAGES), _unpack)
    except (OSError, subprocess.SubprocessError) as error:
        left_out(f"Dovecot cannot be fetched: {type(error).__name__}")
    lay = ["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={root}/usr:/usr", "/usr"]
    if subprocess.run([*NAMESPACE, *lay], capture_output=True, timeout=20, check=False).returncode:
        left_out("Dovecot needs a mount namespace with an overlay, which this machine does not let us have")
    return Programs(root, python)


def _unpack(folder: Path) -> None:
    packed = folder / "packed"
    shutil.rmtree(packed, ignore_errors=True)
    packed.mkdir()
    if subprocess.run(
        ["apt-get", "download", "-qq", *PACKAGES], cwd=packed, timeout=_INSTALL_LIMIT_S, check=False
    ).returncode:
        _run(["apt-get", "update", "-qq"])
        _run(["apt-get", "download", "-qq", *PACKAGES], packed)
    for package in sorted(packed.glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(folder)])
    shutil.rmtree(packed)


def _run(command: list[str], cwd: Path = ROOT) -> None:
    subprocess.run(command, check=True, timeout=_INSTALL_LIMIT_S, cwd=cwd, stdin=subprocess.DEVNULL)


class MailServers:
    """Both servers over the same Maildirs, mail/LOCAL for each local part. ports: of IMAP, IMAP over TLS, SMTP and
    SMTP over TLS.
    """

    def __init__(self, programs: Programs, *, has_tls: bool = False) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="hermes-mail-"))
        self.has_tls = has_tls
        self.ports: tuple[int, int, int, int] = _free_ports()
        self._dovecot: asyncio.subprocess.Process | None = None
        self._smtp: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        """Write what they need, and start both."""
        await asyncio.to_thread(self._prepare)
        await self.start_smtp()
        await self.start_imap()

    def _prepare(self) -> None:
        for name in ("mail", "run", "state", "home", "tls"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        if self.has_tls:
            subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
            files = ["-keyout", str(self.folder / "tls/key.pem"), "-out", str(self.folder / "tls/cert.pem")]
            command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
            subprocess.run(command, check=True, timeout=60, capture_output=True)
        self.set_password("bot", "right")
        user, group = ("nobody", "nogroup") if _IS_ROOT else (str(os.getuid()), str(os.getgid()))
        tls = self.folder / "tls"
        (self.folder / "dovecot.conf").write_text(
            _CONFIG.format(
                folder=self.folder,
                ssl="yes" if self.has_tls else "no",
                certificate=f"ssl_cert = <{tls}/cert.pem\nssl_key = <{tls}/key.pem" if self.has_tls else "",
                user=user,
                group=group,
                port=self.ports[0],
                tls_port=self.ports[1],
            )
        )
        if _IS_ROOT:
            subprocess.run(["chown", "-R", "nobody:nogroup", str(self.folder)], check=True, timeout=10)

    def set_password(self, user: str, password: str) -> None:
        """A user's password from now on; other users keep theirs."""
        path = self.folder / "users"
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if not line.startswith(f"{user}:")]
        path.write_text("".join(f"{line}\n" for line in [*kept, f"{user}:{{PLAIN}}{password}"]))

    def deliver(self, envelope: str, to: str, raw: bytes) -> None:
        """Somebody sends a mail, with the library that everybody uses. Blocks."""
        with smtplib.SMTP("127.0.0.1", self.ports[2], timeout=20) as client:
            client.sendmail(envelope, [to], raw)

    def mails(self, local: str) -> list[EmailMessage]:
        """What somebody got so far, oldest first, each with its place as X-File. Blocks."""
        folder = self.folder / "mail" / local
        paths = sorted((path for part in ("new", "cur") for path in (folder / part).glob("*")), key=_time)
        return [_mail(path) for path in paths]

    async def start_imap(self) -> None:
        """Start Dovecot, and wait until it greets."""
        root = self._programs.root
        lay = f"mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr"
        drop = "setpriv --reuid=nobody --regid=nogroup --clear-groups" if _IS_ROOT else ""
        start = f"{lay} && exec {drop} /usr/sbin/dovecot -F -c {self.folder}/dovecot.conf"
        self._dovecot = await asyncio.create_subprocess_exec(
            *(*NAMESPACE, "sh", "-c", start), start_new_session=True, stdin=asyncio.subprocess.DEVNULL
        )
        await self._greets(self.ports[0])

    async def kill_imap(self) -> None:
        """Kill -9, with all that it started."""
        await _killed(self._dovecot)
        self._dovecot = None

    async def start_smtp(self) -> None:
        """Start the SMTP server."""
        drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if _IS_ROOT else []
        tls = str(self.folder / "tls") if self.has_tls else ""
        script = [str(HERE / "smtp_server.py"), str(self.folder), str(self.ports[2]), str(self.ports[3]), tls]
        self._smtp = await asyncio.create_subprocess_exec(
            *(*drop, str(self._programs.python), *script),
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._smtp.stdout is not None
        async with asyncio.timeout(_START_LIMIT_S):
            assert await self._smtp.stdout.readline() == b"ready\n"

    async def kill_smtp(self) -> None:
        """Kill -9."""
        await _killed(self._smtp)
        self._smtp = None

    async def close(self) -> None:
        """Stop both, and leave nothing behind."""
        await self.kill_imap()
        await self.kill_smtp()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _greets(self, port: int) -> None:
        async with asyncio.timeout(_START_LIMIT_S):
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    line = await reader.readline()
                    writer.close()
                    await writer.wait_closed()
                    if line.startswith(b"* OK"):
                        return
                except OSError:
                    assert self._dovecot is not None
                    if self._dovecot.returncode is not None:
                        pytest.fail((self.folder / "dovecot.log").read_text()[-2000:])
                await asyncio.sleep(0.05)


def _mail(path: Path) -> EmailMessage:
    mail = message_from_bytes(path.read_bytes(), _class=EmailMessage, policy=default)
    mail["X-File"] = path.name
    return mail


def _time(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


async def _killed(process: asyncio.subprocess.Process | None) -> None:
    if process is None:
        return
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


def _free_ports() -> tuple[int, int, int, int]:
    held = [socket.socket() for _ in range(4)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    first, second, third, fourth = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return first, second, third, fourth


@asynccontextmanager
async def email_rig(servers: MailServers) -> AsyncIterator[EmailRig]:
    """A mailbox for a test. servers: that run."""
    async with tcp_line(servers.ports[0]) as imap, tcp_line(servers.ports[2]) as smtp:
        yield EmailRig(servers, imap, smtp, servers.folder)
