"""Real servers of platforms on this machine, against our adapters and whole cores. `make platforms` runs them.

What is missing is installed into folders of its own, which needs a package index. A line for each platform at the end
says what went through.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.gateway.platform import Outbound
from tests.platforms.installed import environment
from tests.platforms.mail_programs import MailServers, Programs, mail_programs
from tests.platforms.synapse import Synapse
from tests.support.platform_rig import PlatformRig

COUNTED = ("in", "out", "edits", "media", "replies", "threads", "reconnects", "duplicates", "lost")
_TEST_LIMIT_S = 180


class Tally:
    """What a test saw go through, for the line at the end."""

    def __init__(self, platform: str) -> None:
        self.platform = platform
        self.counts: Counter[str] = Counter()

    def add(self, **counts: int) -> None:
        """Count, by the words of COUNTED with `_` after `in`."""
        for word, count in counts.items():
            key = word.rstrip("_")
            assert key in COUNTED, f"{key} is not counted"
            self.counts[key] += count

    def numbered(self, sent: list[str], came: list[str], way: str) -> None:
        """Count messages that were numbered: those that came, came twice, or are missing; fails unless all came once,
        in order.
        """
        twice = sum(count - 1 for count in Counter(came).values())
        self.add(**{way: len(set(came))}, duplicates=twice, lost=len(set(sent) - set(came)))
        assert came == sent


def counted(rig: PlatformRig, tally: Tally) -> PlatformRig:
    """The rig, with what goes through it in the cases of the contract counted."""
    say, correct, send = rig.say, rig.correct, rig.platform.send

    async def counted_say(text: str, **more: Any) -> str:
        native_id = await say(text, **more)
        files = len(more.get("files", ()))
        tally.add(in_=1, media=files, replies=bool(more.get("reply_to")), threads=bool(more.get("thread")))
        return native_id

    async def counted_correct(native_id: str, text: str) -> None:
        await correct(native_id, text)
        tally.add(edits=1)

    async def counted_send(message: Outbound) -> str:
        native_id = await send(message)
        tally.add(out=1, media=len(message.files), replies=bool(message.reply_to), edits=bool(message.edits))
        tally.add(threads=message.source.thread is not None)
        return native_id

    rig.say, rig.correct, rig.platform.send = counted_say, counted_correct, counted_send  # type: ignore[method-assign]
    return rig


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All here are of this kind. The limit leaves the installation out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("platforms")
            item.add_marker(pytest.mark.timeout(_TEST_LIMIT_S, func_only=True))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each platform: what went through in all its tests, and how many of them failed or were left out."""
    counts: dict[str, Counter[str]] = {}
    # What a fixture counted is told with the end of its test, which has no word of its own when all went well.
    for outcome in ("", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            for key, value in getattr(report, "user_properties", []):
                if key == "platform" and report.when == "teardown":
                    counts.setdefault(value[0], Counter()).update(value[1])
    if counts:
        terminalreporter.section("platforms")
    for platform, found in sorted(counts.items()):
        line = ", ".join(f"{word} {found[word]}" for word in COUNTED)
        terminalreporter.write_line(f"{platform}: {line}")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The counts of one test; its module names the platform as PLATFORM."""
    found = Tally(request.module.PLATFORM)
    yield found
    request.node.user_properties.append(("platform", (found.platform, dict(found.counts))))


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """A Matrix homeserver that runs."""
    server = Synapse(environment("synapse"), tmp_path_factory.mktemp("synapse"))
    server.prepare()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def dovecot() -> Programs:
    """The programs of the mail servers."""
    return mail_programs()


@pytest.fixture
async def servers(dovecot: Programs) -> AsyncIterator[MailServers]:
    """Mail servers of its own for each test."""
    made = MailServers(dovecot)
    try:
        await made.open()
        yield made
    finally:
        await made.close()
