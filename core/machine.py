"""Transition tables: a machine is data, and every state has a row, the final ones an empty one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalTransition(Exception):
    """An event that the present state does not allow. Nothing has changed."""

    def __init__(self, machine: str, state: StrEnum, event: StrEnum) -> None:
        super().__init__(f"{machine}: {event.value!r} is not possible while {state.value!r}")
        self.machine = machine
        self.state = state
        self.event = event


class Machine(Generic[S, E]):
    """A named table from state and event to the next state.

    Raises ValueError when a state has no row.
    """

    def __init__(self, name: str, states: type[S], table: Mapping[S, Mapping[E, S]]) -> None:
        missing = [state.value for state in states if state not in table]
        if missing:
            raise ValueError(f"{name}: states without a row: {', '.join(missing)}")
        self.name = name
        self.table = table

    def step(self, state: S, event: E) -> S:
        """The next state. Raises IllegalTransition and changes nothing when there is none."""
        following = self.table[state].get(event)
        if following is None:
            raise IllegalTransition(self.name, state, event)
        return following

    def is_final(self, state: S) -> bool:
        """Whether nothing can happen any more."""
        return not self.table[state]

    def mermaid(self) -> str:
        """The diagram of the table, for the docs."""
        lines = ["stateDiagram-v2"]
        for state, row in self.table.items():
            lines += [f"    {state.value} --> {to.value}: {event.value}" for event, to in row.items()]
            if not row:
                lines.append(f"    {state.value} --> [*]")
        return "\n".join(lines)
