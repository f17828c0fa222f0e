"""What is posted to begin a run of a Hermes agent (pure)."""

import hashlib
import re
from typing import Any

from core.agent_settings import HermesRunsSettings
from core.agents.chat.completions import messages_of
from core.agents.runner import TurnRequest

_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ODD = re.compile(r"[^A-Za-z0-9_-]+")


def remote_session(request: TurnRequest) -> str:
    """Name of the conversation there: ours with plain letters, another one for each epoch."""
    plain = str(request.session_id)
    if not _PLAIN_ID.fullmatch(plain):
        digest = hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()[:12]
        plain = f"{_ODD.sub('-', plain)[:40].strip('-')}-{digest}"
    return f"{plain}-e{request.epoch}"


def run_body(settings: HermesRunsSettings, request: TurnRequest) -> dict[str, Any]:
    """What is posted to begin a run. The conversation goes with it: a run there knows only what it is given."""
    said = messages_of(settings.system_prompt, request)
    instructions = [message["content"] for message in said if message["role"] == "system"]
    talk = [message for message in said if message["role"] != "system"]
    body: dict[str, Any] = {"input": talk[-1]["content"] if talk else "", "session_id": remote_session(request)}
    if len(talk) > 1:
        body["conversation_history"] = talk[:-1]
    if instructions:
        body["instructions"] = "\n\n".join(instructions)
    if request.model or settings.model:
        body["model"] = request.model or settings.model
    return body
