"""kill -9 again and again under load: every acknowledged message is answered once or visibly waits."""

import asyncio
import json
import os
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest

from core.api.base import SessionId
from core.api.sessions import GetSession, ListSessions
from core.api.system import CoreStarted, ListEvents
from core.api.transcripts import EntryKind, ReadTranscript
from core.clock import SystemClock
from core.connect import attach
from core.gateway.adapters.signature import DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature
from core.home import prepare
from core.secrets import Secret
from tests.support.served_core import ServedCore

SECRET = Secret("torture-secret-0123456789")
SENDERS = 20
MESSAGES = 200
KILLS = 20
# Attempts are not bounded here: the test kills far more often than any message deserves.
CONFIG = """
http: {port: 0}
agents:
  main: {runner: scripted, scenario: slow.yaml, concurrency: 32}
platforms:
  hooks:
    kind: webhook
    routes:
      load: {secret: "file:secrets/hook", template: "{text}", chat: "{chat}", rate_per_minute: 1000000}
sessions: {queue_limit: 1000, max_attempts: 100}
"""


# Slow enough that a blow often falls into the middle of a run.
SCENARIO = """
about: Says after a while what it was told.
streamed: false
rules:
  - steps:
      - pause: 0.15
      - text: "{text}"
"""


async def _post(client: httpx.AsyncClient, core: ServedCore, body: bytes, delivery: str) -> str | None:
    """The message id once it is acknowledged; None when it was not."""
    await core.up.wait()
    ts = str(int(SystemClock().now()))
    headers = {
        TIMESTAMP_HEADER: ts,
        SIGNATURE_HEADER: signature(SECRET, ts, body),
        DELIVERY_HEADER: delivery,
        "Content-Type": "application/json",
    }
    try:
        response = await client.post(f"{core.url}/webhooks/load", content=body, headers=headers)
    except httpx.HTTPError:
        return None
    if response.status_code not in {200, 202}:
        return None
    return str(response.json()["message_id"])


async def _sender(core: ServedCore, number: int, count: int, acknowledged: dict[str, str]) -> None:
    rng = random.Random(number)
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        for index in range(count):
            text = f"sender {number} message {index}"
            body = json.dumps({"text": text, "chat": f"s{number}"}).encode()
            # People do not write all at once; this spreads the messages over the kills.
            await asyncio.sleep(rng.uniform(0.0, 1.2))
            while (message_id := await _post(client, core, body, f"d{number}-{index}")) is None:  # noqa: ASYNC110 - the core is down
                await asyncio.sleep(0.02)  # until the next start
            acknowledged[text] = message_id


async def _killer(core: ServedCore, senders: "asyncio.Future[list[None]]", rng: random.Random, kills: int) -> int:
    done = 0
    while done < kills:
        # The pause is the point of the test: the blow falls anywhere in the work.
        await asyncio.sleep(rng.uniform(0.01, 0.25))
        await core.kill()
        await core.start()
        done += 1
    await senders
    return done


@pytest.mark.torture
@pytest.mark.timeout(300)
async def test_every_acknowledged_message_is_answered_once_or_visibly_queued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """20 senders, 200 messages, 20 kills; transcripts show each acknowledged text and one answer to it."""
    short = os.environ.get("HERMES_TORTURE") != "long"
    kills = 8 if short else KILLS
    home = tmp_path / "home"
    await asyncio.to_thread(_prepared, home)
    core = ServedCore(home)
    await core.start()
    acknowledged: dict[str, str] = {}
    senders = asyncio.gather(*(_sender(core, n, MESSAGES // SENDERS, acknowledged) for n in range(SENDERS)))
    killed = await _killer(core, senders, random.Random(7), kills)
    answered, queued, twice, lost = await _audit(home, acknowledged)
    cut_off = await _cut_off(home)
    await core.kill()
    with capsys.disabled():
        print(  # noqa: T201 - the count is the result
            f"\ntorture: {len(acknowledged)} acknowledged, {killed} kills: "
            f"{answered} answered once, {queued} queued, {twice} twice, {lost} lost; {cut_off} runs were cut off"
        )
    assert cut_off > 0
    assert len(acknowledged) == MESSAGES
    assert (twice, lost) == (0, 0)
    assert answered + queued == MESSAGES


def _prepared(home: Path) -> None:
    prepare(home)
    (home / "config.yaml").write_text(CONFIG)
    (home / "slow.yaml").write_text(SCENARIO)
    secret = home / "secrets" / "hook"
    secret.write_text(SECRET.reveal())
    secret.chmod(0o600)


async def _cut_off(home: Path) -> int:
    hermes = await attach(home)
    try:
        page = await hermes.query(ListEvents(subject="core", limit=1000))
        return sum(record.event.recovered_runs for record in page.records if isinstance(record.event, CoreStarted))
    finally:
        await hermes.close()


async def _audit(home: Path, acknowledged: dict[str, str]) -> tuple[int, int, int, int]:
    hermes = await attach(home)
    try:
        page = await hermes.query(ListSessions(limit=5000))
        answers: Counter[str] = Counter()
        waiting: set[str] = set()
        for session in page.sessions:
            sid = SessionId(session.id)
            detail = await hermes.query(GetSession(session_id=sid))
            waiting |= {message.text for message in detail.messages}
            transcript = await hermes.query(ReadTranscript(session_id=sid, limit=1000))
            said = [entry for entry in transcript.entries if entry.kind is EntryKind.USER]
            replies = [entry for entry in transcript.entries if entry.kind is EntryKind.AGENT and not entry.is_partial]
            assert len({entry.text for entry in said}) == len(said), "a message stands twice in a transcript"
            answers.update(entry.text for entry in replies)
            indexes = [int(entry.text.rsplit(" ", 1)[1]) for entry in said]
            assert indexes == sorted(indexes), "messages of one sender were reordered"
        twice = sum(answers[text] > 1 for text in acknowledged)
        answered = sum(answers[text] == 1 for text in acknowledged)
        queued = sum(answers[text] == 0 and text in waiting for text in acknowledged)
        return answered, queued, twice, len(acknowledged) - twice - answered - queued
    finally:
        await hermes.close()
