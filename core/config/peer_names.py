"""The environment names of hermes-agent that say who may talk, from the environment and from `.env` (pure)."""

import re
from collections.abc import Mapping

from core.config import dotenv

_NAME = re.compile(r"[A-Z0-9_]+_(ALLOWED_USERS|ALLOW_ALL_USERS|GROUP_ALLOWED_USERS|GROUP_ALLOWED_CHATS|ALLOW_BOTS)")


def access_names(beside: Mapping[str, tuple[str, int]], environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Their values, each with its origin: `environment NAME` or `.env:LINE`. The environment wins over the file.

    beside: what `.env` holds, with lines.
    """
    found = {
        name: (value, f"{dotenv.FILE_NAME}:{line}") for name, (value, line) in beside.items() if _NAME.fullmatch(name)
    }
    found.update({name: (value, f"environment {name}") for name, value in environ.items() if _NAME.fullmatch(name)})
    return found
