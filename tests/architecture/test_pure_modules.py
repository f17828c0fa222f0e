"""Singular decides, plural does: a module with a singular name does no I/O and reads no clock."""

import pytest

from tests.support.tree import ROOT, imported_names, python_files

OUTSIDE = {
    "asyncio", "socket", "subprocess", "time", "datetime", "random", "secrets", "threading", "os", "pathlib",
    "sqlite3", "apsw", "httpx", "starlette", "uvicorn", "yaml", "signal", "tempfile", "shutil",
}  # fmt: skip
DOMAINS = ("gateway", "agents", "relay", "mailbox")
# Singular names that are not decisions, each with its reason.
SHELLS = {
    "core/gateway/lane.py": "holds an event that wakes the lane's task",
    "core/gateway/follower.py": "hands reports from one task to another",
    "core/gateway/delivering.py": "puts the parts together, and names a folder",
    "core/gateway/directory.py": "asks platforms for their chats, within their deadlines",
    "core/gateway/file_shelf.py": "reads and writes files; always called in a thread",
    "core/gateway/outgoing.py": "has files copied in a thread",
    "core/gateway/sending.py": "finishes what a run has begun to send, also when that is stopped",
    "core/gateway/restart.py": "does what a start has to do, once",
    "core/gateway/hook_host.py": "the program of a hook's own process",
    "core/gateway/hook_child.py": "runs that process",
    "core/gateway/hook_worker.py": "waits for events and hands them to the process",
    "core/agents/runner.py": "a protocol that names a folder",
    "core/agents/driving.py": "carries one run out, within its deadlines",
    "core/agents/tasks/register.py": "holds the lock of each task",
    "core/agents/tools/sandbox.py": "runs the processes; what keeps them in is planned by sandbox_plan",
    "core/gateway/platform.py": "a protocol that names a folder",
    "core/relay/a2a_app.py": "waits for the end of tasks and writes streams, within its deadlines",
    "core/relay/a2a_exchange.py": "reads a stream within its deadlines",
    "core/relay/calling.py": "has adapters keep their deadlines",
    "core/relay/ledger.py": "keeps changes of one message apart, and waits for the store",
    "core/relay/mailing.py": "makes one mailbox at a time",
    "core/relay/sending.py": "waits for calls, which others may cut off",
    "core/relay/inbound.py": "finishes what a peer has begun, also when it hangs up, and wakes who follows a message",
    "core/relay/web.py": "has the library loaded in a thread, with the first call",
    "core/relay/pausing.py": "stores the pause, and waits for that",
    "core/mailbox/admission.py": "a key that is being stored holds the future that ends with it",
    "core/mailbox/maillog.py": "the one log, which writes",
    "core/mailbox/office.py": "holds the event that says that all stored mail is in",
    "core/mailbox/giving.py": "half of the mailbox handle: receivers wait",
    "core/mailbox/taking.py": "the other half of the handle: senders wait for room",
    "core/mailbox/mailbox.py": "the handle of one mailbox",
    "core/mailbox/transaction.py": "one commit, which is waited for",
    "core/mailbox/indexing.py": "does what a start has to do, once",
    "core/mailbox/sweeping.py": "the clockwork: sleeps until something is due",
}
PURE_OF_CORE = (
    "core/lease.py",
    "core/machine.py",
    "core/backoff.py",
    "core/handlers.py",
    "core/settings.py",
    "core/limiter.py",
    "core/breaker.py",
    "core/breaker_view.py",
)


def pure_modules() -> list[str]:
    """Modules that may not reach outside: of the facade, of the domains, and shared ones."""
    found: list[str] = []
    for path in python_files("core"):
        name = path.relative_to(ROOT).as_posix()
        parts = name.split("/")
        is_decision = len(parts) == 3 and parts[1] in DOMAINS and not path.stem.endswith("s") and name not in SHELLS
        if parts[1] == "api" or is_decision or name in PURE_OF_CORE:
            found.append(name)
    return found


@pytest.mark.parametrize("name", pure_modules())
def test_a_pure_module_reaches_nothing_outside(name: str) -> None:
    """No I/O, no clock, no random source, no event loop: `now` is an argument."""
    assert imported_names(ROOT / name) & OUTSIDE == set()


def test_exceptions_are_still_needed() -> None:
    """A module that is listed as an exception exists and is one."""
    assert [name for name in SHELLS if not imported_names(ROOT / name) & OUTSIDE] == []
