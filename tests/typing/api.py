"""What the type checkers must know about the facade. Never run: `make types` reads it."""

from collections.abc import AsyncIterator
from typing import assert_type

from core.api.approvals import AnswerApproval, ApprovalView
from core.api.base import Actor, ApprovalId, Record, Seq, SessionId
from core.api.port import Hermes
from core.api.sessions import (
    GetSession,
    InterruptReceipt,
    InterruptSession,
    ListSessions,
    SendMessage,
    SendReceipt,
    SessionDetail,
    SessionPage,
)
from core.api.system import GetHealth, HealthView
from core.threaded import ThreadedHermes


async def a_command_has_the_receipt_of_its_type(hermes: Hermes, actor: Actor, key: SessionId, ask: ApprovalId) -> None:
    """`execute` returns what the command's type parameter says."""
    assert_type(await hermes.execute(SendMessage(session_id=key, text="hello"), actor=actor), SendReceipt)
    assert_type(await hermes.execute(InterruptSession(session_id=key), actor=actor), InterruptReceipt)
    assert_type(await hermes.execute(AnswerApproval(approval_id=ask, allow=True), actor=actor), ApprovalView)


async def a_query_has_the_view_of_its_type(hermes: Hermes, key: SessionId) -> None:
    """`query` returns what the query's type parameter says."""
    assert_type(await hermes.query(ListSessions()), SessionPage)
    assert_type(await hermes.query(GetSession(session_id=key)), SessionDetail)
    assert_type(await hermes.query(GetHealth()), HealthView)


def records_come_as_an_iterator(hermes: Hermes) -> None:
    """`subscribe` is not awaited."""
    assert_type(hermes.subscribe(after=Seq(0)), AsyncIterator[Record])


async def a_mistake_is_found_before_it_runs(hermes: Hermes, actor: Actor) -> None:
    """A query is no command, and a bare string is no session id: an ignore that is not needed is an error."""
    await hermes.execute(GetHealth(), actor=actor)  # type: ignore[arg-type]
    await hermes.query(GetSession(session_id="local:dm:ana"))  # type: ignore[arg-type]


def every_implementation_fits(threaded: ThreadedHermes) -> Hermes:
    """A core on its own thread is a Hermes."""
    return threaded
