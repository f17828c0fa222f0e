"""Patterns of what needs no question: what they match, and what they never match."""

import pytest

from core.agents.policy.patterns import (
    LENGTH_LIMIT,
    check_pattern,
    exact_pattern,
    examples,
    find_match,
    is_exact,
    matches,
    offers_for,
)
from core.api.approvals import GrantScope
from core.api.errors import InvalidInput
from core.api.runs import ActionKind
from tests.support.approval_desk import an_action


@pytest.mark.parametrize(
    ("pattern", "tool", "target"),
    [
        ("exec:git status", "exec", "git status"),
        ("exec:git *", "exec", "git log --oneline"),
        ("exec:git *", "exec", "git diff a..b"),
        ("exec:*", "exec", "ls"),
        ("*:ls", "bash", "ls"),
        ("mcp__*:x", "mcp__files__read", "x"),
        ("exec:make 2>&1 | tee *", "exec", "make 2>&1 | tee out.txt"),
        ("exec:*a*b*", "exec", "xxaxxbxx"),
        ("exec:**", "exec", "ls -l"),
        ("exec:v?", "exec", "v1"),
        (r"exec:ls \*", "exec", "ls *"),
        (r"exec:echo a\\b", "exec", r"echo a\b"),
        (r"a\:b:c", "a:b", "c"),
        ("read:/ws/*", "read", "/ws/a/b.txt"),
        ("read:../lib/*", "read", "../lib/a"),
        ("fetch:https://*.example.com/*", "fetch", "https://a.example.com/x?a=1&b=(2);c"),
        ("fetch:https://example.com/a", "fetch", "https://example.com/a"),
    ],
)
def test_a_pattern_matches_the_whole_of_what_it_names(pattern: str, tool: str, target: str) -> None:
    """Each is also one that an operator may write."""
    assert matches(pattern, tool, target)
    check_pattern(pattern)


@pytest.mark.parametrize(
    "target",
    [
        "git status; rm -rf /", "git status && rm x", "git log | sh", "git log & x", "git $(rm x)", "git `rm x`",
        "git status\nrm -rf /", "git status\rrm x", "git log > /etc/passwd", "git apply < x", "git ${IFS}x", "git (x)",
        "git log\u202exyz", "git \u200bstatus", "git \x1b[2K", "git\tlog\x00", "git \ud800", "git \u2028rm",
        "git log ../../etc", "git -C .. log", "git log --x=../y", "git", "ngit x",
    ],
)  # fmt: skip
def test_a_wildcard_stands_for_nothing_that_makes_another_command_of_it(target: str) -> None:
    """Ends, joins, substitutions, redirections, what nobody sees, and the way out of the folder are asked about."""
    assert not matches("exec:git *", "exec", target)
    assert matches(exact_pattern("exec", target), "exec", target)


@pytest.mark.parametrize(
    ("pattern", "target"),
    [
        ("read:/ws/*", "/ws/../etc/passwd"),
        ("read:/ws/*", "/ws/.."),
        ("read:/ws/.*", "/ws/../etc/passwd"),
        ("read:/ws/*.*/x", "/ws/../x"),
        ("read:../*", "../../x"),
        ("read:*", "../x"),
        ("fetch:https://*.example.com/*", "https://evil.org/.example.com/x"),
        ("fetch:https://*.example.com/*", "https://u@a.example.com/"),
        ("fetch:https://example.com/*", "https://example.com/%2e%2E/x"),
        ("fetch:https://example.com/*", "https://example.com/a b"),
        ("fetch:https://example.com/*", "https://example.com.evil.org/"),
        ("fetch:https://example.com*", "https://example.com.evil.org/"),
        ("fetch:https://example.com*", "https://example.com.evil.org"),
    ],
)
def test_a_wildcard_leads_neither_out_of_a_folder_nor_to_another_host(pattern: str, target: str) -> None:
    """Only what a pattern spells may climb, and a host ends where the pattern says."""
    assert not matches(pattern, pattern.partition(":")[0], target)


@pytest.mark.parametrize(
    ("pattern", "tool", "target"),
    [
        ("exec:ls", "exec", "ls "),
        ("exec:ls", "Exec", "ls"),
        ("exec:ls", "bash", "ls"),
        ("*:*", "", "ls"),
        ("*:*", "exec", ""),
        ("nonsense", "nonsense", "x"),
        ("exec:[ab]", "exec", "a"),
        ("exec:a\\", "exec", "a\\"),
    ],
)
def test_what_is_not_said_or_cannot_be_read_matches_nothing(pattern: str, tool: str, target: str) -> None:
    """Case and spaces count; an action without tool or target is never let through by a pattern."""
    assert not matches(pattern, tool, target)


def test_an_exact_pattern_names_one_thing_and_has_no_examples() -> None:
    """Everything that a pattern means something by is quoted."""
    pattern = exact_pattern("mcp:a*", r"echo *[x]? \ ; rm")
    assert pattern == r"mcp\:a\*:echo \*\[x\]\? \\ ; rm"
    assert is_exact(pattern)
    assert matches(pattern, "mcp:a*", r"echo *[x]? \ ; rm")
    assert not matches(pattern, "mcp:ab", r"echo *[x]? \ ; rm")
    assert examples(pattern) == ()
    assert exact_pattern("", "x") == exact_pattern("x", "") == exact_pattern("x", "y" * 4_001) == ""


def test_examples_show_what_a_wildcard_would_let_through() -> None:
    """Three at most, and each of them matches."""
    assert examples("exec:git *") == ("git a", "git b.c", "git another")
    assert examples("fetch:https://*.example.com/?", 2) == (
        "https://a.example.com/a", "https://b.c.example.com/b"
    )  # fmt: skip
    assert not is_exact("exec:git *")


def test_the_first_pattern_that_fits_is_named() -> None:
    """None is an empty text."""
    assert find_match(("exec:a", "exec:*", "exec:b"), "exec", "b") == "exec:*"
    assert find_match(("exec:a",), "exec", "b") == ""


@pytest.mark.parametrize(
    ("pattern", "fix"),
    [
        ("", "TOOL:GLOB"), ("ls", "TOOL:GLOB"), (":ls", "TOOL:GLOB"), ("exec:", "TOOL:GLOB"), ("exec: ls", "spaces"),
        ("exec :ls", "spaces"), ("exec:ls ", "spaces"), ("exec:[ab]", r"\["), ("exec:a\\", r"\\"),
        ("exec:a\x1bb", "leave"), ("exec:a\u202eb", "leave"), ("exec:" + "*a" * 17, "16"),
        ("exec:" + "a" * LENGTH_LIMIT, str(LENGTH_LIMIT)), ("fetch:https://example.com*", "slash"),
    ],
)  # fmt: skip
def test_a_pattern_that_nobody_can_have_meant_is_refused(pattern: str, fix: str) -> None:
    """The error names the field, the pattern and a way out."""
    with pytest.raises(InvalidInput) as caught:
        check_pattern(pattern, field="policy.allow")
    assert caught.value.facts["field"] == "policy.allow"
    assert pattern.startswith(str(caught.value.facts["value"]))
    assert fix in str(caught.value.facts["fix"])


def test_a_wider_yes_is_offered_for_exactly_this() -> None:
    """For the task only where there is one; not for a question, nor where the agent does not say what it does."""
    with_task = offers_for(an_action("make x"), has_task=True)
    assert [offer.scope for offer in with_task] == [GrantScope.TASK, GrantScope.SESSION, GrantScope.ALWAYS]
    assert {(offer.pattern, offer.matches) for offer in with_task} == {("exec:make x", ())}
    assert [offer.scope for offer in offers_for(an_action(), has_task=False)] == [GrantScope.SESSION, GrantScope.ALWAYS]
    assert offers_for(an_action(action_kind=ActionKind.QUESTION), has_task=True) == ()
    assert offers_for(an_action(tool=""), has_task=True) == ()


def test_many_wildcards_cost_no_more_than_the_text_is_long() -> None:
    """The worst case for a matcher that goes back: many letters, and no end that fits; beyond a length it is asked."""
    assert not matches("exec:" + "*a" * 16, "exec", "a" * 65_000 + "b")
    assert matches("exec:*", "exec", "a" * 65_536)
    assert not matches("exec:*", "exec", "a" * 65_537)


@pytest.mark.parametrize(
    ("pattern", "tool", "target"),
    [
        *(
            ("exec:cat docs/*", "exec", f"cat docs/{way}")
            for way in (
                '.""./key', ".\\./key", "'.''.'/key", ".?/key", ".*/key", ".[.]/key", "{.,}./key", ".{.,x}/key",
                "..{,}/key", "x ..", "x/..", "..//key", "a --f=../key", "a\\\nrm x", "a\trm",
            )
        ),
        *(("read:docs/*", "read", f"docs/{way}") for way in ("../key", "x/../../key", "..%2fkey", "..", "./../key")),
        *(
            ("fetch:https://e.com/d/*", "fetch", f"https://e.com/d/{way}")
            for way in (
                "..%2fkey", "%2e%2e/key", "x%2F..%2Fkey", "..%5ckey", "..;/key", "..?x", "..#x", "%252e%252e/key",
            )
        ),
        ("exec:git status", "exec", "A=1 git status"),
        ("exec:git status", "exec", "git status "),
        ("exec:git status", "exec", "Git status"),
        ("exec:git status", "exec", "g\u0456t status"),
    ],
)  # fmt: skip
def test_no_way_of_writing_it_climbs_or_is_taken_for_another(pattern: str, tool: str, target: str) -> None:
    """Neither with quotes, nor by what a shell or a server makes of it, nor by what only looks the same."""
    assert not matches(pattern, tool, target)


def test_what_climbs_can_be_spelled() -> None:
    """Who writes it means it."""
    for pattern, target in (
        ("exec:cat .?/*", "cat .x/a"),
        (r"exec:ls .\* *", "ls .* -l"),
        ("exec:cat '..'/*", "cat '..'/a"),
    ):
        assert matches(pattern, "exec", target)
