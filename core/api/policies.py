"""What an agent may do without asking, and what keeps it to that: policy, verdict, queries."""

from enum import StrEnum

from core.api.base import AgentName, GrantId, Query, SessionId, TaskId, View, Word
from core.api.runs import ToolKind


class Host(StrEnum):
    """Where tools run: inside a sandbox, or as plain processes beside the core."""

    SANDBOX = "sandbox"
    GATEWAY = "gateway"


class Security(StrEnum):
    """What may happen at all: nothing, what the allowlist names, everything."""

    DENY = "deny"
    ALLOWLIST = "allowlist"
    FULL = "full"


class Ask(StrEnum):
    """When an operator is asked: never, for what the allowlist does not name, for everything."""

    OFF = "off"
    ON_MISS = "on-miss"
    ALWAYS = "always"


class Runtime(StrEnum):
    """What carries an agent or its tools. One that is not there is refused, never replaced by a weaker one."""

    INPROC = "inproc"
    PROCESS = "process"
    BWRAP = "bwrap"
    REMOTE = "remote"
    GVISOR = "gvisor"
    RUNC = "runc"


class WorkspaceAccess(StrEnum):
    """What tools see of the workspace: nothing, to read, to read and write."""

    NONE = "none"
    RO = "ro"
    RW = "rw"


class Resources(Word, frozen=True, kw_only=True):
    """Bounds of each tool process. 0 is no bound of ours."""

    cpu_s: int = 0
    memory_bytes: int = 0
    process_count: int = 0
    file_bytes: int = 0


class RetryPolicy(Word, frozen=True, kw_only=True):
    """When a task is tried again. max_attempts counts the first; delay_ms: before each further one."""

    max_attempts: int = 2
    delay_ms: int = 0


class ExecutionPolicy(Word, frozen=True, kw_only=True):
    """What a run may do.

    allow: patterns that need no question, as TOOL:GLOB over the whole command line, path or address.
    interactive: the conversation stays open after a task's answer.
    """

    host: Host = Host.SANDBOX
    security: Security = Security.ALLOWLIST
    ask: Ask = Ask.ON_MISS
    allow: tuple[str, ...] = ()
    runtime_type: Runtime = Runtime.INPROC
    workspace_access: WorkspaceAccess = WorkspaceAccess.RW
    network_enabled: bool = True
    interactive: bool = False
    resources: Resources = Resources()
    retry: RetryPolicy = RetryPolicy()


class Enforcement(StrEnum):
    """Who keeps a field of the policy: the core, the agent if it pleases, nobody here."""

    ENFORCED = "enforced"
    ADVISORY = "advisory"
    UNKNOWN = "unknown"


class FieldEnforcement(Word, frozen=True, kw_only=True):
    """How much a field of the policy is worth with a runner. why: one line for people."""

    field: str
    enforcement: Enforcement
    why: str


class VerdictKind(StrEnum):
    """What the policy says to one action."""

    ALLOW = "allow"
    DENY = "deny"
    ASK = "ask"


class PolicyVerdict(View, frozen=True, kw_only=True):
    """What would become of an action, and by which rule.

    rule: stable name, such as security.deny, allow, ask.always, grant, refusal, runtime. pattern: that matched, "" for
    none. grant_id: of the grant or remembered refusal that decided.
    """

    kind: VerdictKind
    rule: str
    reason: str
    pattern: str = ""
    grant_id: GrantId | None = None


class ExplainPolicy(Query[PolicyVerdict], frozen=True, kw_only=True):
    """Why would this ask? tool, target: as an agent would name them. Grants of the session and task count."""

    agent: AgentName
    tool: str
    target: str
    kind: ToolKind = ToolKind.EXECUTE
    session_id: SessionId | None = None
    task_id: TaskId | None = None


class RuntimeView(View, frozen=True, kw_only=True):
    """Whether a runtime is there, as probed at the start. found: version or path; problem: why not."""

    runtime: Runtime
    is_there: bool
    found: str = ""
    problem: str = ""


class RuntimeList(View, frozen=True, kw_only=True):
    """All runtimes."""

    runtimes: tuple[RuntimeView, ...]


class ListRuntimes(Query[RuntimeList], frozen=True, kw_only=True):
    """What can carry agents and tools on this machine."""
