"""The shape of the relay in the configuration: what it may do, and the peers that it knows."""

from typing import Annotated

import msgspec
from msgspec import Meta

from core.section import Name, SecretRef, Section, Url


class PeerSettings(Section, frozen=True, kw_only=True):
    """One far side that we call or that calls us, and how each proves who it is."""

    keys: Annotated[
        tuple[SecretRef, ...],
        Meta(
            max_length=2,
            description="secrets of signatures (whsec_...), as env:NAME or file:PATH; each signs, each is accepted",
        ),
    ] = ()
    token: Annotated[SecretRef | None, Meta(description="bearer token that we send to it")] = None
    accept_tokens: Annotated[
        tuple[SecretRef, ...],
        Meta(max_length=2, description="bearer tokens that it proves itself with; two while one replaces the other"),
    ] = ()
    agent: Annotated[str | None, Meta(description="agent that answers it; null is the default one")] = None
    callback: Annotated[Url | None, Meta(description="where its answers are posted, signed; null lets it ask")] = None
    callback_networks: Annotated[
        tuple[str, ...], Meta(max_length=32, description="private networks that the callback may be in, as 10.0.0.0/8")
    ] = ()
    rate_per_min: Annotated[int, Meta(ge=1, le=100_000, description="requests a minute that are taken from it")] = 60
    in_flight: Annotated[int, Meta(ge=1, le=10_000, description="messages of it that agents work on at a time")] = 8


class RelaySettings(Section, frozen=True, kw_only=True):
    """Messages from bot to bot."""

    enabled: Annotated[bool, Meta(description="whether peers are answered at /relay and /a2a")] = True
    name: Annotated[Name, Meta(description="how we call ourselves to other bots")] = "hermes-console"
    public_url: Annotated[
        Url | None, Meta(description="address under which peers reach us, for the agent card; null is the own one")
    ] = None
    attempt_limit_s: Annotated[float, Meta(gt=0, le=300, description="longest time of one attempt")] = 10.0
    retries_s: Annotated[
        tuple[float, ...],
        Meta(max_length=10, description="waits between the first attempts, in seconds; spread a little"),
    ] = (1.0, 2.0, 4.0)
    schedule_s: Annotated[
        tuple[float, ...], Meta(max_length=20, description="waits after those; then the message is dead")
    ] = (300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
    deadline_s: Annotated[
        float, Meta(gt=0, le=2_592_000, description="a message that is not delivered by then is dead")
    ] = 172_800.0
    answer_limit_s: Annotated[
        float, Meta(gt=0, le=2_592_000, description="longest wait for an answer of one that was delivered")
    ] = 3600.0
    in_flight: Annotated[int, Meta(ge=1, le=1000, description="attempts to one far side at a time")] = 8
    queue_limit: Annotated[int, Meta(ge=1, le=1_000_000, description="messages that may wait for one far side")] = (
        10_000
    )
    body_limit_bytes: Annotated[int, Meta(ge=1024, le=16_777_216, description="largest request of a peer")] = 262_144
    text_limit: Annotated[int, Meta(ge=1, le=1_000_000, description="longest text, in characters")] = 100_000
    tolerance_s: Annotated[float, Meta(gt=0, le=86_400, description="largest age of a signature")] = 300.0
    hop_limit: Annotated[int, Meta(ge=1, le=100, description="bots that a message may pass through")] = 5
    turn_limit: Annotated[int, Meta(ge=1, le=100_000, description="messages of one conversation within the window")] = (
        20
    )
    turn_window_s: Annotated[float, Meta(gt=0, le=604_800, description="the window of turn_limit")] = 3600.0
    networks: Annotated[
        tuple[str, ...], Meta(max_length=64, description="private networks that every bot may be in, as 10.0.0.0/8")
    ] = ()
    proxy: Annotated[Url | None, Meta(description="proxy for all calls; variables of the environment do not count")] = (
        None
    )
    keep_s: Annotated[
        float, Meta(ge=3600, le=315_360_000, description="how long what is over is kept, dead ones too")
    ] = 2_592_000.0
    breaker_failures: Annotated[
        int, Meta(ge=1, le=1_000_000, description="failures in a row after which a far side is left alone")
    ] = 5
    breaker_open_s: Annotated[
        float, Meta(ge=0.001, le=86_400, description="first time that it is left alone; grows while it fails")
    ] = 30.0
    breaker_open_cap_s: Annotated[float, Meta(ge=0.001, le=86_400, description="longest time of that")] = 300.0
    peers: Annotated[dict[Name, PeerSettings], Meta(description="far sides by name")] = msgspec.field(
        default_factory=dict[Name, PeerSettings]
    )
