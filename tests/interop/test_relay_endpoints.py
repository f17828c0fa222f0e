"""Schemathesis against the endpoints of the relay, in a whole core on a real socket."""

from pathlib import Path

import pytest

from core.api.system import AlarmRaised
from tests.interop.test_http_clients import run
from tests.support.relay_cores import ECHO, messages, relaying

pytestmark = pytest.mark.interop

TOKEN = "a-token-of-a-peer-0123456789"


async def test_the_relay_is_true_to_its_document(
    other_bin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the document, sends what fits and what does not, and finds no difference; messages arrive."""
    monkeypatch.setenv("RELAY_TEST_TOKEN", TOKEN)
    peer = "    other: {accept_tokens: ['env:RELAY_TEST_TOKEN'], rate_per_min: 100000, in_flight: 10000}\n"
    async with relaying(tmp_path / "home", "home", ECHO, peer) as kernel:
        alarms: list[object] = []
        kernel.journal.on_record(lambda record: alarms.append(record.event), AlarmRaised)
        code, said = await run(
            other_bin / "st",
            "run",
            f"{kernel.gateway.http.url}/relay/openapi.json",
            "--header",
            f"Authorization: Bearer {TOKEN}",
            "--checks",
            "all",
            # It cannot say that an id counts once, that a text is more than blanks, and which ids were used.
            "--exclude-checks",
            "positive_data_acceptance",
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "60",
            "--seed",
            "1",
            "--warnings",
            "off",
            "--continue-on-failure",
            cwd=tmp_path,
        )
        assert code == 0, said
        assert alarms == []
        assert await messages(kernel)
