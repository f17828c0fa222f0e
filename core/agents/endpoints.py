"""Agents that are spoken to over HTTP: their address, a client for it, and how often something is tried there."""

import ssl
from collections.abc import Callable
from functools import cache

import httpx

from core.agent_settings import HermesRunsSettings, OpenaiSettings
from core.api.base import AgentName
from core.api.errors import Unavailable
from core.backoff import delay_s
from core.secrets import Secret

TRIES = 3
_RETRY_BASE_S = 1.0
_RETRY_CAP_S = 20.0


def check_address(agent: AgentName, base_url: str) -> None:
    """Raises Unavailable when nobody could connect to it, whoever listens."""
    try:
        httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise Unavailable(
            f"agent {agent}: base_url is not an address: {error}", field="base_url", fix="correct agents.*.base_url"
        ) from None


def shown_address(base_url: str) -> str:
    """The address for people, without what may be secret in it. It is parsed anew: ask once."""
    return str(httpx.URL(base_url).copy_with(userinfo=b"", query=None, fragment=None))


def http_client(settings: OpenaiSettings | HermesRunsSettings, key: Secret | None) -> httpx.AsyncClient:
    """A client that shows the key with each request. Reads the certificates the first time: call it off the loop."""
    headers = {"accept": "text/event-stream, application/json", "user-agent": "hermes-console"}
    if key is not None:
        headers["authorization"] = f"Bearer {key.reveal()}"
    limits = httpx.Timeout(settings.stall_limit_s, connect=settings.connect_timeout_s)
    # Proxies of the environment would be handed prompts and key.
    return httpx.AsyncClient(headers=headers, timeout=limits, verify=_tls(), trust_env=False)


def retry_wait_s(failures: int, random: Callable[[], float]) -> float:
    """How long to wait before the next try, of TRIES."""
    return delay_s(failures, base_s=_RETRY_BASE_S, cap_s=_RETRY_CAP_S, random=random)


@cache
def _tls() -> ssl.SSLContext:
    # One for all runners: reading the certificates takes as long as a short answer.
    return httpx.create_ssl_context(trust_env=False)
