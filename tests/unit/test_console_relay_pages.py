"""What of the relay is at hand when there is much of it, and what tells one from another."""

from msgspec.structs import replace

from console.changes import Changes
from console.mirror import Mirror
from console.relay_facts import target_facts, two_ends
from console.relay_needs import relay_needs
from console.relay_receipts import short_task_id
from console.relay_rows import RELAY_TASK_LIMIT, RelayRows
from console.relayed_facts import next_words, task_facts, trace_lines
from console.screens.relay_dialogs import change_lines
from console.text import short_id
from core.api.base import SYSTEM, Event, Mark, Record, Seq
from core.api.bindings import BindingChange, ChangeKind
from core.api.breakers import BreakerMode, BreakerState, BreakerTransition
from core.api.errors import NotFound
from core.api.relay_tasks import (
    RelayDirection,
    RelayEnded,
    RelayQueued,
    RelayReason,
    RelayState,
    RelayTaskDetail,
    RelayTaskPage,
    RelayTaskView,
    ReplayRelay,
    SendRelay,
)
from core.breaker import Outcome, Ticket, admitted, disabled, fresh, held_open, reset, settled
from core.breaker_settings import BreakerSettings
from core.breaker_view import breaker_view
from core.ids import IdSource
from tests.support.busy_relay import NOTIFY, busy_relay
from tests.support.clocks import FakeClock
from tests.support.console_desk import desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_relay import FakeRelay
from tests.support.relay_views import a_binding, a_bot, a_breaker, a_message, a_target
from tests.support.views import NOW, ago


def record(event: Event) -> Record:
    """A record of that event."""
    return Record(seq=Seq(1), at=NOW.at, actor=SYSTEM, subject="", event=event, durable=True)


def age_s(mark: Mark) -> float:
    """Seconds before NOW."""
    return NOW.mono - mark.mono


def many(count: int) -> list[RelayTaskView]:
    """So many that were answered, the oldest first."""
    return [
        a_message(f"{place:08d}-0000-7000-8000-{place:012d}", state=RelayState.COMPLETED, created=ago(9000 - place))
        for place in range(count)
    ]


# -- what tells messages apart


def test_the_short_form_of_an_id_tells_messages_of_one_fan_out_apart() -> None:
    """They are made in one millisecond: only their last letters differ."""
    ids = IdSource(FakeClock(), lambda bits: 1 << bits - 2)
    made = [ids.new_uuid() for _ in range(50)]
    assert len({short_task_id(task_id) for task_id in made}) == 50
    assert short_task_id(f"peer/{made[0]}") == f"peer/{made[0][-12:]}"


async def test_a_message_is_found_by_its_short_form() -> None:
    """As the screen says it."""
    relay = busy_relay()
    async with desk(FakeHermes(relay=relay)) as seen:
        await seen.say(":relayed 00000000000d")
        assert "deploy failed on eu1" in seen.text


def test_what_one_end_does_not_need_the_other_end_has() -> None:
    """An address is whole beside a short name, and the sign between them is never cut."""
    assert two_ends("any", "127.0.0.1:9102", 19, short_id) == "any > 127.…0.1:9102"
    assert two_ends("any", "127.0.0.1:9", 19, short_id) == "any > 127.0.0.1:9"
    assert two_ends("irc:u0", "night-shift", 18, short_id) == "irc:u0 > nig…shift"
    assert len(two_ends("a" * 40, "b" * 40, 19, short_id)) == 19


# -- the history of a breaker


def test_the_history_of_a_breaker_says_who_decided() -> None:
    """Open and held are one state for the machine; for whoever reads it a hold of an open one is a change."""
    settings = BreakerSettings(failures=1)
    breaker, ticket = admitted(fresh(0.0, settings), 1.0, settings)
    assert isinstance(ticket, Ticket)
    breaker = settled(breaker, ticket, Outcome.FAILURE, 2.0, settings, lambda: 0.0, error="refused")
    breaker = held_open(breaker, 3.0, settings, "night work")
    breaker = reset(breaker, 4.0, settings, "")
    breaker = disabled(breaker, 5.0, settings, "")
    view = breaker_view("relay", NOTIFY, breaker, Mark(6.0, 6.0), settings)
    target = a_target(NOTIFY, breaker=view)
    told = [words for _, words, _ in target_facts(target, lambda mark: 6.0 - mark.mono, clock=lambda _: "T")]
    assert told[-4:] == [
        "T  closed > disabled  an operator gave no reason",
        "T  held > closed  an operator gave no reason",
        "T  open > held  night work",
        "T  closed > open  1 failures in a row: refused",
    ]


def test_the_cause_of_an_open_breaker_is_not_said_twice() -> None:
    """The pane beneath a narrow list has eight lines."""
    breaker = a_breaker(NOTIFY, state=BreakerState.OPEN, last_error="403 Missing Access")
    same = a_target(NOTIFY, breaker=breaker, last_status=403, last_error="Missing Access")
    other = replace(same, last_error="another")
    closed = replace(same, breaker=a_breaker(NOTIFY, last_error="403 Missing Access"))

    def labels(target: object) -> list[str]:
        return [label for label, _, _ in target_facts(target, age_s, clock=lambda _: "T")]  # type: ignore[arg-type]  # a view

    assert "last error" not in labels(same)
    assert "last error" in labels(other)
    assert "last error" in labels(closed)


# -- words


def test_what_came_in_is_not_said_to_have_been_sent() -> None:
    """Nor tried: we answer it."""
    came = a_message(direction=RelayDirection.IN, state=RelayState.WORKING)
    told = {label: words for label, words, _ in task_facts(came, age_s, use_ascii=False)}
    assert told["came"] == "30s ago"
    assert "sent" not in told


def test_a_message_that_waits_may_still_be_delivered() -> None:
    """Its trace does not say that no answer can come."""
    waits = RelayTaskDetail(task=a_message(), text="x", answer="", attempts=(), group=(), seq=Seq(1))
    told = trace_lines(waits, None, age_s, lambda _: "T", is_paused=False)
    assert ("answer", "none yet: it is not delivered", "quiet") in told
    assert ("hop 1", "ops, not reached yet", "needs") in told
    assert next_words(a_message(state=RelayState.WORKING), age_s) == "far side has it"


def test_a_change_of_a_list_is_shown_in_words() -> None:
    """Not as the language of this program writes it."""
    change = BindingChange(
        number=3,
        at=ago(5),
        by="ana",
        kind=ChangeKind.CHANGED,
        platform="telegram",
        chat="1",
        before=(a_bot(networks=("10.0.0.0/8", "127.0.0.0/8")),),
        after=(a_bot(networks=(), enabled=False),),
    )
    (_, (words, _)) = change_lines(change)
    assert words.strip() == "~ ops: networks 10.0.0.0/8, 127.0.0.0/8 > none, enabled yes > no"


async def test_what_waits_behind_a_breaker_is_not_said_to_go_out_now() -> None:
    """However long its own next try is due: nothing goes there."""
    relay = busy_relay()
    late = a_message("late", bot="notify", origin=NOTIFY, url=NOTIFY, due=ago(3), text="disk is full", created=ago(9))
    relay.tasks = {"late": late}
    async with desk(FakeHermes(relay=relay), (140, 40)) as seen:
        await seen.press("5", "2")
        assert "breaker OPEN" in seen.text.partition("disk is full")[2].partition("│")[0]
        assert "next try now" not in seen.text
        await seen.press("enter")
        assert "queued, breaker OPEN" in seen.text
        target = relay.targets[NOTIFY]
        closed = replace(target, version=99, breaker=a_breaker(NOTIFY, version=99), held=ago(-20))
        seen.app.mirror.work.relay.targets[NOTIFY] = closed
        await seen.press("escape")
        assert "far side told " in seen.text


# -- what needs somebody


def test_causes_that_are_all_different_do_not_fill_the_first_page() -> None:
    """Errors that name an id or a time: four lines, and one for the rest."""
    mirror = Mirror()
    for place in range(60):
        dead = a_message(f"id-{place}", state=RelayState.DEAD, error=f"no task {place}", ended=ago(place))
        mirror.work.relay.tasks[str(dead.id)] = dead
    found = list(relay_needs(mirror, NOW.mono))
    assert len(found) == 5
    assert (found[-1].subject, found[-1].text) == ("56 other causes", "56 messages to bots not delivered")
    assert found[-1].argument == "messages dead"


# -- much of it


def test_the_dead_are_forgotten_last() -> None:
    """They wait for somebody; what was answered is in the ledger."""
    rows, changes = RelayRows(), Changes()
    rows.apply(record(RelayEnded(task=a_message("dead", state=RelayState.DEAD, created=ago(1e6)))), changes)
    for task in many(RELAY_TASK_LIMIT + 5):
        rows.apply(record(RelayEnded(task=task)), changes)
    assert len(rows.tasks) == RELAY_TASK_LIMIT
    assert "dead" in rows.tasks
    assert not rows.is_whole


def test_pages_of_older_messages_count_nothing_twice() -> None:
    """The counts of the core have them already; what is known better stays."""
    rows, changes = RelayRows(), Changes()
    tasks = many(4)[::-1]
    counts = {"completed": 4}
    rows.load_tasks(RelayTaskPage(tasks=tuple(tasks[:2]), cursor="2", counts=counts, seq=Seq(1)), changes)
    rows.apply(record(RelayQueued(task=replace(tasks[1], version=2, state=RelayState.QUEUED))), changes)
    rows.add_older(RelayTaskPage(tasks=tuple(tasks[1:]), cursor="", counts=counts, seq=Seq(1)), changes)
    assert len(rows.tasks) == 4
    assert rows.tasks[str(tasks[1].id)].state is RelayState.QUEUED
    assert (rows.count(RelayState.COMPLETED), rows.count(RelayState.QUEUED)) == (3, 1)
    assert rows.is_whole


def test_counts_are_asked_for_anew_when_a_message_moves_that_was_not_at_hand() -> None:
    """Nobody here knows in which state it was before."""
    rows, changes = RelayRows(), Changes()
    rows.load_tasks(RelayTaskPage(tasks=(), cursor="0", counts={"dead": 1}, seq=Seq(1)), changes)
    rows.apply(record(RelayQueued(task=a_message(version=7))), changes)
    assert rows.has_new_counts
    rows.load_counts(RelayTaskPage(tasks=(), cursor="0", counts={"queued": 1}, seq=Seq(2)))
    assert not rows.has_new_counts
    assert (rows.count(RelayState.QUEUED), rows.count(RelayState.DEAD)) == (1, 0)


async def test_the_dead_are_at_hand_and_older_messages_come_at_the_end_of_the_list() -> None:
    """However much was answered since."""
    relay = FakeRelay()
    relay.tasks = {str(task.id): task for task in many(1200)}
    relay.tasks["old"] = a_message("old", state=RelayState.DEAD, text="nobody came", created=ago(1e5), ended=ago(9e4))
    async with desk(FakeHermes(relay=relay), (140, 40)) as seen:
        await seen.press("5", "2")
        assert "nobody came" in seen.text
        assert "501 messages" in seen.text
        assert "older ones come" in seen.text
        await seen.press("G")
        assert "1,001 messages" in seen.text
        await seen.press("G")
        assert "1,201 messages" in seen.text
        assert "older ones come" not in seen.text


# -- acts


async def test_what_was_written_is_not_lost_because_a_name_was_wrong() -> None:
    """The dialog comes back with it and says why."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.press("5", "S", "shift+tab", *("backspace",) * 6, *"opsy", "tab", *"a long text")
        hermes.fail_next(NotFound("no bot is called opsy", noun="bot", id="opsy", fix="write to one of: notify, ops"))
        await seen.press("enter")
        assert "not sent: no bot is called opsy; write to one of: notify, ops" in seen.text
        assert "a long text" in seen.text
        await seen.press("shift+tab", *("backspace",) * 4, *"ops", "enter")
    sent = [item for item in hermes.commands if isinstance(item, SendRelay)]
    assert [(item.to, item.text) for item in sent][-1] == (("ops",), "a long text")


async def test_only_the_dead_of_the_chat_under_the_cursor_are_sent_again() -> None:
    """A bot of that name in another chat may be another one."""
    relay = busy_relay()
    relay.bindings[("slack", "C1")] = a_binding("C1", a_bot("notify", NOTIFY), platform="slack")
    other = a_message("other", bot="notify", platform="slack", chat="C1", state=RelayState.DEAD, ended=ago(3))
    relay.tasks["other"] = replace(other, reason=RelayReason.REFUSED)
    hermes = FakeHermes(relay=relay)
    async with desk(hermes) as seen:
        await seen.say(":relay bindings C1")
        await seen.press("R", "right", "enter")
    assert [item.ids for item in hermes.commands if isinstance(item, ReplayRelay)] == [("other",)]


async def test_a_wrong_priority_hides_nothing_else_that_is_wrong() -> None:
    """Each field says by itself what the core does not take."""
    hermes = FakeHermes(relay=busy_relay())
    async with desk(hermes) as seen:
        await seen.press("5", "N", *"meta", "tab", *"ftp", "tab", "tab", "tab", "tab", *"soon")
        assert "'soon' is no number" in seen.text
        assert "is no http address" in seen.text
        await seen.press("enter")
        assert len(seen.app.screen_stack) == 2
    assert hermes.commands == []


async def test_a_held_breaker_is_one_in_the_history_on_the_screen() -> None:
    """Not open > open."""
    relay = busy_relay()
    step = BreakerTransition(
        at=ago(5), before=BreakerState.OPEN, after=BreakerState.OPEN, cause="moving the server", step="hold"
    )
    target = relay.targets[NOTIFY]
    held = replace(target.breaker, mode=BreakerMode.HELD, transitions=(step,))
    relay.targets[NOTIFY] = replace(target, breaker=held)
    async with desk(FakeHermes(relay=relay), (140, 40)) as seen:
        await seen.say(":relay targets 9102")
        assert "open > held" in seen.text
