"""What aiogram, which is generated from the Bot API, knows of methods and buttons: `python telegram_schema.py`.

Prints JSON: for each method its parameters, and whether each must be given.
"""

import json
import sys

import aiogram.methods
from aiogram.types import InlineKeyboardButton


def main() -> None:
    """Print it."""
    found: dict[str, dict[str, bool]] = {}
    for name in aiogram.methods.__all__:
        fields = getattr(getattr(aiogram.methods, name), "model_fields", {})
        found[name[:1].lower() + name[1:]] = {field: item.is_required() for field, item in fields.items()}
    found["button"] = dict.fromkeys(InlineKeyboardButton.model_fields, False)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
