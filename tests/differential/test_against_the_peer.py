"""Session keys, verdicts and pairing of hermes-agent 0.19.0 and of us over generated cases."""

from collections import Counter, defaultdict
from typing import Any

from tests.differential import our_side
from tests.differential.cases import FLAGS, Case, key_cases, pairing_cases, verdict_cases
from tests.differential.intended import KEYS, PAIRING, VERDICTS, Difference

_SHOWN = 5
Others = list[str]


def _reason(rules: tuple[Difference, ...], counted: Counter[str], *case: Any, **more: Any) -> Difference | None:
    """The difference that explains a case; each is counted, so that one which never shows is found."""
    found = next((rule for rule in rules if rule.fits(*case, **more)), None)
    if found is not None:
        counted[found.peer] += 1
    return found


def _never_shown(rules: tuple[Difference, ...], counted: Counter[str]) -> list[str]:
    return [rule.peer for rule in rules if not counted[rule.peer]]


def _groups(keys: list[str]) -> dict[str, frozenset[int]]:
    found: defaultdict[str, set[int]] = defaultdict(set)
    for place, key in enumerate(keys):
        found[key].add(place)
    return {key: frozenset(places) for key, places in found.items()}


def _compare_keys(cases: list[Case], theirs: list[str], flags: tuple[bool, bool], counted: Counter[str]) -> Others:
    in_groups, in_threads = flags
    ours = our_side.session_keys(cases, in_groups=in_groups, in_threads=in_threads)
    their_groups, our_groups = _groups(theirs), _groups(ours)
    others: Others = []
    for place, case in enumerate(cases):
        mine, yours = our_groups[ours[place]], their_groups[theirs[place]]
        if mine == yours:
            counted["equal"] += 1
            continue
        pairs = [(mate, mate in yours) for mate in mine ^ yours]
        unexplained = [
            mate
            for mate, is_theirs in pairs
            if _reason(KEYS, counted, case, cases[mate], is_theirs=is_theirs, per_user=in_groups) is None
        ]
        counted["others" if unexplained else "intended"] += 1
        others += [f"{flags} {case} / {cases[mate]}: {theirs[place]} / {ours[place]}" for mate in unexplained[:1]]
    return others


def test_the_same_messages_share_a_session(peer: dict[str, Any], counted: Counter[str]) -> None:
    """Keys are not compared, but what they put together."""
    cases, others = key_cases(), list[str]()
    for flags, theirs in zip(FLAGS, peer["keys"], strict=True):
        others += _compare_keys(cases, theirs, flags, counted)
    assert others[:_SHOWN] == []
    assert _never_shown(KEYS, counted) == []


def test_the_same_senders_are_let_in(peer: dict[str, Any], counted: Counter[str]) -> None:
    """And the same strangers are answered."""
    others: Others = []
    for case, (is_admitted, behaviour) in zip(verdict_cases(), peer["verdicts"], strict=True):
        verdict, ours = our_side.verdict(case)
        for theirs, found, rules in (
            (is_admitted, verdict, VERDICTS),
            (behaviour, ours, ()),
        ):
            same = theirs == (found.is_admitted if found is verdict else found)
            intended = not same and _reason(rules, counted, case, theirs, found) is not None
            counted["equal" if same else "intended" if intended else "others"] += 1
            if not same and not intended:
                others.append(f"{case}: theirs {theirs}, ours {found}")
    assert others[:_SHOWN] == []
    assert _never_shown(VERDICTS, counted) == []


def test_the_same_senders_are_paired(peer: dict[str, Any], counted: Counter[str]) -> None:
    """A history is compared act by act, until it is different on purpose: what follows would only repeat it."""
    others: Others = []
    for acts, theirs in zip(pairing_cases(), peer["stories"], strict=True):
        for act, they, we in zip(acts, theirs, our_side.story(acts), strict=True):
            if set(they["in"]) == we:
                counted["equal"] += 1
                continue
            is_intended = _reason(PAIRING, counted, act, they["why"], set(they["in"]), we) is not None
            counted["intended" if is_intended else "others"] += 1
            if not is_intended:
                others.append(f"{acts}: {act}: theirs {they}, ours {we}")
            break
    assert others[:_SHOWN] == []
    assert _never_shown(PAIRING, counted) == []
