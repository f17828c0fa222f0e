"""When the garbage collector may stop everything: shortly for what is new, at length only while nobody types."""

import gc
import time

_NEW_OBJECTS = 2_000
_NEVER = 1_000_000
_CALM_S = 5.0
_PERIOD_S = 60.0
_LONG_S = 0.02


class Collecting:
    """The collector's pauses stop the core too, since both share one interpreter."""

    def __init__(self) -> None:
        self._has_begun = False
        self._collected_at = float("-inf")

    def begin(self) -> None:
        """All rows are here: from now on. What is here stays, and is not walked through again and again."""
        if self._has_begun:
            return
        self._has_begun = True
        gc.collect()
        gc.freeze()
        # The pause grows with the number of objects; those that survive wait for a calm moment.
        gc.set_threshold(_NEW_OBJECTS, _NEVER, _NEVER)

    def when_calm(self, now: float, keyed_at: float) -> None:
        """Called once a second: collect all that came since, when nobody has typed for a while."""
        if not self._has_begun or now - keyed_at < _CALM_S or now - self._collected_at < _PERIOD_S:
            return
        self._collected_at = now
        began = time.perf_counter()
        gc.collect()
        if time.perf_counter() - began > _LONG_S:
            # So much outlived it that the next time would take as long again.
            gc.freeze()
