"""What hooks are told of the journal: commands that were carried out, the epoch that is over, and nothing unasked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api.base import SYSTEM, Mark, PlatformName, Record, RunId, Seq, SessionId
from core.api.chat_commands import ChatCommandUsed, CommandOutcome
from core.api.hooks import HookState, PauseHook, ResumeHook
from core.api.runs import RunOutcome, Stop
from core.api.sessions import RunEnded, SessionReset
from core.gateway import commands, hook
from core.gateway.hook import bases, is_pattern, wants
from core.gateway.hook_facts import TELLING, HookFacts
from core.gateway.hook_payload import EVENT_NAMES, CommandAttempted, CommandUsed, Payload, SessionEnd
from tests.support.hook_rig import HookRig, write_hook
from tests.support.views import session


def record(event: object) -> Record:
    """An event as the journal tells it."""
    return Record(seq=Seq(1), at=1.0, actor=SYSTEM, subject="s", event=event)  # type: ignore[arg-type]  # any event


def used(outcome: CommandOutcome) -> ChatCommandUsed:
    """A command in a chat."""
    return ChatCommandUsed(
        platform=PlatformName("telegram"),
        session_id=SessionId("telegram:dm:42"),
        sender_id="42",
        sender_name="Ivo",
        command="stop",
        arguments="now",
        outcome=outcome,
        reason="" if outcome is CommandOutcome.DONE else "no",
    )


@pytest.mark.parametrize("outcome", CommandOutcome)
def test_only_a_command_that_was_carried_out_is_told_by_its_name(outcome: CommandOutcome) -> None:
    """Of any other there is an event of its own, whose type holds nothing that a stranger typed."""
    ((event_type, payload),) = HookFacts().of(record(used(outcome)))
    if outcome is CommandOutcome.DONE:
        assert (event_type, type(payload)) == ("command:stop", CommandUsed)
    else:
        assert (event_type, type(payload)) == ("attempt:command", CommandAttempted)
        assert not wants(("command:*", "command:stop"), event_type)
    assert isinstance(payload, CommandUsed | CommandAttempted)
    assert (payload.command, payload.outcome) == ("stop", outcome.value)


@pytest.mark.parametrize(("ended_epoch", "told"), [(1, 1), (None, 4)])
def test_the_epoch_that_ended_is_the_one_that_was_used(ended_epoch: int | None, told: int) -> None:
    """After an earlier conversation was taken up again, that is not the one before the new one."""
    event = SessionReset(session=session(epoch=5), reason="new", dropped=0, ended_epoch=ended_epoch)
    payloads = [payload for _, payload in HookFacts().of(record(event))]
    assert isinstance(payloads[0], SessionEnd)
    assert payloads[0].session_id == f"local:dm:ana#{told}"


def test_what_an_event_may_become_is_what_it_is_listened_for() -> None:
    """Else a hook would never hear of it."""
    begins = frozenset().union(*TELLING.values())
    assert begins == {name.partition(":")[0] for name in EVENT_NAMES} - {"gateway"}
    assert bases(("*",)) == begins | {"gateway"}
    assert bases(("agent:end", "command:*")) == {"agent", "command"}
    for outcome in CommandOutcome:
        for event_type, _ in HookFacts().of(record(used(outcome))):
            assert event_type.partition(":")[0] in TELLING[ChatCommandUsed]


def test_a_hook_cannot_wait_for_a_command_that_is_never_told() -> None:
    """One that does not exist, or that is told by another name."""
    assert is_pattern("command:new")
    assert not is_pattern("command:reset")
    assert not is_pattern("command:stauts")
    assert is_pattern("attempt:*")
    assert commands._PRESS.name == hook._PRESS
    assert is_pattern("command:press")


async def test_nothing_is_made_of_what_no_hook_wants(tmp_path: Path) -> None:
    """Without a hook that listens an event costs a look at a table, whatever else is there."""
    write_hook(tmp_path, "talks", "def handle(e, c): ...", "events: ['session:*']\n")
    rig = HookRig(tmp_path)
    made: list[Record] = []

    def of(told: Record) -> Iterator[tuple[str, Payload]]:
        made.append(told)
        yield from ()

    rig.hooks._facts.of = of  # type: ignore[method-assign]  # to see what is made
    await rig.start()
    outcome = RunOutcome(run_id=RunId("r"), stop=Stop.END_TURN, ended=Mark(1.0, 1.0), duration_s=1.0, answered=True)
    over = RunEnded(session=session(), outcome=outcome, entries=())
    reset = SessionReset(session=session(epoch=1), reason="new", dropped=0)
    rig.journal.publish("s", over)
    assert not made
    rig.journal.publish("s", reset)
    assert len(made) == 1
    await rig.hooks.pause_hook(PauseHook(name="talks"), SYSTEM)
    assert rig.view("talks").state is HookState.PAUSED
    rig.journal.publish("s", reset)
    assert len(made) == 1
    await rig.hooks.resume_hook(ResumeHook(name="talks"), SYSTEM)
    rig.journal.publish("s", reset)
    assert len(made) == 2
    await rig.stop()
