"""What is written about the configuration agrees with what is read."""

import re
from pathlib import Path

import msgspec

from core.agent_settings import OpenaiSettings, ScriptedSettings
from core.config import load, reference_markdown, template
from core.config.shape import doc_of, leaves
from core.platform_settings import MatrixSettings, WebhookSettings
from core.settings import Settings

OFF = re.compile(r"^( *)#(?=(?:  )*\S)", re.MULTILINE)
# Examples are set in by an odd number of spaces, what is merely off by an even one.
EXAMPLE = re.compile(r"^  #(?=     (?:  )*\S)", re.MULTILINE)


def loaded(home: Path, text: str) -> Settings:
    """The settings of a file with this text."""
    (home / "config.yaml").write_text(text)
    return load(home, {}).settings


def test_the_template_means_the_defaults(tmp_path: Path) -> None:
    """As it is, and with every line switched on."""
    switched_on = OFF.sub(r"\1", template())
    assert "\n  port: 8642\n" in switched_on
    assert "\n  main:\n    runner: scripted\n" in switched_on
    assert loaded(tmp_path, template()) == Settings()
    assert loaded(tmp_path, switched_on) == Settings()


def test_the_template_has_every_key_once(tmp_path: Path) -> None:
    """Switched on, every value in force stands in the file."""
    (tmp_path / "config.yaml").write_text(OFF.sub(r"\1", template()))
    origins = load(tmp_path, {}).origins
    assert [key for key, origin in origins.items() if origin == "default"] == ["platforms.hooks.agent"] or all(
        origin.startswith("config.yaml:") for origin in origins.values()
    )


def test_the_examples_of_the_template_can_be_used(tmp_path: Path) -> None:
    """An agent behind an endpoint, a webhook and an account, as they stand there."""
    text = (
        EXAMPLE.sub(" ", template())
        .replace("\n# default_agent", "\ndefault_agent")
        .replace("#default_agent: main", "default_agent: gpt")
    )
    settings = loaded(tmp_path, text)
    assert isinstance(settings.agents["gpt"], OpenaiSettings)
    hooks = settings.platforms["hooks"]
    assert isinstance(hooks, WebhookSettings)
    assert hooks.routes["build"].secret == "file:secrets/build"
    assert isinstance(settings.platforms["matrix"], MatrixSettings)


def test_every_key_is_explained() -> None:
    """Each has a meaning, in the structs and on the reference page."""
    page = reference_markdown()
    silent = [".".join(path) for path, _, hint in leaves(Settings(), Settings) if not doc_of(hint) and hint is not str]
    assert silent == []
    for kind in (Settings, OpenaiSettings, ScriptedSettings, WebhookSettings, MatrixSettings):
        assert [
            info.name
            for info in msgspec.structs.fields(kind)
            if f"`{info.name}`" not in page and f"## {info.name}" not in page
        ] == []


def test_the_reference_page_is_well_formed() -> None:
    """Every row of a table has four cells."""
    rows = [line for line in reference_markdown().splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {6}
