"""Our signatures of the relay against the reference library of Standard Webhooks, case by case."""

import base64
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.relay import signing
from core.secrets import Secret
from tests.interop.test_http_clients import HERE, run

pytestmark = pytest.mark.interop

CASES = 1_000
CHANGES = (
    "none",
    "none",
    "body",
    "id",
    "time",
    "old",
    "early",
    "signature",
    "other key",
    "two keys",
    "version",
    "bare",
)


def a_secret(lot: random.Random) -> str:
    """One of any length that is allowed."""
    return signing.PREFIX + base64.b64encode(lot.randbytes(lot.randint(24, 64))).decode()


def a_case(lot: random.Random, now: int) -> dict[str, Any]:
    """What was signed, then changed in one way or not at all."""
    secret, other = a_secret(lot), a_secret(lot)
    message_id = "".join(lot.choices("abcdefghijklmnopqrstuvwxyz0123456789-_:/", k=lot.randint(1, 60)))
    text = "".join(lot.choices('abc <>&"\\\n\täß€😀\u2028', k=lot.randint(0, 40)))
    body = json.dumps({"content": text}, ensure_ascii=lot.random() < 0.5)
    at = now + lot.randint(-200, 200)
    change = lot.choice(CHANGES)
    at += {"old": -700, "early": 700}.get(change, 0)
    keys = {"other key": [other], "two keys": [other, secret]}.get(change, [secret])
    headers = signing.signed_headers([Secret(key) for key in keys], message_id, at, body.encode())
    match change:
        case "body":
            body += " "
        case "id":
            headers["webhook-id"] += "x"
        case "time":
            headers["webhook-timestamp"] = str(at + 1)
        case "signature":
            headers["webhook-signature"] = headers["webhook-signature"][:-3] + "AA="
        case "version":
            headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v2,")
        case "bare":
            headers["webhook-signature"] = headers["webhook-signature"].removeprefix("v1,")
    return {"secret": secret, "id": message_id, "timestamp": at, "body": body, "headers": headers}


def ours(case: dict[str, Any], now: float) -> list[Any]:
    """Our signature, and whether we take the headers."""
    key, body = signing.key_bytes(Secret(case["secret"])), case["body"].encode()
    signed = signing.signature(key, case["id"], str(case["timestamp"]), body)
    try:
        return [signed, signing.fitting([key], case["headers"], body, now, 300)[0]]
    except signing.SignatureError:
        return [signed, False]


def _differing(cases: list[dict[str, Any]], theirs: list[Any], now: float) -> Iterator[tuple[Any, Any, Any]]:
    for case, their in zip(cases, theirs, strict=True):
        mine = ours(case, now)
        if mine != their:
            yield case, mine, their


async def test_we_sign_and_judge_as_the_reference_library_does(other_bin: Path, tmp_path: Path) -> None:
    """A thousand requests, signed by us and changed in every way: the same signatures, the same verdicts."""
    now = int(time.time())
    lot = random.Random(7)
    cases = [a_case(lot, now) for _ in range(CASES)]
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases), encoding="utf-8")
    code, said = await run(other_bin / "python", HERE / "webhook_oracle.py", file, cwd=tmp_path)
    assert code == 0, said
    theirs = json.loads(said.splitlines()[-1])
    assert list(_differing(cases, theirs, now)) == []
    taken = sum(their[1] for their in theirs)
    assert CASES // 10 < taken < CASES - CASES // 10
