"""Senders that another gateway had let in, handed to a core: one from a shell, or all of a home that is read."""

import argparse

import msgspec

from console.access_receipts import sender_decided
from console.shell.call import Call, Verb
from core.api.base import Actor, PlatformName
from core.api.errors import AlreadyDecided, HermesError
from core.api.pairings import ImportPairing, PairingState
from core.api.port import Hermes
from core.api.processes import ImportedPairing, ImportItem, ImportView, Taken


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("platform", metavar="PLATFORM", help="name of the connection")
    parser.add_argument("user", metavar="USER", help="id of the sender there")
    parser.add_argument("--name", default="", help="shown with the id")
    parser.add_argument("--source", default="", help="where it was let in; kept in the journal")


async def _import(call: Call) -> None:
    args = call.args
    receipt = await call.execute(
        ImportPairing(
            platform=PlatformName(args.platform), sender_id=args.user, sender_name=args.name, source=args.source
        )
    )
    call.give(receipt, lambda: [sender_decided(receipt)[0]])


async def let_in(hermes: Hermes, view: ImportView, actor: Actor) -> ImportView:
    """Hand every sender of an import to a core. Returns the import as it went: who was let in, who is here already."""
    fates = {target(item): await _let_in_one(hermes, item, view.source, actor) for item in view.pairings}
    items = tuple(_with_fate(item, fates) for item in view.items)
    count = sum(fate is None for fate in fates.values())
    written = (*view.written, f"pairings: {count} let in") if count else view.written
    return msgspec.structs.replace(view, items=items, written=written)


def target(item: ImportedPairing) -> str:
    """How an import names what it makes of a sender."""
    return f"pairing {item.platform}:{item.sender_id}"


async def _let_in_one(hermes: Hermes, item: ImportedPairing, source: str, actor: Actor) -> tuple[Taken, str] | None:
    """Why a sender was not let in; None when it was."""
    command = ImportPairing(
        platform=PlatformName(item.platform), sender_id=item.sender_id, sender_name=item.sender_name, source=source
    )
    try:
        await hermes.execute(command, actor=actor)
    except AlreadyDecided as error:
        is_same = error.facts.get("outcome") == PairingState.APPROVED.value
        return (Taken.HAVE, "") if is_same else (Taken.SKIP, error.message)
    except HermesError as error:
        return Taken.SKIP, error.message
    return None


def _with_fate(item: ImportItem, fates: dict[str, tuple[Taken, str] | None]) -> ImportItem:
    fate = fates.get(item.target) if item.kind == "pairing" else None
    return item if fate is None else msgspec.structs.replace(item, verdict=fate[0], why=fate[1])


VERBS: tuple[Verb, ...] = (
    Verb("pairing", "import", "let in a sender that another gateway had let in", _add_import, _import),
)
