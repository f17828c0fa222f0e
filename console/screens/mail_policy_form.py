"""The dialog that makes a mailbox or changes its rules: one line for each rule, checked while it is written."""

from collections.abc import Iterable
from dataclasses import dataclass

from textual.widget import Widget

from console.mailbox_policy import policy_lines, read_policy
from console.screens.settings_form import SettingsForm
from console.text import clean
from console.widgets.controls import Lines
from core.api.errors import InvalidInput
from core.api.mailboxes import MailboxPolicy


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """A name and its rules."""

    name: str
    policy: MailboxPolicy


class PolicyScreen(SettingsForm[PolicyChoice | None]):
    """All rules of a mailbox."""

    NAME_HINT = "such as relay.out"

    def __init__(self, name: str, policy: MailboxPolicy) -> None:
        super().__init__(f"rules of {clean(name)}" if name else "new mailbox", name, policy_lines(policy))
        self._before = policy

    def notes(self) -> Iterable[Widget]:
        """Room beneath the name."""
        if not self._name:
            yield Lines([("", "plain")])

    def _policy(self) -> MailboxPolicy:
        found = read_policy(self._editor.text, self._before)
        if self._name and found.durable != self._before.durable:
            raise InvalidInput(
                "whether a mailbox is durable cannot be changed", field="durable", fix="make another mailbox"
            )
        return found

    def changed_words(self) -> str:
        """Which rules are others."""
        pairs = zip(policy_lines(self._before), policy_lines(self._policy()), strict=True)
        changed = [after for before, after in pairs if before != after]
        told = "other than the default" if not self._name else "changed"
        return f"{told}: {', '.join(changed)}" if changed else "all as before" if self._name else "all by default"

    def chosen(self, name: str) -> PolicyChoice:
        """The name and its rules."""
        return PolicyChoice(name, self._policy())
