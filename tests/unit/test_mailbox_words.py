"""Mailboxes in words: standings, sums, rules, names, filters, payloads (pure parts)."""

from typing import Any

import msgspec
import pytest

from console.mail_filter import is_everything, parse_mail_filter
from console.mail_names import mail_name, read_mail_id
from console.mail_payload import read_payload, text_first
from console.mail_receipts import purged
from console.mail_scopes import of_group, of_messages
from console.mailbox_facts import group_facts, mail_facts, mailbox_badge, payload_lines, preview
from console.mailbox_policy import policy_lines, read_policy
from console.mailbox_words import conservation, difference, duration, policy_words, rate, standing
from console.moves import SHOWN_S, Moves
from console.widgets.meter import squeezed
from core.api.base import Mark
from core.api.errors import InvalidInput
from core.api.mail import BulkReceipt, DeadGroup, DeadReason, MailFilter, MailState
from core.api.mailboxes import Guarantee, MailboxPolicy, MailboxState, Overflow
from tests.support.fake_mail import dead_mail, mail, mailbox
from tests.support.views import NOW, ago


def age(mark: Mark) -> float:
    """Seconds before NOW."""
    return NOW.mono - mark.mono


@pytest.mark.parametrize(
    ("changes", "words", "tone"),
    [
        ({}, "empty", "quiet"),
        ({"queued": 3}, "3 wait and nobody takes them", "needs"),
        ({"queued": 3, "consumers": 2, "oldest": ago(5)}, "3 wait, 2 at work", "plain"),
        ({"queued": 3, "consumers": 2, "oldest": ago(500)}, "3 wait, 2 at work", "needs"),
        ({"in_flight": 1, "consumers": 1}, "nothing waits", "plain"),
        ({"queued": 1}, "1 waits and nobody takes it:", "needs"),
        ({"queued": 1, "consumers": 2, "oldest": ago(5)}, "1 waits, 2 at work", "plain"),
        ({"difference": 2}, "2 messages are not accounted for", "failing"),
        ({"difference": -1}, "1 message is not accounted for", "failing"),
        ({"state": MailboxState.PAUSED, "paused_by": "raj", "paused_reason": "down"}, "paused by raj: down", "needs"),
        ({"state": MailboxState.PAUSED, "paused_until": Mark(NOW.at + 60, NOW.mono + 60)}, "goes on in 1m00s", "needs"),
        ({"state": MailboxState.DRAINING, "in_flight": 4}, "4 left", "busy"),
        ({"state": MailboxState.CLOSED}, "takes nothing in and gives nothing out", "quiet"),
    ],
)
def test_a_mailbox_says_what_holds_it_up(changes: dict[str, Any], words: str, tone: str):
    """The blocking thing, not the symptom."""
    found, found_tone = standing(mailbox(**changes), age)
    assert words in found
    assert found_tone == tone


def test_what_is_stuck_or_does_not_add_up_has_a_sign_of_its_own():
    """Without colour the word still says it."""
    views = [mailbox(), mailbox(queued=1), mailbox(difference=1), mailbox(state=MailboxState.PAUSED, queued=1)]
    assert [mailbox_badge(view, use_ascii=True).text for view in views] == ["+ open", "? stuck", "x books", "= paused"]


def test_the_sum_shows_where_everything_went():
    """All parts where there is room; what lives together where there is not."""
    tally = mailbox(done=10, queued=2, delayed=1, in_flight=1, dead=3, dropped=4).tally
    long = "21 accepted = 10 done + 2 queued + 1 delayed + 1 in flight + 3 dead + 0 expired + 4 dropped"
    assert conservation(tally, is_short=False) == long
    assert conservation(tally, is_short=True) == "21 in = 10 done + 4 live + 3 dead + 4 dropped"
    huge = mailbox(done=98_765_432_109, queued=123_456_789, dead=12_345_678, dropped=1_234_567).tally
    assert len(conservation(huge, is_short=True)) <= 62
    assert conservation(mailbox().tally, is_short=True) == "nothing came in yet"


def test_a_difference_is_loud():
    """Nothing is well; anything else is failing."""
    assert difference(0) == ("difference 0", "well")
    words, tone = difference(3)
    assert (words.startswith("DIFFERENCE 3"), tone) == (True, "failing")
    assert difference(1)[0] == "DIFFERENCE 1: a message is not accounted for"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "-"), (0.0002, "<1ms"), (0.12, "120ms"), (4.21, "4.2s"), (75, "1m15s")]
)
def test_times_have_the_precision_that_they_need(seconds: float, words: str):
    """Milliseconds for what is quick."""
    assert duration(seconds) == words


def test_rates_fit_into_five_cells():
    """However large."""
    assert [rate(value) for value in (0, 0.25, 12.0, 1204.0)] == ["-", "0.2", "12.0", "1.2k"]


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("guarantee", Guarantee)
def test_every_rule_has_words(overflow: Overflow, guarantee: Guarantee):
    """No value is left without a sentence."""
    full = MailboxPolicy(
        capacity=5, overflow=overflow, guarantee=guarantee, durable=False, ordered=False, in_flight_limit=2, ttl_s=60.0
    )
    assert all(sentence for _, sentence in policy_words(full))
    assert policy_words(full) != policy_words(MailboxPolicy())


def test_rules_are_read_back_as_they_are_written():
    """Every field, whatever its kind."""
    policy = MailboxPolicy(
        durable=False, capacity=12, overflow=Overflow.BLOCK, guarantee=Guarantee.EXACTLY_ONCE, visibility_s=0.5
    )
    assert read_policy("\n".join(policy_lines(policy)), MailboxPolicy()) == policy


def test_rules_take_times_and_signs_as_people_write_them():
    """5m, yes, an equals sign, a comment."""
    found = read_policy("visibility_s = 5m\nkeep_expired: no\n# a remark\ncapacity: 1,000", MailboxPolicy())
    assert (found.visibility_s, found.keep_expired, found.capacity) == (300.0, False, 1000)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("capacty: 3", "did you mean capacity?"),
        ("capacity: many", "whole number"),
        ("durable: perhaps", "yes or no"),
        ("overflow: explode", "one of reject"),
        ("ttl_s: soon", "write 90"),
        ("nothing", "one of durable"),
    ],
)
def test_a_rule_that_cannot_be_is_told_with_the_way_out(line: str, words: str):
    """The field, the value, the fix."""
    with pytest.raises(InvalidInput) as caught:
        read_policy(line, MailboxPolicy())
    assert words in f"{caught.value.message} {caught.value.facts.get('fix')}"


def test_a_message_is_named_with_and_without_its_letter():
    """m-123 and 123 are one; anything else is none."""
    assert mail_name(123) == "m-123"
    assert [read_mail_id(name) for name in ("m-123", "M-123", " 123 ")] == [123, 123, 123]
    assert [read_mail_id(name) for name in ("", "m-", "d-3", "12x", "-1", "1" * 19, "१२")] == [None] * 7


def test_a_filter_of_messages_is_understood():
    """Terms narrow, words are looked for together."""
    found = parse_mail_filter("from:main state:in reason:max older:10m deploy failed id:m-1,2")
    assert found == MailFilter(
        sender="main",
        states=(MailState.IN_FLIGHT,),
        reason=DeadReason.MAX_DELIVERIES,
        older_than_s=600.0,
        text="deploy failed",
        ids=(1, 2),  # type: ignore[arg-type]  # ids are plain numbers here
    )
    assert is_everything(parse_mail_filter("from:"))


def test_a_filter_narrows_what_is_shown_already():
    """Within a group of dead letters the group stays."""
    base = MailFilter(reason=DeadReason.POISON, cause="x")
    assert parse_mail_filter("type:a", base=base) == msgspec.structs.replace(base, message_type="a")


@pytest.mark.parametrize("line", ["state:nowhere", "reason:none", "older:soon", "id:x"])
def test_a_filter_that_is_not_understood_is_told(line: str):
    """It never filters by something else in silence."""
    with pytest.raises(InvalidInput):
        parse_mail_filter(line)


def test_a_payload_is_json_where_it_is_json():
    """Anything else is text."""
    assert read_payload('{"a": 1}') == ({"a": 1}, "as JSON: an object")
    assert read_payload("null") == (None, "as JSON: null")
    assert read_payload("hello {") == ("hello {", "as text")


def test_a_payload_is_shown_indented_or_as_it_was_cut():
    """What was cut off is no JSON any more and is shown all the same; a secret is masked."""
    assert payload_lines('{"a":[1]}') == ["{", '  "a": [', "    1", "  ]", "}"]
    assert payload_lines('{"a":[1') == ['{"a":[1']
    assert "hunter2hunter2" not in "".join(payload_lines('{"password":"hunter2hunter2"}'))
    assert payload_lines('"\ud800"') == ['"?"']
    assert payload_lines("[" + ",".join("1" * 999) + "]")[-1].endswith("more lines)")


@pytest.mark.parametrize(
    ("payload", "words", "rest"),
    [
        (
            '{"delivery_id":"d1","session_id":"s","text":"It is done.","reply_to":""}',
            "It is done.",
            '{"delivery_id":"d1","session_id":"s","reply_to":""}',
        ),
        (
            '{"message":{"id":"m1","text":"hi"},"sender_id":"u1"}',
            "hi",
            '{"message":{"id":"m1"},"sender_id":"u1"}',
        ),
        ('{"a":{"text":"inner"},"message":"outer"}', "outer", '{"a":{"text":"inner"}}'),
        ('{"a":{"text":"later"},"message":{"content":"sooner"}}', "sooner", '{"a":{"text":"later"}}'),
        ('{"text":"","content":"said"}', "said", '{"text":""}'),
        ('{"text":"alone"}', "alone", ""),
        ('{"id":1' + "0" * 40 + ',"text":"large"}', "large", '{"id":1' + "0" * 40 + "}"),
    ],
)
def test_what_a_payload_says_comes_before_the_rest_of_it(payload: str, words: str, rest: str):
    """Under text, message or content, here or one level down; the rest as it stood."""
    assert text_first(payload) == (words, rest)


@pytest.mark.parametrize(
    "payload",
    [
        '"just text"',
        "[1, 2, 3]",
        "",
        "{}",
        '{"a":{"b":{"text":"too deep"}}}',
        '{"text":7}',
        '{"text":"\\ud800"}',
        '{"text":',
        "{" * 5000,
        '{"a":' * 5000,
    ],
)
def test_a_payload_that_says_nothing_is_shown_as_it_is(payload: str):
    """Whatever it is: nothing of it is lost and nothing breaks."""
    assert text_first(payload) == (payload, "")


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ('{"delivery_id":"d1","text":"a long answ…', "a long answ…"),
        ('{"delivery_id":"d1","text":"two\\nlines \\"quoted\\" and mo…', 'two\nlines "quoted" and mo…'),
        ('{"delivery_id":"d1","text":"ends in an escape\\…', "ends in an escape…"),
        ('{"delivery_id":"d1","text":"so does this\\u00…', "so does this…"),
        ('{"message":{"id":"m1","text":"deep…', "deep…"),
        ('{"note":"a \\"text\\":\\"lie\\"","content":"true…', "true…"),
    ],
)
def test_what_a_payload_says_is_found_where_its_end_was_cut_off(payload: str, words: str):
    """Long answers are those that the core cuts."""
    assert text_first(payload) == (words, "")


def test_what_a_payload_says_is_masked_and_made_harmless_on_both_sides():
    """A secret in the text, a secret beside it, an escape."""
    payload = '{"password":"hunter2hunter2","text":"\\u001b[31mtoken=abcdefgh12345"}'
    assert preview(mail(payload=payload)) == ("<ESC>[31mtoken=***", '{"password":"***"}')


def test_one_of_a_kind_is_not_told_as_many():
    """1 try, 1 message, 1 start, the one that is marked."""
    letter = dead_mail(attempt=1)
    group = DeadGroup(
        mailbox=letter.mailbox,
        reason=DeadReason.REJECTED,
        cause="x",
        count=1,
        first=ago(5),
        last=ago(5),
        example=letter,
    )
    assert any(" 1 try  main  deploy failed" in value for _, value, _ in group_facts(group, [], age, room=4))
    assert [scope.words for scope in of_group(group)][1] == "the only one of this cause"
    marked = of_messages("a", dead=True, cursor=None, marked=[letter.id], where=MailFilter(), filter_words="")
    assert marked[0].words == "the one that is marked"
    receipt = BulkReceipt(matched=1, changed=2, is_dry_run=False)
    assert purged(receipt, counted=1)[0] == "2 messages dropped (1 was counted before)"
    rules = " ".join(
        sentence for _, sentence in policy_words(MailboxPolicy(capacity=1, max_crashes=1, dead_keep_count=1))
    )
    for words in ("1 message; one more", "dead when 1 start of", "the newest 1 is kept"):
        assert words in rules
    long = mail(payload="[" + ",".join("1" * 399) + "]")
    assert ("", "(1 more line)", "strong") in mail_facts(long, age, use_ascii=True)


def test_a_number_that_moved_is_marked_for_a_while():
    """Not when it is seen for the first time, not for ever."""
    moves = Moves()
    assert moves.direction("a", "depth", 5, 0.0) == 0
    assert moves.direction("a", "depth", 7, 1.0) == 1
    assert moves.direction("a", "depth", 7, 2.0) == 1
    assert moves.direction("a", "depth", 6, 3.0) == -1
    assert moves.direction("a", "depth", 6, 3.0 + SHOWN_S) == 0
    assert moves.direction("b", "depth", 9, 3.0) == 0


def test_a_long_course_is_squeezed_without_losing_a_peak():
    """The largest of each span."""
    assert squeezed([1, 9, 1, 1, 2, 3], 3) == [9, 1, 3]
    assert squeezed([1, 2], 3) == [1, 2]
    assert len(squeezed(list(range(61)), 7)) == 7
    assert squeezed([1], 0) == [1]
