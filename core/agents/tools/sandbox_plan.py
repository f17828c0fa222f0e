"""What keeps a tool process to its policy: command lines of bubblewrap and prlimit, or why it cannot be kept (pure)."""

from collections.abc import Mapping, Sequence

import msgspec

from core.api.policies import ExecutionPolicy, Host, Resources, Runtime, WorkspaceAccess

SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
)
"""All that a sandbox sees of /etc: names and certificates, no settings and no secrets."""
NEVER_THERE = {
    Runtime.GVISOR: "gvisor is not built in",
    Runtime.RUNC: "runc is not built in",
}
_TEMPORARY = "/tmp"  # noqa: S108 - inside the sandbox it is a file system of its own
_ISOLATED = (
    "--die-with-parent",
    "--new-session",
    "--unshare-all",
    "--cap-drop",
    "ALL",
    "--hostname",
    "sandbox",
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine has, as probed.

    bwrap, prlimit: paths, "" when they are not there or do not work. problem: why bwrap does not. is_root: whether the
    core is the superuser, whom the kernel never holds to a number of processes.
    """

    bwrap: str = ""
    prlimit: str = ""
    problem: str = "bubblewrap was not probed yet"
    is_root: bool = False


def refusal(policy: ExecutionPolicy, found: Found) -> str:
    """Why a policy cannot be kept here; "" when it can.

    The core's own read and write need no process, so a policy whose runtime is `inproc` is only refused for what a
    program would have to be kept to. What runs elsewhere is not ours to keep.
    """
    runtime = policy.runtime_type
    if runtime in NEVER_THERE:
        return f"runtime_type {runtime.value} is not there: {NEVER_THERE[runtime]}; use bwrap"
    if runtime is Runtime.REMOTE:
        return ""
    if runtime is Runtime.BWRAP and policy.host is Host.GATEWAY:
        return "host gateway runs plain processes, not bwrap; set host to sandbox, or runtime_type to process"
    if runtime is Runtime.BWRAP and not found.bwrap:
        return f"runtime_type bwrap is not there: {found.problem}"
    is_plain = runtime is Runtime.PROCESS or policy.host is Host.GATEWAY
    return _unkept(policy, found, is_plain=is_plain) or _unbounded(policy.resources, found)


def tool_refusal(policy: ExecutionPolicy, found: Found) -> str:
    """Why no tool process can be run as the policy wants it; "" when it can."""
    if policy.runtime_type is Runtime.REMOTE:
        return "runtime_type remote runs its tools elsewhere; set it to bwrap, or to process"
    why = refusal(policy, found)
    if not why and policy.host is Host.SANDBOX and not found.bwrap:
        return f"host sandbox needs bubblewrap: {found.problem}; or set host to gateway"
    return why


def program_refusal(policy: ExecutionPolicy, found: Found) -> str:
    """Why no long-lived program can be run as the policy wants it; "" when it can."""
    if policy.runtime_type in {Runtime.INPROC, Runtime.REMOTE}:
        return f"runtime_type {policy.runtime_type.value} carries no program; set it to bwrap, or to process"
    return refusal(policy, found)


def _unkept(policy: ExecutionPolicy, found: Found, *, is_plain: bool) -> str:
    demands: list[str] = []
    if not policy.network_enabled:
        demands.append("network_enabled false")
    if policy.workspace_access is not WorkspaceAccess.RW:
        demands.append(f"workspace_access {policy.workspace_access.value}")
    if not demands or (found.bwrap and not is_plain):
        return ""
    what = " and ".join(demands)
    if is_plain:
        return f"a plain process cannot be kept to {what}; set host to sandbox and runtime_type to bwrap"
    return f"{what} cannot be kept without bubblewrap: {found.problem}"


def _unbounded(resources: Resources, found: Found) -> str:
    if resources == Resources():
        return ""
    if not found.prlimit:
        return "resources cannot be bounded: prlimit (util-linux) is not there"
    if resources.process_count and found.is_root:
        return "resources.process_count binds no process of root; run the core as another user, or set it to 0"
    return ""


def bounded(argv: Sequence[str], resources: Resources, prlimit: str) -> list[str]:
    """A command line under prlimit; itself when there is nothing to bound."""
    bounds = {
        "cpu": resources.cpu_s,
        "as": resources.memory_bytes,
        "nproc": resources.process_count,
        "fsize": resources.file_bytes,
    }
    flags = [f"--{name}={value}" for name, value in bounds.items() if value]
    return [prlimit, *flags, "--", *argv] if flags else list(argv)


def boxed(
    argv: Sequence[str],
    policy: ExecutionPolicy,
    bwrap: str,
    *,
    workspace: str,
    environment: Mapping[str, str] | None = None,
    readable: Sequence[str] = (),
) -> list[str]:
    """A command line under bubblewrap: the system read-only, everything else not there.

    workspace: absolute; under its own name also inside. environment: all that the program gets; None leaves it what
    bubblewrap itself was given, as secrets do not belong on a command line. readable: what else it may read.
    """
    line = [bwrap, *_ISOLATED]
    if policy.network_enabled:
        line.append("--share-net")
    line += ["--ro-bind", "/usr", "/usr"]
    for place in (*SYSTEM_FOLDERS, *SYSTEM_FILES):
        line += ["--ro-bind-try", place, place]
    line += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", _TEMPORARY]
    for path in readable:
        line += ["--ro-bind", path, path]
    # Last, so that nothing lies over it: it may be below any of the others.
    if policy.workspace_access is not WorkspaceAccess.NONE:
        bind = "--bind" if policy.workspace_access is WorkspaceAccess.RW else "--ro-bind"
        line += [bind, workspace, workspace]
    line += ["--remount-ro", "/", "--chdir", inside_folder(policy, workspace)]
    if environment is not None:
        line.append("--clearenv")
        for name, value in sorted(environment.items()):
            line += ["--setenv", name, value]
    return [*line, "--", *argv]


def inside_folder(policy: ExecutionPolicy, workspace: str) -> str:
    """Where a program in the sandbox begins."""
    return _TEMPORARY if policy.workspace_access is WorkspaceAccess.NONE else workspace


def is_boxed_tool(policy: ExecutionPolicy) -> bool:
    """Whether a tool process runs under bubblewrap."""
    return policy.host is Host.SANDBOX


def tool_environment(policy: ExecutionPolicy, workspace: str) -> dict[str, str]:
    """All variables of a tool process; nothing of the core's own."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
        "HOME": inside_folder(policy, workspace),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TMPDIR": _TEMPORARY,
    }
