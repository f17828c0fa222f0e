"""The keys of a place for the last line, the most useful first, from the registry."""

from collections.abc import Callable

from console.action import Action
from console.actions import actions_for
from console.keymap import Keymap
from console.widgets.status_bar import Hint

# What an operator looks for in a place, before everything else in the order of the registry.
_FIRST: dict[str, tuple[str, ...]] = {
    "overview": ("nav.open", "approval.answer", "approval.reask", "session.open"),
    "sessions": ("nav.open", "approval.answer", "session.inject", "session.interrupt", "session.open", "view.idle"),
    "session": (
        "approval.answer",
        "session.inject",
        "session.interrupt",
        "message.move",
        "message.mode",
        "message.drop",
        "session.reset",
        "nav.back",
    ),
    "approvals": ("approval.answer", "approval.deny_all", "approval.reask", "nav.open"),
    "grants": ("grant.revoke", "nav.open", "nav.back"),
    "tasks": ("nav.open", "approval.answer", "task.start", "task.cancel", "task.retry", "task.archive"),
    "task": ("approval.answer", "task.input", "task.cancel", "task.retry", "task.session", "nav.back"),
    "agents": ("nav.open", "agent.pause", "agent.limit", "agent.create", "agent.update", "agent.reset"),
    "agent": ("agent.pause", "agent.limit", "agent.update", "agent.sync", "agent.reset", "nav.back"),
    "pairing": (
        "pairing.approve",
        "pairing.deny",
        "pairing.revoke",
        "pairing.block",
        "pairing.unblock",
        "invite.void",
        "invite.create",
        "pairing.why",
        "view.access",
    ),
    "access": ("nav.open", "nav.back"),
    "deliveries": ("delivery.retry", "delivery.drop", "nav.open", "view.outboxes", "delivery.send"),
    "outboxes": ("nav.open", "outbox.lift", "breaker.hold", "breaker.release", "breaker.reset", "delivery.send"),
    "mailboxes": ("nav.open", "view.dead", "mailbox.pause", "mail.redrive", "mail.purge"),
    "mailbox": ("nav.open", "mail.redrive", "mail.purge", "mailbox.pause", "nav.back"),
    "mail": ("mail.redrive", "mail.purge", "obj.trace", "nav.back"),
    "dead": ("nav.open", "mail.redrive", "mail.purge", "nav.back"),
    "relay": (
        "nav.open",
        "breaker.menu",
        "binding.add",
        "binding.change",
        "relay.test",
        "relay.send",
        "relay.replay",
        "relay.retarget",
        "relay.cancel",
        "relay.pause",
        "binding.undo",
        "nav.back",
    ),
    "relayed": ("relay.replay", "relay.retarget", "relay.cancel", "relay.test", "nav.back"),
    "hooks": ("hook.test", "hook.pause", "hook.resume", "hook.reload", "nav.back"),
    "cron": ("nav.open", "job.run", "job.pause", "job.resume", "job.add", "job.remove", "nav.back"),
    "platforms": ("nav.open", "platform.pause", "platform.reconnect", "platform.probe"),
    "events": ("nav.open", "log.follow", "log.older"),
    "audit": ("nav.open", "audit.operators", "log.older", "nav.back"),
    "config": ("nav.back",),
}
_LAST = ("view.filter", "app.command", "app.help", "app.detach")
_SHORT = {
    "session.inject": "inject",
    "session.interrupt": "interrupt",
    "session.reset": "reset",
    "message.drop": "drop",
    "message.move": "move",
    "message.mode": "mode",
    "delivery.retry": "retry",
    "delivery.drop": "drop",
    "delivery.send": "send",
    "hook.test": "try",
    "hook.pause": "pause",
    "hook.resume": "go on",
    "hook.reload": "read again",
    "job.run": "run now",
    "job.pause": "pause",
    "job.resume": "go on",
    "job.add": "new",
    "job.remove": "remove",
    "pairing.approve": "let in",
    "pairing.deny": "turn down",
    "pairing.revoke": "revoke",
    "pairing.block": "block",
    "pairing.unblock": "unblock",
    "invite.create": "invite",
    "pairing.why": "why",
    "view.access": "who is in",
    "invite.void": "void",
    "audit.operators": "operators/all",
    "breaker.menu": "breaker",
    "binding.add": "new",
    "binding.change": "edit",
    "binding.remove": "unbind",
    "binding.undo": "undo",
    "relay.test": "test",
    "relay.send": "send",
    "relay.replay": "send again",
    "relay.retarget": "redirect",
    "relay.cancel": "cancel",
    "relay.pause": "pause/go on",
    "outbox.lift": "lift wait",
    "breaker.hold": "hold",
    "breaker.release": "release",
    "breaker.reset": "close breaker",
    "platform.pause": "pause/go on",
    "platform.reconnect": "reconnect",
    "platform.probe": "ask",
    "view.pause": "pause",
    "view.dead": "dead",
    "mailbox.pause": "pause/go on",
    "mailbox.create": "new",
    "mailbox.policy": "rules",
    "mail.redrive": "send again",
    "mail.purge": "drop",
    "mail.post": "post",
    "nav.open": "open",
    "view.idle": "idle",
    "approval.deny_all": "deny marked",
    "grant.revoke": "revoke",
    "task.start": "new",
    "task.input": "say",
    "task.cancel": "cancel",
    "task.retry": "retry",
    "task.archive": "archive",
    "task.session": "session",
    "agent.pause": "pause/go on",
    "agent.limit": "limit",
    "agent.create": "new",
    "agent.update": "change",
    "agent.sync": "reread file",
    "agent.reset": "drop runners",
}


def hints_for(place: str, keymap: Keymap, why_not: Callable[[Action], str]) -> list[Hint]:
    """Keys that act here, then those that are everywhere."""
    here = {action.id: action for action in actions_for(place)}
    wanted = [*_FIRST.get(place, ("nav.back",)), *_LAST, "view.sort", "view.pause", "obj.raw", "obj.copy"]
    hints: list[Hint] = []
    for action_id in wanted:
        action = here.get(action_id)
        key = keymap.sign_of(action_id)
        if action is None or not key:
            continue
        reason = why_not(action)
        # A key that does nothing now is left to the help, unless leaving it out would hide a rule.
        if reason and not reason.startswith(("read-only", "no connection")):
            continue
        hints.append(Hint(key, _SHORT.get(action_id, action.title), reason))
    return hints
