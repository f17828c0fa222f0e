"""Who may talk: the layers in order, where each rule stands, and the environment names of hermes-agent."""

from pathlib import Path

import pytest

from core.api.access import Rule, Tier
from core.api.base import PlatformName
from core.api.sessions import ChatKind
from core.config import check, dotenv
from core.config.peer_names import access_names
from core.gateway.access import Access, AccountRules, Roll, Sender, same_id
from core.gateway.access_rules import access_of
from core.gateway.admitted import admitted
from core.platform_settings import ChatSettings, LoopbackSettings
from core.settings import AccessSettings, Settings
from tests.support.fake_pairings import pairing

TG = PlatformName("tg")
MAIL = PlatformName("mail")


class Telegram(ChatSettings, frozen=True, kw_only=True, tag_field="kind", tag="telegram"):
    """A connection to people."""


class Email(ChatSettings, frozen=True, kw_only=True, tag_field="kind", tag="email"):
    """A connection by e-mail."""


def made(
    tg: ChatSettings | None = None,
    *,
    access: AccessSettings | None = None,
    env: dict[str, str] | None = None,
    mail: ChatSettings | None = None,
    origins: dict[str, str] | None = None,
) -> Access:
    """The rules of a configuration with two connections."""
    settings = Settings(
        platforms={"tg": tg or Telegram(), "mail": mail or Email()},  # type: ignore[dict-item]
        access=access or AccessSettings(),
    )
    environment = {name: (value, f"environment {name}") for name, value in (env or {}).items()}
    return access_of(settings, origins or {}, environment)


def who(sender_id: str = "42", platform: PlatformName = TG, **more: object) -> Sender:
    """A sender in a direct chat."""
    return Sender(platform=platform, sender_id=sender_id, **more)  # type: ignore[arg-type]


def rule(access: Access, sender: Sender | None = None, roll: Roll | None = None) -> tuple[bool, Rule, int]:
    """What was decided, by which rule, in which layer."""
    verdict = access.verdict(sender or who(), roll or Roll())
    return verdict.is_admitted, verdict.rule, verdict.layer


def paired(platform: PlatformName = TG, sender_id: str = "42", *, is_blocked: bool = False) -> Roll:
    """A roll with one sender on it."""
    roll = Roll()
    roll.put(platform, sender_id, is_approved=not is_blocked, is_blocked=is_blocked)
    return roll


def test_without_any_rule_nobody_is_let_in_and_strangers_may_ask() -> None:
    """The fifth layer."""
    assert rule(made()) == (False, Rule.DENY, 5)
    assert made().rules(TG).asks


def test_each_layer_lets_in_and_names_its_rule() -> None:
    """Layers 1 to 4, as documented."""
    assert rule(made(Telegram(allow_all=True))) == (True, Rule.PLATFORM_ALLOW_ALL, 1)
    assert rule(made(Telegram(allowed_users=("42",)))) == (True, Rule.PLATFORM_ALLOWLIST, 2)
    assert rule(made(), roll=paired()) == (True, Rule.PAIRED, 3)
    assert rule(made(access=AccessSettings(allowed_users=("tg:42",)))) == (True, Rule.GLOBAL_ALLOWLIST, 4)
    assert rule(made(access=AccessSettings(allow_all=True))) == (True, Rule.GLOBAL_ALLOW_ALL, 4)


def test_an_earlier_layer_names_the_rule_when_several_fit() -> None:
    """The first that fits decides."""
    everything = made(
        Telegram(allow_all=True, allowed_users=("42",)),
        access=AccessSettings(allow_all=True, allowed_users=("*:42",)),
    )
    assert rule(everything, roll=paired()) == (True, Rule.PLATFORM_ALLOW_ALL, 1)


def test_a_global_allow_all_holds_although_lists_exist() -> None:
    """Unlike in hermes-agent, where any list takes its effect away."""
    access = made(Telegram(allowed_users=("7",)), env={"GATEWAY_ALLOW_ALL_USERS": "true"})
    assert rule(access) == (True, Rule.GLOBAL_ALLOW_ALL, 4)


def test_blocked_beats_everything() -> None:
    """Also what the connection proves, and also under another id of the same person."""
    access = made(
        Telegram(allow_all=True), access=AccessSettings(allow_all=True, aliases={"mara": ("tg:42", "mail:m@x.org")})
    )
    assert rule(access, who(is_proved=True), paired(is_blocked=True)) == (False, Rule.BLOCKED, 0)
    assert rule(access, who(), paired(MAIL, "m@x.org", is_blocked=True)) == (False, Rule.BLOCKED, 0)


def test_a_message_without_a_sender_is_refused_even_where_everybody_is_let_in() -> None:
    """Nobody can be blocked or taken to account who has no id."""
    for sender_id in ("", "  "):
        assert rule(made(Telegram(allow_all=True)), who(sender_id)) == (False, Rule.NO_SENDER, 0)


def test_what_a_connection_proves_needs_no_list() -> None:
    """A signed webhook, the HTTP API, the console's own chat."""
    assert rule(made(), who(is_proved=True)) == (True, Rule.UPSTREAM, 0)
    assert rule(made(), who("", is_proved=True)) == (True, Rule.UPSTREAM, 0)


def test_programs_are_let_in_by_their_own_rule_alone() -> None:
    """Not even where everybody is."""
    bot = who(is_bot=True)
    assert rule(made(Telegram(allow_all=True)), bot) == (False, Rule.BOT, 0)
    assert rule(made(Telegram(allow_bots="all")), bot) == (True, Rule.BOT, 0)
    assert rule(made(Telegram(allow_bots="mentions")), bot) == (True, Rule.BOT, 0)
    assert rule(made(Telegram(allow_bots="mentions")), who(is_bot=True, is_addressed=False))[0] is False
    assert made(Telegram(allow_bots="all")).verdict(bot, Roll()).tier is Tier.USER


def test_lists_for_shared_chats_mean_nothing_in_a_direct_one() -> None:
    """Senders of a group list, and chats in which everybody is let in."""
    access = made(Telegram(group_allowed_users=("42",), allowed_chats=("-100",)))
    assert rule(access) == (False, Rule.DENY, 5)
    group = who("99", chat_kind=ChatKind.GROUP, chat="-100")
    assert rule(access, group) == (True, Rule.CHAT_ALLOWLIST, 2)
    for kind in (ChatKind.GROUP, ChatKind.CHANNEL, ChatKind.THREAD):
        assert rule(access, who(chat_kind=kind, chat="-5")) == (True, Rule.PLATFORM_ALLOWLIST, 2)


def test_a_star_is_everybody_in_a_list_and_an_id_of_a_star_is_nobody_special() -> None:
    """Only the operator's star counts."""
    assert rule(made(Telegram(allowed_users=("*",)))) == (True, Rule.PLATFORM_ALLOWLIST, 2)
    assert rule(made(Telegram(allowed_users=("7",))), who("*"))[0] is False


def test_email_addresses_match_as_a_whole_and_without_case() -> None:
    """Never by the part before the @, and never across alphabets."""
    access = made(mail=Email(allowed_users=("Ana@Example.org", "kim@example.org")))
    assert rule(access, who("ana@EXAMPLE.org", MAIL))[0]
    for stranger in ("ana@evil.org", "ana", "\u212aim@example.org"):
        assert rule(access, who(stranger, MAIL))[0] is False
    assert same_id("telegram", "Ana") == "Ana"


def test_strangers_are_ignored_where_somebody_is_listed_and_by_email() -> None:
    """What an unset `unauthorised` means, and that a set one wins."""
    assert made(Telegram(allowed_users=("7",))).rules(TG).asks is False
    assert made(env={"GATEWAY_ALLOWED_USERS": "7"}).rules(TG).asks is False
    assert made().rules(MAIL).asks is False
    assert made(mail=Email(unauthorised="pair")).rules(MAIL).asks
    assert made(Telegram(allowed_users=("7",)), access=AccessSettings(unauthorised="pair")).rules(TG).asks
    assert made(Telegram(unauthorised="ignore"), access=AccessSettings(unauthorised="pair")).rules(TG).asks is False


def test_one_person_is_let_in_under_each_id_at_a_connection() -> None:
    """Aliases of the configuration and those that the platform itself gives."""
    access = made(Telegram(allowed_users=("42",)), access=AccessSettings(aliases={"mara": ("tg:42", "*:43")}))
    assert rule(access, who("43")) == (True, Rule.PLATFORM_ALLOWLIST, 2)
    assert rule(access, who("44", aliases=("42",))) == (True, Rule.PLATFORM_ALLOWLIST, 2)
    assert access.verdict(who("44", aliases=("42",)), Roll()).matched == "42"


def test_a_list_of_one_connection_lets_nobody_in_at_another() -> None:
    """Also not the same person; the global list is about persons and does."""
    aliases = {"mara": ("tg:42", "mail:m@x.org")}
    assert (
        rule(made(Telegram(allowed_users=("42",)), access=AccessSettings(aliases=aliases)), who("m@x.org", MAIL))[0]
        is False
    )
    assert rule(made(access=AccessSettings(aliases=aliases)), who("m@x.org", MAIL), paired())[0] is False
    access = made(access=AccessSettings(aliases=aliases, allowed_users=("tg:42",)))
    assert rule(access, who("m@x.org", MAIL)) == (True, Rule.GLOBAL_ALLOWLIST, 4)


def test_the_global_list_names_addresses_in_any_case() -> None:
    """With the other ids of the same person, as everywhere else."""
    aliases = {"mara": ("tg:42", "mail:M@x.org")}
    access = made(access=AccessSettings(aliases=aliases, allowed_users=("mail:M@X.org",)))
    assert rule(access, who("m@x.ORG", MAIL)) == (True, Rule.GLOBAL_ALLOWLIST, 4)
    assert rule(access, who("42")) == (True, Rule.GLOBAL_ALLOWLIST, 4)
    access = made(access=AccessSettings(aliases=aliases), env={"GATEWAY_ALLOWED_USERS": "M@X.org"})
    assert rule(access, who("42")) == (True, Rule.GLOBAL_ALLOWLIST, 4)


def test_everybody_is_an_admin_until_some_are_named() -> None:
    """By any id of theirs."""
    assert made(Telegram(allow_all=True)).verdict(who(), Roll()).tier is Tier.ADMIN
    access = made(Telegram(allow_all=True, admins=("7",)))
    assert access.verdict(who(), Roll()).tier is Tier.USER
    assert access.verdict(who("8", aliases=("7",)), Roll()).tier is Tier.ADMIN


def test_the_environment_names_of_hermes_agent_hold_for_connections_of_that_kind() -> None:
    """Each name with its meaning there; `on` is no yes."""
    assert rule(made(env={"TELEGRAM_ALLOWED_USERS": "7, 42"})) == (True, Rule.PLATFORM_ALLOWLIST, 2)
    assert rule(made(env={"TELEGRAM_ALLOW_ALL_USERS": "1"})) == (True, Rule.PLATFORM_ALLOW_ALL, 1)
    assert rule(made(env={"TELEGRAM_ALLOW_ALL_USERS": "on"}))[0] is False
    assert rule(made(env={"GATEWAY_ALLOWED_USERS": "42"}), who("42", MAIL)) == (True, Rule.GLOBAL_ALLOWLIST, 4)
    group = who(chat_kind=ChatKind.GROUP, chat="-100")
    assert rule(made(env={"TELEGRAM_GROUP_ALLOWED_USERS": "42"}), group) == (True, Rule.PLATFORM_ALLOWLIST, 2)
    assert rule(made(env={"TELEGRAM_GROUP_ALLOWED_CHATS": "-100"}), group) == (True, Rule.CHAT_ALLOWLIST, 2)
    assert rule(made(env={"TELEGRAM_GROUP_ALLOWED_USERS": "-100"}), group) == (True, Rule.CHAT_ALLOWLIST, 2)
    assert rule(made(env={"TELEGRAM_ALLOW_BOTS": "all"}), who(is_bot=True)) == (True, Rule.BOT, 0)
    assert rule(made(env={"SIGNAL_ALLOWED_USERS": "42"}))[0] is False


def test_a_verdict_says_where_its_rule_stands() -> None:
    """Line of the file, line of `.env`, or name in the environment."""
    origins = {
        "platforms.tg.allowed_users": "config.yaml:7",
        "access.allow_all": "env HERMES_CONSOLE__ACCESS__ALLOW_ALL",
    }
    access = made(Telegram(allowed_users=("42",)), origins=origins)
    assert access.verdict(who(), Roll()).origin == "config.yaml:7"
    access = made(access=AccessSettings(allow_all=True), origins=origins)
    assert access.verdict(who(), Roll()).origin == "environment HERMES_CONSOLE__ACCESS__ALLOW_ALL"
    access = made(env={"TELEGRAM_ALLOWED_USERS": "42"})
    assert access.verdict(who(), Roll()).origin == "environment TELEGRAM_ALLOWED_USERS"


def test_the_explanation_has_every_rule_in_order_and_stops_where_it_was_decided() -> None:
    """The step that fits is the verdict's."""
    access, roll = made(Telegram(allowed_users=("42",))), paired()
    steps = list(access.steps(who(), roll))
    assert [step.rule for step in steps] == list(Rule)
    decided = next(step for step in steps if step.fits)
    assert decided.rule is access.verdict(who(), roll).rule
    place = steps.index(decided)
    assert all(step.is_reached for step in steps[: place + 1])
    assert not any(step.is_reached or step.fits for step in steps[place + 1 :])


def test_senders_whose_record_cannot_be_read_are_let_in_by_nothing() -> None:
    """They may have been blocked; and where nothing can be read that holds for everybody."""
    access, roll = made(Telegram(allow_all=True)), Roll()
    roll.is_unreadable = lambda platform, sender_id: (platform, sender_id) == (TG, "42")
    assert rule(access, who(), roll) == (False, Rule.BLOCKED, 0)
    assert rule(access, who("43"), roll)[0]
    roll.is_blind = True
    assert rule(access, who("43"), roll) == (False, Rule.BLOCKED, 0)


def test_everybody_who_is_let_in_is_listed_with_the_reason() -> None:
    """Lists, the roll, everybody; without those who are blocked."""
    from core.api.pairings import PairingState

    access = made(
        Telegram(allowed_users=("7", "8"), allowed_chats=("-100",), admins=("7",)),
        access=AccessSettings(allow_all=True),
    )
    views = [
        pairing("p-1", platform=TG, sender_id="42", state=PairingState.APPROVED),
        pairing("p-2", platform=TG, sender_id="8", state=PairingState.BLOCKED),
    ]
    found = admitted(access, [MAIL], views)
    shown = {(view.platform, view.sender_id, view.rule, view.tier) for view in found}
    assert shown == {
        (TG, "*", Rule.CHAT_ALLOWLIST, Tier.USER),
        (TG, "*", Rule.GLOBAL_ALLOW_ALL, Tier.USER),
        (TG, "7", Rule.PLATFORM_ALLOWLIST, Tier.ADMIN),
        (TG, "42", Rule.PAIRED, Tier.USER),
        (MAIL, "*", Rule.UPSTREAM, Tier.ADMIN),
    }


def test_a_connection_that_is_not_configured_lets_nobody_in() -> None:
    """There are no rules for it."""
    assert rule(made(), who("42", PlatformName("gone"))) == (False, Rule.DENY, 5)


def test_lists_that_name_no_connection_are_a_fault_of_the_configuration(tmp_path: Path) -> None:
    """Else a typing error would quietly let nobody, or somebody else, in."""
    (tmp_path / "config.yaml").write_text(
        "access:\n  allowed_users: ['loacl:1', '7', 'local:2', '*:3', '*']\n  aliases:\n    mara: ['nowhere:1']\n"
    )
    config, errors = check(tmp_path, {})
    assert config is None
    assert [error.facts["value"] for error in errors] == ["loacl:1", "7", "nowhere:1"]
    assert all("local" in str(error.facts["fix"]) for error in errors)


def test_an_id_of_two_persons_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    """Who of them is blocked with whom would depend on the connection."""
    (tmp_path / "config.yaml").write_text("access:\n  aliases:\n    mara: ['local:1', 'local:2']\n    ana: ['*:2']\n")
    config, errors = check(tmp_path, {})
    assert config is None
    [error] = errors
    assert "'mara' already" in error.message
    assert "under one name" in str(error.facts["fix"])


def test_names_are_read_from_the_file_and_the_environment_wins(tmp_path: Path) -> None:
    """Each with its line or its name; whatever else is in the file stays there."""
    (tmp_path / ".env").write_text(
        "# who\nexport TELEGRAM_ALLOWED_USERS='1,2' # two\nSECRET=x\nGATEWAY_ALLOWED_USERS=\"5\"\nnot a line\n"
        "SIGNAL_ALLOWED_USERS=7 # seven\n"
    )
    found = access_names(dotenv.read(tmp_path), {"GATEWAY_ALLOWED_USERS": "6", "PATH": "/bin"})
    assert found == {
        "TELEGRAM_ALLOWED_USERS": ("1,2", ".env:2"),
        "GATEWAY_ALLOWED_USERS": ("6", "environment GATEWAY_ALLOWED_USERS"),
        "SIGNAL_ALLOWED_USERS": ("7", ".env:6"),
    }


@pytest.mark.parametrize("section", [LoopbackSettings()])
def test_a_connection_without_lists_has_none(section: LoopbackSettings) -> None:
    """The console's own chat."""
    access = access_of(Settings(platforms={"local": section}), {}, {})
    found = access.rules(PlatformName("local"))
    assert isinstance(found, AccountRules)
    assert [found.users, found.chats, found.allow_all] == [{}, {}, ""]
