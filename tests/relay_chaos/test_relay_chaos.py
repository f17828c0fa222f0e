"""Two real cores relay to each other through lines that fail in every way, and die: each task has one effect.

What is counted: an effect is a text that an agent of the far side was given, in whatever run; its answer stands once in
a transcript. Both ledgers must say the same of it, and what nobody can know is said to be unknown.
"""

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from core.api.bindings import RelayProtocol
from core.api.relay_tasks import RelayDirection, RelayReason, RelayState, RelayTaskView, ReplayRelay
from tests.support.relay_line import Fault
from tests.support.relay_pair import RelayCore, Said, answer_to, relay_pair

CONTEXTS = 5
PROTOCOLS = tuple(RelayProtocol)
SETTLE_S = 240.0
"""Whoever waits for an answer for long asks once a minute."""

_LOOK_S = 0.2
_SHOWN = 5
_IN_DOUBT = frozenset({RelayReason.UNKNOWN, RelayReason.UNANSWERED})

Weather = Mapping[Fault, float]
STORM: Weather = dict.fromkeys([fault for fault in Fault if fault is not Fault.NONE], 0.08)


class Phase(msgspec.Struct, frozen=True):
    """Some messages in one weather. is_one_way: only the line from east to west has it. is_closed: nobody can connect.
    kills: of cores, in turn. is_canceled: whoever sent a message takes it back a little later.
    """

    name: str
    weather: Weather
    is_one_way: bool = False
    is_closed: bool = False
    is_canceled: bool = False
    lasts_s: float = 0.8
    kills: int = 0


PHASES = (
    Phase("calm", {}),
    Phase("closed", {}, is_closed=True, lasts_s=2.5),
    Phase("partition", {Fault.PARTITION: 1.0}),
    Phase("one way", {Fault.PARTITION: 1.0}, is_one_way=True),
    Phase("silence", {Fault.SILENCE: 0.7}, lasts_s=2.0),
    Phase("slow", {Fault.SLOW: 1.0}),
    Phase("cut", {Fault.CUT: 0.8}),
    Phase("lost answer", {Fault.LOST: 0.8}),
    Phase("torn answer", {Fault.TORN: 0.8}),
    Phase("repeated", {Fault.REPEAT: 0.5, Fault.LATE: 0.5}),
    Phase("taken back", STORM, is_canceled=True, kills=2),
    Phase("killed", {}, kills=4),
    Phase("all of it", STORM, kills=4),
)


class Sent(msgspec.Struct, frozen=True):
    """A message of which a core said that it is stored. is_canceled: and that its sender took back, or tried to."""

    phase: str
    id: str
    text: str
    is_canceled: bool


class Tally(msgspec.Struct):
    """What became of the messages of a phase. canceled: those taken back in time, which may have had an effect or none.
    lies: where the two sides say different things.
    """

    tasks: int = 0
    canceled: int = 0
    effects: int = 0
    duplicates: int = 0
    lost: int = 0
    unknown: list[str] = msgspec.field(default_factory=list[str])
    lies: list[str] = msgspec.field(default_factory=list[str])


async def _send(core: RelayCore, phase: Phase, count: int, dice: random.Random) -> list[Sent]:
    async def one(number: int) -> Sent:
        await asyncio.sleep(dice.uniform(0.0, phase.lasts_s))
        name = f"{phase.name.replace(' ', '-')}-{core.name}-{number}"
        sent = Sent(phase.name, name, f"{phase.name} {core.name} {number}", phase.is_canceled)
        protocol = PROTOCOLS[number % len(PROTOCOLS)]
        await core.send(protocol, sent.id, sent.text, f"{protocol.value} {dice.randrange(CONTEXTS)}")
        if phase.is_canceled:
            await asyncio.sleep(dice.uniform(0.0, 0.4))
            await core.cancel(sent.id)
        return sent

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def _kill(cores: Sequence[RelayCore], phase: Phase, dice: random.Random) -> None:
    """One after the other, in the middle of whatever it does; at times both are gone."""
    for number in range(phase.kills):
        await asyncio.sleep(dice.uniform(0.05, 0.6))
        core = cores[number % 2]
        await core.kill()
        await asyncio.sleep(dice.uniform(0.0, 0.3))
        await core.start()


async def _settled(pair: tuple[RelayCore, RelayCore]) -> Counter[str]:
    """Wait until nothing is under way, or far too long. Dead ones are sent again as an operator does; their reasons."""
    reasons = Counter[str]()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            while True:
                rows = [row for core in pair for row in await core.tasks(RelayDirection.OUT)]
                if any(not row.state.is_over for row in rows):
                    await asyncio.sleep(_LOOK_S)
                    continue
                dead = [row for row in rows if row.state is RelayState.DEAD]
                if not dead:
                    break
                reasons.update(row.reason.value for row in dead)
                await _check_undelivered(pair, dead)
                for core in pair:
                    await core.execute(ReplayRelay())
    return reasons


async def _check_undelivered(pair: tuple[RelayCore, RelayCore], dead: Sequence[RelayTaskView]) -> None:
    """What is said to have never arrived is not there."""
    there = {row.id.partition("/")[2] for core in pair for row in await core.tasks(RelayDirection.IN)}
    never = {str(row.id) for row in dead if row.reason is RelayReason.UNDELIVERED}
    assert never & there == set()


def _judge(sent: Sent, out: RelayTaskView | None, taken: RelayTaskView | None, said: Said, tally: Tally) -> None:
    """What became of one message."""
    effects, answers = said.asked[sent.text], said.answers[answer_to(sent.text)]
    tally.tasks += 1
    tally.effects += effects
    tally.duplicates += max(0, effects - 1, answers - 1)
    if out is None:
        tally.lost += 1
        return
    if out.state is RelayState.COMPLETED and out.reason is RelayReason.NONE:
        tally.lost += not effects
        is_true = taken is not None and taken.state is RelayState.COMPLETED and effects == answers == 1
        if not is_true or out.answer != answer_to(sent.text) or (taken is not None and taken.answer != out.answer):
            tally.lies.append(_words(sent, out, taken, effects, answers))
    elif out.state is RelayState.CANCELED and sent.is_canceled and (taken is None or taken.state.is_over):
        tally.canceled += 1
    elif not out.state.is_over:
        tally.lies.append(_words(sent, out, taken, effects, answers))
    elif out.reason in _IN_DOUBT:
        tally.unknown.append(_words(sent, out, taken, effects, answers))
    elif effects or taken is not None:
        tally.lies.append(_words(sent, out, taken, effects, answers))


def _words(sent: Sent, out: RelayTaskView, taken: RelayTaskView | None, effects: int, answers: int) -> str:
    there = "nothing" if taken is None else f"{taken.state.value} {taken.answer!r}"
    here = f"{out.state.value} {out.reason.value} {out.answer!r} {out.error!r}"
    return f"{sent.id}: {here}, there {there}; given to an agent {effects} times, answered {answers} times"


async def _judged(source: RelayCore, target: RelayCore, sent: Sequence[Sent], tallies: Mapping[str, Tally]) -> int:
    """All messages of one direction; how many attempts they took."""
    outs = {str(row.id): row for row in await source.tasks(RelayDirection.OUT)}
    taken = {row.id.partition("/")[2]: row for row in await target.tasks(RelayDirection.IN)}
    said = await target.said()
    for one in sent:
        _judge(one, outs.get(one.id), taken.get(one.id), said, tallies[one.phase])
    assert set(outs) == {one.id for one in sent}
    return sum(row.attempt_count for row in outs.values())


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_each_task_has_one_effect_and_a_truthful_state_on_both_sides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the line does to it, and whoever is killed in the middle."""
    is_long = os.environ.get("HERMES_TORTURE") == "long"
    count, rounds = (40, 8) if is_long else (10, 1)
    dice = random.Random(11)
    sent: dict[str, list[Sent]] = {"east": [], "west": []}
    phases = [
        msgspec.structs.replace(phase, name=f"{phase.name}{number or ''}")
        for number in range(rounds)
        for phase in PHASES
    ]
    tallies = {phase.name: Tally() for phase in phases}
    died = Counter[str]()
    async with relay_pair(tmp_path, dice) as pair:
        for phase in phases:
            for core in pair:
                core.line.chances = {} if phase.is_one_way and core is pair[1] else phase.weather
                if phase.is_closed:
                    await core.line.close()
            async with asyncio.TaskGroup() as group:
                sending = {core.name: group.create_task(_send(core, phase, count, dice)) for core in pair}
                group.create_task(_kill(pair, phase, dice))
            for name, job in sending.items():
                sent[name] += job.result()
            if phase.is_closed:
                await asyncio.gather(*(core.line.open() for core in pair))
            if phase.name.startswith(PHASES[-1].name):
                for core in pair:
                    core.line.chances = {}
                died += await _settled(pair)
        east, west = pair
        attempts = await _judged(east, west, sent["east"], tallies) + await _judged(west, east, sent["west"], tallies)
        faults = sum(core.line.happened.total() - core.line.happened[Fault.NONE] for core in pair)
        kills = east.deaths + west.deaths
        canceled = sum(tally.canceled for tally in tallies.values())
    with capsys.disabled():
        more = f"attempts={attempts} faults={faults} kills={kills} taken back={canceled}"
        _report(tallies, f"{more} dead and sent again={dict(died)}")
    assert sum(tally.tasks for tally in tallies.values()) == 2 * count * len(phases)
    assert sum(len(tally.lies) for tally in tallies.values()) == 0
    assert sum(tally.duplicates for tally in tallies.values()) == 0
    assert sum(tally.lost for tally in tallies.values()) == 0
    assert kills == sum(phase.kills for phase in phases)
    # A storm that hit nothing shows nothing.
    assert attempts > sum(tally.tasks for tally in tallies.values())
    assert all(sum(core.line.happened[fault] for core in pair) for fault in Fault)
    assert died
    assert canceled


def _report(tallies: Mapping[str, Tally], more: str) -> None:
    whole = Tally()
    lines = [f"\n{'':14}{'tasks':>7}{'effects':>9}{'duplicates':>12}{'lost':>6}{'unknown':>9}"]
    for name, tally in tallies.items():
        lines.append(_line(name, tally))
        whole.tasks += tally.tasks
        whole.effects += tally.effects
        whole.duplicates += tally.duplicates
        whole.lost += tally.lost
        whole.unknown += tally.unknown
        lines += [f"  the two sides differ: {lie}" for lie in tally.lies[:_SHOWN]]
    lines += [_line("all", whole), more]
    lines += [f"unknown: {words}" for words in whole.unknown]
    print("\n".join(lines))  # noqa: T201 - the counts are the result


def _line(name: str, tally: Tally) -> str:
    counts = f"{tally.tasks:>7}{tally.effects:>9}{tally.duplicates:>12}{tally.lost:>6}{len(tally.unknown):>9}"
    return f"{name:14}{counts}"
