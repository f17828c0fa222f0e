"""A Hermes agent behind its HTTP API of runs: one run for each turn, with its approvals."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

import httpx
import msgspec

from core.agent_settings import HermesRunsSettings
from core.agents.adapters import CAPABILITIES
from core.agents.chat.completions import ChatError
from core.agents.endpoints import TRIES, check_address, retry_wait_s, shown_address
from core.agents.hermes.body import run_body
from core.agents.hermes.calls import HermesCalls, NobodyThereError
from core.agents.hermes.wire import DENY, RemoteRun
from core.agents.runner import Decision, Runner, RunnerContext, TurnRequest, unready
from core.agents.turn_waits import TurnWaits, retrying
from core.api.base import AgentName
from core.api.errors import Unavailable
from core.api.runs import Phase, PhaseChanged, RunLogged, RunReport, Stop, TurnEnded
from core.waits import CutShort

RUN_LOST = "run_lost"
_STOP_LIMIT_S = 2.0
_GRACE_S = 2.0
_GONE_AFTER_S = 10.0
_NOT_FOUND = 404


class _Turn:
    """What is known of the present turn. is_over: its iterator has ended."""

    def __init__(self) -> None:
        self.run: RemoteRun | None = None
        self.is_cancelled = False
        self.is_stopped = False
        self.is_over = asyncio.Event()


class HermesRunsRunner:
    """Drives a Hermes agent for one session. The conversation is ours and goes with every run."""

    kind = "hermes_runs"
    capabilities = CAPABILITIES["hermes_runs"]

    def __init__(self, settings: HermesRunsSettings, context: RunnerContext) -> None:
        self._settings = settings
        self._context = context
        self._calls: HermesCalls | None = None
        self._waits = TurnWaits()
        self._turn: _Turn | None = None
        self._is_closed = False
        self._address = shown_address(settings.base_url)

    @property
    def is_alive(self) -> bool:
        """Until it is closed: every turn connects anew."""
        return not self._is_closed

    async def open(self) -> None:
        """Read the key and make a client; nothing is sent. Raises ConfigError when the key cannot be had."""
        key = await asyncio.to_thread(self._context.secret, self._settings.key)
        self._calls = await asyncio.to_thread(HermesCalls, self._settings, key, waits=self._waits)

    async def turn(self, request: TurnRequest) -> AsyncIterator[RunReport]:
        """Begin a run there, and report what comes until it ends."""
        calls = self._calls
        refusal = unready(is_open=calls is not None, is_closed=self._is_closed, is_busy=self._turn is not None)
        if refusal is not None:
            yield refusal
            return
        assert calls is not None
        turn = self._turn = _Turn()
        self._waits.mend()
        failure: TurnEnded | None = None
        try:
            async with aclosing(self._reports(calls, request, turn)) as reports:
                async for report in reports:
                    yield report
        except ChatError as error:
            stop = Stop.DIED if error.code == RUN_LOST else Stop.ERROR
            failure = TurnEnded(stop=stop, error=error.message, code=error.code)
        except (CutShort, httpx.HTTPError, httpx.StreamError, RuntimeError) as error:
            # A client that is closed under a wait fails in many ways.
            failure = TurnEnded(stop=Stop.ERROR, error=f"the client broke ({type(error).__name__})", code="protocol")
        finally:
            await self._leave(calls, turn)
        if turn.run is not None:
            for report in turn.run.close(is_dead=failure is not None and failure.stop is Stop.DIED):
                yield report
        end = _end_of(turn, failure)
        yield msgspec.structs.replace(end, error=calls.without_key(end.error))

    async def decide(self, action_id: str, decision: Decision) -> bool:
        """Pass a decision on. False when the agent no longer waits for it. Raises Unavailable when it was not sent."""
        run = self._turn.run if self._turn is not None else None
        if run is None or self._calls is None:
            return False
        body = run.choice(action_id, decision, self._context.clock.monotonic())
        if body is None:
            return False
        try:
            is_taken = await self._calls.answer(run.run_id, body)
        except ChatError as error:
            run.answered(action_id, "")
            raise Unavailable(self._calls.without_key(error.message), fix="is the agent still there?") from None
        if is_taken:
            run.answered(action_id, body["choice"])
        else:
            run.nothing_waits()
        return is_taken

    async def steer(self, text: str) -> bool:
        """False: a run that goes on takes nothing in."""
        del text
        return False

    async def cancel(self, reason: str) -> None:
        """Stop the run there and give it a moment to say so; then it is left."""
        del reason
        turn, calls = self._turn, self._calls
        if turn is None or calls is None:
            return
        turn.is_cancelled = True
        await self._stop(calls, turn)
        try:
            async with asyncio.timeout(_GRACE_S):
                await turn.is_over.wait()
        except TimeoutError:
            if self._turn is turn:
                self._waits.cut()

    async def summarize(self, text: str, *, model: str) -> str:
        """Nothing: a run there could act."""
        del text, model
        return ""

    async def close(self) -> None:
        """Stop the run, if one goes on, and drop all connections."""
        self._is_closed = True
        turn, calls, self._calls = self._turn, self._calls, None
        if calls is None:
            return
        if turn is not None:
            turn.is_cancelled = True
            await self._stop(calls, turn)
            self._waits.cut()
        await calls.aclose()

    def describe(self) -> Mapping[str, str]:
        """Model, address, and the run that goes on there."""
        facts = {"url": self._address}
        if self._settings.model:
            facts["model"] = self._settings.model
        if self._turn is not None and self._turn.run is not None:
            facts["run"] = self._turn.run.run_id
        return facts

    async def _reports(self, calls: HermesCalls, request: TurnRequest, turn: _Turn) -> AsyncGenerator[RunReport, None]:
        run: RemoteRun | None = None
        failures = 0
        while run is None:
            try:
                run_id = await calls.begin(run_body(self._settings, request))
            except ChatError as error:
                failures += 1
                if not error.may_retry or failures >= TRIES:
                    raise
                wait_s = retry_wait_s(failures, self._context.random)
                clock = self._context.clock
                yield retrying(clock, wait_s, count=failures, reason=calls.without_key(error.message))
                await self._waits.wait(clock.sleep(wait_s))
            else:
                run = turn.run = RemoteRun(run_id, self._settings.listens_s)
        yield PhaseChanged(phase=Phase.MODEL)
        if turn.is_cancelled:
            # It began while it was being cancelled, so that nobody could name it.
            return
        async with aclosing(self._followed(calls, run)) as reports:
            async for report in reports:
                yield report
        if run.end is None:
            yield RunLogged(level="warning", text="the events of the run broke off; it is asked how it stands")
            async with aclosing(self._polled(calls, run)) as reports:
                async for report in reports:
                    yield report

    async def _followed(self, calls: HermesCalls, run: RemoteRun) -> AsyncGenerator[RunReport, None]:
        """Reports until the run or its events end."""
        try:
            async with aclosing(calls.events(run.run_id)) as events:
                async for data in events:
                    now = self._context.clock.monotonic()
                    for report in run.take(data, now) if data else run.shown(now):
                        yield report
                    async with aclosing(self._denied(calls, run)) as reports:
                        async for report in reports:
                            yield report
                    if run.end is not None:
                        return
        except ChatError as error:
            yield RunLogged(level="warning", text=calls.without_key(error.message))

    async def _polled(self, calls: HermesCalls, run: RemoteRun) -> AsyncGenerator[RunReport, None]:
        """Reports until the run ends, by asking. Silence is borne for as long as a stall is; where nobody listens
        any more the run is soon taken for lost, as it lives in the memory of who did.
        """
        clock = self._context.clock
        heard_at = there_at = clock.monotonic()
        while run.end is None:
            try:
                found = await calls.status(run.run_id)
            except ChatError as error:
                if error.status == _NOT_FOUND:
                    text = "the agent does not know the run any more; it was started again, it seems"
                    raise ChatError(RUN_LOST, text) from None
                if not isinstance(error, NobodyThereError):
                    there_at = clock.monotonic()
                elif clock.monotonic() - there_at >= _GONE_AFTER_S:
                    raise ChatError(RUN_LOST, f"the agent is gone: {error.message}") from None
                if error.code == "auth" or clock.monotonic() - heard_at >= self._settings.stall_limit_s:
                    raise
            else:
                heard_at = there_at = clock.monotonic()
                for report in run.poll(found, heard_at):
                    yield report
                async with aclosing(self._denied(calls, run)) as reports:
                    async for report in reports:
                        yield report
            if run.end is None:
                await self._waits.wait(clock.sleep(self._settings.poll_s))

    async def _denied(self, calls: HermesCalls, run: RemoteRun) -> AsyncGenerator[RunReport, None]:
        """Deny everything that waits there, where nobody can know what an answer would meet."""
        if not run.must_deny:
            return
        try:
            await calls.answer(run.run_id, {"choice": DENY, "all": True})
        except ChatError as error:
            yield RunLogged(level="error", text=f"not denied: {calls.without_key(error.message)}")
        for report in run.denied():
            yield report

    async def _leave(self, calls: HermesCalls, turn: _Turn) -> None:
        """Let go of the turn; a run that goes on there is told to stop."""
        self._turn = None
        turn.is_over.set()
        if not self._is_closed:
            await self._stop(calls, turn)

    async def _stop(self, calls: HermesCalls, turn: _Turn) -> None:
        if turn.run is None or turn.run.end is not None or turn.is_stopped:
            return
        turn.is_stopped = True
        await calls.stop(turn.run.run_id, limit_s=_STOP_LIMIT_S)


def _end_of(turn: _Turn, failure: TurnEnded | None) -> TurnEnded:
    end = failure or (turn.run.end if turn.run is not None else None)
    if turn.is_cancelled and (end is None or not end.stop.is_answer):
        return TurnEnded(stop=Stop.CANCELLED)
    assert end is not None
    return end


def create(agent: AgentName, settings: HermesRunsSettings, context: RunnerContext) -> Runner:
    """A runner for one session. Raises Unavailable when the address cannot be used."""
    check_address(agent, settings.base_url)
    return HermesRunsRunner(settings, context)
