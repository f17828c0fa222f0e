"""What a policy is worth with each way of running tools: for each field, who keeps it (pure)."""

from core.api.policies import Enforcement, FieldEnforcement

_ENFORCED, _ADVISORY, _UNKNOWN = Enforcement.ENFORCED, Enforcement.ADVISORY, Enforcement.UNKNOWN


def _field(field: str, enforcement: Enforcement, why: str) -> FieldEnforcement:
    return FieldEnforcement(field=field, enforcement=enforcement, why=why)


_ITS_OWN_ASKING = (
    _field("security", _ADVISORY, "it holds for what the agent asks about; what it does not ask about just happens"),
    _field("ask", _ADVISORY, "the agent decides what it asks"),
    _field("allow", _ADVISORY, "it holds for what the agent asks about"),
)

REMOTE = (
    *_ITS_OWN_ASKING,
    _field("host", _UNKNOWN, "its tools run where it runs"),
    _field("runtime_type", _UNKNOWN, "what carries it there is not ours"),
    _field("workspace_access", _UNKNOWN, "it has a disk of its own"),
    _field("network_enabled", _UNKNOWN, "it has a network of its own"),
    _field("resources", _UNKNOWN, "its processes are not ours"),
    _field("timeout", _ENFORCED, "on this side only: it is told to stop and left, and may go on there"),
)
"""Of an agent that runs elsewhere and asks for approval."""

CHILD = (
    *_ITS_OWN_ASKING,
    _field("host", _ADVISORY, "its tools run where it runs; apart from this machine only under bwrap"),
    _field("runtime_type", _ENFORCED, "process or bwrap; another one is refused"),
    _field(
        "workspace_access", _ENFORCED, "by bwrap; as a plain process anything but rw is refused, and rw is no fence"
    ),
    _field("network_enabled", _ENFORCED, "by bwrap, where false cuts it off from its model too; else false is refused"),
    _field("resources", _ENFORCED, "by prlimit, for each of its processes; refused where that is not there"),
    _field("timeout", _ENFORCED, "cancelled, then killed with all its children"),
)
"""Of an agent that is a child process and runs its tools itself."""

OWN_TOOLS = (
    _field("security", _ENFORCED, "the core runs the tools, and none before it is allowed"),
    _field("ask", _ENFORCED, "every call is put to the policy first"),
    _field("allow", _ENFORCED, "compared with the whole command line, or with the path that a name really leads to"),
    _field("host", _ENFORCED, "sandbox is bwrap, gateway a plain process beside the core"),
    _field("runtime_type", _ENFORCED, "inproc, process or bwrap; another one is refused"),
    _field(
        "workspace_access", _ENFORCED, "read and write by their paths, programs by bwrap; refused where it is missing"
    ),
    _field("network_enabled", _ENFORCED, "for programs, by bwrap; false is refused where that is not there"),
    _field("resources", _ENFORCED, "by prlimit, for each program; refused where that is not there"),
    _field("timeout", _ENFORCED, "a program is killed with all its children"),
)
"""Of an agent whose tools the core runs."""
