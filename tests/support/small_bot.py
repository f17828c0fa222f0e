"""A bot on this machine that speaks the relay of HotPlex: it can die and come back at the same address."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class SmallBot:
    """Answers every message at once with its own words. received: the messages that it was given, in order."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address, the same after each rebirth."""
        return f"http://127.0.0.1:{self._port}"

    def live(self) -> None:
        """Take calls."""
        bot = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_GET(self) -> None:
                """Who it is."""
                self._say(200, {"name": "small-bot", "version": "1", "protocol": "hotplex"})

            def do_POST(self) -> None:
                """A message: it is answered at once."""
                body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))))
                bot.received.append(body)
                words = f"small-bot heard: {body.get('content', '')}"
                self._say(200, {"task_id": body.get("task_id", ""), "status": "completed", "content": words})

            def _say(self, status: int, document: dict[str, Any]) -> None:
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.send_header("connection", "close")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
                """Nothing: the test says what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def die(self) -> None:
        """From now on connections are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        self.live()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.die()
