"""Accounts that send nothing although something waits, for those who look what needs them (pure)."""

from collections.abc import Callable, Iterator

from console import text
from console.mirror import Mirror
from console.need import Need
from console.outbox_facts import next_words
from core.api.base import Mark
from core.api.breakers import BreakerMode
from core.api.outboxes import OutboxState, OutboxView
from core.api.platforms import TROUBLED

_SHORT_WAIT_S = 10.0
_BROKEN = frozenset({OutboxState.BROKEN, OutboxState.PROBING})


def outbox_needs(mirror: Mirror, now: float) -> Iterator[Need]:
    """One line for each account that is held or broken; a connection that is down has a line of its own already."""

    def age_s(instant: Mark) -> float:
        return mirror.age_s(instant, now)

    for name, view in sorted(mirror.work.outboxes.outboxes.items()):
        platform = mirror.platforms.get(name)
        if not _is_stuck(view, age_s) or (platform is not None and platform.state in TROUBLED):
            continue
        is_ours = view.breaker_mode is BreakerMode.HELD
        countdown = next_words(view, age_s)
        due = "" if countdown == "-" else f"  next try {countdown if countdown == 'now' else f'in {countdown}'}"
        waiting = f"  {text.counted(view.waiting, 'message')} waiting" if view.waiting else ""
        yield Need(
            id=f"outbox:{name}",
            kind="held" if is_ours else view.state.value,
            tone="failing" if view.state in _BROKEN and not is_ours else "needs",
            subject=text.clean(view.platform),
            text=f"{text.clean(view.why) or 'it sends nothing'}{due}{waiting}",
            place="outboxes",
            argument=name,
            age_s=None if view.oldest is None else age_s(view.oldest),
        )


def _is_stuck(view: OutboxView, age_s: Callable[[Mark], float]) -> bool:
    """Whether it holds anything up; a wait that is over in a moment needs nobody."""
    if view.state in _BROKEN:
        return view.waiting > 0 or view.breaker_mode is BreakerMode.HELD
    is_long = view.next_try is not None and -age_s(view.next_try) > _SHORT_WAIT_S
    return view.state is OutboxState.HELD and view.waiting > 0 and is_long
