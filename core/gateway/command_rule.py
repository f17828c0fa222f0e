"""Chat commands for admins: the home chat, the connections, work by the clock, a new start."""

from collections.abc import Awaitable, Callable

import msgspec

from core.api.base import Actor, PlatformName
from core.api.errors import InvalidInput
from core.api.jobs import AddJob, JobSpec, JobView, ListJobs, PauseJob, RemoveJob, ResumeJob, RunJob
from core.api.platforms import ListPlatforms, PausePlatform, ResumePlatform
from core.clock import Clock
from core.gateway.branch import beginning
from core.gateway.command_ports import Call, Facade, Handlers, Reply, failed
from core.gateway.command_text import age, platforms_text
from core.gateway.homes import Homes
from core.gateway.target import Explicit, formatted

Restart = Callable[[Actor], Awaitable[str]]
"""Ends this core in order and has it started again; what to tell whoever ordered it."""

_EVERY = "every"
_FIELDS = 5
_CHANGES: dict[str, type[PauseJob | ResumeJob | RemoveJob | RunJob]] = {
    "pause": PauseJob,
    "resume": ResumeJob,
    "remove": RemoveJob,
    "run": RunJob,
}
_DONE = {"pause": "is paused", "resume": "goes on", "remove": "is removed", "run": "begins now"}


class RuleCommands:
    """restart: None where nothing starts this core again."""

    def __init__(self, *, facade: Facade, homes: Homes, clock: Clock, restart: Callable[[], Restart | None]) -> None:
        self._facade = facade
        self._homes = homes
        self._clock = clock
        self._restart = restart

    @property
    def handlers(self) -> Handlers:
        """What it carries out."""
        return {"sethome": self.sethome, "platform": self.platform, "cron": self.cron, "restart": self.restart}

    async def sethome(self, call: Call) -> Reply:
        """Make this chat the home of its connection."""
        if call.rest.lower() == "off":
            await self._homes.choose(call.source.platform, None, call.actor)
            home = self._homes.find(call.source.platform)
            return Reply(
                "There is no home chat now." if home is None else f"The home chat is {home.chat}, as configured."
            )
        if call.rest:
            return failed(f"I do not know what to make of that. Use it as {call.command.usage}")
        place = msgspec.structs.replace(call.inbound.source, user=None)
        await self._homes.choose(call.source.platform, place, call.actor)
        return Reply(f"This chat is the home of {call.source.platform} now: news and results come here.")

    async def platform(self, call: Call) -> Reply:
        """List the connections, pause one, resume one."""
        verb, _, rest = call.rest.partition(" ")
        verb, (name, _, reason) = verb.lower(), rest.strip().partition(" ")
        if verb in {"", "list"} and not name:
            listed = await self._facade.query(ListPlatforms())
            return Reply(platforms_text(listed.platforms, self._clock.monotonic()))
        if verb not in {"pause", "resume"} or not name:
            return failed(f"I do not know what to make of that. Use it as {call.command.usage}")
        platform = PlatformName(name)
        if platform == call.source.platform:
            return failed("That is the connection of this chat, which could not resume it; use the console.")
        if verb == "resume":
            view = await self._facade.execute(ResumePlatform(platform=platform), actor=call.actor)
            return Reply(f"{view.name} goes on: {view.state.value}.")
        view = await self._facade.execute(PausePlatform(platform=platform, reason=reason.strip()), actor=call.actor)
        waiting = f" {view.backlog} to be sent wait." if view.backlog else ""
        return Reply(f"{view.name} is paused: nothing is taken in and nothing sent.{waiting}")

    async def cron(self, call: Call) -> Reply:
        """Look at jobs, make one, change one."""
        verb, _, rest = call.rest.partition(" ")
        verb, rest = verb.lower(), rest.strip()
        if verb in {"", "list"}:
            listed = await self._facade.query(ListJobs())
            return Reply("\n".join(map(self._line, listed.jobs)) or "There are no jobs.")
        if verb == "add":
            name, schedule, text = split_job(rest)
            place = Explicit(call.source.platform, call.source.chat, call.source.thread)
            spec = JobSpec(schedule=schedule, text=text, deliver=formatted(place))
            job = await self._facade.execute(AddJob(name=name, spec=spec), actor=call.actor)
            return Reply(f"Job {job.name}: {job.words}. Its answers come here.")
        change = _CHANGES.get(verb)
        if change is None or not rest:
            return failed(f"I do not know what to make of that. Use it as {call.command.usage}")
        job = await self._facade.execute(change(name=rest), actor=call.actor)
        return Reply(f"Job {job.name} {_DONE[verb]}.")

    async def restart(self, call: Call) -> Reply:
        """Ask first, then begin the core anew."""
        restart = self._restart()
        if restart is None:
            return failed("Nothing would start this gateway again.")
        if call.rest.lower() != "now":
            return Reply("This ends every turn that does not end by itself in time. /restart now does it.")
        return Reply(await restart(call.actor))

    def _line(self, job: JobView) -> str:
        due = f", in {age(job.next.mono - self._clock.monotonic())}" if job.next is not None else ""
        why = f" ({job.problem})" if job.problem else ""
        return f"- {job.name}: {job.words}, {job.state.value}{due}{why}: {beginning(job.spec.text)}"


def split_job(words: str) -> tuple[str, str, str]:
    """Name, schedule and text of NAME SCHEDULE TEXT. The schedule is five fields, `every 30m`, or one instant.

    Raises InvalidInput when one of them is missing.
    """
    parts = words.split()
    count = _FIELDS
    if len(parts) > 1 and parts[1].lower() == _EVERY:
        count = 2
    elif len(parts) > 1 and "T" in parts[1] and "-" in parts[1]:
        count = 1
    if len(parts) < 1 + count + 1:
        raise InvalidInput(
            "a job needs a name, a schedule and what is to be done",
            field="job",
            value=words[:80],
            fix="write /cron add NAME every 30m TEXT, or five fields such as 0 9 * * 1-5 in place of every 30m",
        )
    text = words.split(maxsplit=1 + count)[-1]
    return parts[0], " ".join(parts[1 : 1 + count]), text
