"""Restart strategies: which children stop and start when one of them ends, and when to give up (pure).

`now` is monotonic seconds. Children stop in the reverse of the order in which they start, as in Erlang.
"""

from enum import StrEnum

import msgspec

from core.api.errors import InvalidInput, NotFound


class Strategy(StrEnum):
    """Whom the end of one child concerns: itself, all children, or itself and those started after it."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class Restart(StrEnum):
    """When a child that ended is started again: always, only after a failure, never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Intensity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """More than max_restarts within period_s seconds is too much. max_restarts 0: the first one is."""

    max_restarts: int = 3
    period_s: float = 60.0

    def __post_init__(self) -> None:
        if self.max_restarts < 0:
            raise _invalid("max_restarts", self.max_restarts, "0 or more")
        if not self.period_s > 0:
            raise _invalid("period_s", self.period_s, "more than 0 seconds")


class Child(msgspec.Struct, frozen=True, gc=False):
    """Something that runs until it ends or fails."""

    name: str
    restart: Restart = Restart.PERMANENT
    is_running: bool = True


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Children that live and die together. children: in the order of their start.

    restarts: when they took place, within the period. has_given_up: nothing is restarted any more.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: Intensity = Intensity()
    children: tuple[Child, ...] = ()
    restarts: tuple[float, ...] = ()
    has_given_up: bool = False


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What to do, in this order: stop, then start. alarm: why the whole group ends; "" if it does not."""

    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    alarm: str = ""


def joined(group: Group, child: Child) -> Group:
    """The group with one more child at the end. Raises InvalidInput when it has one of that name."""
    if any(other.name == child.name for other in group.children):
        raise _invalid("name", child.name, "a name that no other child of the group has")
    return msgspec.structs.replace(group, children=(*group.children, child))


def parted(group: Group, name: str) -> Group:
    """The group without that child."""
    left = tuple(child for child in group.children if child.name != name)
    return msgspec.structs.replace(group, children=left)


def begun_again(group: Group) -> tuple[Group, Decision]:
    """An operator starts the group once more: all that do not run, with its restarts forgotten."""
    start = tuple(child.name for child in group.children if not child.is_running)
    children = tuple(msgspec.structs.replace(child, is_running=True) for child in group.children)
    fresh = msgspec.structs.replace(group, children=children, restarts=(), has_given_up=False)
    return fresh, Decision(start=start)


def after_end(group: Group, name: str, now: float, *, failed: bool) -> tuple[Group, Decision]:
    """A child ended by itself: the group after it and what to do. failed: it did not mean to.

    A temporary child is forgotten once it ends, whoever ended it. Raises NotFound when it is no child of the group.
    """
    place, child = _found(group, name)
    if group.has_given_up or not _comes_back(child, failed=failed):
        return _with_ended(group, child), Decision()
    restarts = (*(at for at in group.restarts if now - at <= group.intensity.period_s), now)
    if len(restarts) > group.intensity.max_restarts:
        return _given_up(group, child, restarts)
    ended = _concerned(group, place)
    stop = tuple(other.name for other in reversed(ended) if other.is_running and other.name != name)
    start = tuple(other.name for other in ended if other.restart is not Restart.TEMPORARY)
    children = tuple(
        msgspec.structs.replace(other, is_running=True) if other.name in start else other
        for other in group.children
        if other not in ended or other.name in start
    )
    return msgspec.structs.replace(group, children=children, restarts=restarts), Decision(stop, start)


def _found(group: Group, name: str) -> tuple[int, Child]:
    for place, child in enumerate(group.children):
        if child.name == name:
            return place, child
    raise NotFound(f"the group has no child {name}", noun="child", id=name)


def _comes_back(child: Child, *, failed: bool) -> bool:
    return child.restart is Restart.PERMANENT or (child.restart is Restart.TRANSIENT and failed)


def _concerned(group: Group, place: int) -> tuple[Child, ...]:
    match group.strategy:
        case Strategy.ONE_FOR_ONE:
            return (group.children[place],)
        case Strategy.ONE_FOR_ALL:
            return group.children
        case Strategy.REST_FOR_ONE:
            return group.children[place:]


def _with_ended(group: Group, child: Child) -> Group:
    if child.restart is Restart.TEMPORARY:
        return parted(group, child.name)
    children = tuple(
        msgspec.structs.replace(other, is_running=False) if other is child else other for other in group.children
    )
    return msgspec.structs.replace(group, children=children)


def _given_up(group: Group, child: Child, restarts: tuple[float, ...]) -> tuple[Group, Decision]:
    stop = tuple(other.name for other in reversed(group.children) if other.is_running and other is not child)
    children = tuple(
        msgspec.structs.replace(other, is_running=False)
        for other in group.children
        if other.restart is not Restart.TEMPORARY
    )
    limit = group.intensity
    alarm = f"{child.name} failed, and {limit.max_restarts} restarts within {limit.period_s:g} s are allowed"
    ended = msgspec.structs.replace(group, children=children, restarts=restarts, has_given_up=True)
    return ended, Decision(stop=stop, alarm=alarm)


def _invalid(field: str, value: float | str, fix: str) -> InvalidInput:
    return InvalidInput(f"{field} cannot be {value}", field=field, value=value, fix=f"give {fix}")
