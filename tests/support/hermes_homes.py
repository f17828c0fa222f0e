"""Homes of hermes-agent as its 0.19.0 writes them: the shapes were recorded from its own PairingStore and cron."""

import json
from pathlib import Path
from typing import Any

CONFIG = """\
agent: {gateway_timeout: 600, restart_drain_timeout: 45}
display: {busy_input_mode: steer, frob: 1}
session_reset: {mode: both, idle_minutes: 90, at_hour: 5}
group_sessions_per_user: true
thread_sessions_per_user: true
unauthorized_dm_behavior: ignore
timezone: Europe/Vienna
platforms:
  telegram: {enabled: true, home_channel: {platform: telegram, chat_id: "-100200", name: ops, thread_id: "17"}}
  discord: {enabled: true, token: not-to-be-taken}
"""
ENV = """\
TELEGRAM_BOT_TOKEN="123:secret-token"
TELEGRAM_ALLOWED_USERS=11, 22
export OPENAI_API_KEY=sk-not-to-be-taken # for a model
GATEWAY_ALLOWED_USERS=77
EMAIL_ADDRESS=bot@example.org
EMAIL_PASSWORD='secret#pass"word'
EMAIL_IMAP_HOST=imap.example.org
EMAIL_SMTP_HOST=smtp.example.org
SOME_PATH=/x
"""
SECRETS = ("123:secret-token", 'secret#pass"word', "sk-not-to-be-taken", "not-to-be-taken")


def job(number: int, schedule: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A job as its create_job() stores it."""
    return {
        "id": f"{number:012x}",
        "name": f"Job {number}",
        "prompt": "Report alarms",
        "skills": [],
        "skill": None,
        "script": None,
        "no_agent": False,
        "schedule": schedule,
        "repeat": {"times": None, "completed": 0},
        "enabled": True,
        "state": "scheduled",
        "deliver": "local",
        "origin": None,
        **fields,
    }


JOBS = [
    job(1, {"kind": "cron", "expr": "0 9 * * 1", "display": "0 9 * * 1"}, deliver="telegram:-100:17"),
    job(
        2,
        {"kind": "interval", "minutes": 30, "display": "every 30m"},
        deliver="origin",
        origin={"platform": "telegram", "chat_id": "11"},
    ),
    job(3, {"kind": "once", "run_at": "2030-01-01T10:00:00+01:00"}, deliver="matrix:!abc:example.org"),
    job(4, {"kind": "interval", "minutes": 5}, script="x.sh", no_agent=True, prompt=None),
    job(5, {"kind": "cron", "expr": "0 9 * * 1"}, enabled=False, state="paused"),
    job(6, {"kind": "cron", "expr": "0 9 * *"}),
]


def approved(folder: Path, platform: str, **names: str) -> None:
    """Senders that its store has approved, in one of its folders."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {f"{key}": {"user_name": name, "approved_at": 1795243308.08} for key, name in names.items()}
    (folder / f"{platform}-approved.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")


def hermes_home(path: Path) -> Path:
    """A home with a bit of everything."""
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (path / ".env").write_text(ENV, encoding="utf-8")
    approved(path / "platforms" / "pairing", "telegram", u111="Ana")
    approved(path / "pairing", "telegram", u111="Ana before", u444="Legacy")
    approved(path / "pairing", "discord", u555="Elsewhere")
    approved(path / "profiles" / "night" / "pairing", "telegram", u222="Of the profile")
    pending = {"4683ab164f5a11aa": {"hash": "0" * 64, "salt": "0" * 32, "user_id": "9", "created_at": 1.0}}
    (path / "platforms" / "pairing" / "telegram-pending.json").write_text(json.dumps(pending), encoding="utf-8")
    (path / "cron").mkdir()
    (path / "cron" / "jobs.json").write_text(json.dumps({"jobs": JOBS}), encoding="utf-8")
    (path / "channel_aliases.json").write_text(json.dumps({"telegram": {"-100": "ops"}}), encoding="utf-8")
    return path
