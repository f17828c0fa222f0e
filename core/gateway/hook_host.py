"""The program in which one hook runs: reads events as JSON lines, calls its handler, answers with a line for each.

It is run by its path with `python -I`, knows nothing of the core and gets nothing of it but events: no secret is in its
environment. What the handler prints, and what its children print, goes to standard error, so it cannot be taken for an
answer.
"""

import asyncio
import importlib.util
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

_ORPHAN_LOOK_S = 2.0


def main(handler: Path) -> None:
    """Serve until the end of the input."""
    asked = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()
    loop, own = asyncio.new_event_loop(), os.getpid()
    try:
        handle = _loaded(handler)
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises when it is loaded
        answers.write(_line({"ready": False, "error": _words(error), "line": _line_of(error, handler)}))
        return
    answers.write(_line({"ready": True}))
    for line in asked:
        call = json.loads(line)
        said = _called(handle, call, loop, handler)
        if os.getpid() != own:
            # A copy that the handler made of us: it has no events of its own.
            os._exit(0)
        answers.write(_line({"id": call["id"], **said}))
    _end()


def _loaded(handler: Path) -> Callable[[str, dict[str, Any]], object]:
    sys.path.insert(0, str(handler.parent))
    spec = importlib.util.spec_from_file_location("hook_handler", handler)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot read {handler.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["hook_handler"] = module
    spec.loader.exec_module(module)
    handle = getattr(module, "handle", None)
    if not callable(handle):
        raise TypeError(f"{handler.name} has no function handle(event_type, context)")
    return cast("Callable[[str, dict[str, Any]], object]", handle)


def _called(
    handle: Callable[[str, dict[str, Any]], object], call: dict[str, Any], loop: asyncio.AbstractEventLoop, file: Path
) -> dict[str, object]:
    try:
        result = handle(call["event"], call["context"])
        if inspect.isawaitable(result):
            loop.run_until_complete(_awaited(cast("Awaitable[object]", result)))
    except BaseException as error:  # noqa: BLE001 - also SystemExit: one event must not end the others
        sys.stderr.flush()
        return {"error": _words(error), "line": _line_of(error, file)}
    finally:
        sys.stdout.flush()
    return {"error": ""}


async def _awaited(result: Awaitable[object]) -> None:
    await result


def _words(error: BaseException) -> str:
    words = f"{type(error).__name__}: {error}".strip().splitlines()
    return words[0][:300] if words else type(error).__name__


def _line_of(error: BaseException, file: Path) -> int:
    """The deepest line of the handler's own file that the error went through; 0 for none."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno or 0
    found, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _line(answer: dict[str, object]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _watch_parent(parent: int) -> None:
    """Nobody is left behind when the core is killed: also not a handler that hangs."""
    while os.getppid() == parent:
        time.sleep(_ORPHAN_LOOK_S)  # noqa: TID251 - a program of its own, without the core's clock
    _end()


def _end() -> None:
    """The core is gone: so is this, with all that the handler started, as the core would have ended it."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
