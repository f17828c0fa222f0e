"""Where we differ from hermes-agent 0.19.0 on purpose: each difference with its reason, and how a case shows it.

`python -m tests.differential.intended` prints the table of docs/concepts/differences.md.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from core.api.access import Rule, Verdict

Case = dict[str, Any]


class Difference(NamedTuple):
    """One difference. fits: whether it explains a case that came out differently."""

    area: str
    peer: str
    ours: str
    why: str
    fits: Callable[..., bool]


# -- session keys: fits(mine, mate, is_theirs): two sources that only one side puts into one session ----------------


def _participant(case: Case) -> str:
    return case["alt"] or case["user"] or ""


def _has_no_chat(mine: Case, mate: Case, *, is_theirs: bool, per_user: bool) -> bool:
    return is_theirs and not (mine["chat"] and mate["chat"])


def _is_read_two_ways(mine: Case, mate: Case, *, is_theirs: bool, per_user: bool) -> bool:
    places = [(case["kind"], case["chat"], case["thread"]) for case in (mine, mate)]
    return is_theirs and places[0] != places[1]


def _is_thread_without_id(mine: Case, mate: Case, *, is_theirs: bool, per_user: bool) -> bool:
    return not is_theirs and mine["kind"] == "thread" and not mine["thread"] and not mate["thread"]


def _is_shared_thread(mine: Case, mate: Case, *, is_theirs: bool, per_user: bool) -> bool:
    is_apart = _participant(mine) != _participant(mate)
    return is_theirs and bool(mine["thread"]) and mine["thread"] == mate["thread"] and is_apart and not per_user


def _is_thread_kind(mine: Case, mate: Case, *, is_theirs: bool, per_user: bool) -> bool:
    is_apart = _participant(mine) != _participant(mate)
    return is_theirs and mine["kind"] == "thread" == mate["kind"] and not mine["thread"] and is_apart and not per_user


KEYS = (
    Difference(
        "session",
        "a message without a chat shares a session with others of its kind",
        "a chat is needed; without one a direct message belongs to its sender, any other is refused",
        "two people must never share a conversation because an id is missing",
        _has_no_chat,
    ),
    Difference(
        "session",
        "ids are joined with `:`, so group -100 with thread 17 and group -100 of user 17 are one session",
        "each part is encoded; two places never share an id",
        "a key that can be read two ways mixes conversations",
        _is_read_two_ways,
    ),
    Difference(
        "session",
        "a thread whose own id is missing is split by user as a group is",
        "a thread is a thread: shared unless `per_user_in_threads`",
        "the kind of the chat says what it is, not a missing field",
        _is_thread_without_id,
    ),
    Difference(
        "session",
        "members of a thread are apart only when both settings say so",
        "inside a thread `per_user_in_threads` alone decides",
        "a setting that does nothing until another one is set surprises",
        _is_shared_thread,
    ),
    Difference(
        "session",
        "a chat of kind thread follows the setting for groups while it has no thread id",
        "it follows the setting for threads",
        "the same",
        _is_thread_kind,
    ),
)


# -- verdicts: fits(case, theirs, verdict) --------------------------------------------------------------------------


def _lists(case: Case) -> list[str]:
    return [name for name, value in case["env"].items() if name.endswith(("_USERS", "_CHATS")) and value.strip()]


def _is_global_all(case: Case, theirs: bool, ours: Verdict) -> bool:
    return not theirs and ours.rule is Rule.GLOBAL_ALLOW_ALL and bool(_lists(case))


def _is_nobody(case: Case, theirs: bool, ours: Verdict) -> bool:
    return theirs and ours.rule is Rule.NO_SENDER and not case["source"]["user"]


def _is_program(case: Case, theirs: bool, ours: Verdict) -> bool:
    return theirs and ours.rule is Rule.BOT and not ours.is_admitted and case["source"]["bot"]


def _is_local_part(case: Case, theirs: bool, ours: Verdict) -> bool:
    user = case["source"]["user"] or ""
    part, at, _ = user.partition("@")
    listed = {word.strip() for name in _lists(case) for word in case["env"][name].split(",")}
    return theirs and ours.rule is Rule.DENY and bool(part and at) and part in listed


def _is_case_of_email(case: Case, theirs: bool, ours: Verdict) -> bool:
    user = case["source"]["user"] or ""
    return not theirs and ours.is_admitted and case["source"]["platform"] == "email" and ours.matched == user.lower()


def _is_shared_kind(case: Case, theirs: bool, ours: Verdict) -> bool:
    is_shared = case["source"]["kind"] in {"channel", "thread"}
    return not theirs and is_shared and ours.rule in {Rule.PLATFORM_ALLOWLIST, Rule.CHAT_ALLOWLIST}


VERDICTS = (
    Difference(
        "access",
        "`GATEWAY_ALLOW_ALL_USERS` does nothing as soon as any list exists",
        "it lets everybody in, as its name says",
        "a switch that another setting turns off without a word is read wrong; `access list` shows what it does",
        _is_global_all,
    ),
    Difference(
        "access",
        "a message without a sender is let in by a list of chats or as a program",
        "it is refused",
        "whoever cannot be named can be neither blocked nor taken to account",
        _is_nobody,
    ),
    Difference(
        "access",
        "a program that `ALLOW_BOTS` does not let in is still judged by the lists for people",
        "`ALLOW_BOTS` alone decides about programs",
        "an allow-all for people must not start two programs answering each other",
        _is_program,
    ),
    Difference(
        "access",
        "an address matches an entry by the part before its @",
        "only whole addresses match",
        "anybody can have that part at a server of their own",
        _is_local_part,
    ),
    Difference(
        "access",
        "e-mail addresses are compared letter by letter",
        "A to Z and a to z are the same",
        "mail servers write one address both ways",
        _is_case_of_email,
    ),
    Difference(
        "access",
        "lists for groups mean nothing in channels and threads",
        "they hold in every shared chat",
        "the people there are the same",
        _is_shared_kind,
    ),
)


# -- pairing: fits(act, theirs, ours): what is let in after one act -------------------------------------------------


def _is_quota(act: Case, why: str, theirs: set[str], ours: set[str]) -> bool:
    return act["act"] == "approve" and why == "no code" and ours - theirs == {act["user"]}


def _is_lockout(act: Case, why: str, theirs: set[str], ours: set[str]) -> bool:
    return act["act"] == "approve" and why == "locked" and ours - theirs == {act["user"]}


PAIRING = (
    Difference(
        "pairing",
        "a sender whose code is gone, is too old, or was never made because three others wait, cannot be approved",
        "the operator approves the row of whoever asked, whenever that was",
        "three strangers must not keep everybody else out, and nobody should have to ask twice",
        _is_quota,
    ),
    Difference(
        "pairing",
        "five wrong codes of operators lock the whole platform, also for the right one",
        "operators type no codes; wrong invitation codes lock out whoever sent them",
        "a stranger must not be able to lock others out",
        _is_lockout,
    ),
)


def markdown() -> str:
    """The table for the docs."""
    lines = ["| about | hermes-agent 0.19.0 | here | why |", "|---|---|---|---|"]
    lines += [f"| {item.area} | {item.peer} | {item.ours} | {item.why} |" for item in (*KEYS, *VERDICTS, *PAIRING)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())  # noqa: T201 - that is what it is for
