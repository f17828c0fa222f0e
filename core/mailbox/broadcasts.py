"""One message to many: all at once, and for each recipient what became of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from core.api.errors import HermesError
from core.api.mail import PostReceipt

Outcome = PostReceipt | HermesError


async def post_to_each(names: Iterable[str], post: Callable[[str], Awaitable[PostReceipt]]) -> dict[str, Outcome]:
    """Post to every name side by side, so that durable mailboxes share their flushes."""

    async def outcome(name: str) -> Outcome:
        try:
            return await post(name)
        except HermesError as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(outcome(name)) for name in dict.fromkeys(names)}
    return {name: task.result() for name, task in tasks.items()}
