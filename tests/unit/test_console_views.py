"""Moving about: commands, filters, pausing, what comes while it is looked at."""

from core.api import sessions
from core.api.base import EntryId, RunId
from core.api.runs import Stop
from core.api.sessions import SessionState
from tests.support.console_desk import RUNNING, WAITING, busy, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.views import (
    NOW,
    answer,
    entry,
    outcome,
    run,
    session,
)


async def test_a_command_that_is_not_known_says_what_is_nearest():
    """Nothing happens in silence."""
    async with desk(busy()) as seen:
        await seen.say("sesions")
        assert "nearest is :sessions" in seen.text


async def test_the_command_line_goes_to_views_sessions_and_themes():
    """A filter, part of an id, a theme."""
    async with desk(busy()) as seen:
        await seen.say("sessions state:failed")
        assert "discord:channel:55" in seen.text
        assert WAITING not in seen.text
        await seen.say("session 8841")
        assert "clean up the build dir" in seen.text
        await seen.say("theme light")
        assert seen.app.theme == "hermes-light"
        await seen.say("vitals")
        assert "this console" in seen.text


async def test_a_filter_works_while_it_is_typed_and_says_when_nothing_matches():
    """Never a blank table; esc brings all back."""
    async with desk(busy()) as seen:
        await seen.press("2", "slash", "z", "z", "z")
        assert "0 of 10 match /zzz" in seen.text
        await seen.press("escape")
        assert WAITING in seen.text


async def test_a_paused_view_counts_what_waits_and_shows_it_later():
    """Data go on, the view stands still."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.press("2")
        await seen.press("p")
        hermes.emit(sessions.SessionOpened(session=session("aaa:dm:new", state=SessionState.RUNNING, run=run())))
        await seen.settle()
        assert "paused, 2 changes wait" in seen.text
        assert "aaa:dm:new" not in seen.text
        await seen.press("p")
        seen.clock.at += 5
        await seen.settle()
        assert "aaa:dm:new" in seen.text


async def test_an_answer_is_seen_while_it_is_written():
    """Pieces appear in the transcript before the run ends."""
    hermes = busy()
    async with desk(hermes) as seen:
        await seen.say(f"session {RUNNING}")
        for offset, words in ((0, "The answer "), (11, "is 42.")):
            event = sessions.RunOutput(session_id=session(RUNNING).id, run_id=RunId("run-1"), offset=offset, text=words)
            hermes.emit(event, durable=False)
        await seen.settle()
        assert "The answer is 42." in seen.text
        ended = session(RUNNING, version=9, last_outcome=outcome())
        hermes.emit(sessions.RunEnded(session=ended, outcome=outcome(), entries=(answer("The answer is 42."),)))
        await seen.settle()
        assert seen.text.count("The answer is 42.") == 1
        assert "is being written" not in seen.text


async def test_earlier_entries_come_when_the_first_one_is_reached():
    """A long transcript begins with its newest page."""
    hermes = busy()
    hermes.entries[RUNNING] = [
        entry(f"line {nth}", id=EntryId(f"e{nth:04}"), at=NOW.at - 1000 + nth) for nth in range(300)
    ]
    async with desk(hermes) as seen:
        await seen.say(f"session {RUNNING}")
        assert "line 299" in seen.text
        assert len(seen.app.desk.transcript.items) == 200
        await seen.press("g")
        await seen.press("k")
        assert len(seen.app.desk.transcript.items) == 300


async def test_the_key_of_the_api_is_named_by_its_file_and_never_shown():
    """The ready-made request reads the key from its file."""
    async with desk(FakeHermes()) as seen:
        assert "secrets/api_key" in seen.text
        assert "curl -sN http://127.0.0.1:8642/v1/chat/completions" in seen.text


async def test_what_came_while_nobody_looked_is_listed():
    """The overview says how long that was."""
    hermes = busy()
    async with desk(hermes, (140, 40)) as seen:
        seen.app.redraw.is_blurred = True
        seen.app._overview.left()
        seen.clock.at += 360
        ended = outcome(stop=Stop.ERROR, answered=False, error="it broke")
        hermes.emit(sessions.RunEnded(session=session("local:dm:late", version=2), outcome=ended, entries=()))
        seen.app._overview.came_back()
        await seen.settle()
        assert "since you looked, 6m" in seen.text
        assert "it broke" in seen.text
