"""What an operator should know before saying yes: it would stop this core, hides something, deletes (pure).

These are hints for people. They are found by looking at words and can be fooled; nothing is allowed or refused by them.
The text is an agent's and may be long: so much of it is looked at, in time in proportion, and the rest is named.
"""

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from core.api.runs import ActionRequested, ToolKind

_NAMED = 4
_SHOWN_PATH = 200
_LOOKED_AT = 65_536
_HANDED_ON = 8
_WRITES = frozenset({ToolKind.EDIT, ToolKind.DELETE, ToolKind.MOVE})

_BREAKS = re.compile(r"(\|\||&&|\|&|[;|\n]|(?<![<>])&(?![>]))")
_QUOTES = "'\"`$(){}"
_PREFIXES = frozenset(
    {"sudo", "doas", "env", "nohup", "exec", "time", "nice", "command", "xargs", "setsid", "then", "do"}
)
_ELEVATED = frozenset({"sudo", "doas", "su", "pkexec", "runas"})
_KILLS = frozenset({"kill", "pkill", "killall", "fuser", "taskkill"})
_KEEPERS = frozenset(
    {"systemctl", "service", "supervisorctl", "launchctl", "docker", "podman", "kubectl", "tmux", "screen"}
)
_ENDS = frozenset(
    {"stop", "restart", "kill", "kill-session", "kill-server", "down", "quit", "disable", "bootout", "delete", "rm"}
)
_OWN = "hermes-console"
_OWN_ENDS = frozenset({"stop", "shutdown", "restart", "quit", "uninstall"})
_MACHINE = frozenset({"shutdown", "reboot", "poweroff", "halt"})
_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "csh", "tcsh", "fish"})
_INTERPRETERS = re.compile(r"(?:python[\d.]*|perl|ruby|node|php)")
_FETCHERS = frozenset({"curl", "wget"})
_WIPERS = re.compile(r"(?:mkfs(?:\.\w+)?|wipefs|shred)")
_RECURSIVE = re.compile(r"-[A-Za-z]*[rR][A-Za-z]*|--recursive")
_REDIRECTION = re.compile(r">{1,2}\|?[ \t]*([^\s;|&<>()\"'`]+)")
_HARMLESS = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"})
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


class _Step(msgspec.Struct, frozen=True):
    """One command of a line. words: bare, without quotes. is_piped: it reads what the one before it writes.

    programs: what is run, each with what follows it: the command itself, and what is handed to another one to run.
    """

    text: str
    words: Sequence[str]
    is_piped: bool
    programs: Sequence[tuple[str, Sequence[str]]]


def warnings_for(action: ActionRequested, *, pid: int, workspace: str = "") -> tuple[str, ...]:
    """Warnings, the gravest first, each one line. pid: of this core. workspace: its folder, "" when it is not known;
    then the folder that the agent says it is in stands for it.
    """
    text = action.target or action.detail
    steps = _steps(text)
    is_whole = len(text) <= _LOOKED_AT and all(len(step.programs) < _HANDED_ON for step in steps)
    found = [
        _stopping(steps, str(pid)),
        _hidden(action),
        "a recursive or final deletion" if "shutil.rmtree" in text or any(map(_deletes, steps)) else "",
        "what it fetches or makes goes straight into an interpreter" if any(map(_feeds_shell, steps)) else "",
        "it takes on the rights of another user" if any(map(_is_elevated, steps)) else "",
        _outside(action, text, steps, workspace or action.cwd),
        "" if is_whole else "it is too long or too nested to be looked through for dangers",
    ]
    return tuple(line for line in found if line)


def _steps(text: str) -> list[_Step]:
    pieces = _BREAKS.split(text[:_LOOKED_AT])
    steps: list[_Step] = []
    for place in range(0, len(pieces), 2):
        words = [word.strip(_QUOTES) for word in pieces[place].split()]
        is_piped = place > 0 and pieces[place - 1] in {"|", "|&"}
        if words:
            steps.append(_Step(pieces[place], words, is_piped, list(islice(_programs(words), _HANDED_ON))))
    return steps


def _programs(words: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    is_next = True
    for place, word in enumerate(words):
        if is_next and word and not word.startswith("-") and "=" not in word:
            name = word.rpartition("/")[2]
            yield name, words[place + 1 :]
            is_next = name in _PREFIXES
        elif word in {"-c", "-lc", "-ec", "-exec", "-execdir"}:
            is_next = True


def _stopping(steps: Sequence[_Step], pid: str) -> str:
    worst = ""
    for step in steps:
        for name, rest in step.programs:
            if _is_end_of_core(name, rest, pid):
                return "it would stop this core"
            if name in _KILLS and any(map(_is_own_name, rest)):
                worst = "it may stop this core: it ends processes by a name that fits"
            elif name in _MACHINE or (name == "systemctl" and not _MACHINE.isdisjoint(rest)):
                worst = worst or "it would stop this machine, and this core with it"
    return worst


def _is_end_of_core(name: str, rest: Sequence[str], pid: str) -> bool:
    if name in _KILLS:
        return pid in rest or "-1" in rest
    if name == _OWN:
        return not _OWN_ENDS.isdisjoint(rest)
    return name in _KEEPERS and not _ENDS.isdisjoint(rest) and any(map(_is_own_name, rest))


def _is_own_name(word: str) -> bool:
    return "hermes" in word.lower() or word.lower().startswith("python")


def _hidden(action: ActionRequested) -> str:
    labels = [option.label for option in action.options]
    seen = "".join((action.title, action.tool, action.target, action.cwd, action.detail, action.diff, *labels))
    if seen.isascii() and seen.isprintable():
        return ""
    found = sorted(letter for letter in set(seen) - {"\n", "\t"} if unicodedata.category(letter) in _HIDDEN)
    if not found:
        return ""
    named = ", ".join(f"U+{ord(letter):04X}" for letter in found[:_NAMED])
    turns = any(unicodedata.bidirectional(letter) in _TURNING for letter in found)
    what = "characters that turn the direction of text" if turns else "hidden characters"
    return f"it holds {what}: {named}{' and others' if len(found) > _NAMED else ''}"


def _deletes(step: _Step) -> bool:
    for name, rest in step.programs:
        match name:
            case "rm":
                is_final = any(map(_RECURSIVE.fullmatch, rest))
            case "find":
                is_final = "-delete" in rest or ("-exec" in rest and "rm" in rest)
            case "git":
                is_final = "clean" in rest and any(word.startswith("-") and set(word) & set("fdx") for word in rest)
            case "rmdir" | "rd" | "del":
                is_final = "/s" in {word.lower() for word in rest}
            case "dd":
                is_final = any(word.startswith("of=/dev/") for word in rest)
            case _:
                is_final = _WIPERS.fullmatch(name) is not None
        if is_final:
            return True
    return False


def _feeds_shell(step: _Step) -> bool:
    fetches = not _FETCHERS.isdisjoint(word.rpartition("(")[2] for word in step.words)
    is_made = "$(" in step.text or "<(" in step.text or "`" in step.text
    for name, rest in step.programs:
        if name in _SHELLS and (step.is_piped or "<(" in step.text or (fetches and is_made)):
            return True
        is_bare = all(word.startswith("-") for word in rest)
        if step.is_piped and is_bare and _INTERPRETERS.fullmatch(name):
            return True
        if name in {"eval", "source", "."} and fetches and is_made:
            return True
    return False


def _is_elevated(step: _Step) -> bool:
    return any(name in _ELEVATED for name, _ in step.programs)


def _outside(action: ActionRequested, text: str, steps: Sequence[_Step], folder: str) -> str:
    paths = [action.target] if action.kind in _WRITES else [*_REDIRECTION.findall(text[:_LOOKED_AT]), *_teed(steps)]
    for path in paths:
        if path and path not in _HARMLESS and _leaves(path, action.cwd or folder, folder):
            return f"it writes outside of its folder: {path[:_SHOWN_PATH]}"
    return ""


def _teed(steps: Sequence[_Step]) -> Iterator[str]:
    for step in steps:
        for name, rest in step.programs:
            if name == "tee":
                yield from (word for word in rest if not word.startswith("-"))


def _leaves(path: str, cwd: str, folder: str) -> bool:
    if path.startswith(("~", "$")):
        return True
    if not folder:
        return path.startswith("/") or posixpath.normpath(path).startswith("..")
    whole = posixpath.normpath(posixpath.join(cwd, path))
    root = posixpath.normpath(folder)
    return whole != root and not whole.startswith(root.rstrip("/") + "/")
