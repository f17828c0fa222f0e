"""A mailbox as operators see it: its figures at this moment (pure)."""

from operator import attrgetter

from core.api.base import Mark
from core.api.mailboxes import MailboxView
from core.mailbox.giving import Giving
from core.mailbox.meter import average_and_p99

_id = attrgetter("id")


def mailbox_view(box: Giving) -> MailboxView:
    """The view of a mailbox at this moment."""
    samples = box.samples
    wait_avg_s, wait_p99_s = average_and_p99(samples.waits if samples is not None else None)
    work_avg_s, work_p99_s = average_and_p99(samples.works if samples is not None else None)
    in_rate_s, out_rate_s = box.meter.rates() if box.meter is not None else (0.0, 0.0)
    pause = box.pause
    return MailboxView(
        name=box.name,
        version=box.change,
        state=box.state,
        policy=box.policy,
        tally=box.tally(),
        created=box.created,
        oldest=_oldest(box),
        in_rate_s=in_rate_s,
        out_rate_s=out_rate_s,
        wait_avg_s=wait_avg_s,
        wait_p99_s=wait_p99_s,
        work_avg_s=work_avg_s,
        work_p99_s=work_p99_s,
        consumers=box.consumers,
        depths=box.meter.depths if box.meter is not None else (),
        paused_by=pause.by if pause else "",
        paused_reason=pause.reason if pause else "",
        paused_until=Mark(pause.until_at, pause.until) if pause and pause.until else None,
        last_error=box.last_error,
    )


def _oldest(box: Giving) -> Mark | None:
    oldest = min(filter(None, (box.oldest(), *box.leases.values())), key=_id, default=None)
    if oldest is None:
        return None
    return Mark(oldest.created_at, oldest.posted)
