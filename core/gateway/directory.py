"""The directory of chats: learnt from messages and asked of the platforms, so that people can name a chat."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from urllib.parse import quote

import msgspec

from core.api.base import SYSTEM, Actor, Event, PlatformName, Record
from core.api.chats import ChatList, ChatsLearnt, ChatsRefreshed, ChatView, ListChats, RefreshChats
from core.api.errors import InvalidInput, NotFound, StoreError
from core.api.platforms import PlatformConnected
from core.api.sessions import ChatKind, Source
from core.clock import Clock, mark, rebased
from core.gateway.abilities import Chat, ListsChats
from core.gateway.delivery import one_line
from core.gateway.listing import check_limit
from core.gateway.platform import Platform, PlatformError
from core.gateway.target import Explicit, Place, formatted, near
from core.handlers import CommandHandlers, QueryHandlers
from core.journal import Journal
from core.store.base import Put, Store
from core.supervisor import Supervisor
from core.waits import task_group

_ROWS = "chat/"
_PAGE_ROWS = 500
_CALL_LIMIT_S = 30.0
_KEPT = 20_000
_NAME_LIMIT = 200
_LIST_LIMIT = 1000
_SHOWN = 5
_SHARED_BEGIN = ("-", "!", "#", "@@")

_views = msgspec.json.Decoder(ChatView)
_Key = tuple[str, str | None]


class Directory:
    """Chats by account. platforms: names of all connections; platform_of: one of them, None while it is not built."""

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        platforms: Callable[[], Sequence[PlatformName]],
        platform_of: Callable[[PlatformName], Platform | None],
        refresh_s: float,
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._platforms = platforms
        self._platform_of = platform_of
        self._refresh_s = refresh_s
        self._chats: dict[PlatformName, dict[_Key, ChatView]] = {}
        # Rows that a full disk did not take.
        self._unkept: set[str] = set()

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {RefreshChats: self.refresh_chats}

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {ListChats: self.list_chats}

    async def recover(self) -> None:
        """Read what is stored. Raises StoreError."""
        after = ""
        while page := await self._store.scan(_ROWS, after=after, limit=_PAGE_ROWS):
            after = page[-1].key
            for row in page:
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                    view = _views.decode(row.body)
                    self._put(msgspec.structs.replace(view, seen=rebased(view.seen, self._clock)))

    async def run(self) -> None:
        """Ask the platforms again and again, until cancelled."""
        while True:
            await self._clock.sleep(self._refresh_s)
            with contextlib.suppress(StoreError):
                await self.refresh_chats(RefreshChats(), SYSTEM)

    def observe(self, record: Record) -> None:
        """Ask a platform once its connection stands."""
        event = record.event
        if isinstance(event, PlatformConnected):
            name = event.platform.name
            if isinstance(self._platform_of(name), ListsChats):
                self._supervisor.spawn(f"chats:{name}", self._refreshed(name))

    def saw(self, source: Source) -> None:
        """A message that was let in came from there. What cannot be written to is no chat."""
        platform = self._platform_of(source.platform)
        if platform is None or not platform.limits.sends_answers:
            return
        chat = Chat(source=source, name=source.chat_name)
        puts = self._learnt(source.platform, [chat], is_listed=False)
        if puts:
            self._supervisor.spawn(f"chats:{source.platform}", self._keep(source.platform, puts))

    async def list_chats(self, query: ListChats) -> ChatList:
        """Those that fit, by platform and name."""
        check_limit(query.limit, _LIST_LIMIT)
        seq = await self._journal.head()
        text = query.text.casefold()
        names = sorted(self._chats) if query.platform is None else [query.platform]
        found = [
            view
            for name in names
            for view in sorted(self._chats.get(name, {}).values(), key=_by_name)
            if text in view.name.casefold() or text in view.chat.casefold()
        ]
        return ChatList(chats=tuple(found[: query.limit]), total=len(found), seq=seq)

    async def refresh_chats(self, command: RefreshChats, actor: Actor) -> ChatsRefreshed:  # noqa: ARG002 - as all have
        """Ask all that can list their chats, or one; one that does not answer holds up no other."""
        names = list(self._platforms())
        if command.platform is not None:
            if command.platform not in names:
                raise NotFound(
                    f"no connection is called {command.platform}{near(command.platform, names)}",
                    noun="platform",
                    id=command.platform,
                )
            names = [command.platform]
        asked = [name for name in names if isinstance(self._platform_of(name), ListsChats)]
        async with task_group() as group:
            tasks = [group.create_task(self._refreshed(name)) for name in asked]
        problems = tuple(f"{name}: {task.result()}" for name, task in zip(asked, tasks, strict=True) if task.result())
        count = sum(len(self._chats.get(name, ())) for name in asked)
        return ChatsRefreshed(asked=tuple(asked), chat_count=count, problems=problems)

    # -- found by name

    def source(self, place: Place) -> Source:
        """The chat that is meant: by its id, else its whole name, else the begin of the name of one alone.

        An id that nobody has heard of is taken as it is, a name is not. Raises InvalidInput when several chats are
        meant, NotFound when none is.
        """
        known = self._chats.get(place.platform, {})
        exact = known.get((place.chat, place.thread)) or known.get((place.chat, None))
        if exact is None:
            exact = next((view for (chat, _), view in known.items() if chat == place.chat), None)
        if exact is None and not place.is_exact:
            exact = self._named(place, list(known.values()))
        if exact is not None:
            return _source(exact, place.thread)
        is_shared = place.chat.startswith(_SHARED_BEGIN)
        kind = ChatKind.GROUP if is_shared else ChatKind.DM
        return Source(platform=place.platform, kind=kind, chat=place.chat, thread=place.thread)

    def _named(self, place: Place, known: Sequence[ChatView]) -> ChatView | None:
        wanted = _plain(place.chat)
        chats = {view.chat: view for view in known if view.name}
        for fits in (
            [view for view in chats.values() if _plain(view.name) == wanted],
            [view for view in chats.values() if wanted and _plain(view.name).startswith(wanted)],
        ):
            if len(fits) == 1:
                return fits[0]
            if fits:
                shown = ", ".join(
                    f"{formatted(Explicit(place.platform, view.chat))} ({view.name})" for view in fits[:_SHOWN]
                )
                raise InvalidInput(
                    f"{len(fits)} chats of {place.platform} are called {place.chat[:80]!r}",
                    field="target",
                    value=place.chat[:80],
                    fix=f"name one by its id: {shown}",
                )
        if any(sign.isspace() for sign in place.chat):
            names = [view.name for view in chats.values()]
            raise NotFound(
                f"no chat of {place.platform} is called {place.chat[:80]!r}{near(place.chat, names)}",
                noun="chat",
                id=place.chat[:80],
                fix="see `deliveries chats`, or name it by its id",
            )
        return None

    # -- inside

    async def _refreshed(self, name: PlatformName) -> str:
        """Ask one; the error in a line, "" when there was none."""
        platform = self._platform_of(name)
        if not isinstance(platform, ListsChats):
            return ""
        try:
            async with asyncio.timeout(_CALL_LIMIT_S):
                chats = await platform.chats()
        except PlatformError as error:
            return one_line(error.message)
        except TimeoutError:
            return f"no answer within {_CALL_LIMIT_S:g} s"
        except Exception as error:  # noqa: BLE001 - an adapter's own words may hold a secret; their type does not
            return f"the adapter failed with {type(error).__name__}"
        puts = self._learnt(name, [chat for chat in chats[:_KEPT] if chat.source.platform == name], is_listed=True)
        if puts:
            await self._keep(name, puts)
        return ""

    def _learnt(self, name: PlatformName, chats: Sequence[Chat], *, is_listed: bool) -> list[Put]:
        """Take chats in; what is to be written of them."""
        puts: list[Put] = []
        known = self._chats.setdefault(name, {})
        for chat in chats:
            source = chat.source
            before = known.get((source.chat, source.thread))
            view = ChatView(
                platform=name,
                kind=source.kind,
                chat=source.chat,
                thread=source.thread,
                name=one_line(chat.name)[:_NAME_LIMIT] or ("" if before is None else before.name),
                is_listed=is_listed or (before is not None and before.is_listed),
                seen=mark(self._clock),
            )
            puts += self._put(view)
            is_same = before is not None and (before.name, before.kind, before.is_listed) == (
                view.name,
                view.kind,
                view.is_listed,
            )
            if not is_same or (self._unkept and _key(view) in self._unkept):
                puts.append(Put(_key(view), msgspec.json.encode(view)))
        return puts

    def _put(self, view: ChatView) -> list[Put]:
        """Keep it, and let go of the one that was not heard of for longest when there are too many."""
        known = self._chats.setdefault(view.platform, {})
        known.pop((view.chat, view.thread), None)
        known[view.chat, view.thread] = view
        if len(known) <= _KEPT:
            return []
        oldest = known.pop(next(iter(known)))
        return [Put(_key(oldest), None)]

    async def _keep(self, name: PlatformName, puts: Sequence[Put]) -> None:
        count = sum(put.body is not None for put in puts)
        event: Event = ChatsLearnt(platform=name, count=count)
        keys = {put.key for put in puts}
        try:
            await self._journal.commit(puts, [(str(name), event)])
        except StoreError:
            # Tried again with the next message from there.
            self._unkept |= keys
        else:
            self._unkept -= keys


def _key(view: ChatView) -> str:
    thread = "" if view.thread is None else f"/{quote(view.thread, safe='')}"
    return f"{_ROWS}{view.platform}/{quote(view.chat, safe='')}{thread}"


def _source(view: ChatView, thread: str | None) -> Source:
    return Source(
        platform=view.platform,
        kind=view.kind,
        chat=view.chat,
        thread=view.thread if thread is None and view.kind is ChatKind.THREAD else thread,
        chat_name=view.name,
    )


def _plain(name: str) -> str:
    return name.strip().lstrip("#@").casefold()


def _by_name(view: ChatView) -> tuple[str, str, str]:
    return (view.name.casefold() or "\uffff", view.chat, view.thread or "")
