"""Views with sensible defaults, so that a test names only what it is about."""

from typing import Any

from core.api.approvals import ApprovalState, ApprovalView
from core.api.base import (
    AgentName,
    ApprovalId,
    DeliveryId,
    EntryId,
    Mark,
    MessageId,
    PlatformName,
    RunId,
    Seq,
    SessionId,
)
from core.api.deliveries import DeliveryState, DeliveryView
from core.api.platforms import PlatformState, PlatformView
from core.api.processes import DrainView
from core.api.profiles import ProfileView
from core.api.runs import ActionOption, OptionKind, Phase, RunOutcome, RunView, Stop, ToolKind
from core.api.sessions import (
    ChatKind,
    MessageState,
    MessageView,
    Mode,
    SessionState,
    SessionView,
    Source,
    Voice,
)
from core.api.system import ConfigView, HealthView, SettingView
from core.api.transcripts import EntryKind, EntryView

NOW = Mark(1_700_000_000.0, 1000.0)
"""The instant at which a FakeClock starts."""


def ago(age_s: float) -> Mark:
    """The mark of something that happened age_s seconds before NOW."""
    return Mark(NOW.at - age_s, NOW.mono - age_s)


def session(key: str = "local:dm:ana", **changes: Any) -> SessionView:
    """An idle session. `key` is its whole id or only its chat; `phase=` adds a run in that phase."""
    if ":" not in key:
        key = f"local:dm:{key}"
    platform, kind, chat = key.split(":")[:3]
    phase: Phase | None = changes.pop("phase", None)
    values: dict[str, Any] = {
        "id": SessionId(key),
        "version": 1,
        "boot": 1,
        "source": Source(platform=PlatformName(platform), kind=ChatKind(kind), chat=chat),
        "agent": AgentName("main"),
        "state": SessionState.IDLE,
        "created": ago(3600),
        "title": chat,
        "queue_limit": 32,
    }
    if phase is not None:
        values |= {"state": SessionState.RUNNING, "run": run(phase=phase), "lane_holder": RunId("run-1")}
    return SessionView(**{**values, **changes})


def run(run_id: str = "run-1", **changes: Any) -> RunView:
    """A run that has listened to the model for ten seconds."""
    values: dict[str, Any] = {
        "id": RunId(run_id),
        "attempt": 1,
        "started": ago(10),
        "phase": Phase.MODEL,
        "phase_since": ago(9),
        "message_ids": (MessageId("message-1"),),
        "last_model_byte": ago(1),
        "stall_limit_s": 120.0,
        "total_limit_s": 600.0,
    }
    return RunView(**{**values, **changes})


def outcome(run_id: str = "run-1", **changes: Any) -> RunOutcome:
    """A run that ended with an answer."""
    values: dict[str, Any] = {
        "run_id": RunId(run_id),
        "stop": Stop.END_TURN,
        "ended": NOW,
        "duration_s": 10.0,
        "answered": True,
    }
    return RunOutcome(**{**values, **changes})


def message(text: str = "hello", **changes: Any) -> MessageView:
    """A queued message of ana."""
    values: dict[str, Any] = {
        "id": MessageId("message-1"),
        "session_id": SessionId("local:dm:ana"),
        "received": ago(5),
        "voice": Voice.USER,
        "sender": "ana",
        "text": text,
        "state": MessageState.QUEUED,
        "mode": Mode.QUEUE,
        "effective_mode": Mode.QUEUE,
    }
    return MessageView(**{**values, **changes})


def entry(text: str = "hello", **changes: Any) -> EntryView:
    """An entry of a transcript: ana speaks, unless kind= says otherwise."""
    values: dict[str, Any] = {
        "id": EntryId("entry-1"),
        "at": NOW.at - 5,
        "kind": EntryKind.USER,
        "author": "ana",
        "text": text,
    }
    return EntryView(**{**values, **changes})


def answer(text: str = "hi", **changes: Any) -> EntryView:
    """An entry of a transcript that the agent wrote."""
    return entry(
        text,
        **{
            "id": EntryId("entry-2"),
            "kind": EntryKind.AGENT,
            "author": "main",
            "run_id": RunId("run-1"),
            "at": NOW.at - 1,
            **changes,
        },
    )


def approval(approval_id: str = "approval-1", **changes: Any) -> ApprovalView:
    """An open approval that allows or rejects once."""
    values: dict[str, Any] = {
        "id": ApprovalId(approval_id),
        "version": 1,
        "state": ApprovalState.OPEN,
        "session_id": SessionId("local:dm:ana"),
        "agent": AgentName("main"),
        "run_id": RunId("run-1"),
        "action_id": "call-1",
        "title": "delete report.txt",
        "detail": "rm report.txt",
        "kind": ToolKind.EXECUTE,
        "options": (
            ActionOption(id="yes", label="Allow", kind=OptionKind.ALLOW_ONCE),
            ActionOption(id="no", label="Reject", kind=OptionKind.REJECT_ONCE),
        ),
        "digest": "0123456789abcdef",
        "asked": ago(30),
        "deadline": ago(-3570),
    }
    return ApprovalView(**{**values, **changes})


def delivery(delivery_id: str = "delivery-1", **changes: Any) -> DeliveryView:
    """A delivery that waits for its second attempt."""
    values: dict[str, Any] = {
        "id": DeliveryId(delivery_id),
        "version": 2,
        "session_id": SessionId("local:dm:ana"),
        "platform": PlatformName("local"),
        "state": DeliveryState.RETRYING,
        "created": ago(20),
        "text": "the answer",
        "attempt": 1,
        "next_try": ago(-4),
        "error": "connection refused",
    }
    return DeliveryView(**{**values, **changes})


def platform(name: str = "local", **changes: Any) -> PlatformView:
    """A connection that stands."""
    values: dict[str, Any] = {
        "name": PlatformName(name),
        "kind": "loopback",
        "version": 1,
        "state": PlatformState.CONNECTED,
        "since": ago(3600),
    }
    return PlatformView(**{**values, **changes})


def profile(name: str = "main", **changes: Any) -> ProfileView:
    """The embedded agent as configured."""
    values: dict[str, Any] = {
        "name": AgentName(name),
        "runner": "scripted",
        "model": "builtin:assistant",
        "is_default": True,
        "approvals": True,
        "steer": True,
        "isolation": "runs inside the core, calls no tools of its own",
        "limit": 64,
    }
    return ProfileView(**{**values, **changes})


def health(**changes: Any) -> HealthView:
    """A core that is well and has run for an hour."""
    values: dict[str, Any] = {
        "version": "0.1.0",
        "pid": 4242,
        "boot": 1,
        "home": "/home/ana/.hermes-console",
        "now": NOW,
        "started": ago(3600),
        "seq": Seq(0),
        "session_count": 0,
        "state_counts": {},
        "queued_count": 0,
        "running_count": 0,
        "open_approval_count": 0,
        "delivery_count": 0,
        "dead_count": 0,
        "loop_lag_p99_s": 0.001,
        "loop_lag_max_s": 0.004,
        "last_commit": ago(2),
        "commit_p99_s": 0.002,
        "commit_count": 12,
        "store_url": "memory:",
        "store_bytes": 4096,
        "http_url": "http://127.0.0.1:8642",
        "key_file": "/home/ana/.hermes-console/secrets/api_key",
        "is_draining": False,
        "services": (),
        "problems": (),
    }
    return HealthView(**{**values, **changes})


def drain(**changes: Any) -> DrainView:
    """A core that is not asked to stop and would wait for nobody."""
    values: dict[str, Any] = {
        "is_draining": False,
        "reason": "",
        "now": NOW,
        "began": None,
        "deadline": None,
        "holders": (),
        "holder_count": 0,
        "queued_count": 0,
    }
    return DrainView(**{**values, **changes})


def config(**changes: Any) -> ConfigView:
    """A configuration with one value of its own and one secret."""
    values: dict[str, Any] = {
        "file": "/home/ana/.hermes-console/config.yaml",
        "settings": (
            SettingView(key="http.port", value="8642", origin="default", doc="port; 0 takes a free one"),
            SettingView(key="http.key", value="file:***", origin="config.yaml:4", doc="bearer key of the API"),
        ),
    }
    return ConfigView(**{**values, **changes})
