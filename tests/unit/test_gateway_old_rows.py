"""Messages that versions before 0.2 kept in rows of their own are in the mailbox after the first start."""

import msgspec
import pytest

from core.api.base import Mark, MessageId, RunId
from core.api.mail import MailState
from core.api.runs import Phase, RunView
from core.api.sessions import MessageState, MessageView, Mode, RunEnded, Voice
from core.api.transcripts import ReadTranscript
from core.gateway import rows
from core.gateway.lane import Waiting
from core.gateway.unanswered import MAILBOX
from core.store.base import Batch, Put
from core.store.memory import MemoryStore
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import SESSION, Gateway, gateway, inbound

RUN = RunId("r1")


def _old(number: int, *, attempt: int = 0, is_running: bool = False) -> Put:
    message = MessageView(
        id=MessageId(f"0000-{number}"),
        session_id=SESSION,
        received=Mark(1_700_000_000.0, 5.0),
        voice=Voice.USER,
        sender="Bo",
        text=f"text {number}",
        state=MessageState.RUNNING if is_running else MessageState.QUEUED,
        mode=Mode.QUEUE,
        effective_mode=Mode.QUEUE,
        attempt=attempt,
        run_id=RUN if is_running else None,
    )
    body = msgspec.json.encode(Waiting(message, "bo", is_said=attempt > 0))
    return Put(f"inbound/{SESSION}/{message.id}", body)


async def _old_store(*puts: Put, running: str = "") -> MemoryStore:
    """A store with one session, as an older version left it."""
    store = MemoryStore()
    async with gateway(store, FakeAgents(instant=True)) as built:
        await built.sessions.receive(inbound("before"))
        await built.until(RunEnded)
        await built.settled()
        view = built.lanes.view(built.lanes.lane(SESSION))
    if running:
        at = Mark(1_700_000_000.0, 5.0)
        run = RunView(
            id=RUN, attempt=1, started=at, phase=Phase.MODEL, phase_since=at, message_ids=(MessageId(running),),
            stall_limit_s=1.0, total_limit_s=1.0,
        )  # fmt: skip
        view = msgspec.structs.replace(view, lane_holder=RUN, run=run)
    await store.commit(Batch(puts=[Put(rows.session_key(SESSION), rows.body_of(view)), *puts]))
    return store


async def _texts(built: Gateway) -> list[str]:
    page = await built.inspection.read_transcript(ReadTranscript(session_id=SESSION))
    return [entry.text for entry in page.entries]


@pytest.mark.parametrize("page", [1, 2, 100])
async def test_old_rows_are_posted_once_and_gone(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """They are answered in order, in as many steps as it takes; a second start finds nothing to move."""
    monkeypatch.setattr("core.gateway.restart._PAGE", page)
    store = await _old_store(_old(1, attempt=1, is_running=True), _old(2), _old(3), running="0000-1")
    async with gateway(store, boot=2) as built:
        recovered = await built.restart.recover()
        assert (recovered.cut_off, recovered.queued, recovered.given_up) == (1, 3, 0)
        assert await store.count("inbound/") == 0
        assert [letter.state for letter in built.mail.letters(MAILBOX)] == [MailState.QUEUED] * 3
    async with gateway(store, FakeAgents(instant=True), boot=3) as built:
        assert (await built.restart.recover()).queued == 3
        await built.restart.resume()
        await built.until(RunEnded, 5)
        # What ran stood in the transcript already, where the older version wrote it.
        assert (await _texts(built))[2:] == ["text 1", "text 2", "text 2", "text 3", "text 3"]


async def test_an_old_message_that_has_had_its_runs_is_given_up() -> None:
    """Its attempts count although they were made by an older version."""
    store = await _old_store(_old(1, attempt=3, is_running=True), running="0000-1")
    async with gateway(store, boot=2) as built:
        recovered = await built.restart.recover()
        assert (recovered.given_up, recovered.queued) == (1, 0)
        assert "gave up on this message: the core stopped during each of 3 runs" in (await _texts(built))[-1]
        (letter,) = built.mail.letters(MAILBOX)
        assert letter.state is MailState.DEAD


async def test_attempts_of_an_older_version_count_on() -> None:
    """A run of this version is the next one after them, and the text is not said again."""
    store = await _old_store(_old(1, attempt=1, is_running=True), running="0000-1")
    async with gateway(store, boot=2) as built:
        await built.restart.recover()
        await built.restart.resume()
        run = await built.agents.begun(1)
        assert run.messages[0].attempt == 2
        run.answer("done")
        await built.until(RunEnded, 3)
        assert await _texts(built) == ["before", "before", "done"]


async def test_a_letter_of_version_0_2_is_read_as_it_was() -> None:
    """It names no task, no model, no time to collect and no other place for its answer."""
    store = await _old_store()
    old = {
        "message": {
            "type": "MessageView", "id": "m1", "session_id": SESSION, "received": [1_700_000_000.0, 5.0],
            "voice": "user", "sender": "Bo", "text": "from before", "state": "queued", "mode": "steer",
            "effective_mode": "steer", "mode_reason": "", "attempt": 0, "run_id": None,
        },
        "sender_id": "bo",
        "reply_to": "n1",
    }  # fmt: skip
    async with gateway(store, boot=2) as built:
        with built.lanes.mail() as mail:
            mail.post(MAILBOX, old, sender="bo", order_key=SESSION)
            await mail.commit((), ())
    async with gateway(store, boot=3) as built:
        assert (await built.restart.recover()).queued == 1
        (waiting,) = built.lanes.lane(SESSION).waiting.values()
        assert (waiting.reply_to, waiting.deliver, waiting.message.model) == ("n1", None, "")
        await built.restart.resume()
        run = await built.agents.begun(1)
        assert [message.text for message in run.messages] == ["from before"]
        run.answer("done")
        await built.until(RunEnded, 2)
