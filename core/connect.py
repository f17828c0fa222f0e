"""The one door: a core in this process, or a core that runs elsewhere on this machine.

What hosts a core is imported only where one is started: a shell command that talks to a
running one must not wait for it.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from core import __version__
from core.api.errors import ConfigError
from core.api.port import Hermes
from core.api.processes import ImportView, ProcessView, ProfileHomes
from core.api.system import ConfigView, HealthView
from core.clock import SystemClock
from core.config import FILE_NAME, check, load
from core.daemon import Started
from core.home import prepare, profile_home, socket_path
from core.threaded import ThreadedHermes

_DEMO_PROOF = "secrets/relay_twin"
"""As demo.yaml names it."""


def open_embedded(home: Path, *, unsafe: bool = False) -> ThreadedHermes:
    """Start the core of a home on a thread of its own. Blocks until it is open.

    unsafe: no safe mode, however often it failed. Raises HomeBusy, ConfigError or StoreError; then nothing runs and
    nothing is locked.
    """
    from core.host import open_core

    return ThreadedHermes.start(lambda: open_core(home, unsafe=unsafe))


def open_demo(home: Path) -> ThreadedHermes:
    """The same for a home of prepare_demo(), with what the demo begins with."""
    from core.demo import open_furnished

    return ThreadedHermes.start(lambda: open_furnished(home))


def open_quietly(home: Path) -> ThreadedHermes:
    """The same for orders about what is stored: nothing is taken in or sent, no run begins, and nobody can attach."""
    from core import host

    return ThreadedHermes.start(lambda: host.open_quietly(home))


def serve_forever(home: Path, *, on_ready: Callable[[HealthView], None], unsafe: bool = False) -> int:
    """Run the core of a home until it is told to stop (SIGTERM, SIGINT, or a Shutdown command).

    Returns the exit code. A lost terminal does not stop it.
    """
    from core.host import serve

    return asyncio.run(serve(home, on_ready, unsafe=unsafe))


def stay(hermes: ThreadedHermes) -> int:
    """Go on without a screen, as `serve` does, until told to stop. Returns the exit code."""
    from core import host

    return host.stay(hermes)


async def attach(home: Path) -> Hermes:
    """Connect to the core that runs on a home. Raises Unavailable when none does."""
    from core.attach.client import RemoteHermes

    return await RemoteHermes.connect(socket_path(home), SystemClock(), version=__version__)


def attach_threaded(home: Path) -> ThreadedHermes:
    """The same on a thread of its own, for a screen. Blocks until it is attached; stop() leaves the core running."""
    return ThreadedHermes.start(lambda: attach(home), name="attached")


def process(home: Path) -> ProcessView:
    """How the core of a home stands, without asking it. Blocks."""
    from core.process_status import read_process

    return read_process(home, SystemClock())


def start_daemon(home: Path, argv: Sequence[str]) -> Started:
    """Start a program as the daemon of a home, with its words in the log there. Blocks. Raises ConfigError."""
    from core import daemon

    return daemon.start(home, argv)


def log_tail(home: Path, line_count: int) -> Sequence[str]:
    """The last lines of the daemon's log. Blocks."""
    from core import daemon

    return daemon.log_tail(home, line_count)


def terminate(home: Path, *, kill: bool) -> int:
    """Tell the process that holds a home to end, or kill it. Returns its pid. Blocks. Raises Refused."""
    from core import daemon

    return daemon.terminate(home, kill=kill)


def profiles(root: Path) -> ProfileHomes:
    """The default home and every profile below it. Blocks."""
    from core import daemon

    return daemon.profiles(root)


def home_of_profile(root: Path, name: str) -> Path:
    """The home of a profile below the default home. Raises InvalidInput for a name that cannot be."""
    return profile_home(root, name)


def import_hermes(home: Path, source: Path, *, write: bool) -> ImportView:
    """What a Hermes home has to give, taken over when it is to be written. Blocks. Raises ConfigError, InvalidInput."""
    from core import migration

    return migration.import_hermes(home, source, write=write)


def prepare_demo(home: Path) -> None:
    """Write the configuration of the demo into a throw-away home. Blocks: call it off the loop."""
    prepare(home)
    text = resources.files("core").joinpath("demo.yaml").read_text(encoding="utf-8")
    (home / FILE_NAME).write_text(text, encoding="utf-8")
    # The core relays to itself: what it proves itself with there is made up for each demo.
    token = os.open(home / _DEMO_PROOF, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(token, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe() + "\n")


def read_config(home: Path) -> ConfigView:
    """The configuration of a home as a core would read it now. Raises ConfigError. Blocks."""
    return load(home, os.environ).view()


def config_errors(home: Path) -> tuple[ConfigError, ...]:
    """Everything that is wrong with the configuration of a home. Blocks."""
    return check(home, os.environ)[1]
