"""How the official client takes runs that fail; run in an environment that has it: openai_failures.py URL KEY MODEL.

Prints one JSON object with the exceptions that it raised.
"""

import json
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Ask twice, whole and streamed."""
    openai = import_module("openai")
    url, key, name = sys.argv[1:]
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
    ask: dict[str, Any] = {"model": name, "messages": [{"role": "user", "content": "x"}]}
    seen: dict[str, str] = {}
    try:
        client.chat.completions.create(**ask)
    except openai.APIStatusError as error:
        seen["whole"] = f"{error.status_code} {error.code}"
    texts: list[str] = []
    try:
        for chunk in client.chat.completions.create(**ask, stream=True):
            texts += [choice.delta.content or "" for choice in chunk.choices]
    except openai.APIError as error:
        seen["streamed"] = str(error.code)
    seen["text"] = "".join(texts)
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
