"""How an agent that is a child process is started: command line, folder, environment, as its policy wants them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from core.agents.masks import hidden_in_lines, redactor
from core.agents.places import check_apart
from core.agents.processes import Child, child_environment, program_places, start
from core.agents.runner import RunnerContext
from core.agents.tools.sandbox_plan import inside_folder
from core.api.errors import Unavailable
from core.api.policies import ExecutionPolicy, Runtime
from core.clock import Clock

_BOUNDS = ("runtime_type", "workspace_access", "network_enabled", "resources")


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """folder: to start in; cwd: the name that it has for the agent. redact, hide: for what the agent says."""

    argv: Sequence[str]
    folder: Path
    cwd: str
    environment: Mapping[str, str]
    redact: Callable[[str], str]
    hide: tuple[bytes, ...]


def laid_out(
    command: Sequence[str], context: RunnerContext, *, own: Mapping[str, str], secrets: Mapping[str, str]
) -> Launch:
    """Make the workspace and put everything together. own, secrets: of the profile. Blocks.

    Raises Refused when the policy cannot be kept, ConfigError when a secret cannot be had, Unavailable.
    """
    values = {name: context.secret(reference) for name, reference in secrets.items()}
    environment = child_environment(os.environ, own=own, secrets=values)
    folder = check_apart(context.workspace, context.home)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"cannot make the workspace {context.workspace}: {error.strerror}", field="workspace"
        ) from None
    is_boxed = context.policy.runtime_type is Runtime.BWRAP
    readable = program_places(command, environment.get("PATH", ""), context.home) if is_boxed else ()
    return Launch(
        argv=list(context.tools.wrapped(command, policy=context.policy, workspace=folder, readable=readable)),
        folder=folder,
        cwd=inside_folder(context.policy, str(folder)) if is_boxed else str(folder),
        environment=environment,
        redact=redactor(values.values()),
        hide=hidden_in_lines(values.values()),
    )


async def started(
    launch: Launch, clock: Clock, *, on_line: Callable[[bytes], None], on_end: Callable[[], None]
) -> Child:
    """The agent, started; on_line, on_end: as of a Child. Raises Unavailable."""
    return await start(
        launch.argv,
        cwd=launch.folder,
        environment=launch.environment,
        clock=clock,
        on_line=on_line,
        on_end=on_end,
        redact=launch.redact,
        hide=launch.hide,
    )


def is_bound_otherwise(have: ExecutionPolicy, want: ExecutionPolicy, runtimes: Sequence[Runtime]) -> bool:
    """Whether a running agent is held in other bounds than a run wants it to be.

    A policy that names no runtime of such an agent leaves that to its profile, but wants its bounds all the same.
    """
    if want.runtime_type in runtimes:
        return any(getattr(have, name) != getattr(want, name) for name in _BOUNDS)
    none = ExecutionPolicy()
    return any(getattr(want, name) not in {getattr(have, name), getattr(none, name)} for name in _BOUNDS[1:])
