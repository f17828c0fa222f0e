"""Hands the updates of one bot in, and says up to which one Telegram may forget them.

Updates of one chat are taken in their order, those of several chats side by side. One that the core cannot take yet
is tried again; what comes after it in other chats goes on meanwhile, and so do commands and buttons of its own.
Telegram shows a hundred updates at once and no more before the first of them is done with, so when many wait they are
kept by us.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from math import ceil

import msgspec

from core.api.errors import HermesError
from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.telegram_inbound import Account, Happening, Membership, happening
from core.gateway.adapters.telegram_text import is_number, whole
from core.gateway.platform import Inbound, InboundEdit, Inbox, PlatformError, PlatformErrorKind, Press

RETRY_S = 1.0
"""How long to wait before the same is asked for again."""

CROWD = 50
"""So many updates that wait are kept by us, so that Telegram has room to show others."""

_GRACE_S = 1.0
_RETRY_CAP_S = 5.0
_LANES_AT_ONCE = 8
_FAULT_LIMIT = 3
_FAULTS_KEPT = 1_000
_KEPT_LIMIT = 60_000
_CLOSED_KEPT = 10_000
_BUTTON_FAULT = "that did not work; please try again"


class _Update(msgspec.Struct, frozen=True):
    """An update and what it says; None where it says nothing to the core."""

    id: int
    says: Happening | None
    query_id: str = ""


class _Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """An update that Telegram has forgotten, as it is kept."""

    id: int
    message: Inbound | None = None
    edit: InboundEdit | None = None


class _Lane:
    """What of one chat is not done with, in its order. skip_count: of the next passes."""

    def __init__(self) -> None:
        self.updates: list[_Update] = []
        self.skip_count = 0
        self.task: asyncio.Task[None] | None = None


_held = msgspec.json.Decoder(list[_Held])


class Reading:
    """One connection's way in. answer: tells whoever used a button what came of it, by the id of the press.

    group: of the connection; what takes long goes on in it. kept: the cursor. next_id: the first update that Telegram
    is to show, None before the first one. closed_chats: that we may not write to, as far as we were told.
    """

    def __init__(
        self,
        inbox: Inbox,
        account: Callable[[], Account],
        answer: Callable[[str, str], Awaitable[None]],
        kept: str,
        group: asyncio.TaskGroup,
    ) -> None:
        self._inbox = inbox
        self._account = account
        self._answer = answer
        self._group = group
        self._gate = asyncio.Semaphore(_LANES_AT_ONCE)
        self._lanes: dict[str, _Lane] = {}
        self._done: set[int] = set()
        self._faults: dict[int, int] = {}
        self._let_go: list[str] = []
        self._kept = kept
        self.next_id, held = _read_kept(kept, account().id)
        self._held = {update.id for update in held}
        self._line_up(held)
        self.closed_chats: set[str] = set()

    async def take(self, values: Sequence[object]) -> float:
        """Hand in what one poll brought; returns the seconds to wait before the next one, 0 for none.

        Raises PlatformError when an update was let go because it cannot be handled.
        """
        before = self.next_id
        updates = self._read(values)
        self._line_up(updates)
        tasks = [self._begun(lane) for lane in self._lanes.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE_S)
        self._lanes = {chat: lane for chat, lane in self._lanes.items() if lane.updates}
        await self._settle([update.id for update in updates])
        if self._let_go:
            name = self._let_go.pop()
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, f"an update was let go: handling it failed with {name}")
        # A server that shows the same again and again must not keep us busy.
        is_idle = bool(values) and self.next_id == before
        return RETRY_S if self._lanes or is_idle else 0.0

    async def take_one(self, value: object) -> bool:
        """Hand in what a webhook brought; False when it is to be brought again."""
        for update in self._read([value]):
            try:
                return not await self._wait_s(update)
            except Exception as error:  # noqa: BLE001 - as below
                if not self._is_given_up(update.id):
                    return False
                self._inbox.refused(f"handling an update failed with {type(error).__name__}")
        return True

    def _read(self, values: Sequence[object]) -> list[_Update]:
        account = self._account()
        found: dict[int, _Update] = {}
        for value in values:
            number = whole(value, "update_id")
            if number is None or number < 0:
                continue
            update = loose.mapping(value)
            found[number] = _Update(number, _said(update, account), _query_id(update))
        return [found[number] for number in sorted(found)]

    def _line_up(self, updates: Sequence[_Update]) -> None:
        known = {update.id for update in self._waiting()} | self._done
        for update in updates:
            if update.id not in known:
                self._lanes.setdefault(_lane(update), _Lane()).updates.append(update)

    def _waiting(self) -> Iterator[_Update]:
        return (update for lane in self._lanes.values() for update in lane.updates)

    # -- one chat

    def _begun(self, lane: _Lane) -> "asyncio.Task[None]":
        if lane.task is None or lane.task.done():
            lane.task = self._group.create_task(self._pass(lane))
        return lane.task

    async def _pass(self, lane: _Lane) -> None:
        """Hand in what can be; what cannot stays."""
        at = 0
        is_skipped = lane.skip_count > 0
        lane.skip_count = max(0, lane.skip_count - 1)
        async with self._gate:
            while at < len(lane.updates):
                update = lane.updates[at]
                if not ((at or is_skipped) and not _overtakes(update)) and await self._is_done(lane, update):
                    del lane.updates[at]
                    self._done.add(update.id)
                    self._held.discard(update.id)
                else:
                    at += 1

    async def _is_done(self, lane: _Lane, update: _Update) -> bool:
        try:
            wait_s = await self._wait_s(update)
        except Exception as error:  # noqa: BLE001 - one update must not make the account deaf for ever
            if not self._is_given_up(update.id):
                return False
            self._let_go.append(type(error).__name__)
            return True
        if wait_s:
            lane.skip_count = ceil(wait_s / RETRY_S) - 1
        return not wait_s

    async def _wait_s(self, update: _Update) -> float:
        """Hand one in; 0 when it is done with, else how long until the core wants it again."""
        says = update.says
        if isinstance(says, Press):
            await self._press(says)
            return 0.0
        if update.query_id:
            await self._answer(update.query_id, "")
        try:
            if isinstance(says, Inbound):
                await self._inbox.receive(says)
            elif isinstance(says, InboundEdit):
                await self._inbox.edited(says)
            elif isinstance(says, Membership):
                self._note(says)
        except HermesError as error:
            if not error.retryable:
                return 0.0
            asked_s = error.facts.get("retry_after_s")
            wait_s = float(asked_s) if isinstance(asked_s, int | float) else RETRY_S
            return min(max(RETRY_S, wait_s), _RETRY_CAP_S)
        return 0.0

    async def _press(self, press: Press) -> None:
        # Whoever pressed sees at once that it failed and can press again, so this is never put off.
        words = _BUTTON_FAULT
        try:
            words = await self._inbox.pressed(press)
        except HermesError as error:
            words = error.message
        finally:
            await self._answer(press.native_id, words)

    def _note(self, change: Membership) -> None:
        self.closed_chats.discard(change.chat)
        if not change.is_open:
            if len(self.closed_chats) >= _CLOSED_KEPT:
                self.closed_chats.pop()
            self.closed_chats.add(change.chat)

    def _is_given_up(self, number: int) -> bool:
        if len(self._faults) >= _FAULTS_KEPT:
            self._faults.clear()
        count = self._faults.pop(number, 0) + 1
        if count < _FAULT_LIMIT:
            self._faults[number] = count
        return count >= _FAULT_LIMIT

    # -- how far we are

    async def _settle(self, ids: Sequence[int]) -> None:
        """Find the first update that Telegram must not forget, and keep how far we are."""
        undone = [number for number in ids if number not in self._done and number not in self._held]
        if len(undone) >= CROWD and await self._hold(undone, ids[-1] + 1):
            return
        if ids:
            self.next_id = undone[0] if undone else ids[-1] + 1
            self._done = {done for done in self._done if done >= undone[0]} if undone else set()
        await self._is_kept(self.next_id, [update for update in self._waiting() if update.id in self._held])

    async def _hold(self, undone: Sequence[int], next_id: int) -> bool:
        """Keep what waits ourselves; False when it cannot be kept: then it stays with Telegram."""
        held = [update for update in self._waiting() if isinstance(update.says, Inbound | InboundEdit)]
        numbers = {update.id for update in held}
        if not numbers.issuperset(undone) or not await self._is_kept(next_id, held):
            return False
        self.next_id = next_id
        self._held |= numbers
        self._done.clear()
        return True

    async def _is_kept(self, next_id: int | None, held: Sequence[_Update]) -> bool:
        if next_id is None:
            return False
        text = f"{self._account().id}:{next_id}"
        if held:
            text += "\n" + msgspec.json.encode([_as_held(update) for update in held]).decode()
        if text == self._kept:
            return True
        if len(text) > _KEPT_LIMIT:
            return False
        try:
            await self._inbox.keep_cursor(text)
        except HermesError:
            # Then the same is read again after a restart, and known by its ids.
            return False
        self._kept = text
        return True


def _read_kept(kept: str, bot_id: int) -> tuple[int | None, list[_Update]]:
    """Where reading goes on, and what Telegram has forgotten already; None where nothing was kept, or that of another
    bot.
    """
    place, _, rest = kept.partition("\n")
    owner, _, number = place.partition(":")
    if owner != str(bot_id) or not is_number(number):
        return None, []
    try:
        found = _held.decode(rest) if rest else []
    except (msgspec.DecodeError, UnicodeEncodeError):
        found = []
    return int(number), [_Update(item.id, item.message or item.edit) for item in found]


def _as_held(update: _Update) -> _Held:
    says = update.says
    return _Held(
        update.id,
        message=says if isinstance(says, Inbound) else None,
        edit=says if isinstance(says, InboundEdit) else None,
    )


def _said(update: Json, account: Account) -> Happening | None:
    try:
        return happening(update, account)
    except (ValueError, TypeError, RecursionError):
        return None


def _query_id(update: Json) -> str:
    return loose.text(update.get("callback_query"), "id")


def _lane(update: _Update) -> str:
    says = update.says
    if says is None:
        return ""
    if isinstance(says, Membership):
        return says.chat
    return says.source.chat


def _overtakes(update: _Update) -> bool:
    """Whether it may go before an earlier one of its chat: stopping what is stuck must not have to wait for it."""
    says = update.says
    return not isinstance(says, Inbound | InboundEdit) or (
        isinstance(says, Inbound) and says.may_command and says.text.startswith("/")
    )
