"""The shape of an agent: what all kinds share, and the keys of each kind of runner."""

from typing import Annotated

import msgspec
from msgspec import Meta

from core.api.policies import (
    Ask,
    ExecutionPolicy,
    Host,
    Resources,
    RetryPolicy,
    Runtime,
    Security,
    WorkspaceAccess,
)
from core.api.sessions import Mode
from core.section import Name, PositiveFloat, PositiveInt, SecretRef, Section, Url


class ResourceSettings(Section, frozen=True, kw_only=True):
    """Bounds of each tool process; 0 is none of ours."""

    cpu_s: Annotated[int, Meta(ge=0, description="processor time")] = 0
    memory_bytes: Annotated[int, Meta(ge=0, description="address space")] = 0
    process_count: Annotated[int, Meta(ge=0, description="processes of the user at a time")] = 0
    file_bytes: Annotated[int, Meta(ge=0, description="largest file that is written")] = 0


class RetrySettings(Section, frozen=True, kw_only=True):
    """When a task is tried again."""

    max_attempts: Annotated[int, Meta(ge=1, le=100, description="runs of a task, the first included")] = 2
    delay_ms: Annotated[int, Meta(ge=0, le=86_400_000, description="wait before each further one")] = 0


class PolicySettings(Section, frozen=True, kw_only=True):
    """What the agent may do without asking, and what carries its tools."""

    host: Annotated[Host, Meta(description="where tools run")] = Host.SANDBOX
    security: Annotated[Security, Meta(description="what may happen at all")] = Security.ALLOWLIST
    ask: Annotated[Ask, Meta(description="when an operator is asked")] = Ask.ON_MISS
    allow: Annotated[tuple[str, ...], Meta(description="patterns that need no question, as TOOL:GLOB")] = ()
    runtime_type: Annotated[
        Runtime | None, Meta(description="what carries agent or tools; null is the runner's own; missing ones refuse")
    ] = None
    workspace_access: Annotated[WorkspaceAccess, Meta(description="what tools see of the workspace")] = (
        WorkspaceAccess.RW
    )
    network_enabled: Annotated[bool, Meta(description="whether tools reach the network")] = True
    interactive: Annotated[bool, Meta(description="the conversation stays open after a task's answer")] = False
    resources: ResourceSettings = ResourceSettings()
    retry: RetrySettings = RetrySettings()

    def words(self, own: Runtime) -> ExecutionPolicy:
        """The policy as the facade has it. own: runtime of the runner, where none is set."""
        limits, again = self.resources, self.retry
        return ExecutionPolicy(
            host=self.host,
            security=self.security,
            ask=self.ask,
            allow=self.allow,
            runtime_type=self.runtime_type or own,
            workspace_access=self.workspace_access,
            network_enabled=self.network_enabled,
            interactive=self.interactive,
            resources=Resources(
                cpu_s=limits.cpu_s,
                memory_bytes=limits.memory_bytes,
                process_count=limits.process_count,
                file_bytes=limits.file_bytes,
            ),
            retry=RetryPolicy(max_attempts=again.max_attempts, delay_ms=again.delay_ms),
        )


class CompactionSettings(Section, frozen=True, kw_only=True):
    """When the agent is given a summary of what was said earlier."""

    max_tokens: Annotated[
        int, Meta(description="estimated tokens beyond which it happens; 0 is 80,000, below 0 never by itself")
    ] = 0
    keep_tail: Annotated[int, Meta(ge=1, le=10_000, description="newest entries that stay word for word")] = 20
    timeout_s: Annotated[float, Meta(gt=0, le=3600, description="longest time for a summary")] = 120.0


class AgentSection(Section, frozen=True, kw_only=True):
    """What every agent has."""

    description: Annotated[str, Meta(max_length=500, description="for people")] = ""
    enabled: Annotated[bool, Meta(description="whether it takes work")] = True
    provider: Annotated[str, Meta(max_length=64, description="who runs the model, for people")] = ""
    fast_model: Annotated[str, Meta(max_length=200, description="model for summaries; empty is the model itself")] = ""
    system_prompt: Annotated[str, Meta(max_length=200_000, description="put before every conversation")] = ""
    tools: Annotated[
        tuple[Name, ...],
        Meta(
            description="tools that the core offers: exec, read, write, send (messages to chats), relay (messages to "
            "bots)"
        ),
    ] = ()
    workspace: Annotated[
        str, Meta(max_length=4096, description="folder of its work, relative to the home; empty is one of its own")
    ] = ""
    memory: Annotated[
        str,
        Meta(
            pattern=r"^(none|file|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
            description="what it keeps from one conversation to the next: none, file, or MODULE:FUNCTION of a provider",
            extra={"form": "none, file, or MODULE:FUNCTION"},
        ),
    ] = "none"
    policy: PolicySettings = PolicySettings()
    compaction: CompactionSettings = CompactionSettings()
    lanes: Annotated[
        dict[Name, PositiveInt], Meta(description="runs at a time in each lane of tasks, such as main, cron")
    ] = msgspec.field(default_factory=dict[Name, PositiveInt])
    mode: Annotated[Mode | None, Meta(description="what a message does to its busy session; null is the default")] = (
        None
    )
    concurrency: Annotated[int, Meta(ge=1, le=4096, description="runs at a time")] = 8
    max_runners: Annotated[int, Meta(ge=0, le=100_000, description="runners that are kept; 0 is no bound")] = 0
    idle_s: Annotated[float, Meta(gt=0, le=86_400, description="a runner that nobody uses is let go after")] = 600.0
    stall_limit_s: Annotated[float, Meta(gt=0, description="longest silence of a run")] = 120.0
    total_limit_s: Annotated[float, Meta(gt=0, le=86_400, description="longest run")] = 600.0
    open_limit_s: Annotated[float, Meta(gt=0, le=600, description="longest start of a runner")] = 30.0
    action_limit_s: Annotated[
        PositiveFloat | None, Meta(description="an unanswered question expires after; null is core.approval_limit_s")
    ] = None
    failure_limit: Annotated[int, Meta(ge=1, le=1000, description="failures in a row that hold it back")] = 5
    recovery_s: Annotated[float, Meta(gt=0, le=3600, description="from there to the next try")] = 30.0


class ScriptedSettings(AgentSection, frozen=True, kw_only=True, tag_field="runner", tag="scripted"):
    """The embedded agent: plays a scenario, needs no network and no key."""

    scenario: Annotated[str, Meta(description="builtin:NAME or a YAML file (relative to the home)")] = (
        "builtin:assistant"
    )
    seed: Annotated[int, Meta(description="of its random choices")] = 0
    pace: Annotated[float, Meta(ge=0, le=100, description="factor on every pause; 0 plays at once")] = 1.0
    concurrency: Annotated[int, Meta(ge=1, le=4096, description="runs at a time")] = 64


class OpenaiSettings(AgentSection, frozen=True, kw_only=True, tag_field="runner", tag="openai"):
    """Any OpenAI-compatible chat endpoint; its tools are run by the core, under the policy."""

    base_url: Annotated[Url, Meta(description="address up to and including /v1")]
    model: Annotated[str, Meta(min_length=1, description="name of the model there")]
    key: Annotated[SecretRef | None, Meta(description="bearer key, as env:NAME or file:PATH")] = None
    max_tokens: Annotated[PositiveInt | None, Meta(description="limit of one answer")] = None
    vision: Annotated[bool, Meta(description="pictures of messages are put before the model")] = False
    max_rounds: Annotated[int, Meta(ge=1, le=1000, description="rounds of tool calls in one turn")] = 40
    tool_limit_s: Annotated[float, Meta(gt=0, le=86_400, description="longest tool call")] = 120.0
    connect_timeout_s: Annotated[float, Meta(gt=0, description="longest time to connect")] = 10.0


class AcpSettings(AgentSection, frozen=True, kw_only=True, tag_field="runner", tag="acp"):
    """Any agent that speaks the Agent Client Protocol, as a child process."""

    command: Annotated[tuple[str, ...], Meta(min_length=1, description="program and arguments")]
    environment: Annotated[
        dict[str, str], Meta(description="variables of its own; nothing else but PATH, HOME and the like is passed on")
    ] = msgspec.field(default_factory=dict[str, str])
    secrets: Annotated[
        dict[str, SecretRef], Meta(description="variables whose values are secrets, as env:NAME or file:PATH")
    ] = msgspec.field(default_factory=dict[str, SecretRef])
    model: Annotated[str, Meta(max_length=200, description="set where the agent lets us; empty is its own")] = ""
    session_mode: Annotated[str, Meta(max_length=64, description="mode to work in; empty is its own")] = ""
    listens_s: Annotated[
        PositiveFloat | None, Meta(description="it stops waiting for a decision after, without a word; null is never")
    ] = None
    concurrency: Annotated[int, Meta(ge=1, le=4096, description="runs at a time")] = 4
    max_runners: Annotated[int, Meta(ge=0, le=100_000, description="processes that are kept; 0 is no bound")] = 16


class HermesRunsSettings(AgentSection, frozen=True, kw_only=True, tag_field="runner", tag="hermes_runs"):
    """A Hermes agent behind its HTTP API of runs, with its approvals."""

    base_url: Annotated[Url, Meta(description="address up to and including /v1")]
    key: Annotated[SecretRef, Meta(description="bearer key, as env:NAME or file:PATH")]
    model: Annotated[str, Meta(max_length=200, description="name of the model there; empty is its own")] = ""
    connect_timeout_s: Annotated[float, Meta(gt=0, description="longest time to connect")] = 10.0
    poll_s: Annotated[float, Meta(gt=0, le=60, description="how often it is asked when its events are lost")] = 1.0
    listens_s: Annotated[
        PositiveFloat | None,
        Meta(description="it stops waiting for a decision after (approvals.timeout there); null is never"),
    ] = 60.0


class ClaudeCliSettings(AgentSection, frozen=True, kw_only=True, tag_field="runner", tag="claude_cli"):
    """Claude Code as a child process over stream-json. Experimental: its format is no published standard."""

    command: Annotated[tuple[str, ...], Meta(min_length=1, description="program and its first arguments")] = ("claude",)
    environment: Annotated[
        dict[str, str], Meta(description="variables of its own; nothing else but PATH, HOME and the like is passed on")
    ] = msgspec.field(default_factory=dict[str, str])
    secrets: Annotated[
        dict[str, SecretRef], Meta(description="variables whose values are secrets, as env:NAME or file:PATH")
    ] = msgspec.field(default_factory=dict[str, SecretRef])
    model: Annotated[str, Meta(max_length=200, description="name of the model; empty is its own")] = ""
    concurrency: Annotated[int, Meta(ge=1, le=4096, description="runs at a time")] = 4
    max_runners: Annotated[int, Meta(ge=0, le=100_000, description="processes that are kept; 0 is no bound")] = 16


AgentSettings = ScriptedSettings | OpenaiSettings | AcpSettings | HermesRunsSettings | ClaudeCliSettings
