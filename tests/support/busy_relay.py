"""A relay with everything at once: breakers in every state, messages dead, waiting and answered, a loop."""

from core.api import bindings
from core.api.bindings import RelayProtocol
from core.api.breakers import BreakerMode, BreakerState, BreakerTransition
from core.api.relay_targets import (
    RelayEdge,
)
from core.api.relay_tasks import (
    AttemptResult,
    RelayDirection,
    RelayReason,
    RelayState,
)
from tests.support.fake_relay import FakeRelay
from tests.support.relay_views import a_binding, a_bot, a_breaker, a_message, a_peer, a_target, an_attempt
from tests.support.views import ago

NOTIFY, REVIEW, PAY = "http://127.0.0.1:9102", "https://review.example.org", "https://pay.example.org"
DEAD_ID = "77120000-0000-4000-8000-00000000000d"


def busy_relay() -> "FakeRelay":
    """One breaker closed, one open with a countdown, one half-open, one held, one bot off; messages in every state."""
    opened = BreakerTransition(
        at=ago(41), before=BreakerState.CLOSED, after=BreakerState.OPEN, cause="5 failures in a row: 403 Missing Access"
    )
    shut = BreakerTransition(
        at=ago(4000), before=BreakerState.HALF_OPEN, after=BreakerState.CLOSED, cause="the probe succeeded"
    )
    views = [
        a_binding("-100200", a_bot(), a_bot("notify", NOTIFY, peer="hotplex")),
        a_binding("-100300", a_bot("review", REVIEW, protocol=RelayProtocol.A2A, peer="review"), changed_by="raj"),
        a_binding("*", a_bot("pay", PAY, enabled=True), a_bot("digest", "http://127.0.0.1:9105", enabled=False)),
        a_binding("!room:example.org", a_bot("ops"), platform="matrix"),
    ]
    targets = [
        a_target("http://127.0.0.1:9101", "ops", working=2),
        a_target(
            NOTIFY,
            "notify",
            breaker=a_breaker(
                NOTIFY,
                state=BreakerState.OPEN,
                since=ago(41),
                next_probe=ago(-41),
                failures=5,
                refused=6,
                trip_count=2,
                last_error="403 Missing Access",
                transitions=(shut, opened),
            ),
            waiting=6,
            oldest=ago(38),
            dead=2,
            success_rate=0.38,
            last_ok=ago(90),
            last_error="Missing Access",
            last_status=403,
            peer="hotplex",
            fingerprint="1a2b3c4d",
            fingerprint_since=ago(86_400 * 3),
        ),
        a_target(
            REVIEW,
            "review",
            protocols=(RelayProtocol.A2A,),
            breaker=a_breaker(
                REVIEW,
                state=BreakerState.HALF_OPEN,
                since=ago(12),
                failures=5,
                refused=3,
                trip_count=1,
                probe_began=ago(12),
                probe_limit_s=30.0,
                last_error="connect timeout",
            ),
            waiting=1,
            oldest=ago(50),
            in_flight=1,
            success_rate=0.88,
            p95_s=4.1,
            peer="review",
        ),
        a_target(
            PAY,
            "pay",
            breaker=a_breaker(
                PAY,
                state=BreakerState.OPEN,
                mode=BreakerMode.HELD,
                since=ago(1200),
                reason="moving the server",
                trip_count=0,
            ),
            waiting=2,
            oldest=ago(600),
            success_rate=None,
            sample_count=0,
            p50_s=None,
            p95_s=None,
            last_ok=None,
        ),
    ]
    messages = [
        a_message(
            answer="green since 14:02", state=RelayState.COMPLETED, answered=ago(8), ended=ago(8), attempt_count=1
        ),
        a_message(
            DEAD_ID,
            bot="notify",
            url=NOTIFY,
            origin=NOTIFY,
            text="deploy failed on eu1",
            state=RelayState.DEAD,
            reason=RelayReason.REFUSED,
            error="Missing Access",
            attempt_count=2,
            last_status=403,
            ended=ago(42),
            created=ago(300),
            path=("main", "ops"),
            hops=2,
            conversation="c-77",
        ),
        a_message(
            "77117000-0000-4000-8000-00000000000e",
            bot="notify",
            url=NOTIFY,
            origin=NOTIFY,
            text="queue depth 41",
            state=RelayState.DEAD,
            reason=RelayReason.REFUSED,
            error="Missing Access",
            attempt_count=2,
            last_status=403,
            ended=ago(49),
            created=ago(310),
        ),
        a_message(
            "9c000000-0000-4000-8000-00000000000f",
            bot="notify",
            url=NOTIFY,
            origin=NOTIFY,
            text="disk 91% full",
            due=ago(-41),
            attempt_count=3,
            last_status=403,
        ),
        a_message(
            "5a000000-0000-4000-8000-0000000000aa",
            bot="review",
            url=REVIEW,
            origin=REVIEW,
            text="look at change 4812",
            state=RelayState.SENDING,
            attempt_count=2,
            protocol=RelayProtocol.A2A,
        ),
        a_message(
            "hotplex/42",
            direction=RelayDirection.IN,
            bot="hotplex",
            peer="hotplex",
            state=RelayState.WORKING,
            text="who is on call?",
            sender="security-bot",
            url="",
            origin="",
            platform="",
            repeats=1,
        ),
        a_message(
            "10000000-0000-4000-8000-0000000000bb",
            bot="ops",
            text="and you?",
            state=RelayState.DEAD,
            reason=RelayReason.LOOP,
            error="5 hops at most: main > ops > main > ops > main",
            path=("main", "ops", "main", "ops", "main"),
            hops=5,
            ended=ago(100),
            created=ago(100),
        ),
    ]
    found = FakeRelay(views, targets, [a_peer(), a_peer("review", key_count=0, problem="secret env:REVIEW is missing")])
    found.tasks = {str(task.id): task for task in messages}
    found.attempts[DEAD_ID] = (
        an_attempt(),
        an_attempt(2, result=AttemptResult.REFUSED, status=403, error="Missing Access"),
    )
    found.edges = (
        RelayEdge(source="main", target="ops", sent=40, failed=0, last=ago(8)),
        RelayEdge(source="ops", target="notify", sent=12, failed=7, last=ago(42), breaker="open"),
        RelayEdge(
            source="ops",
            target="main",
            sent=9,
            failed=1,
            last=ago(100),
            is_tripped=True,
            why="5 hops at most",
            path=("main", "ops", "main", "ops", "main"),
        ),
        RelayEdge(source="hotplex", target="main", sent=41, failed=0, last=ago(40)),
    )
    found.ambiguities = (
        bindings.Ambiguity(
            name="ops",
            urls=("http://127.0.0.1:9101", "http://127.0.0.1:9109"),
            chats=("-100200", "!room:example.org"),
            is_decided=False,
        ),
    )
    return found
