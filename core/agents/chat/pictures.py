"""Pictures that came with messages, put before a model that can see, beside the text that names them."""

import base64
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from core.agents.tools.folders import ASSETS
from core.agents.tools.workspaces import bytes_below

LIMIT_BYTES = 5_000_000
MOST = 8
# As files of messages are named to agents whose tools are ours; the digits cannot be guessed.
_NAMED = re.compile(rf" bytes: {re.escape(str(ASSETS))}/([0-9a-f]{{24}}_[^/\[\]\n]+)\]")


def with_pictures(messages: Sequence[dict[str, str]], texts: Sequence[str], workspace: Path) -> list[dict[str, Any]]:
    """The conversation, its last message with the pictures that the texts name. Blocks.

    At most MOST of them, JPEG, PNG, GIF or WebP of up to LIMIT_BYTES; others stay names.
    """
    said: list[dict[str, Any]] = [dict(item) for item in messages]
    pictures = list(islice(_pictures(texts, workspace), MOST))
    if pictures and said and said[-1]["role"] == "user":
        said[-1]["content"] = [{"type": "text", "text": said[-1]["content"]}, *pictures]
    return said


def _pictures(texts: Sequence[str], workspace: Path) -> Iterator[dict[str, Any]]:
    names = dict.fromkeys(name for text in texts for name in _NAMED.findall(text))
    for name in names:
        body = bytes_below(workspace, workspace / ASSETS / name, LIMIT_BYTES)
        mime = "" if body is None else kind_of_picture(body)
        if body is not None and mime:
            data = base64.b64encode(body).decode("ascii")
            yield {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{data}"}}


def kind_of_picture(body: bytes) -> str:
    """The type by how it begins, whatever its name says; "" for no picture that models take."""
    if body.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if body.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if body[:4] == b"RIFF" and body[8:12] == b"WEBP" else ""
