"""Runs inside the environment of hermes-agent: makes a home at HERMES_HOME with its own stores and nothing of ours."""

import logging
import os
from pathlib import Path

logging.disable(logging.CRITICAL)
HOME = Path(os.environ["HERMES_HOME"])
(HOME / "config.yaml").write_text("timezone: Europe/Vienna\n", encoding="utf-8")
(HOME / ".env").write_text("TELEGRAM_BOT_TOKEN=123:abc\nTELEGRAM_ALLOWED_USERS=11\n", encoding="utf-8")

from cron.jobs import create_job  # noqa: E402
from gateway.pairing import PairingStore  # noqa: E402

for store, user in ((PairingStore(), "111"), (PairingStore(profile="work"), "222")):
    code = store.generate_code("telegram", user, f"Name {user}")
    assert store.approve_code("telegram", code), "its own code"
PairingStore().generate_code("telegram", "333", "Waits")
create_job("Report alarms", "0 9 * * 1", name="Morning Report", deliver="telegram:-100:17")
create_job("Look around", "every 30m", deliver="origin", origin={"platform": "telegram", "chat_id": "11"})
create_job("Once", "2090-01-01T10:00", deliver="local")
create_job(None, "every 5m", script="x.sh", no_agent=True)
