"""Shell commands about jobs of the clock: look at them, make, hold, run and remove them, preview a schedule."""

import argparse

from console.automation_facts import job_facts, next_words
from console.automation_receipts import job_words, ordered_words, removed_words
from console.shell.call import Call, Verb
from console.shell.flags import add_nothing, add_reason, add_yes
from console.shell.printing import ages_from, fact_lines, facts, since, table
from console.text import stamp
from core.api.base import Mark
from core.api.errors import NotFound
from core.api.jobs import (
    AddJob,
    JobList,
    JobSpec,
    JobView,
    ListJobs,
    Misfire,
    Overlap,
    PauseJob,
    PreviewSchedule,
    RemoveJob,
    ResumeJob,
    RunJob,
)

_DEFAULT = JobSpec(schedule="", text="")


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help="its name, as `cron list` prints it")


async def _list(call: Call) -> None:
    found = await call.query(ListJobs())
    now = await call.now()
    call.give(found, lambda: _rows(found, now, call.width))
    if not found.jobs:
        call.narrate("no job is there; `cron add` makes one, `cron:` in config.yaml holds others")


def _rows(found: JobList, now: Mark, width: int | None) -> list[str]:
    head = ("job", "state", "next", "last", "ago", "fails", "missed", "when", "deliver", "answer")
    rows = [
        (
            view.name,
            view.state.value,
            next_words(view, ages_from(now)),
            view.last.state.value if view.last else "",
            since(view.last.ended, now) if view.last else "",
            str(view.failed_count),
            str(view.missed_count),
            view.problem or view.words,
            f"{view.spec.deliver} {view.last.post.value}" if view.spec.deliver and view.last else view.spec.deliver,
            (view.last.error or view.last.answer) if view.last else "",
        )
        for view in found.jobs
    ]
    return table(head, rows, width=width) if rows else []


async def _show(call: Call) -> None:
    found = await call.query(ListJobs())
    view = next((view for view in found.jobs if view.name == call.args.name), None)
    if view is None:
        raise NotFound(f"no job {call.args.name}", noun="job", id=call.args.name, fix="see `cron list`")
    now = await call.now()
    call.give(view, lambda: fact_lines(job_facts(view, ages_from(now), use_ascii=True)))


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("schedule", metavar="WHEN", help='such as "0 9 * * mon-fri", "every 30m", 2026-12-24T18:00')
    parser.add_argument("--timezone", default=_DEFAULT.timezone, help="such as Europe/Vienna (default UTC)")


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help="a name of a-z 0-9 _ . -")
    _add_schedule(parser)
    parser.add_argument("text", metavar="TEXT", help="what is to be done each time")
    parser.add_argument("--agent", default="", help="who does it (default: the default agent)")
    parser.add_argument("--deliver", default="", help="where the answer goes, such as home or telegram:8841")
    parser.add_argument("--misfire", choices=[kind.value for kind in Misfire], default=_DEFAULT.misfire.value)
    parser.add_argument("--grace", type=float, default=_DEFAULT.misfire_grace_s, help="seconds late that are in time")
    parser.add_argument("--overlap", choices=[kind.value for kind in Overlap], default=_DEFAULT.overlap.value)


async def _add(call: Call) -> None:
    args = call.args
    spec = JobSpec(
        schedule=args.schedule,
        timezone=args.timezone,
        text=args.text,
        agent=args.agent,
        deliver=args.deliver,
        misfire=Misfire(args.misfire),
        misfire_grace_s=args.grace,
        overlap=Overlap(args.overlap),
    )
    view = await call.execute(AddJob(name=args.name, spec=spec))
    _give(call, view, job_words(view)[0])


def _add_remove(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_yes(parser)


async def _remove(call: Call) -> None:
    call.confirm(f"removing {call.args.name}", "job.remove")
    view = await call.execute(RemoveJob(name=call.args.name))
    _give(call, view, removed_words(view)[0])


def _add_pause(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_reason(parser)


async def _pause(call: Call) -> None:
    view = await call.execute(PauseJob(name=call.args.name, reason=call.args.reason))
    _give(call, view, job_words(view)[0])


async def _resume(call: Call) -> None:
    view = await call.execute(ResumeJob(name=call.args.name))
    _give(call, view, job_words(view)[0])


async def _run(call: Call) -> None:
    view = await call.execute(RunJob(name=call.args.name))
    _give(call, view, ordered_words(view)[0])


def _give(call: Call, view: JobView, words: str) -> None:
    call.give(view, lambda: facts([("job", view.name), ("state", view.state.value), ("next", stamp(view.next_at))]))
    call.narrate(words)


def _add_preview(parser: argparse.ArgumentParser) -> None:
    _add_schedule(parser)
    parser.add_argument("--count", type=int, default=5, help="how many times (default 5)")


async def _preview(call: Call) -> None:
    args = call.args
    found = await call.query(PreviewSchedule(schedule=args.schedule, timezone=args.timezone, count=args.count))
    call.give(found, lambda: [*facts([("when", found.words)]), *(stamp(at) for at in found.times_at)])


VERBS: tuple[Verb, ...] = (
    Verb("cron", "list", "jobs, their next times and what became of the last runs", add_nothing, _list),
    Verb("cron", "show", "one job with all of its facts", _add_name, _show),
    Verb("cron", "add", "make a job", _add_new, _add),
    Verb("cron", "remove", "let a job go", _add_remove, _remove),
    Verb("cron", "pause", "let its times go by", _add_pause, _pause),
    Verb("cron", "resume", "go on with the next time", _add_name, _resume),
    Verb("cron", "run", "run it now", _add_name, _run),
    Verb("cron", "preview", "when a schedule would come round", _add_preview, _preview),
)
