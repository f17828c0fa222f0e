"""Every secret that the configuration refers to, read once at the start."""

from pathlib import Path

from core.api.errors import ConfigError
from core.config import shape as config_shape
from core.secrets import Secret, resolve
from core.settings import Settings


class Vault:
    """Secrets by their reference."""

    def __init__(self, found: dict[str, Secret | ConfigError]) -> None:
        self._found = found

    @classmethod
    def of(cls, settings: Settings, home: Path) -> "Vault":
        """Read them all. Those that cannot be read raise when they are asked for."""
        found: dict[str, Secret | ConfigError] = {}
        for _, value, hint in config_shape.leaves(settings, Settings):
            if isinstance(value, str) and config_shape.is_secret(hint):
                try:
                    found[value] = resolve(value, home=home)
                except ConfigError as error:
                    found[value] = error
        return cls(found)

    def get(self, reference: str) -> Secret:
        """The secret. Raises ConfigError that says what is missing."""
        found = self._found.get(reference)
        if found is None:
            raise ConfigError("no such secret in the configuration", key="secret")
        if isinstance(found, ConfigError):
            raise found
        return found

    def find(self, reference: str) -> Secret | None:
        """The secret, or None when it cannot be had."""
        found = self._found.get(reference)
        return found if isinstance(found, Secret) else None
