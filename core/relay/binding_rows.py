"""Bindings and their history as they are stored: read at the start, changed together with their events."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from core.api.base import Actor, Event
from core.api.bindings import (
    BindingAdded,
    BindingChange,
    BindingChanged,
    BindingRemoved,
    BindingView,
    Bot,
    ChangeKind,
)
from core.api.errors import StoreError
from core.clock import Clock, mark, rebased
from core.journal import Journal
from core.store.base import Committed, Put, Row, Store
from core.waits import breathe

_BOUND = "relay/binding/"
_CHANGES = "relay/binding_change/"
_CHANGES_OF = "relay/binding_change_of/"
_DIGITS = 15
_PAGE = 1_000
_PAGE_OF_CHANGES = 200

KEPT_CHANGES = 10_000
"""Changes that are kept, of all bindings together; the oldest go first."""

Key = tuple[str, str]
"""Platform and chat."""

_views = msgspec.json.Decoder(BindingView)
_changes = msgspec.json.Decoder(BindingChange)
_encoder = msgspec.json.Encoder()


class Step(msgspec.Struct, frozen=True):
    """A change of one binding that is to be made. after: None takes the binding away."""

    key: Key
    kind: ChangeKind
    before: tuple[Bot, ...] | None
    after: tuple[Bot, ...] | None


class Done(msgspec.Struct, frozen=True):
    """A change that was made. binding: None when it is gone."""

    binding: BindingView | None
    change: BindingChange


class BindingRows:
    """All bindings in memory, their history in the store. Whoever changes one holds `lock`.

    version of a binding is the number of its last change, so it grows even when a binding goes and comes back.
    damaged: bindings whose row cannot be read; their bytes stay as they are. changed: called with what holds now.
    """

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        clock: Clock,
        changed: Callable[[Sequence[Done]], None],
        kept_changes: int = KEPT_CHANGES,
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._changed = changed
        self._kept_changes = kept_changes
        self._pending: asyncio.Future[Committed] | None = None
        self._last_number = 0
        self.lock = asyncio.Lock()
        self.bound: dict[Key, BindingView] = {}
        self.damaged: set[Key] = set()

    async def load(self) -> None:
        """Read all. Raises StoreError."""
        after = ""
        while page := await self._store.scan(_BOUND, after=after, limit=_PAGE):
            after = page[-1].key
            for row in page:
                self._load(row)
            await breathe()
        newest = await self._store.scan(_CHANGES, limit=1, newest_first=True)
        versions = [view.version for view in self.bound.values()]
        self._last_number = max([_number_of(row.key) for row in newest] + versions, default=0)

    @property
    def problem(self) -> str:
        """What cannot be read, in words, or ""."""
        if not self.damaged:
            return ""
        first = ":".join(min(self.damaged))
        count = "1 stored binding" if len(self.damaged) == 1 else f"{len(self.damaged)} stored bindings"
        return f"{count} cannot be read and stay as they are; first: {first}; restore a backup"

    def check(self, key: Key) -> None:
        """Whether a binding can be changed. Raises StoreError."""
        if key in self.damaged:
            what = f"the stored binding of {':'.join(key)} cannot be read, so it stays as it is"
            raise StoreError(what, cause="corrupt", fix="restore a backup")

    async def settled(self) -> None:
        """Once nothing is being written any more, so that what is in memory is what is stored. Under `lock`."""
        if self._pending is not None and not self._pending.done():
            await asyncio.wait([self._pending])

    async def commit(self, steps: Sequence[Step], actor: Actor) -> list[Done]:
        """Make changes, all or none, in one commit with their history and events. Under `lock`. Raises StoreError."""
        done = [self._done(step, number, actor) for number, step in enumerate(steps, self._last_number + 1)]
        puts = [put for one in done for put in _puts(one)]
        puts += await self._too_old(self._last_number + len(done))
        events = [_told(one, step) for one, step in zip(done, steps, strict=True)]
        future = self._pending = self._journal.submit(puts, events, actor=actor)

        def stored(future: asyncio.Future[Committed]) -> None:
            if not future.cancelled() and future.exception() is None:
                self._take(done)

        future.add_done_callback(stored)
        # What was asked for is written even when nobody waits for it any more, and memory follows it.
        await asyncio.shield(future)
        return done

    # -- history -----------------------------------------------------------------

    async def last_change(self, key: Key) -> BindingChange | None:
        """The last change of a binding that is kept."""
        found = await self._changes_of(key, before=0, limit=1)
        return found[0] if found else None

    async def changes(self, platform: str, chat: str, *, before: int, limit: int) -> list[BindingChange]:
        """Kept changes, the latest first. platform, chat: "" for all. before: a number, 0 for the end."""
        if platform and chat:
            return await self._changes_of((platform, chat), before=before, limit=limit)
        found: list[BindingChange] = []
        after = _change_key(before) if before else ""
        while len(found) < limit:
            page = await self._store.scan(_CHANGES, after=after, limit=_PAGE_OF_CHANGES, newest_first=True)
            read = [self._change(row.body) for row in page]
            found += [one for one in read if one is not None and _fits(one, platform, chat)]
            if len(page) < _PAGE_OF_CHANGES:
                break
            after = page[-1].key
            await breathe()
        return found[:limit]

    async def _changes_of(self, key: Key, *, before: int, limit: int) -> list[BindingChange]:
        prefix = _changes_prefix(key)
        found: list[BindingChange] = []
        after = f"{prefix}{before:0{_DIGITS}d}" if before else ""
        rows = await self._store.scan(prefix, after=after, limit=limit, newest_first=True)
        for row in rows:
            kept = await self._store.get(_change_key(_number_of(row.key)))
            change = None if kept is None else self._change(kept.body)
            if change is not None:
                found.append(change)
        return found

    def _change(self, body: bytes) -> BindingChange | None:
        change = _change_of(body)
        return change and msgspec.structs.replace(change, at=rebased(change.at, self._clock))

    async def _too_old(self, last: int) -> list[Put]:
        """What goes, so that with the change `last` there are not too many."""
        count = last - self._kept_changes
        if count <= 0:
            return []
        oldest = await self._store.scan(_CHANGES, limit=last - self._last_number + 1)
        gone = [row for row in oldest if _number_of(row.key) <= count]
        puts = [Put(row.key, None) for row in gone]
        for row in gone:
            change = _change_of(row.body)
            if change is not None:
                puts.append(Put(_index_key((change.platform, change.chat), change.number), None))
        return puts

    # -- in memory ---------------------------------------------------------------

    def _load(self, row: Row) -> None:
        platform, _, chat = row.key.removeprefix(_BOUND).partition("/")
        try:
            view = _views.decode(row.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.damaged.add((platform, chat))
            return
        if (view.platform, view.chat) != (platform, chat):
            self.damaged.add((platform, chat))
            return
        created, changed = rebased(view.created, self._clock), rebased(view.changed, self._clock)
        self.bound[platform, chat] = msgspec.structs.replace(view, created=created, changed=changed)

    def _take(self, done: Sequence[Done]) -> None:
        for one in done:
            key = (one.change.platform, one.change.chat)
            if one.binding is None:
                self.bound.pop(key, None)
            else:
                self.bound[key] = one.binding
            self._last_number = max(self._last_number, one.change.number)
        self._changed(done)

    def _done(self, step: Step, number: int, actor: Actor) -> Done:
        (platform, chat), now = step.key, mark(self._clock)
        change = BindingChange(
            number=number,
            platform=platform,
            chat=chat,
            kind=step.kind,
            at=now,
            by=actor.name,
            before=step.before,
            after=step.after,
        )
        if step.after is None:
            return Done(None, change)
        known = self.bound.get(step.key)
        binding = BindingView(
            platform=platform,
            chat=chat,
            version=number,
            bots=step.after,
            created=now if known is None else known.created,
            changed=now,
            changed_by=actor.name,
        )
        return Done(binding, change)


def _told(done: Done, step: Step) -> tuple[str, Event]:
    """What is told of a change, about its platform and chat."""
    change, subject = done.change, ":".join(step.key)
    if done.binding is None:
        return subject, BindingRemoved(platform=change.platform, chat=change.chat, change=change)
    kind = BindingAdded if step.before is None else BindingChanged
    return subject, kind(binding=done.binding, change=change)


def _puts(done: Done) -> list[Put]:
    change = done.change
    key = (change.platform, change.chat)
    body = None if done.binding is None else _encoder.encode(done.binding)
    return [
        Put(f"{_BOUND}{change.platform}/{change.chat}", body),
        Put(_change_key(change.number), _encoder.encode(change)),
        Put(_index_key(key, change.number), b""),
    ]


def _change_key(number: int) -> str:
    return f"{_CHANGES}{number:0{_DIGITS}d}"


def _changes_prefix(key: Key) -> str:
    # No chat holds the end of a line, so no prefix is the beginning of that of another.
    return f"{_CHANGES_OF}{key[0]}/{key[1]}\n"


def _index_key(key: Key, number: int) -> str:
    return f"{_changes_prefix(key)}{number:0{_DIGITS}d}"


def _number_of(key: str) -> int:
    digits = key[-_DIGITS:]
    return int(digits) if digits.isdecimal() else 0


def _change_of(body: bytes) -> BindingChange | None:
    """None for one that cannot be read: history is worth less than what goes on."""
    try:
        return _changes.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _fits(change: BindingChange, platform: str, chat: str) -> bool:
    return (not platform or change.platform == platform) and (not chat or change.chat == chat)
