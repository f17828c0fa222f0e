"""Adapters of this domain; each is loaded by name, and only when it is used."""

import importlib
from typing import Any, Protocol

from core.agents.runner import Capabilities, Runner, RunnerContext
from core.api.base import AgentName
from core.api.errors import InvalidInput

CAPABILITIES = {
    "scripted": Capabilities(approvals=True, cancel=True, steer=True, isolation="in-process (enforced by the console)"),
    "openai": Capabilities(
        approvals=False, cancel=True, steer=False, isolation="remote (unknown), never asks for approval"
    ),
}
"""What each adapter can do, known without loading it."""


class Adapter(Protocol):
    """What the module of an adapter offers."""

    def create(self, agent: AgentName, settings: Any, context: RunnerContext) -> Runner:
        """A runner for one session. settings: the agent's own section of the configuration."""
        ...


def adapter_names() -> tuple[str, ...]:
    """Names of all adapters."""
    return tuple(CAPABILITIES)


def load_adapter(name: str) -> Adapter:
    """Import the one adapter of that name; reads the disk, so call it off the loop.

    Raises InvalidInput when there is none such.
    """
    if name not in CAPABILITIES:
        raise InvalidInput(
            f"no runner {name!r}", field="runner", value=name, fix=f"one of {', '.join(adapter_names())}"
        )
    adapter: Any = importlib.import_module(f"{__name__}.{name}")
    found: Adapter = adapter
    return found
