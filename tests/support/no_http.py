"""For adapters that are built alone: no HTTP server, no secrets."""

from core.api.errors import ConfigError
from core.secrets import Secret


class NoHttp:
    """An HttpHost that nobody listens on."""

    url = ""

    def mount(self, prefix: str, app: object) -> None:
        """Nothing is called from outside."""

    def unmount(self, prefix: str) -> None:
        """Nothing was mounted."""


def no_secret(reference: str) -> Secret:
    """There are none."""
    raise ConfigError("no secrets here", key=reference)
