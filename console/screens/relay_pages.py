"""The lists of the relay: bots of bindings, far sides, peers."""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from console import text
from console.relay_facts import (
    binding_facts,
    bot_sign,
    breaker_sign,
    fail_words,
    host_of,
    is_stopped,
    last_words,
    peer_facts,
    probe_words,
    rank,
    report_lines,
    seconds_words,
    target_of,
    target_pane,
    target_sign,
    two_ends,
)
from console.relay_receipts import chat_words
from console.relay_rows import RelayRows, bot_key
from console.screens.base import Stage, gone_row, matches
from console.session_facts import Fact
from console.target import Target
from console.widgets.columns import Cell
from console.widgets.table import Column, Row
from core.api.base import Mark
from core.api.bindings import ANY_CHAT, BindingView, Bot
from core.api.relay_targets import TargetView

_MINUTE_S = 60.0
# Cells from the chat to the address, on a narrow and on a wide terminal.
_NARROW_CELLS, _WIDE_CELLS = 19, 45
_ROOMY, _STACKED = 160, range(100, 140)
"""Widths of terminals on which the list has room: those on which its pane is beneath it, and very wide ones."""
_DIAL = (
    "N binds a bot to a chat; so does\n"
    "`hermes-console relay add_binding --platform telegram --chat-id ID --bot NAME=URL`."
)


class RelayPage:
    """One list of the relay. COLUMNS must fit the cells of `row`."""

    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    EMPTY: ClassVar[str] = ""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @property
    def rows(self) -> RelayRows:
        """What is known of the relay."""
        return self.stage.mirror.work.relay

    def ordered(self, words: str) -> list[str]:  # noqa: ARG002 - for subclasses
        """Ids of the rows that match, in order."""
        return []

    def total(self) -> int:
        """How many there are without a filter."""
        return 0

    def row(self, row_id: str) -> Row:
        """One row."""
        return gone_row(row_id, len(self.COLUMNS))

    def detail(self, row_id: str) -> Sequence[Fact]:  # noqa: ARG002 - for subclasses
        """What the pane says of a row."""
        return []

    def target(self, row_id: str) -> Target:  # noqa: ARG002 - for subclasses
        """What acts are about."""
        return Target()

    def subject(self, row_id: str) -> str:  # noqa: ARG002 - for subclasses
        """The word by which the messages of a row are found."""
        return ""

    def raw(self, row_id: str) -> object | None:  # noqa: ARG002 - for subclasses
        """What is shown as JSON."""
        return None

    def clock(self, mark: Mark) -> str:
        """The time of day of a mark."""
        return text.clock_time(mark.at)


class BindingsPage(RelayPage):
    """Every bot of every binding: what is stopped first."""

    COLUMNS = (
        Column("state", "BREAKER", 12),
        Column("bot", "BOT", 11),
        Column("way", "FROM > TO", 18, flex=True),
        Column("rate", "RATE", 4, align="right"),
        Column("fail", "FAIL", 4, align="right"),
        Column("p50", "P50", 5, min_screen=140, align="right"),
        Column("p95", "P95", 5, align="right"),
        Column("held", "HELD", 4, min_screen=140, align="right"),
        Column("wait", "WAIT", 4, align="right"),
        Column("dead", "DEAD", 4, align="right"),
        Column("last", "LAST", 8),
    )
    EMPTY = (
        "No chat is bound to a bot yet.\n\n"
        f"{_DIAL}\nA file of HotPlex is taken over with `hermes-console relay import`."
    )

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._found: dict[str, tuple[BindingView, Bot]] = {}
        self._rates: Counter[str] = Counter()

    def find(self, row_id: str) -> tuple[BindingView, Bot] | None:
        """The bot of a row, and its binding."""
        return self._found.get(row_id)

    def ordered(self, words: str) -> list[str]:
        """Stopped first, then by name."""
        found: list[tuple[int, str, str]] = []
        self._found = {}
        for binding in self.rows.bindings.values():
            for bot in binding.bots:
                row_id = bot_key(binding.platform, binding.chat, bot.name)
                self._found[row_id] = (binding, bot)
                if matches(words, bot.name, binding.platform, binding.chat, bot.url, bot.peer, bot.protocol.value):
                    place = rank(target_of(self.rows, bot.url), self.stage.age_s) if bot.enabled else _LAST
                    found.append((place, bot.name, row_id))
        self._count()
        return [row_id for _, _, row_id in sorted(found)]

    def _count(self) -> None:
        """Messages of the last minute."""
        self._rates = Counter(
            bot_key(task.platform, task.chat, task.bot)
            for task in self.rows.tasks.values()
            if self.stage.age_s(task.created) <= _MINUTE_S
        )

    def total(self) -> int:
        """All bots."""
        return self.rows.bot_count

    def row(self, row_id: str) -> Row:
        """One bot."""
        found = self._found.get(row_id)
        if found is None:
            return gone_row(row_id, len(self.COLUMNS))
        binding, bot = found
        target = target_of(self.rows, bot.url)
        sign = bot_sign(bot, target, self.stage.age_s, use_ascii=self.stage.use_ascii)
        tone = "plain" if bot.enabled else "quiet"
        stopped = target is not None and (self.rows.is_paused or is_stopped(target, self.stage.age_s))
        waiting = target.waiting if target else 0
        rate = self._rates[row_id]
        cells: tuple[Cell, ...] = (
            (sign.text, sign.tone),
            (text.clean(bot.name), "strong" if bot.enabled else "quiet"),
            (self._way(binding, bot), tone),
            (f"{text.short_count(rate)}/m" if rate else "-", tone),
            fail_words(target),
            (seconds_words(target.p50_s if target else None), tone),
            (seconds_words(target.p95_s if target else None), tone),
            (text.short_count(waiting) if stopped and waiting else "-", "needs" if stopped and waiting else tone),
            (text.short_count(waiting) if waiting else "-", "needs" if stopped and waiting else tone),
            _dead_cell(target),
            last_words(target, self.stage.age_s),
        )
        return Row(row_id, cells, cells)

    def _way(self, binding: BindingView, bot: Bot) -> str:
        """From a chat to an address: of both what tells them apart is at the end."""
        is_wide = self.stage.width >= _ROOMY or self.stage.width in _STACKED
        near = "any" if binding.chat == ANY_CHAT else text.clean(binding.chat)
        chat = chat_words(binding.platform, binding.chat) if is_wide else near
        cells = _WIDE_CELLS if is_wide else _NARROW_CELLS
        return two_ends(chat, host_of(bot.url), cells, self.stage.short_id)

    def detail(self, row_id: str) -> Sequence[Fact]:
        """The bot, its far side, its name elsewhere, what the last look found."""
        found = self._found.get(row_id)
        if found is None:
            return []
        binding, bot = found
        target = target_of(self.rows, bot.url)
        facts = binding_facts(binding, bot, target, self.stage.age_s, clock=self.clock)
        for double in self.rows.ambiguities:
            if double.name == bot.name:
                decided = (
                    "the lowest priority is meant" if double.is_decided else "sending to the name alone is refused"
                )
                words = f"stands for {len(double.urls)} addresses where no chat is named: {decided}"
                facts.append(("name", words, "plain" if double.is_decided else "needs"))
        return facts + _look_facts(self.rows, target)

    def target(self, row_id: str) -> Target:
        """The bot, its binding and its far side."""
        found = self._found.get(row_id)
        if found is None:
            return Target()
        bot = found[1]
        target = target_of(self.rows, bot.url)
        return Target(
            binding=row_id.rpartition("\x1f")[0],
            bot=bot.name,
            origin=target.origin if target else "",
            peer=bot.peer,
        )

    def subject(self, row_id: str) -> str:
        """Its name."""
        found = self._found.get(row_id)
        return found[1].name if found else ""

    def raw(self, row_id: str) -> object | None:
        """Its binding."""
        found = self._found.get(row_id)
        return found[0] if found else None


_LAST = 9


def _dead_cell(target: TargetView | None) -> Cell:
    return (text.short_count(target.dead), "failing") if target and target.dead else ("-", "quiet")


def _look_facts(rows: RelayRows, target: TargetView | None) -> list[Fact]:
    report = rows.reports.get(target.origin) if target else None
    return [("-- last look", "", ""), *report_lines(report)] if report else []


class TargetsPage(RelayPage):
    """Every far side with its breaker: the worst first."""

    COLUMNS = (
        Column("state", "BREAKER", 12),
        Column("origin", "FAR SIDE", 18, flex=True),
        Column("why", "WHY", 14, flex=True),
        Column("ok", "OK", 4, align="right"),
        Column("p50", "P50", 5, min_screen=140, align="right"),
        Column("p95", "P95", 5, align="right"),
        Column("wait", "WAIT", 4, align="right"),
        Column("working", "WORK", 4, min_screen=140, align="right"),
        Column("dead", "DEAD", 4, align="right"),
        Column("refused", "REFUS", 5, align="right"),
        Column("trips", "TRIPS", 5, min_screen=140, align="right"),
    )
    EMPTY = f"No far side yet.\n\n{_DIAL}"

    def ordered(self, words: str) -> list[str]:
        """Open, half-open, held, told to wait, the rest."""
        found = [
            view
            for view in self.rows.targets.values()
            if matches(words, view.origin, *view.bots, view.breaker.state.value, view.breaker.mode.value, view.peer)
        ]
        found.sort(key=lambda view: (rank(view, self.stage.age_s), view.origin))
        return [view.origin for view in found]

    def total(self) -> int:
        """All of them."""
        return len(self.rows.targets)

    def row(self, row_id: str) -> Row:
        """One far side."""
        view = self.rows.targets.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        sign = target_sign(view, self.stage.age_s, use_ascii=self.stage.use_ascii)
        tone = "plain" if view.is_bound else "stale"
        ratio = "-" if view.success_rate is None else f"{view.success_rate:.0%}"
        kept = view.breaker.refused
        cells: tuple[Cell, ...] = (
            (sign.text, sign.tone),
            (host_of(view.origin), "strong" if view.is_bound else "stale", text.clean(", ".join(view.bots))),
            _why_cell(view, self.stage),
            (ratio, tone),
            (seconds_words(view.p50_s), tone),
            (seconds_words(view.p95_s), tone),
            (text.short_count(view.waiting) if view.waiting else "-", tone),
            (text.short_count(view.working) if view.working else "-", tone),
            _dead_cell(view),
            (text.short_count(kept) if kept else "-", tone),
            (text.short_count(view.breaker.trip_count) if view.breaker.trip_count else "-", tone),
        )
        return Row(row_id, cells, cells)

    def detail(self, row_id: str) -> Sequence[Fact]:
        """All of it, and what the last look found."""
        view = self.rows.targets.get(row_id)
        if view is None:
            return []
        return [*target_pane(view, self.stage.age_s, clock=self.clock), *_look_facts(self.rows, view)]

    def target(self, row_id: str) -> Target:
        """The far side."""
        view = self.rows.targets.get(row_id)
        return Target(origin=row_id, peer=view.peer) if view else Target()

    def subject(self, row_id: str) -> str:
        """Its origin."""
        return row_id

    def raw(self, row_id: str) -> object | None:
        """All that is known of it."""
        return self.rows.targets.get(row_id)


def _why_cell(view: TargetView, stage: Stage) -> Cell:
    breaker = view.breaker
    if view.held is not None and stage.age_s(view.held) < 0:
        return text.clean(view.held_why) or "asked to be left alone", "needs"
    if probe := probe_words(breaker, stage.age_s):
        return probe, "needs"
    if breaker.is_flapping:
        return "flaps", "needs"
    words = breaker.reason or (breaker.last_error if breaker_sign(breaker, stage.age_s).tone != "well" else "")
    return text.redact(text.clean(words)), "failing" if words else "quiet"


class PeersPage(RelayPage):
    """Who may call us."""

    COLUMNS = (
        Column("state", "STATE", 10),
        Column("name", "PEER", 12, flex=True),
        Column("agent", "AGENT", 9),
        Column("proof", "PROOF", 14),
        Column("seen", "SEEN", 6, align="right"),
        Column("taken", "TAKEN", 5, align="right"),
        Column("again", "AGAIN", 5, align="right"),
        Column("refused", "REFUS", 5, align="right"),
        Column("work", "WORK", 4, align="right"),
        Column("callback", "CALLBACK", 12, min_screen=140, flex=True),
    )
    EMPTY = (
        "No peer may call us.\n\nA peer is an entry of relay.peers in config.yaml with keys or accept_tokens,\n"
        "such as   relay: {peers: {other: {keys: [env:OTHER_KEY]}}}"
    )

    def ordered(self, words: str) -> list[str]:
        """Faulty ones first, then by name."""
        found = [
            view
            for view in self.rows.peers.values()
            if matches(words, view.name, view.agent, view.callback, view.problem)
        ]
        return [view.name for view in sorted(found, key=lambda view: (not view.problem, view.name))]

    def total(self) -> int:
        """All of them."""
        return len(self.rows.peers)

    def row(self, row_id: str) -> Row:
        """One peer."""
        view = self.rows.peers.get(row_id)
        if view is None:
            return gone_row(row_id, len(self.COLUMNS))
        faulty, well = ("x faulty", "+ ready") if self.stage.use_ascii else ("✗ faulty", "✓ ready")
        proofs = [f"{view.key_count} keys" if view.key_count > 1 else "key"] if view.key_count else []
        proofs += ["token"] if view.has_bearer else []
        cells: tuple[Cell, ...] = (
            (faulty, "failing") if view.problem else (well, "well"),
            (text.clean(view.name), "strong", text.redact(text.clean(view.problem))),
            text.clean(view.agent) or "default",
            (", ".join(proofs) or "none", "plain" if proofs else "needs"),
            self.stage.age(view.last_seen),
            text.short_count(view.taken) if view.taken else "-",
            text.short_count(view.repeated) if view.repeated else "-",
            (text.short_count(view.refused), "needs") if view.refused else "-",
            text.short_count(view.in_flight) if view.in_flight else "-",
            text.clean(view.callback) or "-",
        )
        return Row(row_id, cells, cells)

    def detail(self, row_id: str) -> Sequence[Fact]:
        """All of it."""
        view = self.rows.peers.get(row_id)
        return peer_facts(view, self.stage.age_s) if view else []

    def target(self, row_id: str) -> Target:
        """The peer."""
        return Target(peer=row_id) if row_id in self.rows.peers else Target()

    def subject(self, row_id: str) -> str:
        """Its name."""
        return row_id

    def raw(self, row_id: str) -> object | None:
        """All that is known of it."""
        return self.rows.peers.get(row_id)
