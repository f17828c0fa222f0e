"""Accepting tasks: checked, once per key, kept with the profile of that time, joined to a run that goes on."""

import asyncio
from typing import Any

import pytest

from core.api.base import TaskId
from core.api.errors import ConflictError, InvalidInput, NotFound, Refused, StoreError
from core.api.policies import ExecutionPolicy, Resources, RetryPolicy, Runtime
from core.api.sessions import Mode, Outcome
from core.api.tasks import Provenance, Routing, SendInput, TaskKind, TaskQueued, TaskState
from tests.support.task_rig import HOME, MAIN, task_rig

BAD: list[tuple[dict[str, Any], str]] = [
    ({"text": "  "}, "text"),
    ({"text": "x" * 200_001}, "text"),
    ({"timeout_ms": -1}, "timeout_ms"),
    ({"timeout_ms": 86_400_001}, "timeout_ms"),
    ({"hook_id": -1}, "hook_id"),
    ({"label": "x" * 201}, "label"),
    ({"lane": "x" * 201}, "lane"),
    ({"model": "x" * 201}, "model"),
    ({"session_key": "x" * 201}, "session_key"),
    ({"spawned_by": "x" * 201}, "spawned_by"),
    ({"idempotency_key": "x" * 201}, "idempotency_key"),
    ({"session_id": "x" * 2_001}, "session_id"),
    ({"extra_system_prompt": "x" * 200_001}, "extra_system_prompt"),
    ({"provenance": Provenance(source="x" * 2_001)}, "provenance.source"),
    ({"routing": Routing(reply_to="x" * 2_001)}, "routing.reply_to"),
    ({"attachments": ({},) * 33}, "attachments"),
    ({"attachments": ({"body": "x" * 262_145},)}, "attachments"),
    ({"attachments": ({"body": object()},)}, "attachments"),
    ({"policy": ExecutionPolicy(retry=RetryPolicy(max_attempts=0))}, "policy.retry.max_attempts"),
    ({"policy": ExecutionPolicy(retry=RetryPolicy(delay_ms=-1))}, "policy.retry.delay_ms"),
    ({"policy": ExecutionPolicy(resources=Resources(cpu_s=-1))}, "policy.resources.cpu_s"),
    ({"policy": ExecutionPolicy(allow=("exec:ls", "ls"))}, "policy.allow"),
]


@pytest.mark.parametrize(("fields", "field"), BAD, ids=[f"{field}-{place}" for place, (_, field) in enumerate(BAD)])
async def test_a_field_that_cannot_be_is_named(fields: dict[str, Any], field: str) -> None:
    """Bad input names its field and what to do, and nothing is stored."""
    async with task_rig() as rig:
        with pytest.raises(InvalidInput) as raised:
            await rig.start(**{"text": "do it", **fields})
        assert raised.value.facts["field"] == field
        assert raised.value.facts["fix"]
        assert await rig.states() == []
        assert rig.post.waiting() == []


async def test_every_parameter_reaches_the_task_and_survives_a_restart() -> None:
    """What a command says is in the view of its task, and still after a crash before it was handed over."""
    fields: dict[str, Any] = {
        "session_key": "chat-7",
        "hook_id": 4,
        "deliver": True,
        "timeout_ms": 9_000,
        "policy": ExecutionPolicy(interactive=True, retry=RetryPolicy(max_attempts=5)),
        "lane": "cron",
        "extra_system_prompt": "be brief",
        "model": "small",
        "queue_mode": Mode.COLLECT,
        "provenance": Provenance(source="mail", correlation_id="c-1"),
        "routing": Routing(to="ana", channel="local"),
        "attachments": ({"name": "a.txt"},),
        "label": "nightly",
        "spawned_by": "planner",
        "idempotency_key": "k-1",
        "session_id": HOME,
    }
    async with task_rig(starts=False) as rig:
        receipt = await rig.start("  sum it up  ", **fields)
        for _ in range(2):
            task = await rig.task(receipt.task.id)
            assert task.text == "sum it up"
            assert {name: getattr(task, name) for name in fields} == fields
            assert (task.state, task.max_attempts) == (TaskState.QUEUED, 5)
            await rig.restart(starts=False)


async def test_a_task_of_its_own_session_gets_an_id_for_it() -> None:
    """Blank session and agent are filled in."""
    async with task_rig() as rig:
        task = (await rig.start()).task
        assert task.agent == MAIN
        assert task.session_id == f"task:dm:{task.id}"


async def test_agents_that_are_not_there_or_take_no_work_are_refused() -> None:
    """An unknown agent is not found, a disabled one refuses, and both say so before anything is stored."""
    async with task_rig() as rig:
        with pytest.raises(NotFound):
            await rig.start(agent="nobody")
        rig.refusals[MAIN] = "it is disabled"
        with pytest.raises(Refused) as raised:
            await rig.start()
        assert raised.value.facts["rule"] == "agent_refuses"
        rig.refusals.clear()
        with pytest.raises(NotFound):
            await rig.start(parent_id=TaskId("no-such"))
        assert rig.post.waiting() == []


async def test_a_policy_that_cannot_be_kept_is_refused() -> None:
    """A runtime that is not there is not replaced by a weaker one."""
    async with task_rig() as rig:
        with pytest.raises(Refused) as raised:
            await rig.start(policy=ExecutionPolicy(runtime_type=Runtime.GVISOR))
        assert raised.value.facts["rule"] == "policy_unavailable"


async def test_a_task_is_told_before_it_is_handed_over_and_is_durable_then() -> None:
    """TaskQueued comes live at once; a crash right after the receipt loses nothing."""
    async with task_rig(starts=False) as rig:
        receipt = await rig.start()
        assert [event.task.id for event in rig.told(TaskQueued)] == [receipt.task.id]
        await rig.restart()
        await rig.settled()
        assert (await rig.task(receipt.task.id)).state is TaskState.RUNNING
        assert rig.conversations.said == [(receipt.task.session_id, "do it")]


async def test_a_waiting_task_keeps_the_profile_that_it_was_accepted_with() -> None:
    """A later change of the profile, and a restart, change neither settings nor policy of a task that waits."""
    async with task_rig(lambda rig: rig.set_agent(system_prompt="old", total_limit_s=50.0), starts=False) as rig:
        receipt = await rig.start(timeout_ms=0, extra_system_prompt="more", model="small", lane="cron")
        rig.set_agent(system_prompt="new")
        await rig.restart(starts=False)
        terms = rig.tasking.terms.terms(receipt.task.id)
        assert terms is not None
        assert (terms.settings.system_prompt, terms.total_s) == ("old", 50.0)
        assert (terms.extra_system_prompt, terms.model, terms.lane) == ("more", "small", "cron")
        second = await rig.start(timeout_ms=7_000)
        other = rig.tasking.terms.terms(second.task.id)
        assert other is not None
        assert (other.settings.system_prompt, other.total_s) == ("new", 7.0)
        assert second.task.profile_fingerprint != receipt.task.profile_fingerprint


async def test_a_key_counts_once_for_one_content() -> None:
    """The same again gives the same task and says so; another content is a conflict; another agent is another scope."""
    async with task_rig(lambda rig: rig.set_agent("other")) as rig:
        first = await rig.start(idempotency_key="k")
        again = await rig.start(idempotency_key="k", agent=MAIN)
        assert (again.is_duplicate, again.task.id) == (True, first.task.id)
        with pytest.raises(ConflictError):
            await rig.start("another", idempotency_key="k")
        assert not (await rig.start(idempotency_key="k", agent="other")).is_duplicate
        assert len(await rig.states()) == 2


async def test_two_callers_with_one_key_at_once_make_one_task() -> None:
    """Who comes second waits for the first and is told of its task."""
    async with task_rig() as rig:
        receipts = await asyncio.gather(*(rig.start(idempotency_key="k") for _ in range(8)))
        assert len({receipt.task.id for receipt in receipts}) == 1
        assert sorted(receipt.is_duplicate for receipt in receipts) == [False] + [True] * 7


async def test_a_key_whose_task_could_not_be_stored_is_free() -> None:
    """Nothing is remembered of what was not accepted."""
    async with task_rig() as rig:
        post, rig.post.post = rig.post.post, _fails  # type: ignore[method-assign] # the store fails once
        with pytest.raises(StoreError):
            await rig.start(idempotency_key="k")
        rig.post.post = post  # type: ignore[method-assign] # it works again
        assert not (await rig.start("another", idempotency_key="k")).is_duplicate


async def _fails(_body: object, *, order_key: str) -> Any:
    raise StoreError("the disk is full", cause="full", order_key=order_key)


async def test_a_command_joins_the_task_that_runs_in_its_session() -> None:
    """It is a followup of that run, its key counts, and there is no second task."""
    async with task_rig() as rig:
        first = await rig.started(session_id=HOME)
        joined = await rig.start("and this", session_id=HOME, idempotency_key="k")
        assert (joined.task.id, joined.outcome, joined.run_id) == (first.id, Outcome.QUEUED, first.target_run_id)
        await rig.restart()
        again = await rig.start("and this", session_id=HOME, idempotency_key="k")
        assert (again.is_duplicate, again.task.id, again.run_id) == (True, first.id, first.target_run_id)
        assert [text for _, text in rig.conversations.said] == ["do it", "and this"]


async def test_a_command_joins_a_chat_as_a_task_of_its_own() -> None:
    """Where a run without a task goes on, the followup is a task of kind run_input."""
    async with task_rig() as rig:
        await rig.chat()
        receipt = await rig.start("and this", session_id=HOME, idempotency_key="k")
        assert (receipt.task.kind, receipt.task.queue_mode) == (TaskKind.RUN_INPUT, Mode.FOLLOWUP)
        assert (await rig.start("and this", session_id=HOME, idempotency_key="k")).is_duplicate
        await rig.conversations.end(HOME)
        assert (await rig.task(receipt.task.id)).state is TaskState.RUNNING
        await rig.conversations.end(HOME)
        assert (await rig.task(receipt.task.id)).state is TaskState.DONE


async def test_a_hook_does_not_join_a_run() -> None:
    """With hook_id it is a task of its own, behind what runs."""
    async with task_rig() as rig:
        first = await rig.started(session_id=HOME)
        second = await rig.started("hooked", session_id=HOME, hook_id=1)
        assert second.id != first.id
        assert await rig.states() == [TaskState.RUNNING, TaskState.QUEUED]


async def test_a_chat_followup_that_is_refused_leaves_nothing() -> None:
    """When its session does not take it, there is no task and the key is free."""
    async with task_rig() as rig:
        await rig.chat()
        rig.conversations.errors.append(StoreError("no room", cause="full"))
        with pytest.raises(StoreError):
            await rig.start("and this", session_id=HOME, idempotency_key="k")
        assert await rig.states() == []
        assert not (await rig.start("and that", session_id=HOME, idempotency_key="k")).is_duplicate


async def test_one_key_is_one_effect_over_commands_and_inputs() -> None:
    """A key of a command cannot be used for an input."""
    async with task_rig() as rig:
        first = await rig.started(idempotency_key="k")
        assert first.target_run_id is not None
        with pytest.raises(ConflictError):
            await rig.do(SendInput(run_id=first.target_run_id, text="do it", idempotency_key="k"))


async def test_the_agents_view_of_attachments_is_in_the_text() -> None:
    """Attachments go to the session as JSON behind the text; lists show only how many there are."""
    async with task_rig() as rig:
        task = await rig.started(attachments=({"name": "a.txt"},))
        assert rig.conversations.said[0][1] == 'do it\n\nAttachments (JSON):\n[{"name":"a.txt"}]'
        assert task.attachments == ({"name": "a.txt"},)
        assert rig.told(TaskQueued)[0].task.attachments == ({},)


async def test_delivery_goes_where_the_routing_says() -> None:
    """`deliver` hands the routing to the session, and nothing else does."""
    async with task_rig() as rig:
        routing = Routing(to="ana", channel="local")
        await rig.started(deliver=True, routing=routing)
        await rig.started(routing=routing)
        assert [handover.deliver for handover in rig.conversations.handovers] == [routing, None]
