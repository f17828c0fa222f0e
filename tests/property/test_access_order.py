"""Access for all rules and senders: the first layer that fits decides, and what is lost or damaged lets nobody in."""

from hypothesis import given
from hypothesis import strategies as st

from core.api.access import Rule
from core.api.base import PlatformName
from core.api.sessions import ChatKind
from core.gateway.access import Access, AccountRules, Roll, Sender

HERE, THERE = PlatformName("here"), PlatformName("there")
IDS = ("a", "b", "c", "*")
LAYERS = [
    Rule.BLOCKED,
    Rule.UPSTREAM,
    Rule.NO_SENDER,
    Rule.BOT,
    Rule.PLATFORM_ALLOW_ALL,
    Rule.PLATFORM_ALLOWLIST,
    Rule.CHAT_ALLOWLIST,
    Rule.PAIRED,
    Rule.GLOBAL_ALLOWLIST,
    Rule.GLOBAL_ALLOW_ALL,
    Rule.DENY,
]

listed = st.sets(st.sampled_from(IDS), max_size=3).map(lambda found: dict.fromkeys(found, "config.yaml:1"))
origin = st.sampled_from(["", "config.yaml:2"])


@st.composite
def rules(draw: st.DrawFn, platform: PlatformName = HERE) -> AccountRules:
    """Any rules of one connection."""
    return AccountRules(
        platform=platform,
        kind=draw(st.sampled_from(["telegram", "email"])),
        allow_all=draw(origin),
        users=draw(listed),
        group_users=draw(listed),
        chats=draw(listed),
        everywhere=draw(listed),
        everywhere_all=draw(origin),
        bots=draw(st.sampled_from(["none", "mentions", "all"])),
        admins=draw(st.frozensets(st.sampled_from(IDS), max_size=2)),
    )


senders = st.builds(
    Sender,
    platform=st.just(HERE),
    sender_id=st.sampled_from(["a", "b", "c", "", " ", "A"]),
    chat_kind=st.sampled_from(list(ChatKind)),
    chat=st.sampled_from(["a", "b", ""]),
    aliases=st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=2),
    is_bot=st.booleans(),
    is_addressed=st.booleans(),
    is_proved=st.booleans(),
)


@st.composite
def rolls(draw: st.DrawFn) -> Roll:
    """Any roll of both connections."""
    roll = Roll()
    for platform in (HERE, THERE):
        for one in "abc":
            state = draw(st.sampled_from(["", "approved", "blocked"]))
            roll.put(platform, one, is_approved=state == "approved", is_blocked=state == "blocked")
    return roll


@st.composite
def accesses(draw: st.DrawFn) -> Access:
    """Any rules of both connections, with one person of two ids, or none."""
    person = ((HERE, "a"), (THERE, "b"))
    people = dict.fromkeys(person, person) if draw(st.booleans()) else {}
    return Access({HERE: draw(rules()), THERE: draw(rules(THERE))}, people)


@given(accesses(), senders, rolls())
def test_the_verdict_is_the_first_step_that_fits(access: Access, sender: Sender, roll: Roll) -> None:
    """The explanation and the decision cannot differ, and have the documented order."""
    verdict = access.verdict(sender, roll)
    steps = list(access.steps(sender, roll))
    assert [step.rule for step in steps] == LAYERS
    fitting = [step for step in steps if step.fits]
    assert len(fitting) == 1
    assert (fitting[0].rule, fitting[0].layer, fitting[0].origin) == (verdict.rule, verdict.layer, verdict.origin)


@given(accesses(), senders, rolls())
def test_whoever_is_blocked_is_never_let_in(access: Access, sender: Sender, roll: Roll) -> None:
    """By no rule, under none of the ids."""
    for one in access.ids(sender):
        roll.put(HERE, one, is_approved=True, is_blocked=True)
        assert access.verdict(sender, roll).rule is Rule.BLOCKED
        assert not access.verdict(sender, roll).is_admitted
        roll.put(HERE, one, is_approved=False, is_blocked=False)


@given(accesses(), senders, rolls(), st.sampled_from(["a", "b", "c"]), st.sampled_from([HERE, THERE]))
def test_a_damaged_record_never_lets_more_in(
    access: Access, sender: Sender, roll: Roll, lost: str, where: PlatformName
) -> None:
    """Whoever is let in with it was let in without it; nor does a store that cannot be read at all."""
    before = access.verdict(sender, roll).is_admitted
    roll.put(where, lost, is_approved=False, is_blocked=False)
    roll.is_unreadable = lambda platform, sender_id: platform == where and sender_id == lost
    after = access.verdict(sender, roll)
    assert before or not after.is_admitted
    if where == HERE and lost in access.ids(sender):
        assert not after.is_admitted
    roll.is_blind = True
    assert not access.verdict(sender, roll).is_admitted


@given(accesses(), senders, rolls())
def test_without_a_sender_only_the_connection_itself_can_let_in(access: Access, sender: Sender, roll: Roll) -> None:
    """Nobody is let in by a list who cannot be named."""
    if not sender.sender_id.strip():
        verdict = access.verdict(sender, roll)
        assert verdict.rule in {Rule.NO_SENDER, Rule.UPSTREAM, Rule.BLOCKED}


@given(rules(), senders, rolls())
def test_lists_of_one_connection_mean_nothing_at_another(mine: AccountRules, sender: Sender, roll: Roll) -> None:
    """A message elsewhere is judged without them."""
    elsewhere = AccountRules(platform=THERE, kind="telegram")
    access = Access({HERE: mine, THERE: elsewhere})
    there = Sender(
        platform=THERE,
        sender_id=sender.sender_id,
        chat_kind=sender.chat_kind,
        chat=sender.chat,
        aliases=sender.aliases,
    )
    verdict = access.verdict(there, roll)
    assert verdict.rule in {Rule.DENY, Rule.PAIRED, Rule.BLOCKED, Rule.NO_SENDER}
    if verdict.rule is Rule.PAIRED:
        assert any(one in roll.approved.get(THERE, ()) for one in access.ids(there))
