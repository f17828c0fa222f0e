"""Every state that an operator can meet has a sign and a word."""

from enum import StrEnum

import pytest

from console.glyphs import TONES, badge
from core.api.approvals import ApprovalState
from core.api.breakers import BreakerState
from core.api.deliveries import DeliveryState
from core.api.hooks import HookState
from core.api.jobs import JobRunState, JobState
from core.api.mail import MailState
from core.api.mailboxes import MailboxState
from core.api.outboxes import OutboxState
from core.api.pairings import InviteState, PairingState
from core.api.platforms import PlatformState
from core.api.profiles import PoolState
from core.api.relay_tasks import RelayState
from core.api.runs import CompactionState, RunnerState
from core.api.sessions import SessionState
from core.api.streams import InteractionState
from core.api.tasks import AttemptState, RunState, TaskState
from tests.support.tree import ROOT, python_files

SHOWN = (SessionState, ApprovalState, PlatformState, DeliveryState, MailboxState, MailState)
SHOWN += (TaskState, RunState, AttemptState, PoolState, RunnerState, CompactionState, InteractionState)
SHOWN += (HookState, JobState, JobRunState)
SHOWN += (PairingState, InviteState, OutboxState, BreakerState, RelayState)


@pytest.mark.parametrize("states", SHOWN)
def test_every_state_has_a_glyph_a_word_and_a_tone(states: type[StrEnum]) -> None:
    """Colour is never the only carrier; no two states of an entity look alike, in ASCII neither."""
    for use_ascii in (False, True):
        badges = [badge(state, use_ascii=use_ascii) for state in states]  # type: ignore[arg-type]  # each of SHOWN fits
        assert all(len(sign.glyph) == 1 and sign.word and sign.tone in TONES for sign in badges)
        assert all(sign.glyph.isascii() for sign in badges) or not use_ascii
        assert len({sign.word for sign in badges}) == len(badges)
        assert len({sign.glyph for sign in badges}) == len(badges)


def test_no_entity_of_the_facade_is_left_out() -> None:
    """Every enum of the facade that is called a state is shown; message states are shown by their session."""
    named = {
        line.split("(")[0].removeprefix("class ")
        for path in python_files("core")
        if path.parent == ROOT / "core" / "api"
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("class ") and "State(StrEnum)" in line
    }
    assert named - {"MessageState"} == {states.__name__ for states in SHOWN}
