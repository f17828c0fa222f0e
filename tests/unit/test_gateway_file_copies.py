"""Files of messages on their way to an agent: copied when a turn begins, and named as that agent can read them."""

from pathlib import Path

from core.api.base import AgentName, EntryId
from core.api.session_orders import CompactSession
from core.api.sessions import Mode
from core.api.transcripts import EntryKind, EntryView
from core.gateway import file_shelf
from core.gateway.file_copies import MOST, FileCopies
from tests.support.agent_parts import message
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import SESSION, gateway, inbound

MAIN = AgentName("main")
TOKEN = "0123456789abcdef01234567"


def shelved(home: Path, name: str, *, token: str = TOKEN, is_there: bool = True) -> Path:
    """A file on the shelf."""
    path = home / "files" / "in" / "2026-01-02" / f"{token}_{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_there:
        path.write_bytes(b"x")
    return path


def note(path: Path) -> str:
    """The line about it, as messages have it."""
    return file_shelf.noted("photo cat.jpg (image/jpeg)", 1234, path)


def said(text: str) -> EntryView:
    """What was said before."""
    return EntryView(id=EntryId("e-1"), at=0.0, kind=EntryKind.USER, author="ana", text=text, epoch=0)


async def test_messages_and_what_was_said_before_name_the_copies(tmp_path: Path) -> None:
    """Each file is given once; the words around it, and messages without files, stay as they are."""
    agents, first = FakeAgents(), shelved(tmp_path, "a cat.jpg")
    second = shelved(tmp_path, "b.txt", token=TOKEN[::-1])
    copies = FileCopies(tmp_path, agents)
    messages, history = await copies.of_turn(
        MAIN, "local:ana", [message(f"look\n\n{note(first)}\n{note(second)}")], [said(note(first)), said("hi")]
    )
    assert messages[0].text == (
        "look\n\n[photo cat.jpg (image/jpeg), 1,234 bytes: assets/a cat.jpg]\n"
        "[photo cat.jpg (image/jpeg), 1,234 bytes: assets/b.txt]"
    )
    assert [item.text for item in history] == ["[photo cat.jpg (image/jpeg), 1,234 bytes: assets/a cat.jpg]", "hi"]
    assert agents.given == [("main", "local:ana", [first, second])]
    assert await copies.of_text(MAIN, "local:ana", note(first)) == history[0].text


async def test_one_that_cannot_be_given_is_said_to_be_gone(tmp_path: Path) -> None:
    """The path of the core is of no use to an agent."""
    copies = FileCopies(tmp_path, FakeAgents())
    gone = shelved(tmp_path, "old.jpg", is_there=False)
    messages, _ = await copies.of_turn(MAIN, "local:ana", [message(note(gone))], [])
    assert messages[0].text == "[photo cat.jpg (image/jpeg), 1,234 bytes: a file that is no longer there]"


async def test_only_lines_about_files_that_came_are_looked_at(tmp_path: Path) -> None:
    """Words about a path, other folders, and ways out of the shelf give an agent nothing."""
    agents, path = FakeAgents(), shelved(tmp_path, "cat.jpg")
    begin = tmp_path / "files" / "in" / "2026-01-02"
    texts = [
        f"why is {path} so large?",
        note(begin / ".." / ".." / ".." / "secrets" / "key"),
        note(begin / "guess.jpg"),
        note(tmp_path / "files" / "out" / "2026-01-02" / path.name),
        note(begin / f"{TOKEN}_.." / "x"),
        note(Path("/other/files/in/2026-01-02") / path.name),
    ]
    messages, _ = await FileCopies(tmp_path, agents).of_turn(MAIN, "", [message(text) for text in texts], [])
    assert [item.text for item in messages] == texts
    assert agents.given == []


async def test_the_newest_of_very_many_are_given(tmp_path: Path) -> None:
    """A long history costs no more than so many copies; older ones are told as gone."""
    agents = FakeAgents()
    paths = [shelved(tmp_path, f"{number}.txt", token=f"{number:024x}") for number in range(MOST + 1)]
    messages, history = await FileCopies(tmp_path, agents).of_turn(
        MAIN, "", [message(note(paths[-1]))], [said("\n".join(note(path) for path in paths))]
    )
    assert agents.given[0][2] == paths[1:]
    assert history[0].text.count("no longer there") == 1
    assert messages[0].text.endswith(f"assets/{MOST}.txt]")


async def test_a_turn_and_a_steered_text_get_them_and_the_transcript_keeps_its_own() -> None:
    """People read the path of the core, also in what is steered in; the agent reads its own."""
    path = Path(f"/no/such/home/files/in/2026-01-02/{TOKEN}_cat.jpg")
    async with gateway(mode=Mode.STEER) as built:
        await built.sessions.receive(inbound(note(path)))
        run = await built.agents.begun(1)
        assert "no longer there" in run.messages[0].text
        assert built.agents.given == [("main", "local:bo", [path])]
        await built.sessions.receive(inbound(f"and {note(path)}"))
        assert run.steered == ["and [photo cat.jpg (image/jpeg), 1,234 bytes: a file that is no longer there]"]
        run.answer("done")
        await built.settled()
        entries = await built.lanes.entries(SESSION, None, 10)
        assert [item.text for item in entries if item.kind is EntryKind.USER] == [note(path), f"and {note(path)}"]


async def test_a_summary_that_an_operator_wants_is_made_of_what_the_agent_was_told() -> None:
    """It keeps paths word for word, and later turns read them there."""
    path = Path(f"/no/such/home/files/in/2026-01-02/{TOKEN}_cat.jpg")
    async with gateway() as built:
        await built.sessions.receive(inbound(note(path)))
        (await built.agents.begun(1)).answer("a cat")
        await built.settled()
        await built.order(CompactSession(session_id=SESSION))
        assert built.agents.compacted[0][0].text.endswith("a file that is no longer there]")
