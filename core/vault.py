"""Every secret that the configuration and the profiles refer to, read when they are taken into use."""

import os
from collections.abc import Iterable
from pathlib import Path

from core.api.errors import ConfigError
from core.config import dotenv, shape
from core.secrets import Secret, resolve
from core.settings import Settings

_MASKED_MIN = 8


class Vault:
    """Secrets by their reference."""

    def __init__(self, found: dict[str, Secret | ConfigError], home: Path) -> None:
        self._found = found
        self._home = home

    @classmethod
    def of(cls, settings: Settings, home: Path) -> "Vault":
        """Read them all. Those that cannot be read raise when they are asked for."""
        vault = cls({}, home)
        vault.learn(shape.references(settings, Settings))
        return vault

    def learn(self, references: Iterable[str]) -> None:
        """Read those that a profile names, again when they are known: they may have been changed. Blocks."""
        # What is exported wins over what stands in the file.
        environ = {**{name: value for name, (value, _) in dotenv.read(self._home).items()}, **os.environ}
        for reference in references:
            try:
                self._found[reference] = resolve(reference, home=self._home, environ=environ)
            except ConfigError as error:
                self._found[reference] = error

    def get(self, reference: str) -> Secret:
        """The secret. Raises ConfigError that says what is missing."""
        found = self._found.get(reference)
        if found is None:
            raise ConfigError("no such secret in the configuration", key="secret")
        if isinstance(found, ConfigError):
            raise found
        return found

    def masked(self, text: str) -> str:
        """The text with *** in place of every secret that is known; those of fewer than 8 letters stay."""
        values = (item.reveal() for item in self._found.values() if isinstance(item, Secret))
        for value in sorted(values, key=len, reverse=True):
            if len(value) >= _MASKED_MIN:
                text = text.replace(value, "***")
        return text

    def find(self, reference: str) -> Secret | None:
        """The secret, or None when it cannot be had."""
        found = self._found.get(reference)
        return found if isinstance(found, Secret) else None
