"""What the console itself costs, and the parts of the core with their restarts."""

from console import text
from console.changes import Changes
from console.screens.base import Stage, View
from console.screens.system_facts import core_facts
from console.widgets.fields import Field


def _ms(value_s: float | None) -> str:
    return "not measured yet" if value_s is None else f"{value_s * 1000:.1f} ms"


def vitals_fields(stage: Stage) -> list[Field]:
    """Own cost, then the core's."""
    vitals, mirror = stage.vitals, stage.mirror
    frames, keys = vitals.frames, vitals.keys
    fields: list[Field] = [
        ("-- this console", "", ""),
        ("frame", f"p50 {_ms(frames.quantile(0.5))}   p99 {_ms(frames.quantile(0.99))}", "plain"),
        ("", f"{text.count(frames.count)} redraws since the start", "quiet"),
        ("key", f"p50 {_ms(keys.quantile(0.5))}   p99 {_ms(keys.quantile(0.99))}   (key to redraw)", "plain"),
        ("output", f"{text.size(vitals.bytes_per_s)}/s to the terminal", "plain"),
        ("dropped", f"{text.count(vitals.dropped_frames)} frames", "needs" if vitals.dropped_frames else "plain"),
        ("records", f"{text.count(mirror.record_count)} taken in, {text.count(len(mirror.events))} kept", "plain"),
        ("unknown", f"{text.count(mirror.unknown_count)} events that this version cannot read", "plain"),
        ("sessions", f"{text.count(len(mirror.sessions))} rows", "plain"),
        ("-- core", "", ""),
        *core_facts(stage),
    ]
    health = mirror.health
    if health is None:
        return fields
    fields.append(("home", text.clean(health.home), "plain"))
    for service in health.services:
        tone = {"running": "well", "failed": "failing", "restarting": "needs"}.get(service.state, "plain")
        since = stage.age(service.since)
        words = f"{service.state} {since}"
        if service.restart_count:
            words += f", {service.restart_count} restarts"
        if service.last_error:
            words += f": {text.clean(service.last_error)}"
        fields.append((text.clean(service.name), words, tone))
    fields += [("problem", text.clean(problem), "failing") for problem in health.problems]
    return fields


class VitalsView(View):
    """Own cost, live."""

    place = "vitals"
    PANES = ("fields",)

    def enter(self, argument: str) -> None:
        """Show it."""
        del argument
        self.tick()

    def refresh(self, changes: Changes) -> None:
        """Health came."""
        if changes.has_health:
            self.tick()

    def tick(self) -> None:
        """Measure again."""
        self.stage.fields.set_fields(vitals_fields(self.stage))
