"""A homeserver of the Matrix project on this machine: started, stopped and started again by a test."""

import asyncio
import hashlib
import hmac
import signal
import socket
import subprocess
from pathlib import Path

import httpx

_SECRET = "registration-of-a-test"
_START_S = 60.0
_STOP_S = 30.0
_CONFIG = """
server_name: "test.local"
pid_file: {folder}/homeserver.pid
listeners:
  - port: {port}
    bind_addresses: ["127.0.0.1"]
    type: http
    tls: false
    resources: [{{names: [client]}}]
database: {{name: sqlite3, args: {{database: {folder}/homeserver.db}}}}
media_store_path: {folder}/media
log_config: {folder}/log.yaml
signing_key_path: {folder}/signing.key
registration_shared_secret: {secret}
macaroon_secret_key: macaroons-of-a-test
form_secret: forms-of-a-test
report_stats: false
enable_metrics: false
trusted_key_servers: []
federation_domain_whitelist: []
url_preview_enabled: false
presence: {{enabled: false}}
rc_message: {{per_second: 10000, burst_count: 10000}}
rc_registration: {{per_second: 10000, burst_count: 10000}}
rc_joins:
  local: {{per_second: 10000, burst_count: 10000}}
  remote: {{per_second: 10000, burst_count: 10000}}
rc_invites:
  per_room: {{per_second: 10000, burst_count: 10000}}
  per_user: {{per_second: 10000, burst_count: 10000}}
  per_issuer: {{per_second: 10000, burst_count: 10000}}
rc_login:
  address: {{per_second: 10000, burst_count: 10000}}
  account: {{per_second: 10000, burst_count: 10000}}
  failed_attempts: {{per_second: 10000, burst_count: 10000}}
"""
_LOG = """
version: 1
handlers: {{file: {{class: logging.FileHandler, filename: {folder}/homeserver.log}}}}
root: {{level: WARNING, handlers: [file]}}
disable_existing_loggers: false
"""


class Synapse:
    """The server in a folder of its own. Blocking calls: use a thread."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._python = str(programs / "python")
        self._folder = folder
        self._config = folder / "homeserver.yaml"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Write its configuration and keys."""
        self._folder.mkdir(parents=True, exist_ok=True)
        values = {"folder": self._folder, "port": self.port, "secret": _SECRET}
        self._config.write_text(_CONFIG.format(**values))
        (self._folder / "log.yaml").write_text(_LOG.format(**values))
        command = [self._python, "-m", "synapse.app.homeserver", "-c", str(self._config), "--generate-keys"]
        subprocess.run(command, check=True, timeout=_START_S, cwd=self._folder, capture_output=True)

    def start(self) -> None:
        """Start it; returns when it answers."""
        command = [self._python, "-m", "synapse.app.homeserver", "-c", str(self._config)]
        with (self._folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        asyncio.run(self._answers())

    def stop(self) -> None:
        """End it by its id, as an operator does, and wait."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)

    def register(self, user: str, password: str) -> str:
        """Make a user; their access token."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=_START_S) as client:
            nonce = client.get("/_synapse/admin/v1/register").raise_for_status().json()["nonce"]
            said = f"{nonce}\0{user}\0{password}\0notadmin".encode()
            body = {
                "nonce": nonce,
                "username": user,
                "password": password,
                "displayname": user.capitalize(),
                "admin": False,
                "mac": hmac.new(_SECRET.encode(), said, hashlib.sha1).hexdigest(),
            }
            token: str = client.post("/_synapse/admin/v1/register", json=body).raise_for_status().json()["access_token"]
        return token

    async def _answers(self) -> None:
        async with asyncio.timeout(_START_S), httpx.AsyncClient(trust_env=False) as client:
            while True:
                assert self._process is not None
                assert self._process.poll() is None, (self._folder / "output.log").read_text()[-2000:]
                try:
                    if (await client.get(f"{self.url}/_matrix/client/versions")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
