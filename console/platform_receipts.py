"""What became of orders about connections, in words and their tone (pure)."""

from console import text
from console.platform_facts import latency_words
from core.api.platforms import TROUBLED, PlatformView


def paused(view: PlatformView) -> tuple[str, str]:
    """What a pause does."""
    if view.last_error:
        return f"{view.name} is paused, but {text.clean(view.last_error)}", "needs"
    waiting = f"; {text.counted(view.backlog, 'message')} waiting to be sent" if view.backlog else ""
    return f"{view.name} is paused: nothing is taken in and nothing sent{waiting}", "needs"


def resumed(view: PlatformView) -> tuple[str, str]:
    """How it stands after a pause."""
    return _stands(view, "goes on")


def reconnecting(view: PlatformView) -> tuple[str, str]:
    """How it stands after an order to connect anew."""
    return _stands(view, "is connected anew")


def probed(view: PlatformView) -> tuple[str, str]:
    """Whether it answered."""
    if view.probe is None or view.probe.latency_s is None:
        why = text.clean(view.probe.error) if view.probe else ""
        return f"{view.name} was asked and gave no good answer: {why}", "failing"
    return f"{view.name} answered in {latency_words(view.probe.latency_s)}; it is {view.state.value}", "well"


def _stands(view: PlatformView, words: str) -> tuple[str, str]:
    why = f": {text.clean(view.last_error)}" if view.last_error else ""
    tone = "failing" if view.state in TROUBLED else "needs" if why else "well"
    return f"{view.name} {words}: {view.state.value}{why}", tone
