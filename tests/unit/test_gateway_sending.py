"""Messages to chats by name: to all of them or to none, once for each key, noted where they went."""

from pathlib import Path
from typing import Any

import pytest

from core.api.base import Actor, PlatformName, SessionId
from core.api.deliveries import DeliverySent, SendToTarget
from core.api.errors import InvalidInput, NotFound, Refused, StoreError
from core.api.sessions import ChatKind, Source
from core.api.transcripts import EntryKind
from core.gateway.directory import Directory
from core.gateway.outgoing import Outgoing
from core.gateway.platform import Limits
from core.gateway.sending import Sending
from core.platform_settings import ChatSettings, LoopbackSettings
from core.settings import FileSettings
from tests.support.gateway import SESSION, gateway, inbound
from tests.support.outbox import LOCAL, OPERATOR, OTHER, FakePlatform, FullStore, Outbox, outbox, texts_of

ORIGIN = SessionId("other:dm:77")


class Notes:
    """A Mirroring that remembers."""

    def __init__(self) -> None:
        self.notes: list[tuple[Source, str, str]] = []

    async def note(self, source: Source, text: str, *, author: str, actor: Actor) -> None:
        """Remember."""
        self.notes.append((source, text, author))


class Rig:
    """Sending over an outbox: `local` has a home chat, `other` has none."""

    def __init__(self, built: Outbox, home: Path) -> None:
        self.notes = Notes()
        self.posted: list[SessionId] = []
        self.directory = Directory(
            store=built.store,
            journal=built.journal,
            clock=built.clock,
            supervisor=built.supervisor,
            platforms=lambda: [LOCAL, OTHER],
            platform_of=built.platforms.get,
            refresh_s=300.0,
        )
        self.sending = Sending(
            deliveries=built.deliveries,
            directory=self.directory,
            mirroring=self.notes,  # type: ignore[arg-type]
            outgoing=Outgoing(home=home, settings=FileSettings(), clock=built.clock, workspace_of=lambda *_: None),
            platforms=built.platforms,
            sections={"local": ChatSettings(home_chat="-1", home_thread="7"), "other": LoopbackSettings()},  # type: ignore[dict-item]
            mail=built.mail,
            clock=built.clock,
            supervisor=built.supervisor,
            on_posted=self.posted.append,
        )

    async def send(self, target: str, text: str = "hello", **more: Any) -> list[tuple[str, str, str | None]]:
        """Where it went."""
        order = SendToTarget(target=target, text=text, **more)
        sent = await self.sending.send_to_target(order, OPERATOR)
        return [(view.platform, view.chat, view.thread) for view in sent.deliveries]


async def test_a_message_goes_to_all_that_are_named_each_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The home chat is the same chat by whatever name; the origin is the session that it came from."""
    async with outbox(monkeypatch) as built:
        rig = Rig(built, tmp_path)
        places = await rig.send('local, "local":-5, origin, all, local:-1', origin=ORIGIN)
        assert places == [("local", "-1", "7"), ("local", "-5", None), ("other", "77", None), ("local", "-1", None)]
        await built.until(DeliverySent, 4)
        assert await texts_of(built) == ["hello"] * 3
        assert await texts_of(built, OTHER) == ["hello"]
        assert len(rig.posted) == 4


async def test_it_is_noted_in_the_sessions_of_its_chats_but_not_in_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Unless it is sent quietly; what a job sends never is."""
    async with outbox(monkeypatch) as built:
        rig = Rig(built, tmp_path)
        await rig.send("origin, local:-5", origin=ORIGIN)
        assert [(source.chat, text, author) for source, text, author in rig.notes.notes] == [
            ("-5", "hello", "ana (sent)")
        ]
        await rig.send("local:-5", is_noted=False)
        await rig.sending.send("local:-5", "report", key="job-1")
        assert len(rig.notes.notes) == 1
        await built.until(DeliverySent, 4)


async def test_one_target_that_is_wrong_sends_nothing_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever is wrong with it: a name, a chat, a platform that takes no messages, a file, a full disk."""
    store = FullStore()

    def create(name: PlatformName, *_: object) -> Any:
        platform = FakePlatform(name)
        platform.limits = Limits(sends_answers=name == LOCAL)
        return platform

    async with outbox(monkeypatch, store=store, create=create) as built:
        rig = Rig(built, tmp_path)
        for target, error in (
            ("local:-5, telegrm:1", InvalidInput),
            ("local:-5, local:No such room", NotFound),
            ("local:-5, other:1", Refused),
            ("local:-5, other", InvalidInput),
            ("origin", InvalidInput),
        ):
            with pytest.raises(error):
                await rig.send(target)
        with pytest.raises(InvalidInput, match="takes no files"):
            await rig.send("local:-5", files=("a.txt",))
        with pytest.raises(InvalidInput, match="nothing to send"):
            await rig.send("local:-5", "  ")
        await built.deliveries.open_outbox(LOCAL)
        store.is_full = True
        with pytest.raises(StoreError):
            await rig.send("local:-5, local:-6")
        store.is_full = False
        assert (built.deliveries.waiting_count, rig.posted, rig.notes.notes) == (0, [], [])


async def test_a_key_sends_once_also_after_a_restart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A job that is not sure may ask again."""
    store = FullStore()
    async with outbox(monkeypatch, store=store) as built:
        rig = Rig(built, tmp_path)
        assert await rig.send("local:-5", idempotency_key="k") == [("local", "-5", None)]
        await built.until(DeliverySent)
        assert await rig.send("local:-5", idempotency_key="k") == []
    async with outbox(monkeypatch, store=store) as built:
        rig = Rig(built, tmp_path)
        await rig.sending.send("local:-5", "hello", key="k")
        await rig.sending.send("local:-5", "other", key="k2")
        await built.until(DeliverySent, 2)
        assert await texts_of(built) == ["other"]


async def test_a_target_can_be_checked_before_there_is_anything_to_send(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A job with a wrong target is refused when it is made."""
    async with outbox(monkeypatch) as built:
        rig = Rig(built, tmp_path)
        rig.sending.check("home, local:-5")
        with pytest.raises(InvalidInput, match="did you mean local"):
            rig.sending.check("loca:-5")


async def test_what_is_sent_into_a_chat_stands_in_the_transcript_of_its_session() -> None:
    """As said by its own agent, which sees it at the next turn; a chat without a session gets none."""
    async with gateway() as built:
        await built.sessions.receive(inbound("hi"))
        run = await built.agents.begun(1)
        run.answer("hello")
        await built.settled()
        source = Source(platform=LOCAL, kind=ChatKind.DM, chat="8841")
        noted = await built.delivering.sending._mirroring.note(source, "the report is ready", author="job nightly")
        elsewhere = Source(platform=LOCAL, kind=ChatKind.DM, chat="nobody")
        assert await built.delivering.sending._mirroring.note(elsewhere, "x", author="job") is None
        assert noted == SESSION
        entries = await built.lanes.entries(SESSION, None, 1)
        assert [(item.kind, item.text, item.author) for item in entries] == [
            (EntryKind.AGENT, "the report is ready", "job nightly")
        ]
        await built.sessions.receive(inbound("what report?"))
        second = await built.agents.begun(2)
        assert second.history[-1].text == "the report is ready"
        second.answer("that one")
        await built.settled()
