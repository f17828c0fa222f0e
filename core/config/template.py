"""What is written about the configuration: the commented file of a new home, and the reference page."""

from collections.abc import Iterator
from typing import Any

import msgspec

from core.config import shape
from core.settings import Settings

_HEAD = """\
# The configuration of this home. Every line that begins with # is off; what stands after it is the
# default. Take the # away and change the value. A key that is not known is an error, so a slip of the
# pen is found at the start. `hermes-console config check` tells; `hermes-console config show` prints
# every value with its origin.
#
# The same keys can be set by environment variables, which win over this file:
#     HERMES_CONSOLE__HTTP__PORT=8643
# Secrets are never written here, only where they are: env:NAME, or file:PATH (relative to the home,
# readable for you alone).
"""

_EXAMPLES = {
    "agents": """\
  # An agent behind any OpenAI-compatible endpoint. `agents` replaces the default as a whole, so name
  # every agent that you want:
  #     gpt:
  #       runner: openai
  #       base_url: http://127.0.0.1:11434/v1
  #       model: llama3.2
  #       key: env:OPENAI_API_KEY
""",
    "platforms": """\
  # A signed way in, POST /webhooks/build, whose text is taken from the JSON body. `platforms` replaces
  # the default as a whole, so name every connection that you want:
  #     hooks:
  #       kind: webhook
  #       routes:
  #         build:
  #           secret: file:secrets/build
  #           template: "build {build.id} ended: {build.status}"
  # An account that people write to; docs/guide has a page for each kind:
  #     matrix:
  #       kind: matrix
  #       homeserver: https://matrix.example.org
  #       user_id: "@bot:example.org"
  #       token: file:secrets/matrix
  #       allowed_users: ["@ana:example.org"]
""",
    "cron": """\
  # A job for every working day, whose answer goes to the home channel:
  #     report:
  #       schedule: 0 9 * * mon-fri
  #       timezone: Europe/Vienna
  #       text: Summarise the alarms of the last day.
  #       deliver: home
""",
}

_REFERENCE_HEAD = """\
# Configuration

<!-- generated from core/settings.py; do not edit -->

One file, `config.yaml` in the home, in strict YAML: a key that is not known, a key that stands there
twice, a wrong type, an anchor, an alias or a tag is an error that names file, line and key. A section
without keys is the default. `hermes-console config check` lists everything that is wrong;
`hermes-console config show` prints every value with its origin.

Every key can be set by an environment variable, which wins over the file: `HERMES_CONSOLE__`, then the
path in capitals joined by two underscores, such as `HERMES_CONSOLE__HTTP__PORT=8643`.

A secret is never written into the file, only a reference to it: `env:NAME`, or `file:PATH` (relative to
the home; the file must be readable for its owner alone).
"""


def template() -> str:
    """The commented `config.yaml` of a new home. It loads to the defaults."""
    parts = [_HEAD]
    value = Settings()
    parts += [
        "\n" + "".join(_template_part(info.name, info.type, getattr(value, info.name)))
        for info in msgspec.structs.fields(Settings)
    ]
    return "".join(parts)


def _template_part(name: str, hint: Any, value: Any) -> Iterator[str]:
    if shape.entries_of(hint) is not None:
        yield f"# {shape.doc_of(hint)}\n{name}:\n"
        yield _EXAMPLES.get(name, "")
        yield "".join(f"  #{line}\n" for line in _yaml_lines(msgspec.to_builtins(value)))
    elif isinstance(value, msgspec.Struct):
        yield f"# {type(value).__doc__}\n{name}:\n"
        for info in msgspec.structs.fields(type(value)):
            yield f"  # {_explained(info.type)}\n"
            yield f"  #{info.name}: {_written(getattr(value, info.name))}\n"
    else:
        yield f"# {_explained(hint)}\n#{name}: {_written(value)}\n"


def _explained(hint: Any) -> str:
    doc = shape.doc_of(hint)
    limits = "" if shape.entries_of(hint) else shape.allowed(hint)
    return f"{doc} ({limits})" if limits and limits not in {"text", "true or false"} and limits not in doc else doc


def _yaml_lines(values: dict[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in values.items():
        if not isinstance(value, dict) or not value:
            yield f"{indent}{name}: {_written(value)}"
        else:
            yield f"{indent}{name}:"
            yield from _yaml_lines(msgspec.convert(value, dict[str, Any]), indent + "  ")


def _written(value: Any) -> str:
    """A value as it is written in YAML. JSON is; words need no quotes."""
    plain = msgspec.to_builtins(value)
    if isinstance(plain, str) and plain and all(char.isalnum() or char in "_-./:" for char in plain):
        return plain
    return msgspec.json.encode(plain).decode()


def reference_markdown() -> str:
    """The page docs/reference/configuration.md."""
    parts = [_REFERENCE_HEAD]
    value = Settings()
    single = [info for info in msgspec.structs.fields(Settings) if not _is_group(info.type)]
    parts.append("\n## Top level\n\n" + _table((info.name, info.type, getattr(value, info.name)) for info in single))
    for info in msgspec.structs.fields(Settings):
        if not _is_group(info.type):
            continue
        if shape.entries_of(info.type) is None:
            parts.append(_section_page(info.name, shape.sections(info.type)[0]))
        else:
            parts += _entries_page(info.name, info.type, getattr(value, info.name))
    return "".join(parts)


def _entries_page(name: str, hint: Any, value: Any) -> Iterator[str]:
    yield f"\n## {name}\n\n{_sentence(shape.doc_of(hint))} Default:\n\n"
    yield "```yaml\n" + "\n".join(_yaml_lines(msgspec.to_builtins({name: value}))) + "\n```\n"
    entries = shape.entries_of(hint)
    for section in shape.sections(entries[1]) if entries else ():
        tag = shape.tag_field(section)
        title = f"{name}.NAME with `{tag}: {shape.tag_of(section)}`" if tag else f"{name}.NAME"
        yield _section_page(title, section, level=3)
        for info in msgspec.structs.fields(section):
            below = shape.entries_of(info.type)
            for inner in shape.sections(below[1]) if below else ():
                yield _section_page(f"{name}.NAME.{info.name}.NAME", inner, level=4)


def _is_group(hint: Any) -> bool:
    return bool(shape.sections(hint)) or shape.entries_of(hint) is not None


def _sentence(doc: str) -> str:
    return doc[:1].upper() + doc[1:] + ("" if doc.endswith(".") else ".")


def _section_page(title: str, section: type[msgspec.Struct], *, level: int = 2) -> str:
    rows = (
        (info.name, info.type, msgspec.NODEFAULT if info.required else shape.default_of(info))
        for info in msgspec.structs.fields(section)
    )
    return f"\n{'#' * level} {title}\n\n{(section.__doc__ or '').strip()}\n\n{_table(rows)}"


def _table(rows: Iterator[tuple[str, Any, Any]]) -> str:
    lines = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for name, hint, default in rows:
        takes = "names and values" if shape.entries_of(hint) else shape.allowed(hint)
        written = "required" if default is msgspec.NODEFAULT else f"`{_written(default)}`"
        lines.append(f"| `{name}` | {_cell(takes)} | {_cell(written)} | {_cell(shape.doc_of(hint))} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
