"""The command line as a tree of nouns and verbs, made from the table of verbs."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from console.exit_codes import Exit
from console.shell.call import Verb
from console.shell.local import LocalVerb

NOUNS = {
    "sessions": "who talks to which agent",
    "approvals": "decisions that wait for you",
    "access": "who is let in, and why",
    "pairing": "senders that ask for access, and invitations",
    "deliveries": "answers on their way",
    "mailbox": "queues, what waits in them and what died in them",
    "platforms": "connections to messaging platforms",
    "tasks": "work that was given to agents, and its runs",
    "agents": "agents, their profiles, pools and runners",
    "config": "the configuration",
    "core": "the core itself",
    "gateway": "the core's process: start, stop, status, service",
    "profiles": "the homes of this user",
    "import": "take over what another gateway has",
    "audit": "who did what",
    "breakers": "far sides that are left alone, and who decides",
    "relay": "messages from bot to bot, and where bots are",
    "hooks": "programs that are told what happens",
    "cron": "work that begins by the clock",
}
_ALSO = {"mailbox": ["mailboxes"]}
_OTHER_VERBS = {
    ("relay", "add_binding"): ["add-binding"],
    ("relay", "list_bindings"): ["list-bindings"],
    ("relay", "remove_binding"): ["remove-binding", "del_binding", "del-binding"],
    ("relay", "undo_binding"): ["undo-binding"],
    ("relay", "test_relay"): ["test-relay", "test"],
}
"""Spellings that others have for a verb."""
_PLAIN = {
    "serve": "run the core without a screen, until told to stop",
    "attach": "open the screen on a core that runs",
    "demo": "open the screen on a throw-away home with a simulated fleet",
}
_WITHOUT_CORE = {
    ("config", "check"): "everything that is wrong with the configuration file",
    ("config", "path"): "where the configuration file is",
    ("gateway", "run"): "run the core here, in the foreground, until told to stop",
}


class _Version(argparse.Action):
    """Prints the version of the installed program."""

    def __init__(self, option_strings: Sequence[str], dest: str, **rest: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=rest.get("help"))

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Look it up only when asked: it reads the package's metadata."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("hermes-console")
        except PackageNotFoundError:
            found = "not installed"
        sys.stdout.write(f"hermes-console {found}\n")
        parser.exit(0)


def parsed(argv: Sequence[str], verbs: Mapping[tuple[str, str], Verb | LocalVerb]) -> argparse.Namespace:
    """The arguments, with `noun` and `verb`, both "" for the screen. Raises SystemExit with the exit code."""
    return build(verbs).parse_args(argv)


def build(verbs: Mapping[tuple[str, str], Verb | LocalVerb]) -> argparse.ArgumentParser:
    """The parser. Global options may stand before the noun or after the verb."""
    parser = argparse.ArgumentParser(
        prog="hermes-console",
        description="A terminal console for agents behind chat platforms. Without a command: core and screen.",
        epilog="exit codes: " + "; ".join(f"{code.value} {code.meaning}" for code in Exit),
        allow_abbrev=False,
    )
    _add_globals(parser, is_top=True)
    parser.add_argument("--version", action=_Version, help="print the version")
    parser.set_defaults(noun="", verb="")
    nouns = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, doc in _PLAIN.items():
        _leaf(nouns, name, doc, noun=name, verb="")
    below: dict[str, Any] = {}
    for (noun, verb), found in verbs.items():
        if not verb:
            found.add(_leaf(nouns, noun, found.doc, noun=noun, verb=""))
        else:
            found.add(_leaf(_verbs_of(nouns, below, noun), verb, found.doc, noun=noun, verb=verb))
    for (noun, verb), doc in _WITHOUT_CORE.items():
        _leaf(_verbs_of(nouns, below, noun), verb, doc, noun=noun, verb=verb)
    return parser


def _verbs_of(nouns: Any, below: dict[str, Any], noun: str) -> Any:
    if noun not in below:
        parser = nouns.add_parser(
            noun,
            aliases=_ALSO.get(noun, []),
            help=NOUNS.get(noun, noun),
            description=NOUNS.get(noun, noun),
            allow_abbrev=False,
        )
        _add_globals(parser, is_top=False)
        below[noun] = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    return below[noun]


def _leaf(parsers: Any, name: str, doc: str, *, noun: str, verb: str) -> argparse.ArgumentParser:
    aliases = _OTHER_VERBS.get((noun, verb), [])
    parser: argparse.ArgumentParser = parsers.add_parser(
        name, aliases=aliases, help=doc, description=doc, allow_abbrev=False
    )
    _add_globals(parser, is_top=False)
    parser.set_defaults(noun=noun, verb=verb)
    return parser


def _add_globals(parser: argparse.ArgumentParser, *, is_top: bool) -> None:
    # Below the top a default would overwrite what was given before the noun.
    def default(value: object) -> Any:
        return value if is_top else argparse.SUPPRESS

    parser.add_argument("--home", metavar="PATH", default=default(None), help="home of the core")
    parser.add_argument("--profile", metavar="NAME", default=default(""), help="a profile's home below it")
    parser.add_argument("--json", action="store_true", default=default(value=False), help="data as JSON, one line each")
    parser.add_argument(
        "--plain", action="store_true", default=default(value=False), help="tables are not cut to the terminal's width"
    )
    parser.add_argument(
        "--read-only", action="store_true", default=default(value=False), help="the screen changes nothing"
    )
    parser.add_argument(
        "--unsafe", action="store_true", default=default(value=False), help="no safe mode after starts that failed"
    )
