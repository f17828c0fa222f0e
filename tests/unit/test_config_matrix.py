"""The section of a Matrix account in the configuration."""

from pathlib import Path

import pytest

from core.api.errors import ConfigError
from core.config import load
from core.platform_settings import MatrixSettings

ACCOUNT = """
platforms:
  chat:
    kind: matrix
    homeserver: https://matrix.example.org
    user_id: "@bot:example.org"
"""


def test_an_account_is_read_with_its_defaults(tmp_path: Path) -> None:
    """A token by reference, half a minute for a poll, and direct invitations are followed."""
    (tmp_path / "config.yaml").write_text(ACCOUNT + "    token: env:MATRIX_TOKEN\n")
    section = load(tmp_path, {}).settings.platforms["chat"]
    assert isinstance(section, MatrixSettings)
    assert (section.token, section.auto_join, section.sync_timeout_s) == ("env:MATRIX_TOKEN", "direct", 30.0)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "platforms.chat.token is needed, or password"),
        ("    token: env:A\n    password: env:B\n", "cannot both be set"),
        ("    token: s3cret-in-the-file\n", "platforms.chat.token"),
        ("    token: env:A\n    user_id2: x\n", "user_id"),
        ("    token: env:A\n    device: a b\n", "platforms.chat.device"),
        ("    token: env:A\n    auto_join: everybody\n", "platforms.chat.auto_join"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, more: str, words: str) -> None:
    """With its key; a secret in the file is not repeated."""
    (tmp_path / "config.yaml").write_text(ACCOUNT + more)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert words in caught.value.message
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("user_id", ["bot", "@bot", "bot:example.org", "@b ot:example.org"])
def test_a_user_id_has_its_form(tmp_path: Path, user_id: str) -> None:
    """The whole id, with its server."""
    text = ACCOUNT.replace("@bot:example.org", user_id) + "    token: env:A\n"
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match="user_id"):
        load(tmp_path, {})
