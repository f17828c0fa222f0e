"""Files of messages: fetched with bounds, kept under names nobody guesses, sent only from where they may be sent."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from core.api.base import AgentName, DeliveryId, PlatformName
from core.api.sessions import ChatKind, Source
from core.clock import SystemClock
from core.gateway.file_shelf import NotSendable
from core.gateway.files import InboundFiles
from core.gateway.outgoing import Outgoing, named
from core.gateway.parts import parts_of
from core.gateway.platform import FileKind, Inbound, InboundFile, Limits, PlatformError, PlatformErrorKind
from core.settings import FileSettings
from tests.support.clocks import FakeClock
from tests.support.outbox import outbound_to

FAR = PlatformName("far")
MAIN = AgentName("main")
SENDS = Limits(file_bytes=1_000_000)


class Store:
    """A platform that hands out files; a ref names what it does."""

    limits = Limits()

    async def fetch(self, ref: str) -> AsyncIterator[bytes]:
        """In two pieces, for ever, not at all, or too much."""
        if ref == "refused":
            raise PlatformError(PlatformErrorKind.GONE, "file is\nno longer there")
        if ref == "broken":
            raise ValueError("token=abc")
        if ref == "hangs":
            await asyncio.Event().wait()
        for piece in (b"hello ", b"world") if ref == "good" else [b"x" * 600] * 2:
            yield piece


def inbound(*files: InboundFile, text: str = "look") -> Inbound:
    """A message that was let in."""
    source = Source(platform=FAR, kind=ChatKind.DM, chat="1")
    return Inbound(platform=FAR, source=source, sender_id="1", sender_name="Ana", text=text, files=files)


def a_file(ref: str, **more: Any) -> InboundFile:
    """One that came along."""
    return InboundFile(kind=FileKind.PHOTO, ref=ref, **{"name": "cat.jpg", "mime": "image/jpeg", **more})


def files_in(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def mode_of(path: Path) -> int:
    """Who may do what with it."""
    return stat.S_IMODE(path.stat().st_mode)


def keeper(home: Path, *, platform: object = None, **settings: Any) -> InboundFiles:
    """Files of a home, from that platform."""
    adapter = Store() if platform is None else platform
    find: Callable[[PlatformName], Any] = lambda _: adapter  # noqa: E731 - typed here
    return InboundFiles(home=home, settings=FileSettings(**settings), clock=FakeClock(), platform_of=find)


async def test_a_file_is_kept_for_its_owner_alone_and_named_with_path_and_type(tmp_path: Path) -> None:
    """Folders 0700, file 0600, contents whole; the text of the message stays."""
    found = await keeper(tmp_path).kept(inbound(a_file("good")))
    first, _, note = found.text.partition("\n\n")
    path = Path(note.removeprefix("[photo cat.jpg (image/jpeg), 11 bytes: ").removesuffix("]"))
    assert (first, path.name.endswith("_cat.jpg")) == ("look", True)
    assert await asyncio.to_thread(path.read_bytes) == b"hello world"
    assert path.is_relative_to(tmp_path / "files" / "in")
    assert mode_of(path) == 0o600
    assert {mode_of(each) for each in path.parents if each.is_relative_to(tmp_path / "files")} == {0o700}


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (a_file("refused"), "file is no longer there"),
        (a_file("broken"), "the adapter failed with ValueError"),
        (a_file("large"), "it has more than 1,000 bytes"),
        (a_file("good", size_bytes=5000), "it has 5,000 bytes, and 1,000 are taken"),
        (a_file("hangs"), "not fetched within 0.05 s"),
    ],
    ids=["refused", "broken", "large", "announced", "hangs"],
)
async def test_what_cannot_be_fetched_is_named_with_the_reason(tmp_path: Path, item: InboundFile, why: str) -> None:
    """The message is not lost, nothing half is kept, and no word of a library gets through."""
    found = await keeper(tmp_path, limit_bytes=1000, deadline_s=0.05).kept(inbound(item))
    assert found.text == f"look\n\n[photo cat.jpg (image/jpeg) is not here: {why}]"
    assert files_in(tmp_path) == []


async def test_one_that_hangs_costs_no_file_before_it(tmp_path: Path) -> None:
    """What is there by the deadline is kept; a message of files alone gets a text by them."""
    found = await keeper(tmp_path, deadline_s=0.2).kept(inbound(a_file("good"), a_file("hangs"), text=""))
    first, second = found.text.split("\n")
    assert first.startswith("[photo cat.jpg (image/jpeg), 11 bytes: ")
    assert second.endswith("is not here: not fetched within 0.2 s]")


async def test_names_of_files_are_harmless(tmp_path: Path) -> None:
    """No path, no line, no bracket of a name gets into the folder or the text."""
    bad = a_file("good", name='../../x\n]: /etc/passwd [\u202e"a', mime="image/jpeg]\nrm")
    found = await keeper(tmp_path).kept(inbound(bad))
    (path,) = files_in(tmp_path)
    assert "\u202e" not in path.name
    assert found.text.count("\n") == 2
    assert found.text.endswith(f": {path}]")


async def test_too_many_files_and_a_platform_without_any_are_said(tmp_path: Path) -> None:
    """Each is named."""
    found = await keeper(tmp_path, most=1).kept(inbound(a_file("good"), a_file("good")))
    assert found.text.endswith("is not here: more than 1 at once]")
    found = await keeper(tmp_path, platform=object()).kept(inbound(a_file("good")))
    assert found.text.endswith("is not here: far hands out no files]")


async def test_old_files_are_removed(tmp_path: Path) -> None:
    """Those that nobody touched for as long as they are kept, and their folders; links are left alone."""
    files = keeper(tmp_path, keep_s=100.0)
    await files.kept(inbound(a_file("good")))
    (path,) = files_in(tmp_path)
    now = FakeClock().now()
    os.utime(path, (now - 50, now - 50))
    assert await files.forget_old() == 0
    os.utime(path, (now - 101, now - 101))
    assert await files.forget_old() == 1
    assert not path.parent.exists()


def going(tmp_path: Path, **settings: Any) -> Outgoing:
    """What answers may send, from a workspace and the shelf."""
    (tmp_path / "desk").mkdir(exist_ok=True)
    return Outgoing(
        home=tmp_path / "home",
        settings=FileSettings(**settings),
        clock=SystemClock(),
        workspace_of=lambda _agent, user: tmp_path / "desk" if user else None,
    )


async def sent(outgoing: Outgoing, text: str, *, limits: Limits = SENDS, user: str = "far:1") -> Any:
    """The message with its files."""
    await asyncio.to_thread((outgoing.shelf).mkdir, parents=True, exist_ok=True)
    outbound = outbound_to("1", text, delivery_id=DeliveryId("d1"))
    return await outgoing.attached(outbound, limits, agent=MAIN, user=user)


async def test_an_answer_sends_files_of_its_workspace(tmp_path: Path) -> None:
    """The line goes, a copy is sent: what the agent writes afterwards does not change it."""
    outgoing = going(tmp_path)
    chart = tmp_path / "desk" / "chart.png"
    chart.write_bytes(b"png")
    found = await sent(outgoing, "Here it is:\nMEDIA:chart.png\nBye")
    chart.write_bytes(b"other")
    (item,) = found.files
    assert (found.text, item.kind, item.mime, item.size_bytes) == ("Here it is:\nBye", FileKind.PHOTO, "image/png", 3)
    assert await asyncio.to_thread(Path(item.path).read_bytes) == b"png"
    assert Path(item.path).is_relative_to(tmp_path / "home" / "files" / "out")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/passwd", "outside the folders"),
        ("../secret", "outside the folders"),
        ("link", "outside the folders"),
        ("folder", "no plain file"),
        ("pipe", "no plain file"),
        ("nothing", "no such file"),
        ("large", "it has 2,000 bytes, and 1,000 can be sent"),
        ("\0", "cannot be read"),
    ],
)
async def test_what_may_not_be_sent_is_said_in_its_place(tmp_path: Path, path: str, why: str) -> None:
    """Outside, behind a link, no file, too large: nothing of it leaves, and the answer stays whole."""
    outgoing = going(tmp_path, limit_bytes=1000)
    work = tmp_path / "desk"
    (tmp_path / "secret").write_text("s3cret")
    (work / "link").symlink_to(tmp_path / "secret")
    (work / "folder").mkdir()
    (work / "large").write_bytes(b"x" * 2000)
    os.mkfifo(work / "pipe")
    found = await sent(outgoing, f"before\nMEDIA: {path}\nafter")
    assert found.files == ()
    assert why in found.text
    assert found.text.startswith("before\n[")
    assert found.text.endswith("]\nafter")
    assert not (tmp_path / "home" / "files" / "out").exists() or not list((tmp_path / "home/files/out").rglob("*_*"))


async def test_a_workspace_that_became_a_link_opens_nothing(tmp_path: Path) -> None:
    """Without a workspace only the shelf of the core is left."""
    outgoing = going(tmp_path)
    (tmp_path / "desk" / "a.txt").write_text("a")
    found = await sent(outgoing, f"MEDIA:{tmp_path}/desk/a.txt", user="")
    assert "outside the folders" in found.text


async def test_a_platform_without_files_says_so(tmp_path: Path) -> None:
    """Nothing is dropped in silence."""
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "a.txt").write_text("a")
    found = await sent(going(tmp_path), "MEDIA:a.txt", limits=Limits())
    assert found.text == "[a.txt is not sent: this platform takes no files]"


def test_a_line_inside_a_code_block_names_no_file() -> None:
    """An agent can explain how it is done."""
    text = "Write:\n```\nMEDIA:/x\n```\nMEDIA: '/y z.png'\nnot MEDIA:/w"
    assert named(text).paths == ("/y z.png",)
    assert named("no word of it") == named("")


async def test_text_goes_before_files_each_in_a_message_of_its_own(tmp_path: Path) -> None:
    """Only the first replies; ids are told apart; a file alone is one message."""
    (tmp_path / "desk").mkdir()
    for name in ("a.txt", "b.png"):
        (tmp_path / "desk" / name).write_text("x")
    whole = await sent(going(tmp_path), "hello\nMEDIA:a.txt\nMEDIA:b.png")
    parts = parts_of(whole, SENDS)
    assert [(part.delivery_id, part.text, [item.name[-5:] for item in part.files]) for part in parts] == [
        ("d1", "hello", []),
        ("d1.2", "", ["a.txt"]),
        ("d1.3", "", ["b.png"]),
    ]
    assert [parts_of(part, SENDS) for part in parts] == [(part,) for part in parts]
    (alone,) = parts_of(await sent(going(tmp_path), "MEDIA:a.txt"), SENDS)
    assert (alone.delivery_id, alone.text, len(alone.files)) == ("d1", "", 1)


async def test_a_text_that_names_any_number_of_files_costs_no_more_than_the_first_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that cannot be sent count as well; of each of the others it is said that they are too many."""
    looked_at: list[str] = []

    def copied(_shelf: Path, path: str, *_: object, **__: object) -> None:
        looked_at.append(path)
        raise NotSendable("no")

    monkeypatch.setattr("core.gateway.file_shelf.copied", copied)
    text = "\n".join(f"MEDIA:{number}.png" for number in range(500))
    found = await sent(going(tmp_path, most=3), text)
    assert looked_at == ["0.png", "1.png", "2.png"]
    assert found.text.count("3 files at once are the most") == 497
