"""The end of a child process: nothing that was read of it is lost, whichever the loop hears of first."""

import asyncio
from unittest.mock import Mock

from core.agents.processes import Child
from tests.support.clocks import FakeClock


async def test_what_was_read_in_the_turn_of_the_exit_comes_before_the_end() -> None:
    """The loop may tell of the exit first, with the last words already taken out of the pipe."""
    heard: list[bytes] = []
    over = asyncio.Event()
    child = Child(
        FakeClock(), on_line=heard.append, on_end=over.set, redact=lambda line: line, hide=(), limit_bytes=1024
    )
    ended = Mock()
    ended.get_pid.return_value = 0
    ended.get_returncode.return_value = 3
    ended.get_pipe_transport.return_value = None
    child.connection_made(ended)
    loop = asyncio.get_running_loop()
    loop.call_soon(child.process_exited)
    loop.call_soon(child.pipe_data_received, 1, b"last")
    await over.wait()
    assert heard == [b"last"]
    assert child.exit_code == 3
