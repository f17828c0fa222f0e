"""Adapters of this domain; each is loaded by name, and only when it is used."""

import importlib
from typing import Any, Protocol

from core.agents.enforcements import CHILD, OWN_TOOLS, REMOTE
from core.agents.runner import Capabilities, Runner, RunnerContext
from core.api.base import AgentName
from core.api.errors import InvalidInput
from core.api.policies import Runtime

CAPABILITIES = {
    "scripted": Capabilities(
        approvals=True,
        steer=True,
        summarizes=True,
        runtimes=(Runtime.INPROC, Runtime.PROCESS, Runtime.BWRAP),
        isolation="in-process (enforced by the console)",
        enforcement=OWN_TOOLS,
    ),
    "openai": Capabilities(
        approvals=True,
        steer=False,
        summarizes=True,
        # Its own first: the loop runs here; host decides whether its tool processes run under bwrap.
        runtimes=(Runtime.INPROC, Runtime.BWRAP, Runtime.PROCESS),
        isolation="tools run by the core (enforced); server-side tools of the endpoint are not seen",
        enforcement=OWN_TOOLS,
    ),
    "acp": Capabilities(
        approvals=True,
        steer=False,
        resume=True,
        runtimes=(Runtime.PROCESS, Runtime.BWRAP),
        isolation="process (the agent decides what it asks)",
        enforcement=CHILD,
    ),
    "hermes_runs": Capabilities(
        approvals=True,
        steer=False,
        isolation="remote (unknown), asks for what it finds dangerous",
        enforcement=REMOTE,
    ),
    "claude_cli": Capabilities(
        approvals=True,
        steer=False,
        resume=True,
        runtimes=(Runtime.PROCESS, Runtime.BWRAP),
        isolation="process (the agent decides what it asks)",
        enforcement=CHILD,
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
