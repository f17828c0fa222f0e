"""The relay of a whole core steered from a shell, with a HotPlex as it is at the other end."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.attached import served
from tests.support.hotplex_peer import HotplexPeer
from tests.support.relay_cores import ECHO, KEYS, relaying
from tests.support.shell import FakeDoors, Said, run_line

CHAT = "--platform slack --chat-id C1"
NETWORK = "--network 127.0.0.0/8"
KEY, OTHER_KEY = list(KEYS)[:2]
PEER = f"    hotplex: {{keys: [env:{KEY}, env:{OTHER_KEY}], token: env:HOTPLEX_TOKEN}}\n"

Run = Callable[..., Awaitable[Said]]


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOTPLEX_TOKEN", "a-token-of-hotplex")


@asynccontextmanager
async def shell_of_a_core(home: Path) -> AsyncIterator[Run]:
    """What carries a line out on a core that relays."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder:
        async with relaying(home, "here", ECHO, PEER) as kernel, served(kernel, Path(folder) / "core.sock"):
            doors = FakeDoors(Path(folder))

            async def run(line: str, *, code: int = 0, stdin: str = "") -> Said:
                async with asyncio.timeout(20):
                    done = await asyncio.to_thread(run_line, doors, line, stdin=stdin)
                assert done.code == code, done
                return done

            yield run


async def test_a_hotplex_gets_its_message_and_is_steered_from_a_shell(tmp_path: Path) -> None:
    """Its file is taken over, it is tested and sent to; it reads the text, and the proof holds."""
    async with HotplexPeer() as peer, shell_of_a_core(tmp_path / "home") as run:
        file = tmp_path / "bindings.json"
        bots = {"security-bot": f"{peer.url}/relay"}
        document = {"version": 1, "bindings": [{"platform": "slack", "chat_id": "C1", "bots": bots}]}
        file.write_text(json.dumps(document), encoding="utf-8")
        await run(f"relay import {file}")
        await run(f"relay add_binding {CHAT} --bot security-bot={peer.url}/relay --peer hotplex {NETWORK}")
        exported = json.loads((await run("relay export")).out)
        assert exported["bindings"][0]["bots"] == {"security-bot": peer.url}

        checked = await run("relay test_relay security-bot")
        assert "does not tell whether it knows us" in checked.out
        assert peer.heard == []

        await run("relay send 'is <it> up?' --to security-bot --wait --timeout 15")
        (heard,) = peer.heard
        assert (heard["to"], heard["message"]) == ("security-bot", "is <it> up?")
        (headers,), (body,) = peer.headers, peer.bodies
        assert body["content"] == body["message"]
        assert headers["authorization"] == "Bearer a-token-of-hotplex"
        assert headers["webhook-id"] == body["task_id"]
        assert len(headers["webhook-signature"].split()) == 2
        shown = await run(f"relay show {body['task_id']}")
        assert "completed" in shown.out
        assert "delivered 200" in shown.out


async def test_a_dead_message_is_sent_again_under_its_own_id(tmp_path: Path) -> None:
    """The far side failed until it was given up, was mended, and gets it once."""
    async with HotplexPeer() as peer, shell_of_a_core(tmp_path / "home") as run:
        await run(f"relay add_binding {CHAT} --bot security-bot={peer.url} {NETWORK}")
        peer.is_down = True
        done = await run("relay send hello --to security-bot --wait --timeout 15", code=1)
        assert "is dead" in done.err
        assert "engine not ready" in done.err
        (dead,) = json.loads((await run("relay tasks --state dead --json")).out)["tasks"]
        assert (dead["attempt_count"], dead["last_status"], dead["reason"]) == (3, 500, "unknown")

        peer.is_down = False
        dry = await run("relay replay --all --dry-run")
        assert "1 message would be sent again" in dry.err
        assert peer.heard == []
        await run(f"relay replay {dead['id'][:30]}")
        async with asyncio.timeout(15):
            while not json.loads((await run("relay tasks --state completed --json")).out)["tasks"]:
                pass
        (body,) = peer.bodies
        assert body["task_id"] == dead["id"]
        targets = json.loads((await run("relay targets --json")).out)["targets"]
        assert [(item["origin"], item["dead"], item["waiting"]) for item in targets] == [(peer.url, 0, 0)]


async def test_an_address_that_no_network_allows_gets_no_byte(tmp_path: Path) -> None:
    """It is bound with a warning, and the message is dead by our own rule."""
    async with HotplexPeer() as peer, shell_of_a_core(tmp_path / "home") as run:
        bound = await run(f"relay add_binding {CHAT} --bot inside={peer.url}")
        assert "it will be refused when it is called" in bound.err
        await run("relay test_relay inside", code=7)
        done = await run("relay send hello --to inside --wait --timeout 15", code=1)
        assert "is dead" in done.err
        (dead,) = json.loads((await run("relay tasks --state dead --json")).out)["tasks"]
        assert dead["reason"] == "policy"
        assert peer.heard == []


async def test_a_paused_relay_keeps_what_is_sent(tmp_path: Path) -> None:
    """It goes out when the relay goes on; one that was canceled meanwhile does not."""
    async with HotplexPeer() as peer, shell_of_a_core(tmp_path / "home") as run:
        await run(f"relay add_binding {CHAT} --bot security-bot={peer.url} {NETWORK}")
        await run("relay pause --reason drill")
        for text in ("first", "second"):
            await run(f"relay send {text} --to security-bot")
        waiting = json.loads((await run("relay tasks --state queued --json")).out)["tasks"]
        assert sorted(task["text"] for task in waiting) == ["first", "second"]
        first = next(task["id"] for task in waiting if task["text"] == "first")
        await run(f"relay cancel {first} --yes")
        await run("relay resume")
        async with asyncio.timeout(15):
            while not json.loads((await run("relay tasks --state completed --json")).out)["tasks"]:
                pass
        assert [heard["message"] for heard in peer.heard] == ["second"]
        assert (await run("relay resume", code=6)).out == ""
