"""Commands to a scripted agent, written into the message: `!plan`, `!write FILE TEXT` and so on (pure)."""

from collections.abc import Callable, Sequence

from core.agents.scripted.scenario import (
    FLOOD_LIMIT,
    ApprovalPart,
    PlanPart,
    RunPart,
    Step,
    ToolPart,
    WritePart,
)
from core.api.runs import ToolKind

HOSTILE = (
    "plain \x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]52;c;aGVsbG8=\x07 \x9b2J bell\x07 "
    "[bold red]markup[/] [link=file:///etc/passwd]here[/link] [@click=app.quit]click[/] "
    "\u202eright to left\u202c \u2066isolate\u2069 zero\u200bwidth \ufeff e\u0301\u0301\u0301\u0301 "
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 end"
)
"""Text that does harm where text is not treated as data: escapes, markup, bidi, joiners."""

HELP = (
    "Commands: !plan · !write FILE TEXT · !sh COMMAND · !run COMMAND · !child NAME COMMAND · !ask QUESTION · "
    "!mode NAME · !slow SECONDS · !flood COUNT · !crash · !hang · !late · !long · !escape"
)
MODES_WITHOUT_QUESTIONS = frozenset({"bypass", "bypassPermissions", "dont_ask", "yolo"})
"""Modes in which an agent no longer asks."""
_LONG_COUNT = 70_000
_SLOW_LIMIT_S = 3_600.0
_CANNED = {
    "uptime": " 09:13:53 up 41 days,  3:07,  2 users,  load average: 0.18, 0.22, 0.19",
    "df -h": "Filesystem  Size  Used Avail Use% Mounted on\n/dev/vda1    80G   52G   25G  68% /",
    "ls": "README.md\nconfig.yaml\nlogs\nnotes.txt",
    "whoami": "agent",
    "git status": "On branch main\nnothing to commit, working tree clean",
    "free -m": "       total   used   free\nMem:    7954   3120   1877\nSwap:      0      0      0",
}


def command_steps(text: str) -> Sequence[Step] | None:
    """The steps of a command; None when the text is not one."""
    word, _, rest = text.strip().partition(" ")
    make = _COMMANDS.get(word)
    return make(rest.strip()) if make is not None else None


def _say(text: str) -> Step:
    return Step(text=text)


def _plan(_: str) -> Sequence[Step]:
    lines = ("Read what is asked", "Do it", "Check the result")

    def stage(done: int) -> Step:
        status = ["completed"] * done + ["in_progress"] + ["pending"] * len(lines)
        return Step(plan=tuple(PlanPart(text=line, status=status[place]) for place, line in enumerate(lines)))

    steps: list[Step] = []
    for done in range(len(lines)):
        steps += [stage(done), Step(pause=0.5)]
    return (*steps, stage(len(lines)), _say("All steps of the plan are done."))


def _write(rest: str) -> Sequence[Step]:
    path, _, text = rest.partition(" ")
    if not path or not text:
        return (_say("Write what, and where to? !write FILE TEXT"),)
    return (Step(write=WritePart(path=path, text=text + "\n")),)


def _sh(rest: str) -> Sequence[Step]:
    return _pretended(rest, ()) if rest else (_say("Which command? !sh COMMAND"),)


def _child(rest: str) -> Sequence[Step]:
    name, _, command = rest.partition(" ")
    if not command.strip():
        return (_say("Which agent, and which command? !child NAME COMMAND, or NAME/NAME for a child's child"),)
    return _pretended(command.strip(), tuple(part for part in name.split("/") if part))


def _run(rest: str) -> Sequence[Step]:
    return (Step(run=RunPart(command=rest)) if rest else _say("Which command? !run COMMAND"),)


def _mode(rest: str) -> Sequence[Step]:
    name = rest or "default"
    return (Step(mode=name), _say(f"I work in mode {name} now."))


def _pretended(rest: str, chain: tuple[str, ...]) -> Sequence[Step]:
    """A command whose output is canned. chain: agents between the session's own and the one that asks."""
    output = _CANNED.get(rest)
    title = f"sh: {rest}"
    call = ToolPart(
        title=title,
        kind=ToolKind.EXECUTE,
        input=rest,
        output=output or f"{rest.split(maxsplit=1)[0]}: this agent only pretends; try one of: {', '.join(_CANNED)}",
        fail=output is None,
        seconds=0.5,
    )
    return (
        Step(
            approval=ApprovalPart(
                title=title,
                detail=rest,
                kind=ToolKind.EXECUTE,
                tool="exec",
                target=rest,
                chain=chain,
                allow=(Step(tool=call), _say("Ran it." if output else "It failed.")),
                deny=(_say("Not run, as you decided."),),
            )
        ),
    )


def _ask(rest: str) -> Sequence[Step]:
    return (Step(question=rest or "What exactly do you want me to do?"),)


def _slow(rest: str) -> Sequence[Step]:
    return (Step(pause=_number(rest, 10.0, _SLOW_LIMIT_S)), _say("That took a while."))


def _flood(rest: str) -> Sequence[Step]:
    return (Step(flood=int(_number(rest, 1000.0, FLOOD_LIMIT))),)


def _late(_: str) -> Sequence[Step]:
    return (
        Step(
            approval=ApprovalPart(
                title="Restart the worker",
                detail="systemctl restart worker.service",
                gives_up_s=5.0,
                allow=(_say("Restarted."),),
                deny=(_say("I have waited 5 seconds and go on without it."), Step(pause=30.0), _say(" Done.")),
            )
        ),
    )


def _number(text: str, default: float, limit: float) -> float:
    try:
        number = float(text)
    except ValueError:
        return default
    return min(max(number, 0.0), limit) if number == number else default  # noqa: PLR0124 - nan is not itself


_COMMANDS: dict[str, Callable[[str], Sequence[Step]]] = {
    "!plan": _plan,
    "!write": _write,
    "!sh": _sh,
    "!run": _run,
    "!child": _child,
    "!mode": _mode,
    "!ask": _ask,
    "!slow": _slow,
    "!flood": _flood,
    "!late": _late,
    "!help": lambda _: (_say(HELP),),
    "!crash": lambda rest: (_say("Going down."), Step(crash=rest or "the agent process ended")),
    "!hang": lambda _: (_say("Not a word more."), Step(silent=True)),
    "!long": lambda _: (_say("x" * _LONG_COUNT),),
    "!escape": lambda _: (Step(wrong=True),),
}
