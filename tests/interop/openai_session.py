"""What a user of the official client does; run in an environment that has it: openai_session.py URL KEY MODEL.

Prints one JSON object with all that the client saw.
"""

import json
import sys
from importlib import import_module
from typing import Any


def streamed(client: Any, name: str) -> dict[str, Any]:
    """One streamed answer."""
    texts: list[str] = []
    finish, total, model = "", 0, ""
    for chunk in client.chat.completions.create(
        model=name,
        messages=[{"role": "user", "content": "tell me"}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        model = chunk.model
        if chunk.usage is not None:
            total = chunk.usage.total_tokens
        for choice in chunk.choices:
            texts.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    return {"text": "".join(texts), "finish": finish, "total": total, "model": model}


def continued(client: Any) -> dict[str, Any]:
    """The same chat twice by header, and once by history."""
    api = client.chat.completions.with_raw_response
    name = "x-hermes-session-id"
    first = api.create(model="default", messages=[{"role": "user", "content": "one"}])
    chat = first.headers[name]
    second = api.create(
        model="default", messages=[{"role": "user", "content": "two"}], extra_headers={"X-Hermes-Session-Id": chat}
    )
    third = api.create(model="default", messages=[{"role": "user", "content": "three"}])
    answer = third.parse().choices[0].message.content
    history = [{"role": "user", "content": "three"}, {"role": "assistant", "content": answer}]
    fourth = api.create(model="default", messages=[*history, {"role": "user", "content": "four"}])
    return {
        "by_header": second.headers[name] == chat,
        "apart": third.headers[name] != chat,
        "by_history": fourth.headers[name] == third.headers[name],
    }


def failed(openai: Any, url: str, client: Any) -> dict[str, str]:
    """The exceptions that a client raises, with their codes."""
    ask: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": "x"}]}
    stranger = openai.OpenAI(base_url=url, api_key="wrong", max_retries=0)
    seen: dict[str, str] = {}
    for name, caller, more in (
        ("key", stranger, {}),
        ("model", client, {"model": "nobody"}),
        ("body", client, {"n": 2}),
    ):
        try:
            caller.chat.completions.create(**{**ask, **more})
        except openai.APIStatusError as error:
            seen[name] = f"{type(error).__name__} {error.code}"
    return seen


def main() -> None:
    """Run it all."""
    openai = import_module("openai")
    url, key, name = sys.argv[1:]
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
    plain = client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": [{"type": "text", "text": "hello"}]}], temperature=0.2
    )
    seen = {
        "version": openai.__version__,
        "models": [model.id for model in client.models.list()],
        "model": client.models.retrieve(name).id,
        "plain": plain.choices[0].message.content,
        "finish": plain.choices[0].finish_reason,
        "total": plain.usage.total_tokens,
        "streamed": streamed(client, name),
        "continued": continued(client),
        "failed": failed(openai, url, client),
    }
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
