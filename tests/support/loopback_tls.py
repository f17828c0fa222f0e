"""A certificate for tests alone: for bot.example and 127.0.0.1, made and signed by itself, good for a hundred years."""

import ssl
from pathlib import Path

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBoTCCAUegAwIBAgIUO9F5hNsLn9DzLVZBoLhp6YdfAvUwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLYm90LmV4YW1wbGUwIBcNMjYxMTIyMDAyNTQyWhgPMjEyNjEw
MjkwMDI1NDJaMBYxFDASBgNVBAMMC2JvdC5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEeEruqXI3TwsvjYG9PGiEe87DC3truyJROZ2gZYN35/j5LiW8
2vo/xKKx48+4nAy5MF0WgwSphp/v0VCjxSf4u6NxMG8wHQYDVR0OBBYEFEvXceu7
LjtS2CxniWma/kCgNOFpMB8GA1UdIwQYMBaAFEvXceu7LjtS2CxniWma/kCgNOFp
MA8GA1UdEwEB/wQFMAMBAf8wHAYDVR0RBBUwE4ILYm90LmV4YW1wbGWHBH8AAAEw
CgYIKoZIzj0EAwIDSAAwRQIhAM+DI9qxqegHRWN8eEVGeM3vFWP3kUITOOFJR60U
v3oYAiAC7jyVaDcUT2y+6p4MuV6wlCEooNzwPqLSx6yvgyV9yw==
-----END CERTIFICATE-----
"""

_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg490nc0rJLQ/Peulf
v77oyDmQuhWOwXc1VilG7TvBHsuhRANCAAR4Su6pcjdPCy+Ngb08aIR7zsMLe2u7
IlE5naBlg3fn+PkuJbza+j/EorHjz7icDLkwXRaDBKmGn+/RUKPFJ/i7
-----END PRIVATE KEY-----
"""


def served(folder: Path) -> ssl.SSLContext:
    """What a server shows. folder: where the files that the library wants may lie."""
    path = folder / "loopback.pem"
    path.write_text(_KEY + CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def trusting() -> ssl.SSLContext:
    """What a client believes that trusts this certificate and no other."""
    return ssl.create_default_context(cadata=CERTIFICATE)
