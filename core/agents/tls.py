"""Certificates for connections to agents that run elsewhere."""

import ssl
from functools import cache

import httpx


@cache
def tls() -> ssl.SSLContext:
    """One for all runners: reading the certificates takes as long as a short answer. Reads the disk the first time."""
    return httpx.create_ssl_context(trust_env=False)
