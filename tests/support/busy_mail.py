"""Mailboxes with everything at once: one that dies, one without consumers, a paused one, busy ones, an empty one."""

from core.api.base import Mark
from core.api.mail import DeadReason, MailKind, MailState, MailView, Priority
from core.api.mailboxes import MailboxPolicy, MailboxState, MailboxView, Overflow
from tests.support.fake_mail import dead_mail, mail, mailbox
from tests.support.views import NOW, ago

__all__ = ["busy_mailboxes", "busy_mails"]

_RISING = tuple(range(0, 42, 2))
_WAVES = tuple(3 + (nth * 7) % 11 for nth in range(40))


def busy_mailboxes() -> list[MailboxView]:
    """Eight of them."""
    until = Mark(NOW.at + 180, NOW.mono + 180)
    return [
        mailbox(
            "relay.out",
            queued=3,
            delayed=1,
            in_flight=2,
            dead=15,
            done=10_240,
            dropped=112,
            redelivered=31,
            oldest=ago(412),
            in_rate_s=2.1,
            out_rate_s=1.9,
            wait_avg_s=0.8,
            wait_p99_s=4.2,
            work_avg_s=0.12,
            work_p99_s=0.9,
            consumers=2,
            depths=_WAVES,
            last_error="403 Missing Access",
        ),
        mailbox("agent.ops", queued=40, oldest=ago(95), in_rate_s=0.4, depths=_RISING, done=12),
        mailbox(
            "deliveries.slack",
            queued=7,
            oldest=ago(33),
            in_rate_s=0.2,
            depths=(1, 2, 3, 4, 5, 6, 7),
            state=MailboxState.PAUSED,
            paused_by="raj",
            paused_reason="slack is down",
            paused_until=until,
        ),
        mailbox(
            "inbox.telegram:dm:8841",
            queued=2,
            in_flight=1,
            done=410,
            oldest=ago(30),
            in_rate_s=0.1,
            out_rate_s=0.1,
            consumers=1,
            depths=(0, 1, 1, 2, 3, 3),
            wait_p99_s=31.0,
            work_p99_s=9.0,
        ),
        mailbox(
            "runs.main",
            in_flight=12,
            done=48_210,
            oldest=ago(4),
            in_rate_s=1204.0,
            out_rate_s=1198.5,
            wait_p99_s=0.0004,
            work_p99_s=0.004,
            consumers=16,
            depths=(9, 12, 11, 10, 13, 12, 12, 12),
            policy=MailboxPolicy(durable=False, capacity=1000, overflow=Overflow.BLOCK),
        ),
        mailbox(
            "hooks",
            queued=94,
            done=1_000,
            rejected=18,
            oldest=ago(12),
            in_rate_s=9.0,
            out_rate_s=8.0,
            consumers=4,
            depths=_RISING,
            policy=MailboxPolicy(capacity=100, ttl_s=600.0),
        ),
        mailbox("old.import", state=MailboxState.DRAINING, queued=5, oldest=ago(7200), consumers=1, dead=1),
        mailbox("audit", done=12),
    ]


def busy_mails() -> list[MailView]:
    """What is in relay.out and beside it; the trace t-77 goes through three mailboxes."""
    long = '{"channel":"#alerts","text":"deploy failed on eu1: 41 tests red","tags":["deploy","eu1"],"retry":true}'
    return [
        *(
            dead_mail(
                77_100 + nth,
                payload=f'{{"channel":"#alerts","text":"queue depth {nth}"}}',
                sender="ops",
                created=ago(560 - nth * 10),
                died=ago(250 - nth * 10),
                correlation="t-77" if nth == 13 else "",
            )
            for nth in range(14)
        ),
        dead_mail(
            77_115,
            "relay.out",
            reason=DeadReason.EXPIRED,
            error="not taken within 10m",
            attempt=0,
            attempts=(),
            died=ago(600),
            created=ago(1200),
        ),
        dead_mail(
            77_116, "old.import", reason=DeadReason.POISON, error="in flight at 2 crashes", attempt=2, died=ago(50)
        ),
        mail(
            77120,
            state=MailState.IN_FLIGHT,
            attempt=2,
            created=ago(412),
            payload=long,
            size_bytes=102,
            correlation="t-77",
            causation="m-77113",
            key="deploy-eu1-41",
            order_key="eu1",
            headers={"x-surface": "alerts", "x-region": "eu1"},
            attempts=dead_mail().attempts[:1],
        ),
        mail(77121, state=MailState.IN_FLIGHT, attempt=1, created=ago(200), sender="ops", kind=MailKind.CALL),
        mail(77122, created=ago(90), priority=Priority.HIGH, expires=Mark(NOW.at + 510, NOW.mono + 510)),
        mail(77123, created=ago(60), payload='"just text"'),
        mail(77124, created=ago(21), payload="[1, 2, 3]"),
        mail(77125, state=MailState.DELAYED, created=ago(20), attempt=1, due=Mark(NOW.at + 40, NOW.mono + 40)),
        mail(77126, "agent.ops", created=ago(80), sender="telegram", correlation="t-77"),
        mail(77127, "deliveries.slack", created=ago(33), correlation="t-77", kind=MailKind.REPLY),
    ]
