"""What became of orders about outboxes, breakers and the directory, in words and their tone (pure)."""

from console import text
from core.api.breakers import BreakerMode, BreakerView
from core.api.chats import ChatsRefreshed
from core.api.deliveries import SentToTarget
from core.api.outboxes import OutboxView


def lifted(view: OutboxView) -> tuple[str, str]:
    """Whether it sends again."""
    return f"the wait of {view.platform} is lifted: it is {view.state.value} now", "well"


def breaker_is(view: BreakerView) -> tuple[str, str]:
    """How a breaker stands."""
    if view.mode is BreakerMode.HELD:
        return f"{view.owner} {view.name} is held: nothing is tried until it is released", "needs"
    if view.mode is BreakerMode.DISABLED:
        return f"the breaker of {view.owner} {view.name} is off: all goes through until a reset", "needs"
    return f"the breaker of {view.owner} {view.name} is {view.state.value.replace('_', '-')} now", "well"


def on_its_way(view: SentToTarget) -> tuple[str, str]:
    """Where a message goes."""
    places = sorted({f"{item.platform}:{item.chat}" for item in view.deliveries})
    if not places:
        return "it was sent before: nothing is sent again", "needs"
    parts = f", {len(view.deliveries)} messages" if len(view.deliveries) > len(places) else ""
    return f"stored and on its way to {text.clean(', '.join(places[:5]))}{parts}", "well"


def refreshed(view: ChatsRefreshed) -> tuple[str, str]:
    """What the platforms said."""
    if not view.asked:
        return "no platform here can list its chats; they are learnt from messages", "needs"
    problems = f"; {text.clean('; '.join(view.problems))}" if view.problems else ""
    names = ", ".join(view.asked)
    return f"{names} asked: {text.counted(view.chat_count, 'chat')} known{problems}", "needs" if problems else "well"
