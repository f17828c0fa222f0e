"""Whether a bot could be reached, looked at without giving an agent anything to do."""

import asyncio
from collections.abc import Callable, Sequence

from core.api.base import Actor
from core.api.bindings import ANY_CHAT, Bot, RelayProtocol
from core.api.errors import ConfigError, InvalidInput, NotFound
from core.api.relay_targets import CheckTarget, TargetChecked, TargetFinding, TargetReport, TargetStep
from core.clock import Clock
from core.handlers import CommandHandlers
from core.journal import Journal
from core.relay import binding
from core.relay.bindings import Bindings
from core.relay.bot_url import origin
from core.relay.peers import NOBODY, Credentials, Peers
from core.relay.wire import Adapter, Call, Trail
from core.relay_settings import RelaySettings

_ID = "check"
"""What such a call is signed as: it is no message, so it needs no id of its own."""

_AT_A_TIME = 8
_GRACE_S = 5.0
_NOT_REACHED = "not reached"


class Checks:
    """Checks of targets. They touch no breaker and count nothing."""

    def __init__(
        self,
        *,
        settings: RelaySettings,
        journal: Journal,
        clock: Clock,
        bindings: Bindings,
        peers: Peers,
        adapters: Callable[[RelayProtocol], Adapter],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._bindings = bindings
        self._peers = peers
        self._adapters = adapters
        self._places = asyncio.Semaphore(_AT_A_TIME)

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {CheckTarget: self.check}

    async def check(self, command: CheckTarget, actor: Actor) -> TargetReport:
        """Look. What is found is told in an event, too. Raises NotFound, ConflictError, InvalidInput, StoreError."""
        bot = self._bot(command)
        async with self._places:
            began = self._clock.monotonic()
            findings, identity = await self._looked(bot)
            latency_s = self._clock.monotonic() - began
        report = TargetReport(
            bot=bot,
            origin=origin(bot.url),
            is_ok=all(finding.is_ok is not False for finding in findings),
            findings=_whole(findings),
            latency_s=latency_s,
            identity=identity,
        )
        await self._journal.commit([], [(report.origin, TargetChecked(report=report))], actor=actor)
        return report

    def _bot(self, command: CheckTarget) -> Bot:
        if command.bot is not None:
            is_placed = command.platform and command.chat
            platform, chat = (command.platform, command.chat) if is_placed else (ANY_CHAT, ANY_CHAT)
            return binding.normalised(platform, chat, command.bot, peers=self._peers.names())
        if not command.name:
            raise InvalidInput("no bot is named", field="name", value="", fix="a name, or a whole bot")
        return self._bindings.demand(command.name, command.platform, command.chat).bot

    async def _looked(self, bot: Bot) -> tuple[Sequence[TargetFinding], str]:
        credentials, problem = self._credentials(bot)
        call = Call(
            id=_ID,
            bot=bot,
            text="",
            trail=Trail(conversation=""),
            credentials=credentials,
            created_at=self._clock.now(),
            attempt=1,
            limit_s=self._settings.attempt_limit_s,
            sender=self._settings.name,
        )
        began = self._clock.monotonic()
        try:
            # An adapter keeps to the limit by itself; this one is for one that does not.
            async with asyncio.timeout(call.limit_s + _GRACE_S):
                findings, identity = await self._adapters(bot.protocol).look(call)
        except TimeoutError:
            seconds = self._clock.monotonic() - began
            late = TargetFinding(step=TargetStep.CONNECT, is_ok=False, seconds=seconds, detail="no end of the check")
            return [late], ""
        if problem:
            findings = [finding for finding in findings if finding.step is not TargetStep.AUTH]
            findings.append(TargetFinding(step=TargetStep.AUTH, is_ok=False, seconds=0.0, detail=problem))
        return findings, identity

    def _credentials(self, bot: Bot) -> tuple[Credentials, str]:
        try:
            return self._peers.outgoing(bot.peer), ""
        except (NotFound, ConfigError) as error:
            return NOBODY, error.message


def _whole(findings: Sequence[TargetFinding]) -> tuple[TargetFinding, ...]:
    """Every step in its order; those that were not reached say so."""
    by_step = {finding.step: finding for finding in findings}
    nothing = {step: TargetFinding(step=step, is_ok=None, seconds=0.0, detail=_NOT_REACHED) for step in TargetStep}
    return tuple((nothing | by_step).values())
