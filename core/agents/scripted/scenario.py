"""Scenarios: what a scripted agent says and does, as data, and which of it answers a text (pure)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from core.api.errors import ConfigError
from core.api.runs import ActionOption, OptionKind, PlanStep, Stop, ToolKind

FLOOD_LIMIT = 100_000
_MATCH_TEXT_LIMIT = 4_000
_SECONDS_LIMIT = 86_400
_EXCERPT_WORDS = 8

Seconds = Annotated[float, Meta(ge=0, le=_SECONDS_LIMIT)]
Span = Seconds | Annotated[tuple[Seconds, ...], Meta(min_length=2, max_length=2)]
"""Seconds, or the two ends of a range from which one is drawn."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of a scenario; keys that it does not know are errors."""


class PlanPart(Part, frozen=True, kw_only=True):
    """One line of a plan."""

    text: str
    status: str = "pending"
    priority: str = "medium"


class ToolPart(Part, frozen=True, kw_only=True):
    """A tool call that takes a while. fail: its end is a failure."""

    title: str
    kind: ToolKind = ToolKind.OTHER
    input: str = ""
    output: str = ""
    diff: str = ""
    seconds: Span = 0.5
    fail: bool = False


class OptionPart(Part, frozen=True, kw_only=True):
    """One answer that an approval offers."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    label: str
    kind: OptionKind


_ONCE = (
    OptionPart(id="allow", label="Allow once", kind=OptionKind.ALLOW_ONCE),
    OptionPart(id="deny", label="Deny", kind=OptionKind.REJECT_ONCE),
)


class ApprovalPart(Part, frozen=True, kw_only=True):
    """A question to the operator, and what follows from either answer.

    deadline_s: announced; gives_up_s: after which the agent takes it as a no without a word. tool, target: for the
    policy; without them the detail of what executes or deletes is the target of exec. chain: agents in between.
    """

    title: str
    detail: str = ""
    kind: ToolKind = ToolKind.EXECUTE
    options: Annotated[tuple[OptionPart, ...], Meta(min_length=1, max_length=16)] = _ONCE
    deadline_s: Seconds | None = None
    gives_up_s: Seconds | None = None
    tool: str = ""
    target: str = ""
    diff: str = ""
    chain: tuple[str, ...] = ()
    allow: "tuple[Step, ...]" = ()
    deny: "tuple[Step, ...]" = ()


class WritePart(Part, frozen=True, kw_only=True):
    """A file in the agent's own folder; really written, after approval."""

    path: str
    text: str


class RunPart(Part, frozen=True, kw_only=True):
    """A command line for a shell; really run, after approval and as the policy wants it."""

    command: str


class ErrorPart(Part, frozen=True, kw_only=True):
    """An end by an error. code: its stable name."""

    message: str
    code: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = "scripted"


class RetryPart(Part, frozen=True, kw_only=True):
    """A wait before the model is asked again."""

    reason: str
    seconds: Span = 2.0
    count: Annotated[int, Meta(ge=1, le=100)] = 1


class UsagePart(Part, frozen=True, kw_only=True):
    """Tokens of the run so far."""

    input_tokens: Annotated[int, Meta(ge=0)] = 0
    output_tokens: Annotated[int, Meta(ge=0)] = 0
    context_tokens: Annotated[int, Meta(ge=0)] = 0
    context_limit: Annotated[int, Meta(ge=0)] = 0
    cost_usd: Annotated[float, Meta(ge=0)] = 0.0


class Step(Part, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that the agent does: exactly one key.

    text and thought are streamed word by word; silent: nothing ever again; crash: the agent
    dies, with these last words; wrong: text with escapes, markup and bidi; flood: so many
    deltas at once; ask: a question that ends the turn; question: one whose answer is waited for, in words;
    mode: it works in a mode of its own from now on; stop: the end of the turn.
    """

    text: str | None = None
    thought: str | None = None
    tool: ToolPart | None = None
    plan: tuple[PlanPart | str, ...] | None = None
    approval: ApprovalPart | None = None
    write: WritePart | None = None
    run: RunPart | None = None
    question: str | None = None
    mode: str | None = None
    pause: Span | None = None
    silent: bool | None = None
    crash: str | None = None
    error: ErrorPart | None = None
    wrong: bool | None = None
    flood: Annotated[int, Meta(ge=0, le=FLOOD_LIMIT)] | None = None
    usage: UsagePart | None = None
    retry: RetryPart | None = None
    ask: str | None = None
    stop: Stop | None = None

    def __post_init__(self) -> None:
        count = sum(getattr(self, name) is not None for name in self.__struct_fields__)
        if count != 1:
            raise ValueError(f"a step has exactly one key, and this has {count}")

    @property
    def name(self) -> str:
        """The key that is there."""
        return next(name for name in self.__struct_fields__ if getattr(self, name) is not None)


class Choice(Part, frozen=True, kw_only=True):
    """One of several ways to answer. weight: its share."""

    steps: tuple[Step, ...]
    weight: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0


class Rule(Part, frozen=True, kw_only=True):
    """What answers a text that `match` (a regular expression) is found in; None fits all texts."""

    match: str | None = None
    steps: tuple[Step, ...] = ()
    choices: tuple[Choice, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.steps) == bool(self.choices):
            raise ValueError("a rule has either steps or choices")


class Scenario(Part, frozen=True, kw_only=True):
    """A whole agent. word_pause_s: between streamed words; streamed: False gives a text at once;
    commands: whether `!plan` and the like are obeyed.
    """

    rules: Annotated[tuple[Rule, ...], Meta(min_length=1)]
    about: str = ""
    word_pause_s: Seconds = 0.03
    streamed: bool = True
    commands: bool = True

    def steps_for(self, text: str, draw: Callable[[], float]) -> Sequence[Step]:
        """The steps of the first rule that fits. draw: a number in [0, 1), used for choices."""
        seen = text[:_MATCH_TEXT_LIMIT]
        for rule in self.rules:
            if rule.match is None or re.search(rule.match, seen):
                return rule.steps or _chosen(rule.choices, draw())
        return ()


# msgspec crashes when two threads are the first to use a type; here it is used once under the import lock.
msgspec.json.Decoder(Scenario)


def _chosen(choices: Sequence[Choice], number: float) -> Sequence[Step]:
    left = number * sum(choice.weight for choice in choices)
    for choice in choices:
        left -= choice.weight
        if left < 0:
            return choice.steps
    return choices[-1].steps


def scenario_of(values: Mapping[str, Any], file: str) -> Scenario:
    """A scenario from plain values. Raises ConfigError (facts: file, key, fix)."""
    try:
        scenario = msgspec.convert(values, Scenario)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        key = place.rstrip("`").removeprefix("$").removeprefix(".")
        unknown = re.search(r"unknown field `(.*)`", what)
        if unknown:
            key = f"{key}.{unknown[1]}" if key else unknown[1]
        raise _fault(file, key, what) from None
    for number, rule in enumerate(scenario.rules):
        try:
            re.compile(rule.match or "")
        except re.error as error:
            raise _fault(file, f"rules[{number}].match", f"not a regular expression: {error}") from None
    if scenario.rules[-1].match is not None:
        raise _fault(file, f"rules[{len(scenario.rules) - 1}].match", "the last rule must fit every text")
    return scenario


def _fault(file: str, key: str, what: str) -> ConfigError:
    where = f"{file}: {key}" if key else file
    return ConfigError(f"{where}: {what}", file=file, key=key, fix="compare with the built-in scenarios")


def options_of(part: ApprovalPart) -> tuple[ActionOption, ...]:
    """The options of an approval as the operator is shown them."""
    return tuple(ActionOption(id=item.id, label=item.label, kind=item.kind) for item in part.options)


def plan_of(lines: Sequence[PlanPart | str]) -> tuple[PlanStep, ...]:
    """A plan as it is reported."""
    return tuple(
        PlanStep(text=line)
        if isinstance(line, str)
        else PlanStep(text=line.text, status=line.status, priority=line.priority)
        for line in lines
    )


def filled(text: str, said: str, sender: str) -> str:
    """A text with {text}, {excerpt}, {words} and {sender} put in; what is put in is not looked at again."""
    if "{" not in text:
        return text
    words = said.split()
    excerpt = " ".join(words[:_EXCERPT_WORDS]) + (" ..." if len(words) > _EXCERPT_WORDS else "")
    known = {"text": said, "excerpt": excerpt, "words": str(len(words)), "sender": sender or "there"}
    return re.sub(r"\{(text|excerpt|words|sender)\}", lambda found: known[found[1]], text)


def pieces(text: str) -> list[str]:
    """A text cut behind its words."""
    return re.findall(r"\s*\S+(?:\s+$)?|\s+$", text)
