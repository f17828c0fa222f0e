"""What the peer needs for one turn: hermes-agent 0.19.0 end to end with an agent that answers at once.

Prints one JSON line. Makes a virtual environment of its own below HERMES_BENCH_DIR (default
.bench-venv), runs in a throw-away home, and refuses every connection while it measures.
"""

import argparse
import asyncio
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

PEER = "hermes-agent==0.19.0"
# What `import gateway.run` and one turn load; the rest of its 28 dependencies is never touched.
NEEDS = ("pyyaml", "ruamel.yaml", "python-dotenv", "httpx", "psutil", "requests", "croniter", "openai", "certifi")
SETUP_LIMIT_S = 300
RUN_LIMIT_S = 120
SESSION_COUNT = 1000
LANES = (1, 8, 50)


def ready_python(folder: Path) -> Path:
    """The interpreter of the peer's environment, made on first use."""
    python = folder / "bin" / "python"
    wanted = "\n".join((PEER, *NEEDS))
    stamp = folder / ".ready"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for step in ([sys.executable, "-m", "venv", str(folder)], [*pip, "--no-deps", PEER], [*pip, *NEEDS]):
        done = subprocess.run(step, capture_output=True, timeout=SETUP_LIMIT_S, check=False)
        if done.returncode:
            raise SystemExit(f"cannot set up {PEER}: {done.stderr.decode()[-2000:]}")
    stamp.write_text(wanted)
    return python


def main() -> int:
    """Run the measurement in the peer's environment and hand on its line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=8.0, help="length of each of the measurements")
    options.add_argument("--sessions", type=int, default=SESSION_COUNT, help="sessions loaded beforehand")
    options.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.inside:
        print(json.dumps(asyncio.run(measured(chosen.sessions, chosen.seconds))))
        sys.stdout.flush()
        os._exit(0)  # The peer leaves threads behind that would keep the process.
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("HERMES_BENCH_DIR") or root / ".bench-venv").resolve() / "hermes-agent-0.19.0"
    python = ready_python(folder)
    with tempfile.TemporaryDirectory(prefix="peer-home-") as home:
        # -P: the files beside this one must not stand in for modules of the peer.
        inside = [str(python), "-P", str(Path(__file__).resolve()), "--inside"]
        done = subprocess.run(
            [*inside, "--sessions", str(chosen.sessions), "--seconds", str(chosen.seconds)],
            env={"PATH": os.environ.get("PATH", ""), "HOME": home, "HERMES_HOME": home, "GATEWAY_ALLOW_ALL_USERS": "1"},
            cwd=home,
            capture_output=True,
            timeout=RUN_LIMIT_S,
            check=False,
        )
    lines = done.stdout.decode().strip().splitlines()
    if done.returncode or not lines:
        print(done.stderr.decode()[-4000:], file=sys.stderr)
        return 1
    print(lines[-1])
    return 0


def refuse_network() -> None:
    """No connection leaves the process."""

    def refused(*_: Any, **__: Any) -> Any:
        raise OSError("no network while measuring")

    socket.getaddrinfo = refused
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, refused)


class InstantAgent:
    """Stands in for the peer's agent: answers at once; every other attribute is settable and None."""

    def __init__(self, **kwargs: Any) -> None:
        self.session_id = kwargs.get("session_id")
        self.model = kwargs.get("model")
        self.tools: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None

    def run_conversation(self, user_message: Any = "", conversation_history: Any = None, **_: Any) -> dict[str, Any]:
        """The whole turn."""
        messages = [*(conversation_history or []), {"role": "user", "content": user_message}]
        messages.append({"role": "assistant", "content": "done"})
        return {"final_response": "done", "messages": messages, "api_calls": 1, "completed": True}

    def interrupt(self, *_: Any) -> None:
        """Nothing runs long enough."""

    def get_activity_summary(self) -> dict[str, Any]:
        """Always busy just now."""
        return {"seconds_since_activity": 0.0, "last_activity_desc": "", "current_tool": None, "api_call_count": 1}


async def measured(session_count: int, seconds: float) -> dict[str, Any]:
    """Turns a second, one at a time and several at once; the best of them is the figure."""
    refuse_network()
    logging.disable(logging.CRITICAL)
    stand_in = types.ModuleType("run_agent")
    stand_in.AIAgent = InstantAgent  # type: ignore[attr-defined]
    sys.modules["run_agent"] = stand_in
    gateway = Gateway()
    gateway.load(session_count)
    rates: dict[str, float] = {}
    p50_ms: dict[str, float] = {}
    for lanes in LANES:
        rate, latencies = await gateway.turns(lanes, seconds)
        rates[str(lanes)] = round(rate, 1)
        p50_ms[str(lanes)] = round(statistics.median(latencies) * 1000, 1) if latencies else 0.0
    return {
        "peer": PEER,
        "what": "message handed to the platform adapter until the answer reaches its send(), instant agent",
        "each_turn": "on the session that was silent longest; routing index and delivery ledger are written",
        "left_out": "in the peer's favour: transcript rows (its real agent writes them), session titles (a model call),"
        " provider lookup, logging; loading the sessions is not timed",
        "sessions": session_count,
        "turns_per_s": max(rates.values()),
        "turns_per_s_by_senders_at_once": rates,
        "p50_ms_by_senders_at_once": p50_ms,
        "threads": threading.active_count(),
    }


class Gateway:
    """The peer's gateway with one platform that answers to us."""

    def __init__(self) -> None:
        import agent.title_generator as titles
        import gateway.run as peer
        from gateway.config import GatewayConfig, Platform, PlatformConfig
        from gateway.platforms.base import BasePlatformAdapter, MessageEvent, SendResult
        from gateway.session import SessionSource

        answered: dict[str, Callable[[], None]] = {}
        self._answered = answered

        class Adapter(BasePlatformAdapter):  # type: ignore[misc, valid-type]
            async def connect(self, *, is_reconnect: bool = False) -> bool:
                return not is_reconnect

            async def disconnect(self) -> None:
                pass

            async def get_chat_info(self, chat_id: str) -> dict[str, Any]:
                return {"name": chat_id, "type": "dm"}

            async def send(self, chat_id: str, content: str, *_: Any, **__: Any) -> Any:
                if content == "done" and (done := answered.pop(chat_id, None)):
                    done()
                return SendResult(success=True, message_id="1")

        # A model names each new session in the background; without one that costs ten times the turn itself.
        titles.maybe_auto_title = lambda *_, **__: None
        settings = PlatformConfig(enabled=True)
        self._runner = peer.GatewayRunner(GatewayConfig(platforms={Platform.SIGNAL: settings}))
        peer._resolve_runtime_agent_kwargs = lambda *_: {"api_key": "x", "base_url": "", "provider": "custom"}
        adapter: Any = Adapter(settings, Platform.SIGNAL)
        adapter.set_message_handler(self._runner._handle_message)
        adapter.set_session_store(self._runner.session_store)
        adapter.set_busy_session_handler(self._runner._handle_active_session_busy_message)
        self._runner.adapters[Platform.SIGNAL] = adapter
        self._adapter = adapter
        self._source = lambda number: SessionSource(
            platform=Platform.SIGNAL, chat_id=f"c{number}", user_id=f"c{number}", user_name="ana", chat_type="dm"
        )
        self._event = MessageEvent
        self._count = 1

    def load(self, count: int) -> None:
        """Make the sessions; their index is written once at the end and not after each, which takes half a minute."""
        store = self._runner.session_store
        store._persist_routing_data = lambda *_, **__: None
        for number in range(count):
            store.get_or_create_session(self._source(number))
        del store._persist_routing_data
        store._save()
        self._count = count

    async def turns(self, lanes: int, seconds: float) -> tuple[float, list[float]]:
        """Turns a second with so many senders, each of whom waits for the answer before writing again."""
        latencies: list[float] = []
        began = time.perf_counter()

        async def sender(number: int) -> None:
            chat = 0
            while time.perf_counter() - began < seconds:
                place = number + lanes * chat
                chat = (chat + 1) % max(1, self._count // lanes)
                start = time.perf_counter()
                await asyncio.wait_for(self._turn(place), 30)
                latencies.append(time.perf_counter() - start)

        await asyncio.gather(*(sender(number) for number in range(lanes)))
        return len(latencies) / (time.perf_counter() - began), latencies

    async def _turn(self, number: int) -> None:
        arrived = asyncio.Event()
        source = self._source(number)
        self._answered[source.chat_id] = arrived.set
        await self._adapter.handle_message(self._event(text="hello", source=source, message_id=str(time.time_ns())))
        await arrived.wait()


if __name__ == "__main__":
    sys.exit(main())
