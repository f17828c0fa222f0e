"""Writes docs/reference from the code, or with --check says which pages are out of date."""

import argparse
import importlib
import inspect
import pkgutil
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

import core
from console.action import Action
from console.actions import ACTIONS
from console.exit_codes import Exit
from core.api import codec, errors
from core.gateway import command
from core.machine import Machine

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
_NOTE = "<!-- Written by `make docs` from the code. Do not edit. -->"


def page(title: str, *blocks: str) -> str:
    """A page: title, note, blocks with blank lines between them."""
    return "\n\n".join([f"# {title}", _NOTE, *(block.strip("\n") for block in blocks)]) + "\n"


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def type_name(annotation: Any) -> str:
    """A type as a reader of the JSON wants to see it: without module names and id wrappers."""
    text = (
        annotation.__name__
        if isinstance(annotation, type) and not hasattr(annotation, "__args__")
        else repr(annotation)
    )
    short = re.sub(r"(?:[a-z_]+\.)+([A-Za-z])", r"\1", text.replace("NoneType", "None"))
    return re.sub(r"Optional\[(\w+)\]", r"\1 | None", short)


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """The default of a field, or that there is none."""
    if field.required:
        return "required"
    if field.default is msgspec.NODEFAULT:
        return "made anew"
    return f"`{msgspec.json.encode(field.default).decode()}`"


def described(word: type[Any]) -> str:
    """One word of the facade: what it means and what it carries."""
    blocks = [f"### {word.__name__}", inspect.getdoc(word) or ""]
    answers = [base for base in getattr(word, "__orig_bases__", ()) if getattr(base, "__args__", ())]
    if answers:
        blocks.append(f"Answer: `{type_name(answers[0].__args__[0])}`")
    blocks += [given_by(action) for action in ACTIONS if action.command is word]
    fields = msgspec.structs.fields(word)
    if fields:
        rows = ((f"`{item.name}`", f"`{type_name(item.type)}`", default_of(item)) for item in fields)
        blocks.append(table(("field", "type", "default"), rows))
    return "\n\n".join(blocks)


def given_by(action: Action) -> str:
    """How an operator gives a command."""
    key = f"key `{action.key}`" if action.key else "the palette"
    verb = f", `hermes-console {' '.join(action.verb)}`" if action.verb else ""
    return f"Given by: {key} ({action.title}){verb}"


def facade(title: str, lead: str, words: tuple[type[Any], ...]) -> str:
    """All words of one kind, noun by noun."""
    blocks = [lead]
    for noun in dict.fromkeys(word.__module__ for word in words):
        blocks.append(f"## {noun.rpartition('.')[2]}")
        blocks += [described(word) for word in words if word.__module__ == noun]
    return page(title, *blocks)


def commands() -> str:
    """Orders, with their key and shell form."""
    lead = "An order goes to exactly one handler, which carries it out or raises one of the [errors](errors.md)."
    return facade("Commands", lead, codec.COMMANDS)


def queries() -> str:
    """Questions."""
    return facade("Queries", "Asking changes nothing. Long answers come in pages.", codec.QUERIES)


def events() -> str:
    """Facts."""
    lead = "An event carries the whole new view of what changed, so applying one twice is harmless."
    return facade("Events", lead, codec.EVENTS)


def views() -> str:
    """What entities look like from outside."""
    return facade("Views", "What an entity looks like from outside, and the receipts of commands.", codec.VIEWS)


def machines() -> Iterator[Machine[Any, Any]]:
    """Every transition table of the core, by name."""
    found: dict[str, Machine[Any, Any]] = {}
    for module in pkgutil.walk_packages(core.__path__, "core."):
        if ".adapters." in module.name or module.name.startswith("core.http."):
            continue
        for item in vars(importlib.import_module(module.name)).values():
            if isinstance(item, Machine):
                found[item.name] = item
    return (found[name] for name in sorted(found))


def states() -> str:
    """Every machine as a diagram and as a table."""
    blocks = ["Each diagram is drawn from the table that the core itself steps through."]
    for machine in machines():
        blocks += [f"## {machine.name}", f"```mermaid\n{machine.mermaid()}\n```"]
        rows = (
            (state.value, event.value, to.value) for state, row in machine.table.items() for event, to in row.items()
        )
        blocks.append(table(("state", "event", "next state"), rows))
    return page("States", *blocks)


def configuration() -> str:
    """Every key of config.yaml."""
    return importlib.import_module("core.config").reference_markdown()


def keys() -> str:
    """Every action with its key."""
    blocks = ["Keys can be moved in `config.yaml` under `console.keys`, by the id of the action."]
    for group in dict.fromkeys(action.group for action in ACTIONS):
        blocks.append(f"## {group}")
        blocks.append(
            table(("key", "what", "where", "id"), (key_row(action) for action in ACTIONS if action.group == group))
        )
    return page("Keys", *blocks)


def key_row(action: Action) -> tuple[str, ...]:
    """One action as a row."""
    places = ", ".join("everywhere" if place == "*" else place for place in action.where.places)
    what = f"{action.title}. Lost: {action.loses}" if action.loses else action.title
    return (f"`{action.key}`" if action.key else "palette", what, places, f"`{action.id}`")


def error_tree() -> str:
    """Every error that crosses the facade."""
    kinds = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, errors.HermesError)]
    rows = (
        (
            f"`{kind.code}`",
            kind.__name__,
            str(kind.exit_code),
            "yes" if kind.retryable else "no",
            inspect.getdoc(kind) or "",
        )
        for kind in kinds
    )
    lead = (
        "The code is stable: scripts may compare it. `exit` is the exit code of the shell command that met the error."
    )
    return page("Errors", lead, table(("code", "name", "exit", "try again", "meaning"), rows))


def exit_codes() -> str:
    """What the shell command ends with."""
    rows = ((str(code.value), code.meaning, met_by(code.value)) for code in Exit)
    lead = "A promise: a number keeps its meaning. Data goes to stdout, the reason to stderr."
    return page("Exit codes", lead, table(("code", "meaning", "errors"), rows))


def met_by(exit_code: int) -> str:
    """The errors that end a shell command with this code."""
    kinds = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, errors.HermesError)]
    return ", ".join(kind.__name__ for kind in kinds if kind.exit_code == exit_code)


def chat_commands() -> str:
    """Every command of a chat, with its aliases and who may use it."""
    lead = (
        "What people can order in a chat, from the table that also drives help and the menus of platforms. "
        "[The guide](../guide/chat_commands.md) explains who may use what. The beginning of a name is enough where "
        "only one command begins so; `_` stands for `-`, and `/name@bot` for `/name`."
    )
    blocks = [lead]
    for topic in command.Topic:
        blocks.append(f"## {topic.value}")
        rows = (chat_command_row(item) for item in command.TABLE if item.topic is topic)
        blocks.append(table(("command", "also", "what it does", "who", "while a turn goes on"), rows))
    return page("Chat commands", *blocks)


def chat_command_row(item: command.Command) -> tuple[str, ...]:
    """One command as a row."""
    who = "everybody" if item.is_for_all else "admins" if item.is_admin_only else "admins, and users who are given it"
    needs = f". Only where the gateway has {item.needs.value}" if item.needs is not None else ""
    aliases = ", ".join(f"`/{name}`" for name in item.aliases)
    return (
        f"`{item.usage}`",
        aliases,
        f"{item.text}{needs}",
        who,
        "at once" if item.bypass else "says that it must wait",
    )


def layers() -> str:
    """The import contracts, as the layer diagram."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    blocks = [
        "A line may import from the lines below it. `|` keeps neighbours apart, `:` does not. Checked by `make layers`."
    ]
    for contract in settings["contracts"]:
        if contract["type"] == "layers":
            lines = "\n".join(line.replace("(", "").replace(")", "") for line in contract["layers"])
            blocks += [f"## {contract['containers'][0]}", f"```\n{lines}\n```"]
    blocks += ["## All contracts", "\n".join(f"* {contract['name']}" for contract in settings["contracts"])]
    return page("Layers", *blocks)


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "queries.md": queries,
    "events.md": events,
    "views.md": views,
    "states.md": states,
    "configuration.md": configuration,
    "keys.md": keys,
    "chat_commands.md": chat_commands,
    "errors.md": error_tree,
    "exit_codes.md": exit_codes,
    "layers.md": layers,
}


def main() -> int:
    """Write or compare every page. Exit code 1 when --check finds a stale one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, name the pages that are out of date")
    is_check = parser.parse_args().check
    stale = [name for name, write in PAGES.items() if not is_current(name, write(), is_check=is_check)]
    extra = sorted(path.name for path in REFERENCE.iterdir() if path.name not in PAGES)
    for name in (*stale, *extra) if is_check else ():
        print(f"docs/reference/{name} is out of date: make docs", file=sys.stderr)
    return 1 if is_check and (stale or extra) else 0


def is_current(name: str, text: str, *, is_check: bool) -> bool:
    """Whether the page says what it should; written when it does not and may be."""
    path = REFERENCE / name
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return True
    if not is_check:
        path.write_text(text, encoding="utf-8")
    return False


if __name__ == "__main__":
    sys.exit(main())
