"""Runs in the other environment: signs and verifies with the reference library of Standard Webhooks.

    python webhook_oracle.py CASES    a list of {secret, id, timestamp, body, headers}, JSON

Prints one line: for each case its own signature of id, timestamp and body, and whether it takes the headers.
"""

import datetime as dt
import json
import sys
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def verdict(case: dict) -> list:
    """The signature, and whether the headers are taken."""
    webhook = Webhook(case["secret"])
    at = dt.datetime.fromtimestamp(case["timestamp"], tz=dt.UTC)
    try:
        webhook.verify(case["body"], case["headers"])
    except (WebhookVerificationError, ValueError):
        # It stumbles over a signature without a version.
        return [webhook.sign(case["id"], at, case["body"]), False]
    return [webhook.sign(case["id"], at, case["body"]), True]


sys.stdout.write(
    json.dumps([verdict(case) for case in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]) + "\n"
)
