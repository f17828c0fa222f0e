"""Which app answers which path: the longest prefix wins, and the rest is 404."""

from core.http.asgi import App, Receive, Scope, Send
from core.http.refusal import HttpRefusal


class Mounts:
    """An app of apps. Each sees the whole path, its own prefix included."""

    def __init__(self) -> None:
        self._apps: dict[str, App] = {}

    def mount(self, prefix: str, app: App) -> None:
        """Hand `prefix` and all paths below it to an app. Raises ValueError when it is taken or no prefix."""
        if not prefix.startswith("/") or prefix.endswith("/") or "//" in prefix:
            raise ValueError(f"{prefix!r} is no prefix; it must look like /v1")
        if prefix in self._apps:
            raise ValueError(f"{prefix} is taken")
        self._apps[prefix] = app

    def unmount(self, prefix: str) -> None:
        """Answer 404 below `prefix` again. One that is not mounted is no fault."""
        self._apps.pop(prefix, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. Raises HttpRefusal 404 when nobody has its path."""
        app = self._find(scope["path"])
        if app is None:
            raise HttpRefusal(404, "unknown_path", f"nothing is served at {scope['path']}")
        await app(scope, receive, send)

    def _find(self, path: str) -> App | None:
        while path:
            if path in self._apps:
                return self._apps[path]
            path = path.rpartition("/")[0]
        return None
