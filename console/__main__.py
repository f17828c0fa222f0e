"""The program: arguments in, exit code out; the one door from the console to the core.

Only os and sys are imported at the top: the first frame is drawn before anything else is loaded.
"""

import gc
import os
import sys


def main() -> int:
    """The entry point of the installed command."""
    argv = sys.argv[1:]
    early = _early(argv)
    if early is None:
        return _run(argv)
    # Imports make many objects and hardly any garbage: the search for it would take a tenth of the start. More than
    # there are before console.collecting takes over.
    gc.set_threshold(500_000, 50, 100)
    from console import prepaint

    noun, home = early
    has_terminal = prepaint.paint(home)
    # Without arguments to parse, the screen need not wait for the machinery of the shell commands.
    return _open(home, is_embedded=not noun) if has_terminal and noun != "demo" else _run(argv)


def _early(argv: list[str]) -> tuple[str, str] | None:
    """Noun and home of a call for the screen that is clear before the arguments are parsed; None for any other.

    The home is "" where there is no last frame to show.
    """
    home, rest = "", argv
    if len(argv) > 1 and argv[0] == "--home" and not argv[1].startswith("-"):
        home, rest = argv[1], argv[2:]
    elif argv and argv[0].startswith("--home="):
        home, rest = argv[0].removeprefix("--home="), argv[1:]
    if rest in ([], ["attach"]):
        return "".join(rest), _expanded(home) if home else _default_home()
    return ("demo", "") if argv == ["demo"] else None


def _open(home: str, *, is_embedded: bool) -> int:
    """Open the screen; what ends it is told as for any other call."""
    try:
        return _screen(home, is_embedded=is_embedded, read_only=False, demo=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - what is not ours is raised again there
        from console import headless

        return headless.failed(error, _leave_screen)


def _leave_screen() -> None:
    if "console.app" not in sys.modules:
        from console import prepaint

        prepaint.undo()


def _default_home() -> str:
    """$HERMES_CONSOLE_HOME, or ~/.hermes-console."""
    named = os.environ.get("HERMES_CONSOLE_HOME") or "~/.hermes-console"
    return _expanded(named)


def _expanded(place: str) -> str:
    return os.path.expanduser(place)  # noqa: PTH111 - pathlib is slow to import


def _run(argv: list[str]) -> int:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from console import headless
    from console.shell.local import Daemon
    from core.api.errors import HermesError
    from core.api.port import Hermes
    from core.api.processes import ImportView, ProcessView, ProfileHomes
    from core.api.system import ConfigView, HealthView

    class CoreDoors:
        """The ways to a core and to the screen. What each needs is loaded when it is used."""

        def default_home(self) -> Path:
            return Path(_default_home())

        async def attach(self, home: Path) -> Hermes:
            from core import connect

            return await connect.attach(home)

        def serve(self, home: Path, on_ready: Callable[[HealthView], None], *, unsafe: bool = False) -> int:
            from core import connect

            return connect.serve_forever(home, on_ready=on_ready, unsafe=unsafe)

        def open_quietly(self, home: Path) -> Hermes:
            from core import connect

            return connect.open_quietly(home)

        def process(self, home: Path) -> ProcessView:
            from core import connect

            return connect.process(home)

        def start_daemon(self, home: Path, *, unsafe: bool) -> Daemon:
            from core import connect

            flags = ("--unsafe",) if unsafe else ()
            return connect.start_daemon(home, self.command_line(home, *flags, "serve"))

        def log_tail(self, home: Path, line_count: int) -> Sequence[str]:
            from core import connect

            return connect.log_tail(home, line_count)

        def terminate(self, home: Path, *, kill: bool) -> int:
            from core import connect

            return connect.terminate(home, kill=kill)

        def command_line(self, home: Path, *words: str) -> Sequence[str]:
            # -P: nothing is imported from the folder in which it is started.
            return (sys.executable, "-P", "-m", "console", "--home", str(home.absolute()), *words)

        def profiles(self, root: Path) -> ProfileHomes:
            from core import connect

            return connect.profiles(root)

        def profile_home(self, root: Path, name: str) -> Path:
            from core import connect

            return connect.home_of_profile(root, name)

        def import_hermes(self, home: Path, source: Path, *, write: bool) -> ImportView:
            from core import connect

            return connect.import_hermes(home, source, write=write)

        def prepare_demo(self, home: Path) -> None:
            from core import connect

            connect.prepare_demo(home)

        def read_config(self, home: Path) -> ConfigView:
            from core import connect

            return connect.read_config(home)

        def config_errors(self, home: Path) -> Sequence[HermesError]:
            from core import connect

            return connect.config_errors(home)

        def screen(self, home: Path, *, is_embedded: bool, read_only: bool, demo: bool, unsafe: bool = False) -> int:
            if _early(argv) is None:
                from console import prepaint

                prepaint.paint(home)
            return _screen(str(home), is_embedded=is_embedded, read_only=read_only, demo=demo, unsafe=unsafe)

        def leave_screen(self) -> None:
            _leave_screen()

    return headless.main(argv, CoreDoors())


def _screen(place: str, *, is_embedded: bool, read_only: bool, demo: bool, unsafe: bool = False) -> int:
    """Open the screen. An embedded core is stopped at the end, or goes on until told to stop when it was kept."""
    from collections.abc import Callable
    from pathlib import Path

    from console import app
    from console.options import options_from
    from core import connect
    from core.api.errors import ConfigError
    from core.api.port import Hermes

    home = Path(place)
    try:
        config = connect.read_config(home)
    except ConfigError:
        # The screen opens all the same: opening the core fails with this error, and is shown there.
        config = None
    ends: list[Callable[[], None]] = []
    goes_on: list[Callable[[], int]] = []

    def open_hermes() -> Hermes:
        if demo:
            core = connect.open_demo(home)
        else:
            core = connect.open_embedded(home, unsafe=unsafe) if is_embedded else connect.attach_threaded(home)
        ends.append(core.stop)
        goes_on.append(lambda: connect.stay(core))
        if is_left:
            # The screen was closed before the core was up.
            core.stop()
        return core

    is_left = keep = False
    try:
        result = app.run(
            open_hermes, options_from(config, home=home, is_embedded=is_embedded, read_only=read_only, demo=demo)
        )
        keep = result.keep_core and is_embedded and bool(goes_on)
    finally:
        is_left = True
        if not keep:
            for end in ends:
                end()
    if keep:
        sys.stderr.write(
            f"the core goes on as pid {os.getpid()}; come back with: hermes-console --home {home} attach\n"
        )
        return goes_on[-1]()
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
