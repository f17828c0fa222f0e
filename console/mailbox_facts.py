"""All figures of a mailbox and all of a message as label, value and tone (pure)."""

import msgspec

from console import text
from console.glyphs import Badge, badge, tone_badge
from console.mail_names import mail_name
from console.mail_payload import text_first
from console.mailbox_rows import depth_of
from console.mailbox_words import (
    REASONS,
    Age,
    cause_words,
    conservation,
    difference,
    duration,
    is_stuck,
    policy_words,
    rate,
    standing,
)
from console.session_facts import Fact
from console.session_words import exact
from console.widgets.meter import spark
from core.api.mail import DeadGroup, MailView
from core.api.mailboxes import MailboxView

_SPARK_CELLS = 30
_PAYLOAD_LINES = 400
_ERROR_CELLS = 400
_PREVIEW_CELLS = 200


def mailbox_badge(view: MailboxView, *, use_ascii: bool) -> Badge:
    """The sign of a mailbox: that of its state, unless it holds something up while it is open."""
    if view.tally.difference:
        return tone_badge("failing", "books", use_ascii=use_ascii)
    if is_stuck(view):
        return tone_badge("needs", "stuck", use_ascii=use_ascii)
    return badge(view.state, use_ascii=use_ascii)


def mailbox_peek(view: MailboxView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """The few facts that the list shows of the mailbox under its cursor."""
    sign = mailbox_badge(view, use_ascii=use_ascii)
    words, tone = standing(view, age)
    tally = view.tally
    oldest = text.age(age(view.oldest)) if view.oldest else "-"
    facts: list[Fact] = [
        (f"-- {text.clean(view.name)}", "", ""),
        ("state", f"{sign.text}   {words}", tone if sign.tone == "well" else sign.tone),
    ]
    if view.last_error:
        facts.append(("last error", text.redact(text.cut(text.clean(view.last_error), _ERROR_CELLS)), "failing"))
    facts += [
        ("waits", f"oldest {oldest}   average {duration(view.wait_avg_s)}   p99 {duration(view.wait_p99_s)}", "plain"),
        ("work", f"average {duration(view.work_avg_s)}   p99 {duration(view.work_p99_s)}", "plain"),
        (
            "since start",
            (
                f"{text.count(tally.redelivered)} redelivered   {text.count(tally.dead)} dead   "
                f"{text.counted(tally.duplicates, 'repeat')}   {text.count(tally.rejected)} refused"
            ),
            "plain",
        ),
        ("books", *_books(view)),
    ]
    return facts


def _books(view: MailboxView) -> tuple[str, str]:
    words, tone = difference(view.tally.difference)
    return f"{conservation(view.tally, is_short=True)}   {words}", "failing" if tone == "failing" else "plain"


def mailbox_facts(view: MailboxView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """Every figure of a mailbox, and its rules in words."""
    sign = mailbox_badge(view, use_ascii=use_ascii)
    words, tone = standing(view, age)
    tally = view.tally
    told, told_tone = difference(tally.difference)
    facts: list[Fact] = [
        ("-- now", "", ""),
        ("state", f"{sign.text}   {words}", tone if sign.tone == "well" else sign.tone),
        ("depth", f"{text.count(depth_of(view))}  {spark(view.depths, _SPARK_CELLS, use_ascii)}", "plain"),
        ("oldest", exact(view.oldest, age) if view.oldest else "nothing waits", "plain"),
        ("rates", f"in {rate(view.in_rate_s)}/s   out {rate(view.out_rate_s)}/s   over the last minute", "plain"),
        ("wait", f"average {duration(view.wait_avg_s)}   p99 {duration(view.wait_p99_s)}", "plain"),
        ("work", f"average {duration(view.work_avg_s)}   p99 {duration(view.work_p99_s)}", "plain"),
        ("consumers", text.count(view.consumers), "plain"),
        ("last error", text.redact(text.clean(view.last_error)) or "none", "failing" if view.last_error else "plain"),
        ("created", exact(view.created, age), "plain"),
        ("-- books, since this start of the core", "", ""),
        ("sum", conservation(tally, is_short=False), "plain"),
        ("difference", told, told_tone),
        ("redelivered", f"{text.count(tally.redelivered)} given out once more", "plain"),
        ("repeats", f"{text.count(tally.duplicates)} known already, not taken in", "plain"),
        ("refused", f"{text.count(tally.rejected)} for want of room", "needs" if tally.rejected else "plain"),
        ("late", f"{text.counted(tally.stale, 'settlement')} that changed nothing", "plain"),
        ("-- rules", "", ""),
    ]
    return facts + [(label, sentence, "plain") for label, sentence in policy_words(view.policy)]


def preview(view: MailView) -> tuple[str, str]:
    """The payload on one line: what it says to people, and the rest of it."""
    words, rest = text_first(view.payload)
    return _one_line(words), _one_line(rest)


def _one_line(words: str) -> str:
    return text.redact(text.cut(text.clean(words), _PREVIEW_CELLS))


def tries(view: MailView, limit: int) -> str:
    """How often it was given out, of how often it may."""
    return f"{view.attempt}/{limit}" if limit else str(view.attempt)


def payload_lines(payload: str) -> list[str]:
    """The payload indented where it is whole JSON, as it came where it was cut off."""
    try:
        shown = msgspec.json.format(payload.encode("utf-8", "replace"), indent=2).decode()
    except msgspec.DecodeError:
        shown = payload
    lines = text.redact(shown).split("\n")
    if len(lines) > _PAYLOAD_LINES:
        return [*lines[:_PAYLOAD_LINES], f"({text.counted(len(lines) - _PAYLOAD_LINES, 'more line')})"]
    return lines


def mail_peek(view: MailView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """What a list shows of the message under its cursor."""
    sign = badge(view.state, use_ascii=use_ascii)
    state = sign.text
    if view.reason is not None:
        state += f": {REASONS[view.reason]}"
    facts: list[Fact] = [(f"-- {mail_name(view.id)}", "", ""), ("state", state, sign.tone)]
    if view.error:
        facts.append(("error", text.redact(text.cut(text.clean(view.error), _ERROR_CELLS)), "failing"))
    facts.append(("from", f"{text.clean(view.sender) or 'nobody'}   {_kind(view)}", "plain"))
    words, rest = preview(view)
    facts.append(("payload", words or "empty", "strong"))
    facts += _times(view, age)
    # Last, so that in a low pane it is what has no room.
    return [*facts, ("rest of it", rest, "quiet")] if rest else facts


def _kind(view: MailView) -> str:
    words = f"{view.kind.value} {text.clean(view.message_type)}".rstrip()
    return f"{words}, {view.priority.value}, {text.size(view.size_bytes)}"


def _times(view: MailView, age: Age) -> list[Fact]:
    facts: list[Fact] = [("created", exact(view.created, age), "plain")]
    if view.due is not None:
        left_s = -age(view.due)
        facts.append(("goes out", f"in {text.age(left_s)}" if left_s > 0 else "due now", "plain"))
    if view.expires is not None:
        left_s = -age(view.expires)
        facts.append(("expires", f"in {text.age(left_s)}" if left_s > 0 else "now", "plain"))
    if view.died is not None:
        facts.append(("died", exact(view.died, age), "plain"))
    return facts


def mail_facts(view: MailView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """All of a message: what became of it, its content, its attempts."""
    sign = badge(view.state, use_ascii=use_ascii)
    state = f"{sign.text} in {text.clean(view.mailbox)}"
    if view.reason is not None:
        state += f": {REASONS[view.reason]}"
    facts: list[Fact] = [("state", state, sign.tone)]
    if view.error:
        facts.append(("error", text.redact(text.clean(view.error, keep_newlines=True)), "failing"))
    facts += [
        ("from", text.clean(view.sender) or "nobody", "plain"),
        ("kind", _kind(view), "plain"),
        *_times(view, age),
    ]
    facts.append(("-- payload", "", ""))
    facts += [("", line, "strong") for line in payload_lines(view.payload)]
    facts.append(("-- attempts", "", ""))
    for attempt in view.attempts:
        words = f"{text.stamp(attempt.at)}   {text.redact(text.clean(attempt.error)) or 'no reason given'}"
        facts.append((f"try {attempt.number}", words, "failing"))
    if not view.attempts:
        facts.append(("", f"{view.attempt} begun, none failed", "quiet"))
    facts.append(("-- envelope", "", ""))
    facts += _envelope(view)
    return facts


def _envelope(view: MailView) -> list[Fact]:
    pairs = [
        ("id", mail_name(view.id)),
        ("key", text.clean(view.key)),
        ("order key", text.clean(view.order_key)),
        ("correlation", text.clean(view.correlation)),
        ("caused by", text.clean(view.causation)),
        ("replays", str(view.replays) if view.replays else ""),
        ("redrive of", mail_name(view.redriven_from) if view.redriven_from else ""),
    ]
    facts: list[Fact] = [(label, value, "plain") for label, value in pairs if value]
    for name, value in sorted(view.headers.items()):
        facts.append(("header", f"{text.clean(name)}: {text.redact(text.clean(value))}", "plain"))
    return facts


def group_facts(group: DeadGroup, mails: list[MailView], age: Age, *, room: int) -> list[Fact]:
    """A group of dead letters: cause, advice, and its messages. room: lines for messages."""
    facts: list[Fact] = [
        (f"-- {text.clean(group.mailbox)}: {REASONS[group.reason]}, {text.count(group.count)}", "", ""),
        ("error", text.cut(cause_words(group.reason, group.example.error or group.cause), _ERROR_CELLS), "failing"),
    ]
    if group.advice:
        facts.append(("advice", text.clean(group.advice), "needs"))
    for view in (mails or [group.example])[:room]:
        died = text.age(age(view.died)) if view.died else "-"
        tried = text.counted(view.attempt, "try", "tries")
        words, _ = preview(view)
        facts.append((mail_name(view.id), f"{died:>6}  {tried}  {text.clean(view.sender)}  {words}", "plain"))
    shown = min(room, max(1, len(mails)))
    if group.count > shown:
        facts.append(("", f"and {text.count(group.count - shown)} more: enter lists them", "quiet"))
    return facts
