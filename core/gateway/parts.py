"""An outbound message as the messages that a platform carries: its text cut, each file on its own (pure)."""

import msgspec

from core.api.base import DeliveryId
from core.gateway.chunking import LEAST_LIMIT, chunks
from core.gateway.platform import Limits, Outbound, OutboundFile


def parts_of(outbound: Outbound, limits: Limits) -> tuple[Outbound, ...]:
    """The messages in their order, each with a delivery id of its own; the first keeps that of the whole.

    Only the first is a reply or replaces another message, only the last has the buttons. Text goes before files.
    """
    if outbound.part_count > 1:
        return (outbound,)
    texts = [chunk.text for chunk in chunks(outbound.text, max(limits.text_limit, LEAST_LIMIT), limits.text_unit)]
    # Cut off from what was beside them, blanks are no message.
    texts = [text for text in texts if text.strip()] or ([] if outbound.files else [outbound.text])
    if len(texts) == 1 and texts[0] == outbound.text and (limits.files_with_text or not outbound.files):
        return (outbound,)
    parts: list[tuple[str, tuple[OutboundFile, ...]]] = [(text, ()) for text in texts]
    if limits.files_with_text and outbound.files:
        parts[-1:] = [(texts[-1] if texts else "", outbound.files)]
    else:
        parts += [("", (item,)) for item in outbound.files]
    count = len(parts)
    return tuple(
        msgspec.structs.replace(
            outbound,
            delivery_id=outbound.delivery_id if number == 1 else DeliveryId(f"{outbound.delivery_id}.{number}"),
            text=text,
            files=files,
            reply_to=outbound.reply_to if number == 1 else "",
            edits=outbound.edits if number == 1 else "",
            buttons=outbound.buttons if number == count else (),
            part=number,
            part_count=count,
        )
        for number, (text, files) in enumerate(parts, start=1)
    )
