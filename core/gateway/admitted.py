"""Everyone whom some rule lets in, each with the rule and where it stands (pure)."""

from collections.abc import Collection, Iterable, Iterator

from core.api.access import AdmittedView, Rule, Tier
from core.api.base import PlatformName
from core.api.pairings import PairingState, PairingView
from core.gateway.access import EVERYBODY, PAIRING, Access, AccountRules


def admitted(access: Access, proved: Collection[PlatformName], pairings: Iterable[PairingView]) -> list[AdmittedView]:
    """By connection and id; who is blocked is left out. proved: connections that prove their senders themselves."""
    known = {(view.platform, view.sender_id): view for view in pairings}
    found: list[AdmittedView] = []
    for rules in access.accounts.values():
        if rules.platform in proved:
            found.append(_view(rules, EVERYBODY, Rule.UPSTREAM, "connection"))
        else:
            found += _by_rules(rules)
    for view in known.values():
        if view.state is PairingState.APPROVED:
            rules = access.rules(view.platform)
            found.append(_view(rules, view.sender_id, Rule.PAIRED, PAIRING))
    blocked = {key for key, view in known.items() if view.state is PairingState.BLOCKED}
    named = (_named(item, known) for item in found if (item.platform, item.sender_id) not in blocked)
    return sorted(named, key=lambda item: (item.platform, item.sender_id != EVERYBODY, item.sender_id, item.rule.value))


def _by_rules(rules: AccountRules) -> Iterator[AdmittedView]:
    if rules.allow_all:
        yield _view(rules, EVERYBODY, Rule.PLATFORM_ALLOW_ALL, rules.allow_all)
    for one, origin in rules.users.items():
        yield _view(rules, one, Rule.PLATFORM_ALLOWLIST, origin)
    for one, origin in rules.group_users.items():
        yield _view(rules, one, Rule.PLATFORM_ALLOWLIST, origin, "in shared chats")
    for chat, origin in rules.chats.items():
        yield _view(rules, EVERYBODY, Rule.CHAT_ALLOWLIST, origin, f"everybody in chat {chat}")
    for one, origin in rules.everywhere.items():
        yield _view(rules, one, Rule.GLOBAL_ALLOWLIST, origin)
    if rules.everywhere_all:
        yield _view(rules, EVERYBODY, Rule.GLOBAL_ALLOW_ALL, rules.everywhere_all)
    if rules.bots != "none":
        what = "programs" if rules.bots == "all" else "programs that address us"
        yield _view(rules, EVERYBODY, Rule.BOT, rules.places.get(Rule.BOT, "default"), what)


def _view(rules: AccountRules, sender_id: str, rule: Rule, origin: str, name: str = "") -> AdmittedView:
    admins = rules.admins
    is_admin = (not admins and rule is not Rule.BOT) or sender_id in admins or EVERYBODY in admins
    return AdmittedView(
        platform=rules.platform,
        sender_id=sender_id,
        sender_name=name,
        rule=rule,
        origin=origin,
        tier=Tier.ADMIN if is_admin else Tier.USER,
    )


def _named(item: AdmittedView, known: dict[tuple[PlatformName, str], PairingView]) -> AdmittedView:
    view = known.get((item.platform, item.sender_id))
    if view is None:
        return item
    since = view.decided.at if view.decided is not None and item.rule is Rule.PAIRED else None
    return AdmittedView(
        platform=item.platform,
        sender_id=item.sender_id,
        sender_name=item.sender_name or view.sender_name,
        rule=item.rule,
        origin=item.origin,
        tier=item.tier,
        since_at=since,
    )
