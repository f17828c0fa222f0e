"""What a bindings.json of HotPlex would change here, and what of ours can be written as one (pure)."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from core.api.bindings import (
    ANY_CHAT,
    BOTS_LIMIT,
    BindingDocument,
    BindingImportItem,
    BindingView,
    Bot,
    RelayProtocol,
)
from core.api.errors import InvalidInput
from core.relay.binding import check_bot, in_order
from core.relay.bot_url import shown
from core.relay.hotplex_file import FileBinding, write_bindings

Key = tuple[str, str]

ADDED, CHANGED, SAME, REMOVED, REFUSED = "added", "changed", "same", "removed", "refused"


class Import(msgspec.Struct, frozen=True):
    """What would come of a file. after: the bots of the chats that change, none for one that is bound no more."""

    items: tuple[BindingImportItem, ...]
    after: tuple[tuple[Key, tuple[Bot, ...]], ...]


def planned(
    file: Sequence[FileBinding],
    bound: Mapping[Key, BindingView],
    *,
    peers: Collection[str],
    is_replacing: bool,
) -> Import:
    """What would come of it. is_replacing: bots that the file does not name leave the chats that it names."""
    items: list[BindingImportItem] = []
    after: list[tuple[Key, tuple[Bot, ...]]] = []
    for entry in file:
        key = (entry.platform, entry.chat_id)
        known = bound.get(key)
        before = {} if known is None else {bot.name: bot for bot in known.bots}
        told, bots = _chat(entry, before, peers, is_replacing=is_replacing)
        items += told
        if bots != before:
            after.append((key, in_order(bots.values())))
    return Import(tuple(items), tuple(after))


def check_refused(items: Iterable[BindingImportItem]) -> None:
    """Raises InvalidInput when something of a file cannot be taken."""
    refused = [item for item in items if item.outcome == REFUSED]
    if not refused:
        return
    first = refused[0]
    count = (
        "1 bot of the file cannot be taken" if len(refused) == 1 else f"{len(refused)} bots of the file cannot be taken"
    )
    what = f"{count}, so nothing was; first: {first.name} of {first.platform}:{first.chat}: {first.why}"
    raise InvalidInput(what, field="document", value=first.url, fix="mend the file, or skip what is refused")


def exported(bindings: Sequence[BindingView]) -> BindingDocument:
    """Bindings as HotPlex reads them, and what it will not know."""
    left_out: list[str] = []
    written: list[FileBinding] = []
    for binding in bindings:
        place = f"{binding.platform}:{binding.chat}"
        if ANY_CHAT in {binding.platform, binding.chat}:
            left_out.append(f"{place}: HotPlex has no binding for every chat")
            continue
        bots: list[tuple[str, str]] = []
        for bot in binding.bots:
            why = _unsayable(bot)
            if why:
                left_out.append(f"{place} {bot.name}: {why}")
                continue
            bots.append((bot.name, bot.url))
            lost = _lost(bot)
            if lost:
                left_out.append(f"{place} {bot.name}: written without {lost}")
        if bots:
            written.append(FileBinding(platform=binding.platform, chat_id=binding.chat, bots=tuple(bots)))
    return BindingDocument(document=write_bindings(written), left_out=(*left_out, *_mixed_up(written)))


def _chat(
    entry: FileBinding, before: Mapping[str, Bot], peers: Collection[str], *, is_replacing: bool
) -> tuple[list[BindingImportItem], dict[str, Bot]]:
    """What comes of one chat of the file: its bots told one by one, and those that it has then."""
    items: list[BindingImportItem] = []
    bots = {} if is_replacing else dict(before)
    for name, url in entry.bots:
        found, outcome, why = _bot(entry, name, url, before.get(name), peers)
        if found is not None and name not in bots and len(bots) >= BOTS_LIMIT:
            found, outcome, why = None, REFUSED, f"a chat can have {BOTS_LIMIT} bots"
        if found is None and name in before:
            found = before[name]
        if found is not None:
            bots[name] = found
        kept = found.url if found is not None and outcome != REFUSED else shown(url)
        items.append(_item(entry, name, kept, outcome, why))
    items += [
        _item(entry, bot.name, bot.url, REMOVED, "the file does not name it")
        for bot in before.values()
        if bot.name not in bots
    ]
    return items, bots


def _bot(
    entry: FileBinding, name: str, url: str, before: Bot | None, peers: Collection[str]
) -> tuple[Bot | None, str, str]:
    """One bot of the file as it would be kept, what becomes of it, and why."""
    check = check_bot(entry.platform, entry.chat_id, Bot(name=name, url=url), peers=peers, networks=())
    if check.bot is None:
        first = check.problems[0]
        return None, REFUSED, f"{first.problem}; {first.fix}"
    if before is None:
        return check.bot, ADDED, ""
    if before.url == check.bot.url and before.protocol is RelayProtocol.HOTPLEX:
        return before, SAME, ""
    # A token and a way into a private network were given for the old address, and for nothing else.
    after = msgspec.structs.replace(check.bot, priority=before.priority, enabled=before.enabled)
    lost = _lost(msgspec.structs.replace(before, priority=after.priority))
    return after, CHANGED, f"it was {before.url}" + (f"; {lost} not taken over" if lost else "")


def _item(entry: FileBinding, name: str, url: str, outcome: str, why: str) -> BindingImportItem:
    return BindingImportItem(platform=entry.platform, chat=entry.chat_id, name=name, url=url, outcome=outcome, why=why)


def _unsayable(bot: Bot) -> str:
    if bot.protocol is not RelayProtocol.HOTPLEX:
        return f"HotPlex does not speak {bot.protocol.value}"
    return "" if bot.enabled else "it is disabled, and HotPlex would send to it"


def _lost(bot: Bot) -> str:
    """What a file cannot say of a bot, in words."""
    said = [f"its peer {bot.peer}"] if bot.peer else []
    if bot.networks:
        said.append(f"its networks {' '.join(bot.networks)}")
    if bot.priority != Bot(name="", url="").priority:
        said.append(f"its priority {bot.priority}")
    return ", ".join(said)


def _mixed_up(written: Sequence[FileBinding]) -> list[str]:
    """Chats of one id on several platforms: HotPlex keeps only the last of them."""
    platforms: dict[str, list[str]] = {}
    for binding in written:
        platforms.setdefault(binding.chat_id, []).append(binding.platform)
    return [
        f"chat {chat} of {', '.join(names)}: written for each, and HotPlex keeps only one of them"
        for chat, names in sorted(platforms.items())
        if len(names) > 1
    ]
