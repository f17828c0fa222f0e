"""Which bots a chat can reach, and where each of them is: protocol, view, history, queries, commands, events."""

from enum import StrEnum
from typing import Annotated

import msgspec

from core.api.base import Command, Event, Mark, Query, Seq, View, Word


class RelayProtocol(StrEnum):
    """How a bot is spoken to: the relay of HotPlex (also ours), or Agent2Agent."""

    HOTPLEX = "hotplex"
    A2A = "a2a"


NAME_LIMIT = 64
"""Characters of the name of a bot."""

BOTS_LIMIT = 100
"""Bots of one binding."""

ANY_CHAT = "*"
"""As the chat of a binding: every chat of its platform. As its platform too: every chat there is."""

BotName = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LIMIT)]


class Bot(Word, frozen=True, kw_only=True):
    """A bot that a chat can reach.

    url: its base address, without a trailing /relay; of an A2A server, the address below which its card is. peer: entry
    of relay.peers whose credentials it is called with, "" for none. priority: of several of one name the lowest number
    is meant. networks: CIDRs of private addresses that it may be at, such as 10.0.0.0/8.
    """

    name: str
    url: str
    protocol: RelayProtocol = RelayProtocol.HOTPLEX
    peer: str = ""
    priority: int = 100
    networks: tuple[str, ...] = ()
    enabled: bool = True


class BindingView(View, frozen=True, kw_only=True):
    """What one chat is bound to. platform and chat are its key; bots stand by name. changed_by: who did it last.

    version: the number of its last change, so it grows also when a binding goes and comes back.
    """

    platform: str
    chat: str
    version: int
    bots: tuple[Bot, ...]
    created: Mark
    changed: Mark
    changed_by: str = ""


class Ambiguity(View, frozen=True, kw_only=True):
    """A name that stands for several addresses where no chat is named. urls: all of them, the most wanted first.

    is_decided: priority decides, so the first is meant; if not, sending to the name alone is refused.
    """

    name: str
    urls: tuple[str, ...]
    chats: tuple[str, ...]
    is_decided: bool


class BindingList(View, frozen=True, kw_only=True):
    """All bindings by platform and chat. problem: what of them cannot be read, "" when all can."""

    bindings: tuple[BindingView, ...]
    ambiguities: tuple[Ambiguity, ...]
    seq: Seq
    problem: str = ""


class ListBindings(Query[BindingList], frozen=True, kw_only=True):
    """All bindings. platform: only of that one; "" for all."""

    platform: str = ""


class BindingProblem(View, frozen=True, kw_only=True):
    """What is wrong with a field of a binding. is_fatal: it cannot be stored so; if not, it is only odd."""

    field: str
    value: str
    problem: str
    fix: str
    is_fatal: bool = True


class BindingCheck(View, frozen=True, kw_only=True):
    """What a binding would be. bot: with its address as it would be kept; None when it cannot be."""

    problems: tuple[BindingProblem, ...]
    bot: Bot | None
    origin: str = ""


class CheckBot(Query[BindingCheck], frozen=True, kw_only=True):
    """Whether a bot could be bound to a chat like this. Asks nobody and changes nothing."""

    platform: str
    chat: str
    bot: Bot


class Candidate(View, frozen=True, kw_only=True):
    """Where a name may lead. origin: whose breaker counts."""

    platform: str
    chat: str
    bot: Bot
    origin: str


class Resolution(View, frozen=True, kw_only=True):
    """What a name means. chosen: None when nothing or too much fits; why: then, in words."""

    name: str
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    why: str = ""


class ResolveBot(Query[Resolution], frozen=True, kw_only=True):
    """What a name means, in a chat or anywhere."""

    name: str
    platform: str = ""
    chat: str = ""


class ChangeKind(StrEnum):
    """What was done to a binding."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    IMPORTED = "imported"
    UNDONE = "undone"


class BindingChange(View, frozen=True, kw_only=True):
    """One change of one binding. number: grows over all bindings; before, after: None where there was or is none."""

    number: int
    platform: str
    chat: str
    kind: ChangeKind
    at: Mark
    by: str
    before: tuple[Bot, ...] | None
    after: tuple[Bot, ...] | None


class BindingHistory(View, frozen=True, kw_only=True):
    """Changes, the latest first. has_more: older ones are there."""

    changes: tuple[BindingChange, ...]
    has_more: bool
    seq: Seq


class ListBindingChanges(Query[BindingHistory], frozen=True, kw_only=True):
    """What was changed. platform, chat: only of that binding. before: a number, for older ones. limit: 1 to 500."""

    platform: str = ""
    chat: str = ""
    before: int = 0
    limit: int = 50


class BindingReceipt(View, frozen=True, kw_only=True):
    """What became of an order. binding: None when it is gone."""

    binding: BindingView | None
    change: BindingChange


class AddBinding(Command[BindingReceipt], frozen=True, kw_only=True):
    """Bind bots to a chat: those named are added or changed, others stay, unless is_replacing.

    expected: the version that it was seen at, 0 for one that is not there yet, None for any. Raises InvalidInput,
    ConflictError when it was changed since.
    """

    platform: str
    chat: str
    bots: tuple[Bot, ...]
    is_replacing: bool = False
    expected: int | None = None


class RemoveBinding(Command[BindingReceipt], frozen=True, kw_only=True):
    """Take one bot of a chat away, or all with bot "". What is under way to it still goes there.

    Raises NotFound, ConflictError when it was changed since `expected`.
    """

    platform: str
    chat: str
    bot: str = ""
    expected: int | None = None


class UndoBinding(Command[BindingReceipt], frozen=True, kw_only=True):
    """Take back the last change of a binding; done twice, the one is made again.

    expected: the number of that change. Raises NotFound without a change, ConflictError when there is a later one.
    """

    platform: str
    chat: str
    expected: int | None = None


class BindingImportItem(View, frozen=True, kw_only=True):
    """One bot of a file. outcome: added, changed, same, refused, or removed because the file does not name it. why: in
    words.
    """

    platform: str
    chat: str
    name: str
    url: str
    outcome: str
    why: str = ""


class BindingImportReport(View, frozen=True, kw_only=True):
    """What an import did, or would do. Nothing is taken unless everything that is refused was skipped on purpose."""

    items: tuple[BindingImportItem, ...]
    is_dry_run: bool


class ImportBindings(Command[BindingImportReport], frozen=True, kw_only=True):
    """Take the bindings of a HotPlex bindings.json. document: its text; the file itself is never written.

    Raises InvalidInput for one that is damaged or of another version, and when a bot is refused unless is_skipping.
    """

    document: str
    is_replacing: bool = False
    is_dry_run: bool = False
    is_skipping: bool = False


class BindingDocument(View, frozen=True, kw_only=True):
    """A bindings.json of version 1. left_out: what it cannot say, in words."""

    document: str
    left_out: tuple[str, ...]


class ExportBindings(Query[BindingDocument], frozen=True, kw_only=True):
    """All bindings as HotPlex reads them."""


class BindingAdded(Event, frozen=True, kw_only=True):
    """A chat is bound that was not."""

    binding: BindingView
    change: BindingChange


class BindingChanged(Event, frozen=True, kw_only=True):
    """The bots of a chat are others."""

    binding: BindingView
    change: BindingChange


class BindingRemoved(Event, frozen=True, kw_only=True):
    """A chat is bound to nothing any more."""

    platform: str
    chat: str
    change: BindingChange
