"""How an adapter that is called from outside lives on the core's HTTP server."""

import asyncio
from collections.abc import Callable

from core.gateway.platform import AsgiApp, HttpHost, Inbox, PlatformError, PlatformErrorKind


async def serve_mounted(http: HttpHost, prefix: str, app: Callable[[Inbox], AsgiApp], inbox: Inbox) -> None:
    """Serve an app below `prefix` until cancelled.

    Raises PlatformError when the HTTP endpoint is not open, or the prefix is taken.
    """
    if not http.url:
        raise PlatformError(PlatformErrorKind.RETRY_AFTER, "the HTTP endpoint is not open")
    try:
        http.mount(prefix, app(inbox))
    except ValueError as error:
        raise PlatformError(PlatformErrorKind.REFUSED, f"another platform serves {prefix}") from error
    try:
        inbox.connected(http.url + prefix)
        await asyncio.Event().wait()
    finally:
        http.unmount(prefix)
