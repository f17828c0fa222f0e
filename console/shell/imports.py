"""Shell commands that take over what another gateway has: import hermes."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from console.exit_codes import Exit
from console.shell.call import operator
from console.shell.local import LocalCall, LocalVerb
from console.shell.pairing_imports import let_in
from console.shell.printing import table
from core.api.errors import Unavailable
from core.api.processes import ImportView, Taken

_ORDER = (Taken.TAKE, Taken.CHANGE, Taken.HAVE, Taken.SKIP)
_WORDS = {Taken.TAKE: "takes", Taken.CHANGE: "changes", Taken.HAVE: "is here", Taken.SKIP: "leaves"}


def _add_hermes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", nargs="?", default="~/.hermes", help="its home, else ~/.hermes")
    parser.add_argument("--write", action="store_true", help="take it over; without it is only shown")


async def _hermes(call: LocalCall) -> int:
    view = await asyncio.to_thread(_taken, call)
    if view.is_written and view.pairings:
        view = await _let_in(call, view)
    call.give(view, lambda: import_lines(view, call.width))
    if not view.is_written:
        call.narrate("nothing was written; take it over with --write")
    elif not view.written:
        call.narrate("everything is here already; nothing was written")
    else:
        call.narrate("a core that runs takes it up when it is started again: hermes-console gateway restart")
    return Exit.OK


async def _let_in(call: LocalCall, view: ImportView) -> ImportView:
    """Pairings are the core's: one that runs is told, else one is opened just for that."""
    try:
        hermes = await call.doors.attach(call.home)
    except Unavailable:
        hermes = await asyncio.to_thread(call.doors.open_quietly, call.home)
    try:
        return await let_in(hermes, view, operator())
    finally:
        await hermes.close()


def _taken(call: LocalCall) -> ImportView:
    source = Path(call.args.path).expanduser().absolute()
    return call.doors.import_hermes(call.home, source, write=call.args.write)


def import_lines(view: ImportView, width: int | None) -> Iterator[str]:
    """What is taken, what is changed, what not and why; the same order each time."""
    for problem in view.problems:
        yield f"problem: {problem}"
    rows = [
        (_WORDS[item.verdict], item.kind, item.source, item.target, item.why)
        for verdict in _ORDER
        for item in view.items
        if item.verdict is verdict
    ]
    yield from table(("", "what", "there", "here", "why"), rows, width=width)
    counted = Counter(item.verdict for item in view.items)
    yield ""
    yield ", ".join(f"{counted[verdict]} {verdict.value}" for verdict in _ORDER)
    yield from (f"written: {line}" for line in view.written)


VERBS: tuple[LocalVerb, ...] = (
    LocalVerb(
        "import", "hermes", "show what a Hermes home has to give; with --write take it over", _add_hermes, _hermes
    ),
)
