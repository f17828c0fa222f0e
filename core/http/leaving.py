"""Work for a caller who may hang up meanwhile: it is let go then."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, NamedTuple, TypeVar, cast

from core.http.asgi import ClientGone, Receive, hung_up

T = TypeVar("T")


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work. Raises ClientGone when the caller hangs up first, and what the work raises."""
    done: _Done[T] | None = None
    async with asyncio.TaskGroup() as group:
        hangup = group.create_task(hung_up(receive))
        job = group.create_task(_kept(work))
        try:
            await asyncio.wait({hangup, job}, return_when=asyncio.FIRST_COMPLETED)
            done = job.result() if job.done() else None
        finally:
            hangup.cancel()
            job.cancel()
    if done is None:
        raise ClientGone
    if done.error is not None:
        raise done.error
    return cast(T, done.value)


class _Done(NamedTuple, Generic[T]):
    """What came of the work."""

    value: T | None
    error: Exception | None


async def _kept(work: Coroutine[Any, Any, T]) -> _Done[T]:
    # A group would wrap what the work raises, and nobody would know it again.
    try:
        return _Done(await work, None)
    except Exception as error:  # noqa: BLE001 - raised again where the result is taken
        return _Done(None, error)
