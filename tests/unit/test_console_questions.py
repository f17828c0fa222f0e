"""What a screen asks the core: again after every change, however soon that came after the question before."""

from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from console.screens.asking import Question
from console.screens.base import Stage
from core.api import mailboxes
from core.api.base import Event, Query, RunId, TaskId
from core.api.errors import Unavailable
from core.api.mail import GetMail, TraceMail
from core.api.streams import ReadStream
from core.api.system import ListEvents
from core.api.tasks import GetTask, RunState, TaskQueued, TaskState
from tests.support.console_desk import Desk, busy, desk
from tests.support.fake_hermes import FakeHermes, ago
from tests.support.fake_mail import mail, mailbox, total_of
from tests.support.fake_work import FakeWork, task, task_run

QUERY = GetTask(task_id=TaskId("task-1"))


class AStage:
    """A clock, and questions that a test answers."""

    def __init__(self) -> None:
        self.at = 100.0
        self.asked: list[tuple[Callable[[Any], None], Callable[[str], None]]] = []

    def now(self) -> float:
        """Seconds."""
        return self.at

    def ask(self, _query: Query[Any], then: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        """Keep it."""
        self.asked.append((then, failed))


def nothing(*_found: object) -> None:
    """What follows from an answer that no test looks at."""


@pytest.fixture
def stage() -> AStage:
    """Nothing was asked yet."""
    return AStage()


@pytest.fixture
def question(stage: AStage) -> Question:
    """One that was asked and answered at 100 s."""
    found = Question(cast("Stage", stage))
    found.ask(QUERY, nothing, nothing)
    stage.asked[0][0](None)
    return found


def test_what_was_answered_is_not_asked_again_unless_it_is_wanted(stage: AStage, question: Question):
    """Time alone makes nothing out of date."""
    stage.at += 60.0
    assert question.may_ask()
    assert not question.is_due
    question.want()
    assert question.is_due


def test_a_wish_that_comes_too_soon_is_kept_until_it_is_time(stage: AStage, question: Question):
    """Not twice a second, and not never."""
    question.want()
    assert not question.is_due
    stage.at += 1.0
    assert question.is_due
    question.ask(QUERY, nothing, nothing)
    stage.asked[-1][0](None)
    stage.at += 60.0
    assert not question.is_due


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_wish_while_a_question_is_open_is_not_met_by_its_answer(
    stage: AStage, question: Question, *, is_answered: bool
):
    """The answer may be older than what changed."""
    stage.at += 60.0
    question.ask(QUERY, nothing, nothing)
    question.want()
    stage.at += 60.0
    assert not question.is_due
    came, failed = stage.asked[-1]
    if is_answered:
        came(None)
    else:
        failed("it is busy")
    assert question.is_due


def test_a_wish_is_about_the_thing_that_was_shown_then(stage: AStage, question: Question):
    """Another thing begins without it."""
    question.want()
    question.begin()
    question.ask(QUERY, nothing, nothing)
    stage.asked[-1][0](None)
    stage.at += 60.0
    assert not question.is_due


# -- on the screens --------------------------------------------------------------


def count(seen: Desk, kind: type[Query[Any]]) -> int:
    """How often that was asked."""
    return sum(isinstance(query, kind) for query in seen.hermes.queries)


async def happen(seen: Desk, event: Event, after_s: float) -> None:
    """Something happens so long after what was before; the screen is told of it at once."""
    seen.clock.at += after_s
    seen.hermes.emit(event, subject="core", durable=False)
    for _ in range(4):
        await seen.pilot.pause()
    seen.app.redraw.flush()
    for _ in range(4):
        await seen.pilot.pause()


def with_runs(*states: RunState) -> dict[RunId, Any]:
    """The runs of a task."""
    views = [task_run(f"run-{nth}", state=state, version=nth + 1) for nth, state in enumerate(states)]
    return {view.id: view for view in views}


def one_task() -> FakeHermes:
    """A task with a run that goes on."""
    work = FakeWork(held_tasks=[task(state=TaskState.RUNNING)])
    work.runs = with_runs(RunState.RUNNING)
    return FakeHermes(work=work)


async def test_of_two_changes_close_together_the_runs_of_a_task_show_the_second():
    """The second comes too soon to be asked about; it is asked about later, and once."""
    hermes = one_task()
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("6", "enter", "3")
        seen.clock.at += 60.0
        before = count(seen, GetTask)
        hermes.work.runs = with_runs(RunState.ERROR)
        await happen(seen, TaskQueued(task=task(version=2, retry=ago(-5))), 0.0)
        assert count(seen, GetTask) == before + 1
        hermes.work.runs = with_runs(RunState.ERROR, RunState.OK)
        await happen(seen, TaskQueued(task=task(version=3)), 0.2)
        assert count(seen, GetTask) == before + 1
        for _ in range(5):
            await seen.settle()
        assert "run-1" in seen.text
        assert count(seen, GetTask) == before + 2


async def test_the_log_is_read_every_second_and_the_task_only_when_it_changed():
    """The core looks through all its tasks for those that a task made."""
    hermes = one_task()
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("6", "enter", "2")
        seen.clock.at += 60.0
        await seen.settle()
        before = count(seen, GetTask), count(seen, ReadStream)
        for _ in range(5):
            await seen.settle()
        assert count(seen, GetTask) == before[0]
        assert count(seen, ReadStream) == before[1] + 5
        await happen(seen, TaskQueued(task=task(version=2)), 0.0)
        await seen.settle()
        assert count(seen, GetTask) == before[0] + 1


@pytest.mark.parametrize(("key", "kind"), [("1", GetMail), ("2", TraceMail)])
async def test_of_two_changes_close_together_a_message_shows_the_second(key: str, kind: type[Query[Any]]):
    """In its own tab and in its trace."""
    hermes = FakeHermes(mailboxes=[mailbox(queued=1)], mails=[mail(7, correlation="t-1")])
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("4", "enter", "enter", key)
        seen.clock.at += 60.0
        await seen.settle()
        before = count(seen, kind)

        async def change(number: int, after_s: float) -> None:
            name, view = next(iter(hermes.mail.views.items()))
            hermes.mail.mails = [mail(7, correlation="t-1", sender=f"sender-{number}"), mail(8, correlation="t-1")]
            hermes.mail.views[name] = msgspec.structs.replace(view, version=view.version + 1)
            views = tuple(hermes.mail.views.values())
            await happen(seen, mailboxes.MailboxesMeasured(mailboxes=views, total=total_of(views)), after_s)

        seen.clock.at += 60.0
        await change(1, 0.0)
        assert count(seen, kind) == before + 1
        await change(2, 0.2)
        assert count(seen, kind) == before + 1
        for _ in range(5):
            await seen.settle()
        assert "sender-2" in seen.text
        assert count(seen, kind) == before + 2


async def test_older_events_can_be_asked_for_again_after_an_error():
    """An error is shown, and is not taken for a question that still waits for its answer."""
    async with desk(busy()) as seen:

        def asked() -> int:
            return sum(isinstance(query, ListEvents) for query in seen.hermes.queries)

        await seen.press("9")
        before = asked()
        seen.hermes.fail_next(Unavailable("the store is busy"))
        await seen.press("b")
        assert "the store is busy" in seen.text
        await seen.press("b")
        assert asked() == before + 1  # one that fails is not counted
