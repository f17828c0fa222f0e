"""What can be ordered in a chat by a slash command: one table, and how what was typed is matched to it (pure).

The table drives parsing, who may do what, help, the menus of platforms and the reference page. Nothing else names
a command.
"""

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from enum import StrEnum

import msgspec

from core.api.access import Tier
from core.gateway.abilities import CommandHint

_PUNCTUATION = ".,;:!?"
_NEAR = 0.6
_NEAR_COUNT = 2
_NAME_LIMIT = 64
_DIGITS = 9


class Topic(StrEnum):
    """What a command is about; the order of help."""

    TALK = "This conversation"
    RUN = "What the agent does now"
    DECIDE = "What the agent asks"
    KNOW = "What there is"
    RULE = "For admins"


class Facility(StrEnum):
    """What a command cannot do without; where it is missing, the command is not offered."""

    JOBS = "jobs"
    RELAY = "relay"
    RESTART = "restart"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One order.

    arguments: as help shows them; [x] may be left out. bypass: it does its work while a run goes on; any other says
    that it has to wait. is_for_all: no list can take it away. is_admin_only: no list can give it. needs: what must be
    there. takes_text: what follows the name is free text, which nothing keeps but the message that it becomes.
    """

    name: str
    text: str
    topic: Topic
    arguments: str = ""
    aliases: tuple[str, ...] = ()
    bypass: bool = True
    is_for_all: bool = False
    is_admin_only: bool = False
    needs: Facility | None = None
    takes_text: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that it is called."""
        return (self.name, *self.aliases)

    @property
    def usage(self) -> str:
        """As it is typed."""
        return f"/{self.name} {self.arguments}".rstrip()


TABLE: tuple[Command, ...] = (
    Command(
        name="new",
        aliases=("reset",),
        arguments="[title]",
        topic=Topic.TALK,
        text="begin a new conversation; what runs is stopped, what waits is let go, what was said can be resumed",
    ),
    Command(
        name="retry",
        topic=Topic.TALK,
        bypass=False,
        text="ask the last thing again, as if the agent had not answered it",
    ),
    Command(
        name="undo",
        arguments="[count]",
        topic=Topic.TALK,
        bypass=False,
        text="have the agent forget the last turns, one unless you say how many",
    ),
    Command(
        name="branch",
        aliases=("fork",),
        arguments="[title]",
        topic=Topic.TALK,
        bypass=False,
        text="go on in a copy of this conversation; this one can be resumed",
    ),
    Command(
        name="resume",
        arguments="[number]",
        topic=Topic.TALK,
        bypass=False,
        text="list the earlier conversations of this chat, or take one up again",
    ),
    Command(
        name="title",
        arguments="[title]",
        topic=Topic.TALK,
        text="show or set the title of this chat",
    ),
    Command(
        name="compress",
        aliases=("compact",),
        topic=Topic.TALK,
        bypass=False,
        text="have a summary stand for what was said earlier",
    ),
    Command(
        name="stop",
        arguments="[turn]",
        topic=Topic.RUN,
        text="stop what runs and let go what waits; turn: only what runs, then what waits goes on",
    ),
    Command(
        name="queue",
        aliases=("q",),
        arguments="text",
        topic=Topic.RUN,
        takes_text=True,
        text="have it answered after everything that waits, in a turn of its own",
    ),
    Command(
        name="steer",
        arguments="text",
        topic=Topic.RUN,
        takes_text=True,
        text="put it into the turn that goes on",
    ),
    Command(
        name="background",
        aliases=("bg",),
        arguments="text",
        topic=Topic.RUN,
        takes_text=True,
        text="have it done beside this conversation; the result comes here",
    ),
    Command(
        name="relay",
        arguments="[NAME text]",
        topic=Topic.RUN,
        takes_text=True,
        needs=Facility.RELAY,
        text="send a message to a bot elsewhere, whose answer comes here; alone: the bots that this chat reaches",
    ),
    Command(
        name="agents",
        aliases=("tasks",),
        topic=Topic.RUN,
        text="what runs now, and for how long",
    ),
    Command(
        name="approve",
        arguments="[id] [once|task|session|always]",
        topic=Topic.DECIDE,
        text="say yes to what the agent asks; without id only if it asks one thing",
    ),
    Command(
        name="deny",
        arguments="[id|all] [reason]",
        topic=Topic.DECIDE,
        text="say no to what the agent asks, and why",
    ),
    Command(
        name="answer",
        arguments="[id] text",
        topic=Topic.DECIDE,
        is_for_all=True,
        takes_text=True,
        text="answer a question of the agent, in words or by the number of a choice",
    ),
    Command(name="start", topic=Topic.KNOW, is_for_all=True, text="say hello"),
    Command(name="help", arguments="[command]", topic=Topic.KNOW, is_for_all=True, text="what you can order here"),
    Command(
        name="commands",
        arguments="[page]",
        topic=Topic.KNOW,
        is_for_all=True,
        text="all commands with their other names, page by page",
    ),
    Command(name="whoami", topic=Topic.KNOW, is_for_all=True, text="who you are to this gateway, and why you may talk"),
    Command(name="status", topic=Topic.KNOW, is_for_all=True, text="what this conversation is busy with"),
    Command(name="usage", topic=Topic.KNOW, text="tokens of this conversation"),
    Command(name="sessions", arguments="[all]", topic=Topic.KNOW, text="your conversations here; all: for admins"),
    Command(
        name="model",
        arguments="[name|default]",
        topic=Topic.KNOW,
        text="show the model, or have this chat answered by another one",
    ),
    Command(name="profile", topic=Topic.KNOW, text="the agent that answers here"),
    Command(name="version", aliases=("v",), topic=Topic.KNOW, text="the version of this gateway"),
    Command(
        name="sethome",
        aliases=("set-home",),
        arguments="[off]",
        topic=Topic.RULE,
        is_admin_only=True,
        text="send news and results without a chat of their own here; off: no longer",
    ),
    Command(
        name="platform",
        arguments="[list|pause NAME|resume NAME]",
        topic=Topic.RULE,
        is_admin_only=True,
        text="the connections of this gateway",
    ),
    Command(
        name="cron",
        arguments="[list|add SCHEDULE TEXT|remove ID|pause ID|resume ID|run ID]",
        topic=Topic.RULE,
        is_admin_only=True,
        needs=Facility.JOBS,
        text="work that begins by the clock",
    ),
    Command(
        name="restart",
        arguments="[now]",
        topic=Topic.RULE,
        is_admin_only=True,
        needs=Facility.RESTART,
        text="end this gateway in order and start it again; it asks first",
    ),
)

_BY_NAME = {name: command for command in TABLE for name in command.names}


class Spoken(msgspec.Struct, frozen=True):
    """What was typed. name: lower case with hyphens, without slash and addressee. rest: what follows, as it is."""

    name: str
    rest: str = ""
    addressee: str = ""


class Found(msgspec.Struct, frozen=True):
    """The command that was meant."""

    command: Command


class Ambiguous(msgspec.Struct, frozen=True):
    """The beginning of several. names: of the commands, in the order of the table."""

    names: tuple[str, ...]


class Unknown(msgspec.Struct, frozen=True):
    """No command. near: names that look like it, the nearest first."""

    near: tuple[str, ...] = ()


def spoken(text: str) -> Spoken | None:
    """The command that a text is, known or not; None when it is plain text.

    A name with a slash inside is a path of a file and no command. `/stop@name` is /stop.
    """
    typed = text.lstrip()
    if not typed.startswith("/"):
        return None
    head, *tail = typed.split(maxsplit=1)
    if "/" in head[1:]:
        return None
    word, _, addressee = head[1:].partition("@")
    name = word.rstrip(_PUNCTUATION).replace("_", "-").lower()
    if len(name) > _NAME_LIMIT or re.search(r"[^\W_]", name) is None:
        return None
    return Spoken(name, tail[0].strip() if tail else "", addressee.rstrip(_PUNCTUATION))


def resolved(name: str, table: Sequence[Command] = TABLE) -> Found | Ambiguous | Unknown:
    """What a name means: a name or alias as it is, else the beginning of the names of one command only."""
    by_name = _BY_NAME if table is TABLE else {item: command for command in table for item in command.names}
    whole = by_name.get(name)
    if whole is not None:
        return Found(whole)
    begun = dict.fromkeys(command.name for item, command in by_name.items() if item.startswith(name))
    if len(begun) == 1:
        return Found(by_name[next(iter(begun))])
    if begun:
        return Ambiguous(tuple(begun))
    near = get_close_matches(name, list(by_name), _NEAR_COUNT, _NEAR)
    return Unknown(tuple(dict.fromkeys(by_name[item].name for item in near)))


def may_use(command: Command, tier: Tier, user_commands: Collection[str]) -> bool:
    """Whether somebody of that tier may use it. user_commands: what those who are no admins may use, any name of it."""
    if tier is Tier.ADMIN or command.is_for_all:
        return True
    if command.is_admin_only:
        return False
    allowed = {item.lower().lstrip("/").replace("_", "-") for item in user_commands}
    return not allowed.isdisjoint(command.names)


def offered(tier: Tier, user_commands: Collection[str], facilities: Collection[Facility]) -> tuple[Command, ...]:
    """The commands that somebody of that tier can use, in the order of the table."""
    return tuple(
        command
        for command in TABLE
        if may_use(command, tier, user_commands) and (command.needs is None or command.needs in facilities)
    )


def hints(commands: Sequence[Command]) -> tuple[CommandHint, ...]:
    """The same for the menu of a platform."""
    return tuple(CommandHint(name=item.name.replace("-", "_"), text=item.text) for item in commands)


def number(text: str) -> int | None:
    """The number that somebody typed, of nine digits at most; None for anything else."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def needs_text(command: Command) -> bool:
    """Whether it says nothing without what follows its name."""
    return command.takes_text and not command.arguments.startswith("[")
