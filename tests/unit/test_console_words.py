"""Small languages and words of the console: filters, commands, needs, receipts, the request to paste."""

import shlex
import subprocess

import msgspec
import pytest

from console.approval_receipts import decided
from console.command_line import complete, find_session, parse_command
from console.mirror import Mirror
from console.needs import needs
from console.receipts import interrupted, sent
from console.screens.base import OrderGate
from console.screens.empty import curl_lines
from console.session_facts import all_facts, disagreement
from console.session_filter import parse_filter, span_s
from console.session_index import STATES, Selection
from console.session_words import doing, is_quiet
from console.vitals import Rates, Samples, Vitals
from core.api.approvals import ApprovalList, Surface
from core.api.base import (
    SYSTEM,
    DeliveryId,
    MessageId,
    PlatformName,
    Record,
    RunId,
    Seq,
    SessionId,
)
from core.api.deliveries import DeliveryList, DeliveryState
from core.api.mail import MailDied
from core.api.mailboxes import MailboxList
from core.api.platforms import PlatformList, PlatformState
from core.api.runs import (
    Phase,
    RunRetry,
    Stop,
)
from core.api.sessions import (
    InterruptReceipt,
    Mode,
    SendReceipt,
    SessionPage,
    SessionState,
    SessionView,
)
from tests.support.fake_mail import dead_mail, mailbox, total_of
from tests.support.views import NOW, ago, approval, delivery, health, outcome, platform, run, session


def age(mark):
    """Seconds before NOW."""
    return NOW.mono - mark.mono


def mirror_of(*views: SessionView) -> Mirror:
    """A mirror of these sessions whose core is well."""
    mirror = Mirror()
    mirror.load_health(health(), asked_mono=NOW.mono, answered_mono=NOW.mono)
    mirror.load_sessions(SessionPage(sessions=views, cursor="", seq=Seq(0), total=len(views)))
    return mirror


def listed(words: str, *views: SessionView, hides_idle: bool = False) -> list[str]:
    """The chats that a filter leaves."""
    mirror = mirror_of(*views)
    chosen = parse_filter(words, states=STATES)
    assert not chosen.error
    ids = mirror.index.listed(
        Selection(filter=chosen, sort="id", hides_idle=hides_idle),
        ages=lambda view: (age(view.created), mirror.state_age_s(view, NOW.mono)),
    )
    return [row_id.rpartition(":")[2] for row_id in ids]


FLEET = (
    session("ana", title="Ana K.", created=ago(60)),
    session("telegram:dm:bo", agent="ops", state=SessionState.WAITING, run=run(phase_since=ago(400)), created=ago(900)),
    session("cy", state=SessionState.FAILED, last_outcome=outcome(stop=Stop.ERROR, ended=ago(10)), queue_depth=3),
)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("", ["ana", "cy", "bo"]),
        ("ana", ["ana"]),
        ("ANA k.", ["ana"]),
        ("-ana", ["cy", "bo"]),
        ("telegram", ["bo"]),
        ("state:waiting", ["bo"]),
        ("state:w,f", ["cy", "bo"]),
        ("state!=idle", ["cy", "bo"]),
        ("-state:idle", ["cy", "bo"]),
        ("agent:ops", ["bo"]),
        ("agent!=ops", ["ana", "cy"]),
        ("platform:tele", ["bo"]),
        ("who:ana", ["ana"]),
        ("age>5m", ["cy", "bo"]),
        ("age<5m", ["ana"]),
        ("wait>5m state:waiting", ["bo"]),
        ("queue>2", ["cy"]),
        ("queue:3", ["cy"]),
        ("phase:model", ["bo"]),
        ("age>", ["ana", "cy", "bo"]),
        ("nobody", []),
    ],
)
def test_a_filter_leaves_what_it_names(words: str, left: list[str]):
    """Words, fields, numbers and spans, each way round."""
    assert listed(words, *FLEET) == left


def test_a_filter_that_names_idle_shows_idle_ones_though_they_are_hidden():
    """What is asked for is not hidden."""
    assert listed("", *FLEET, hides_idle=True) == ["cy", "bo"]
    assert listed("state:idle", *FLEET, hides_idle=True) == ["ana"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("state:sleepy", "no state is called sleepy"),
        ("age>soon", "is no number"),
        ("agent>5", "has no order"),
        ("size>5", "unknown key size"),
    ],
)
def test_a_filter_that_cannot_be_says_why_and_filters_nothing(words: str, said: str):
    """Never a blank table without a reason."""
    chosen = parse_filter(words, states=STATES)
    assert said in chosen.error
    assert chosen.is_empty


@pytest.mark.parametrize(
    ("words", "seconds"), [("90", 90.0), ("5m", 300.0), ("1.5h", 5400.0), ("2d", 172800.0), ("x", None)]
)
def test_spans_have_units(words: str, seconds: float | None):
    """Seconds unless a unit says otherwise."""
    assert span_s(words) == seconds


def test_the_attention_order_puts_the_longest_wait_first_and_idle_ones_last():
    """Waiting, failed, running, queued, idle."""
    mirror = mirror_of(*FLEET, session("dee", state=SessionState.WAITING, run=run(phase_since=ago(500))))
    ids = mirror.index.listed(Selection(hides_idle=False), ages=lambda _: (0.0, 0.0))
    assert [row_id.rpartition(":")[2] for row_id in ids] == ["dee", "bo", "cy", "ana"]


def test_rows_do_not_move_under_the_operators_hand():
    """Not for a moment after a key, and not more than five times a second; a slow sort is done seldom."""
    gate = OrderGate()
    assert gate.may_sort(10.0)
    gate.was_sorted(10.0, 0.001)
    gate.want()
    assert not gate.may_sort(10.1)
    assert gate.may_sort(10.25)
    gate.moved(10.5)
    assert not gate.may_sort(11.9)
    assert gate.may_sort(12.0)
    gate.was_sorted(12.0, 0.1)
    gate.want()
    assert not gate.may_sort(13.9)
    assert gate.may_sort(14.0)


@pytest.mark.parametrize(
    ("line", "verb", "words", "argument"),
    [
        (":sessions state:waiting", "go", "sessions", "state:waiting"),
        ("s", "go", "sessions", ""),
        ("events", "go", "events", ""),
        ("session ana", "go", "session", "local:dm:ana"),
        ("session dm", "go", "sessions", "id:dm"),
        ("theme light", "theme", "light", ""),
        ("shutdown", "action", "app.shutdown", ""),
        ("q", "action", "app.detach", ""),
        ("retry", "retry", "", ""),
        ("view.pause", "action", "view.pause", ""),
    ],
)
def test_a_command_is_a_view_a_session_a_theme_or_an_action(line: str, verb: str, words: str, argument: str):
    """One line, one order."""
    order = parse_command(line, ["local:dm:ana", "local:dm:bo"])
    assert (order.verb, order.words, order.argument) == (verb, words, argument)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sesions", "nearest is :sessions"),
        ("zzzz", "? lists what there is"),
        ("session zoe", "no session has zoe"),
        ("session", "say which session"),
        ("theme pink", "theme is one of"),
    ],
)
def test_a_command_that_is_not_understood_says_so(line: str, said: str):
    """With what would have worked."""
    order = parse_command(line, ["local:dm:ana"])
    assert order.verb == "say"
    assert said in order.words


def test_the_best_kind_of_match_finds_the_session():
    """The whole id before its beginning, its end, its middle."""
    ids = ["a:dm:1", "a:dm:11", "b:dm:1"]
    assert find_session("a:dm:1", ids) == ["a:dm:1"]
    assert find_session("a:", ids) == ["a:dm:1", "a:dm:11"]
    assert find_session("dm:11", ids) == ["a:dm:11"]


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("sess", "session"),
        ("sessions sta", "sessions state:waiting"),
        ("session lo", "session local:dm:ana"),
        ("theme c", "theme contrast"),
        ("zz", None),
    ],
)
def test_commands_are_completed_by_their_beginning(line: str, whole: str | None):
    """The last word grows."""
    assert complete(line, ["local:dm:ana"]) == whole


def test_nothing_needs_an_operator_when_all_is_well():
    """Running and idle sessions are no alarm."""
    assert needs(mirror_of(session("ana"), session("bo", phase=Phase.MODEL)), NOW.mono) == []


def test_failures_of_one_cause_are_one_line_with_a_count():
    """A flood of alarms is grouped."""
    broken = outcome(stop=Stop.ERROR, answered=False, error="529", ended=ago(30))
    views = [session(f"p{nth}", state=SessionState.FAILED, last_outcome=broken) for nth in range(9)]
    found = needs(mirror_of(*views), NOW.mono)
    assert [(need.kind, need.subject, need.argument) for need in found] == [("failed", "9 sessions", "state:failed")]


def test_a_silent_run_is_pointed_out_before_its_limit():
    """With how long it is silent, of how much."""
    silent = run(started=ago(100), phase_since=ago(90), last_model_byte=ago(80))
    found = needs(mirror_of(session("ana", state=SessionState.RUNNING, run=silent)), NOW.mono)
    assert [(need.kind, need.text) for need in found] == [("silent", "silent 1m20s of 2m00s allowed")]


def test_what_waits_for_a_human_says_what_hangs_on_it():
    """The approval, the queue behind it, its end when that is near; a platform that is down."""
    mirror = mirror_of(session("ana", queue_depth=7))
    mirror.load_approvals(ApprovalList(approvals=(approval("a1", deadline=ago(-60)),), seq=Seq(0)))
    down = platform("x", state=PlatformState.DOWN, last_error="403", since=ago(5))
    mirror.load_platforms(PlatformList(platforms=(down,), seq=Seq(0)))
    lines = [(need.kind, need.text) for need in needs(mirror, NOW.mono)]
    assert lines == [("down", "403"), ("unseen", "no surface shows it: delete report.txt  7 behind  expires in 1m00s")]


def test_an_approval_that_a_surface_shows_or_that_has_just_come_is_not_called_unseen():
    """A surface needs a moment to say that it shows it."""
    shown = approval("a1", surfaces=(Surface(name="console:ana", delivered=ago(20)),))
    fresh = approval("a2", asked=ago(2))
    mirror = mirror_of()
    mirror.load_approvals(ApprovalList(approvals=(shown, fresh), seq=Seq(0)))
    assert [need.kind for need in needs(mirror, NOW.mono)] == ["approve", "approve"]


def test_a_dead_answer_is_one_line_and_not_also_a_dead_letter_of_its_outbox():
    """Answers are the messages of outboxes; what died elsewhere has a line for each mailbox."""
    mirror = mirror_of()
    answers = tuple(
        delivery(DeliveryId(f"d{nth}"), state=DeliveryState.DEAD, platform=PlatformName("telegram"), error="403")
        for nth in range(3)
    )
    mirror.load_deliveries(DeliveryList(deliveries=answers, seq=Seq(0)))
    views = (mailbox("outbox.telegram", dead=3), mailbox("relay.out", dead=1))
    mirror.load_mailboxes(MailboxList(mailboxes=views, total=total_of(views), seq=Seq(0)))
    lines = [(need.kind, need.subject, need.text) for need in needs(mirror, NOW.mono)]
    assert lines == [("dead", "telegram", "3 answers not delivered: 403"), ("dead", "relay.out", "1 dead letter")]


def test_mailboxes_beyond_the_first_few_are_one_line_without_the_outboxes():
    """A flood of dead letters is grouped."""
    mirror = mirror_of()
    views = (
        mailbox("outbox.x", dead=99),
        *(mailbox(f"m{nth}", dead=9 - nth) for nth in range(4)),
        mailbox("z", dead=1),
    )
    mirror.load_mailboxes(MailboxList(mailboxes=views, total=total_of(views), seq=Seq(0)))
    found = needs(mirror, NOW.mono)
    assert [need.subject for need in found] == ["m0", "m1", "m2", "m3", "1 mailbox"]
    assert found[-1].text == "1 more dead letter"


def test_the_age_of_dead_letters_is_told_when_a_death_was_heard_of():
    """Otherwise it is not known, and nothing is said."""
    mirror = mirror_of()
    views = (mailbox("relay.out", dead=1),)
    mirror.load_mailboxes(MailboxList(mailboxes=views, total=total_of(views), seq=Seq(0)))
    assert [need.age_s for need in needs(mirror, NOW.mono)] == [None]
    event = MailDied(mailbox=views[0].name, count=1, mail=dead_mail(died=ago(7)))
    mirror.apply(Record(seq=Seq(1), at=NOW.at, actor=SYSTEM, subject="relay.out", event=event, durable=True))
    assert [need.age_s for need in needs(mirror, NOW.mono)] == [pytest.approx(7.0)]


def test_every_field_of_a_session_and_a_run_is_in_the_state_tab():
    """A fact that the core knows cannot be forgotten by the screen."""
    retry = RunRetry(next_at=ago(-8), count=2, reason="overloaded")
    view = session("ana", run=run(retry=retry, tool="fetch", interrupt_asked=ago(3)), lane_holder=RunId("run-1"))
    facts = all_facts(view, age, use_ascii=True)
    assert len(facts) >= len(msgspec.structs.fields(view)) + len(msgspec.structs.fields(view.run)) - 6
    assert ("retry", "try 3 in 8s: overloaded", "needs") in facts


def test_archived_sessions_are_hidden_unless_they_are_asked_for():
    """By the key that shows idle ones, or by the word."""
    old = session("old", is_archived=True, state=SessionState.FAILED, last_outcome=outcome(stop=Stop.ERROR))
    fleet = (*FLEET, old)
    assert listed("", *fleet, hides_idle=True) == ["cy", "bo"]
    assert listed("state:idle,failed", *fleet, hides_idle=True) == ["ana", "cy"]
    assert listed("archived", *fleet, hides_idle=True) == ["old"]
    assert listed("", *fleet) == ["ana", "cy", "old", "bo"]
    assert listed("-archived state:failed", *fleet) == ["cy"]
    assert needs(mirror_of(old), NOW.mono) == []


def test_books_that_disagree_are_said_to_disagree():
    """A lane that is held by a run that does not run is a finding."""
    assert "held by run-9" in disagreement(session("ana", lane_holder=RunId("run-9")))
    assert disagreement(session("ana", phase=Phase.MODEL)) == ""


def test_what_a_session_does_is_said_with_its_age():
    """Phase and age; the approval goes before both."""
    view = session("ana", phase=Phase.MODEL)
    assert doing(view, None, age) == "model 9s, text 1s ago"
    assert doing(view, approval(title="rm\x1b[31m"), age) == "approval: rm<ESC>[31m"
    assert not is_quiet(run(), age)


def test_receipts_say_what_is_and_not_what_was_wished():
    """Not released is not called released; a changed mode is named."""
    held = InterruptReceipt(
        session_id=SessionId("x"), run_id=RunId("run-1"), is_released=False, holder=RunId("run-1"), queue_depth=2
    )
    assert "still held by run-1" in interrupted(held)[0]
    receipt = SendReceipt(
        session_id=SessionId("x"),
        message_id=MessageId("m"),
        position=2,
        mode=Mode.STEER,
        effective_mode=Mode.QUEUE,
        mode_reason="cannot be steered",
    )
    assert sent(receipt)[0] == "stored: queue, 2 before it (steer became queue: cannot be steered)"
    late = decided(approval(delivery="refused_late"))
    assert "did not listen any more" in late[0]


def test_the_request_to_paste_is_one_shell_command():
    """Bash understands it, and the key is read from its file at that moment."""
    lines = curl_lines("http://127.0.0.1:8642", "/home/ana's/secrets/api_key")
    assert max(len(line) for line in lines) < 62
    checked = subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    words = shlex.split("\n".join(lines[1:]))
    assert words[0] == "curl"
    assert msgspec.json.decode(words[-1])["messages"] == [{"role": "user", "content": "hello"}]


def test_rates_and_costs_are_measured_from_counts():
    """Per second, as bars, as quantiles."""
    rates = Rates()
    for value in (0, 2, 4, 4):
        rates.note({"in": value})
    assert rates.per_s("in", 4) == 1.0
    assert rates.bars("in", 8, 2) == [2.0, 2.0]
    samples = Samples()
    assert samples.quantile(0.99) is None
    for value in range(100):
        samples.note(float(value))
    assert (samples.quantile(0.5), samples.quantile(0.99)) == (50.0, 99.0)
    vitals = Vitals()
    vitals.read_terminal(0, 0, 1.0)
    vitals.read_terminal(500, 3, 2.0)
    assert (vitals.bytes_per_s, vitals.dropped_frames) == (500.0, 3)
