"""Peers of the configuration: what they are called with, and who it is that calls."""

import base64
import hashlib
import hmac
from collections.abc import Mapping

import pytest

from core.api.errors import ConfigError, NotFound
from core.relay import peers as module
from core.relay import signing
from core.relay.peers import NOBODY, Peers, UnknownCallerError, fingerprint
from core.relay_settings import PeerSettings, RelaySettings
from core.secrets import Secret

NOW, ID, BODY = 1774191845.0, "8d1f4c52-0a3e-4b7c-9f6e-2b1a7c3d4e5f", b'{"content":"hi"}'


def _key(letter: bytes) -> str:
    return "whsec_" + base64.b64encode(letter * 32).decode()


SECRETS = {
    "env:A1": _key(b"a"),
    "env:A2": _key(b"b"),
    "env:B1": _key(b"c"),
    "env:AT": "token of alpha",
    "env:BT": "token-of-beta",
    "env:OUT": "sent-to-alpha",
    "env:BAD": "not-a-key",
}


def _secret(reference: str) -> Secret:
    if reference not in SECRETS:
        raise ConfigError(f"environment variable {reference[4:]} is not set", key=reference)
    return Secret(SECRETS[reference])


def _peers(**peers: PeerSettings) -> Peers:
    return Peers(RelaySettings(peers=peers), _secret)


ALPHA = PeerSettings(keys=("env:A1", "env:A2"), token="env:OUT", accept_tokens=("env:AT",))
BETA = PeerSettings(keys=("env:B1",), accept_tokens=("env:BT",), agent="writer", callback="https://b.example/cb")
BOTH = {"alpha": ALPHA, "beta": BETA}


def _signed(*references: str) -> dict[str, str]:
    return signing.signed_headers([_secret(item) for item in references], ID, NOW, BODY)


def _bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (_signed("env:A1"), "alpha"),
        (_signed("env:A2"), "alpha"),
        (_signed("env:A2", "env:A1"), "alpha"),
        (_signed("env:B1"), "beta"),
        (_bearing("token of alpha"), "alpha"),
        (_bearing(" token-of-beta "), "beta"),
        ({"authorization": "bEARER token-of-beta"}, "beta"),
        (_signed("env:A1") | _bearing("token of alpha"), "alpha"),
    ],
)
def test_a_caller_is_who_its_proof_says(headers: Mapping[str, str], name: str) -> None:
    """Either key, a token, or both of the same peer."""
    assert _peers(**BOTH).identify(headers, BODY, NOW) == name


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "neither"),
        ({"authorization": "Basic dG9rZW4="}, "neither"),
        ({"webhook-id": ID}, "neither"),
        (_bearing(""), "no peer"),
        (_bearing("token of nobody"), "no peer"),
        (_bearing("sent-to-alpha"), "no peer"),
        (_bearing("tökén\udcff"), "no peer"),
        (_signed("env:A1") | {"webhook-id": "other"}, "no peer"),
        (_signed("env:A1") | {"webhook-timestamp": "1"}, "webhook-timestamp"),
        (_signed("env:A1") | _bearing("token-of-beta"), "different peers"),
        (_signed("env:A1") | _bearing("token of nobody"), "no peer"),
        (_signed("env:A1", "env:B1"), "several peers"),
        (_bearing("token of alpha") | {"webhook-signature": "v1,x"}, "webhook-id"),
    ],
)
def test_a_caller_that_proves_nothing_is_nobody(headers: Mapping[str, str], why: str) -> None:
    """The reason holds no secret; half a proof is none, and what we send proves nothing here."""
    with pytest.raises(UnknownCallerError, match=why) as caught:
        _peers(**BOTH).identify(headers, BODY, NOW)
    assert not any(value in str(caught.value) for value in SECRETS.values())


def test_nobody_is_known_without_peers() -> None:
    """An empty token is not that of a peer without one."""
    for headers in (_bearing(""), _bearing("x"), _signed("env:A1")):
        with pytest.raises(UnknownCallerError, match="no peer"):
            _peers(gamma=PeerSettings()).identify(headers, BODY, NOW)


def test_every_key_of_every_peer_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the first fits or none does, the same number of comparisons is made."""
    compared: list[bytes] = []
    honest = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return honest(one, other)

    monkeypatch.setattr(module.hmac, "compare_digest", counted)
    monkeypatch.setattr(signing.hmac, "compare_digest", counted)
    peers, counts = _peers(**BOTH), []
    for headers in (_signed("env:A1"), _signed("env:B1"), _bearing("token of alpha"), _bearing("token-of-beta")):
        compared.clear()
        peers.identify(headers, BODY, NOW)
        counts.append(len(compared))
    assert counts == [3, 3, 2, 2]


def test_two_peers_with_one_secret_are_not_told_apart() -> None:
    """Neither is believed, and both say so."""
    peers = _peers(alpha=ALPHA, twin=PeerSettings(accept_tokens=("env:AT",)))
    with pytest.raises(UnknownCallerError, match="several"):
        peers.identify(_bearing("token of alpha"), BODY, NOW)
    assert "alpha has the same secret" in peers.problem("twin")
    assert "twin has the same secret" in peers.problem("alpha")
    assert peers.identify(_signed("env:A1"), BODY, NOW) == "alpha"


def test_a_call_carries_keys_and_token_of_its_peer() -> None:
    """The fingerprint is of the first that is sent."""
    peers = _peers(**BOTH, gamma=PeerSettings(token="env:OUT"), delta=PeerSettings())
    alpha = peers.outgoing("alpha")
    assert [key.reveal() for key in alpha.keys] == [_key(b"a"), _key(b"b")]
    assert alpha.token is not None
    assert alpha.token.reveal() == "sent-to-alpha"
    assert alpha.fingerprint == hashlib.sha256(_key(b"a").encode()).hexdigest()[:8]
    assert peers.outgoing("gamma").fingerprint == fingerprint(Secret("sent-to-alpha"))
    assert peers.outgoing("delta").fingerprint == ""
    assert peers.outgoing("") is NOBODY


def test_a_peer_that_is_not_there_is_named_with_those_that_are() -> None:
    """So that a spelling is mended at once."""
    for ask in (_peers(**BOTH).outgoing, _peers(**BOTH).settings_of, _peers(**BOTH).problem):
        with pytest.raises(NotFound, match="alpha, beta"):
            ask("gamma")


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (PeerSettings(keys=("env:NONE",)), "NONE is not set"),
        (PeerSettings(keys=("env:A1", "env:BAD")), "whsec_"),
        (PeerSettings(token="env:NONE"), "NONE is not set"),
    ],
)
def test_a_call_without_its_secrets_is_not_made(peer: PeerSettings, why: str) -> None:
    """It says which secret is missing; the other peers work on."""
    peers = _peers(broken=peer, beta=BETA)
    with pytest.raises(ConfigError, match=f"peer broken: .*{why}"):
        peers.outgoing("broken")
    assert why in peers.problem("broken")
    assert peers.problem("beta") == ""
    assert peers.identify(_signed("env:B1"), BODY, NOW) == "beta"
    assert "not-a-key" not in peers.problem("broken")


def test_a_token_that_is_missing_stops_no_call_to_its_peer() -> None:
    """It cannot call us, and its problem is shown; we can call it."""
    peers = _peers(alpha=PeerSettings(token="env:OUT", accept_tokens=("env:NONE",)))
    assert peers.outgoing("alpha").token is not None
    assert "NONE is not set" in peers.problem("alpha")


def test_the_view_shows_fingerprints_and_no_secret() -> None:
    """Counts are those of others."""
    view = _peers(**BOTH).view("beta", version=3)
    assert (view.agent, view.key_count, view.has_bearer, view.version) == ("writer", 1, True, 3)
    assert view.fingerprints == (fingerprint(Secret(_key(b"c"))), fingerprint(Secret("token-of-beta")))
    assert (view.callback, view.rate_per_min, view.problem) == ("https://b.example/cb", 60, "")
    assert not any(value in str(view) for value in SECRETS.values())
    assert list(_peers(**BOTH).names()) == ["alpha", "beta"]
