"""What an order about tasks may say (pure): every field is checked, and the refusal names it."""

import msgspec

from core.agents.policy.patterns import check_pattern
from core.agents.tools.assets import decoded
from core.api.base import RunId
from core.api.errors import InvalidInput
from core.api.tasks import SendInput, StartTask, TaskView

ATTACHMENTS = 32
ATTACHMENTS_BYTES = 262_144
TIMEOUT_LIMIT_MS = 86_400_000
_SHORT, _LONG, _PROMPT = 200, 2_000, 200_000
_SHORT_FIELDS = ("session_key", "lane", "model", "label", "spawned_by")
ATTACHED = "\n\nAttachments (JSON):\n"
"""Stands between the text of a task and its attachments, where its session gets both."""

_encode = msgspec.json.Encoder().encode
_PLAIN = StartTask(text="")


def check_command(command: StartTask, text_limit: int) -> StartTask:
    """The command with its strings trimmed. text_limit: characters of the text with its attachments.

    Raises InvalidInput, which names the field.
    """
    changes: dict[str, str] = {}
    text = _checked_text(command.text, text_limit)
    if text is not command.text:
        changes["text"] = text
    key, session_id = command.idempotency_key, command.session_id
    if key:
        _trim("idempotency_key", key, _SHORT, changes)
    if session_id:
        _trim("session_id", session_id, _LONG, changes)
    # Most say nothing of these, and there may be many in a second.
    if command.label or command.lane or command.model or command.session_key or command.spawned_by:
        for field in _SHORT_FIELDS:
            _trim(field, getattr(command, field), _SHORT, changes)
    if command.extra_system_prompt:
        _trim("extra_system_prompt", command.extra_system_prompt, _PROMPT, changes)
    if command.timeout_ms or command.hook_id is not None or command.policy is not None:
        _check_numbers(command)
    if command.provenance is not _PLAIN.provenance:
        _check_words("provenance", command.provenance)
    if command.routing is not _PLAIN.routing:
        _check_words("routing", command.routing)
    if command.attachments:
        _check_attachments(command, min(ATTACHMENTS_BYTES, text_limit - len(text) - len(ATTACHED)))
    return msgspec.structs.replace(command, **changes) if changes else command


def check_input(command: SendInput, text_limit: int) -> SendInput:
    """The input with its strings trimmed. Raises InvalidInput."""
    if not command.run_id:
        raise InvalidInput("an input needs a run", field="run_id", value=RunId(""), fix="name the run")
    changes = {"text": _checked_text(command.text, text_limit)}
    _trim("idempotency_key", command.idempotency_key, _SHORT, changes)
    return msgspec.structs.replace(command, **changes)


def handed_text(view: TaskView) -> str:
    """What a task says to its session: its text, and its attachments as JSON."""
    return view.text + ATTACHED + _encode(view.attachments).decode() if view.attachments else view.text


def check_reason(reason: str) -> str:
    """What is said about an order, trimmed. Raises InvalidInput."""
    changes = {"reason": reason}
    _trim("reason", reason, _LONG, changes)
    return changes["reason"]


def check_limit(limit: int) -> int:
    """How many are asked for. Raises InvalidInput."""
    if not 1 <= limit <= 200:  # noqa: PLR2004 - said in the facade
        raise InvalidInput(f"limit is {limit}", field="limit", value=limit, fix="use 1 to 200")
    return limit


def _checked_text(text: str, limit: int) -> str:
    if not text or text.isspace():
        raise InvalidInput("a task needs a text", field="text", value=text[:20], fix="say what is to be done")
    if len(text) > limit:
        raise InvalidInput(
            f"the text has {len(text)} characters", field="text", value=len(text), fix=f"at most {limit}"
        )
    return text.strip() if text[0].isspace() or text[-1].isspace() else text


def _trim(field: str, given: str, limit: int, changes: dict[str, str]) -> None:
    if len(given) > limit:
        raise InvalidInput(
            f"{field} has {len(given)} characters", field=field, value=len(given), fix=f"at most {limit}"
        )
    trimmed = given.strip()
    if trimmed != given:
        changes[field] = trimmed


def _check_numbers(command: StartTask) -> None:
    if not 0 <= command.timeout_ms <= TIMEOUT_LIMIT_MS:
        raise InvalidInput(
            f"timeout_ms is {command.timeout_ms}",
            field="timeout_ms",
            value=command.timeout_ms,
            fix=f"use 1 to {TIMEOUT_LIMIT_MS}, or 0 for the profile's",
        )
    if command.hook_id is not None and command.hook_id < 0:
        raise InvalidInput(f"hook_id is {command.hook_id}", field="hook_id", value=command.hook_id, fix="use 0 or more")
    policy = command.policy
    if policy is None:
        return
    for field, value, least in (
        ("policy.retry.max_attempts", policy.retry.max_attempts, 1),
        ("policy.retry.delay_ms", policy.retry.delay_ms, 0),
        ("policy.resources.cpu_s", policy.resources.cpu_s, 0),
        ("policy.resources.memory_bytes", policy.resources.memory_bytes, 0),
        ("policy.resources.process_count", policy.resources.process_count, 0),
        ("policy.resources.file_bytes", policy.resources.file_bytes, 0),
    ):
        if value < least:
            raise InvalidInput(f"{field} is {value}", field=field, value=value, fix=f"use {least} or more")
    for pattern in policy.allow:
        check_pattern(pattern, field="policy.allow")


def _check_words(name: str, words: msgspec.Struct) -> None:
    for field in words.__struct_fields__:
        if len(getattr(words, field)) > _LONG:
            raise InvalidInput(
                f"{name}.{field} is too long",
                field=f"{name}.{field}",
                value=len(getattr(words, field)),
                fix=f"at most {_LONG} characters",
            )


def _check_attachments(command: StartTask, limit_bytes: int) -> None:
    count = len(command.attachments)
    for place, item in enumerate(command.attachments):
        if "data_base64" in item:
            decoded(item["data_base64"], place)
    if count > ATTACHMENTS:
        raise InvalidInput(
            f"there are {count} attachments", field="attachments", value=count, fix=f"at most {ATTACHMENTS}"
        )
    try:
        size = len(_encode(command.attachments))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(
            f"the attachments are not JSON: {error}",
            field="attachments",
            value=count,
            fix="use text, numbers, lists and mappings",
        ) from error
    if size > limit_bytes:
        raise InvalidInput(
            f"the attachments have {size} bytes",
            field="attachments",
            value=size,
            fix=f"at most {max(0, limit_bytes)} with this text; put references in",
        )
