"""Who relays to whom as a tree of lines, from where somebody looks (pure)."""

from collections.abc import Iterator
from typing import NamedTuple

from core.api.relay_targets import RelayEdge, RelayGraph


class Branch(NamedTuple):
    """A line of the tree. is_again: it leads to where the line already came from, and ends here."""

    id: str
    depth: int
    edge: RelayEdge
    is_again: bool


def branches(graph: RelayGraph, first: str = "") -> list[Branch]:
    """Every edge once, below the one that leads to its source. first: a name to begin at, "" for any.

    Whoever is called by nobody comes first; a ring is entered where the latest message was.
    """
    after: dict[str, list[RelayEdge]] = {}
    for edge in sorted(graph.edges, key=lambda item: (-item.last.at, item.source, item.target)):
        after.setdefault(edge.source, []).append(edge)
    targets = {edge.target for edge in graph.edges}
    roots = [name for name in after if name not in targets]
    starts = _from(first, graph) + roots + list(after)
    done: set[tuple[str, str]] = set()
    found: list[Branch] = []
    for start in starts:
        found += _walk(start, after, done)
    return found


def _from(first: str, graph: RelayGraph) -> list[str]:
    """Who relays to a name, then the name itself."""
    if not first:
        return []
    return [*(edge.source for edge in graph.edges if edge.target == first), first]


def _walk(start: str, after: dict[str, list[RelayEdge]], done: set[tuple[str, str]]) -> Iterator[Branch]:
    waiting = [(edge, 0, frozenset({start})) for edge in reversed(after.get(start, []))]
    while waiting:
        edge, depth, above = waiting.pop()
        key = (edge.source, edge.target)
        if key in done:
            continue
        done.add(key)
        is_again = edge.target in above
        yield Branch(f"{edge.source}\x1f{edge.target}", depth, edge, is_again)
        if not is_again:
            below = above | {edge.target}
            waiting += [(item, depth + 1, below) for item in reversed(after.get(edge.target, []))]
