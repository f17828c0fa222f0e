"""The far sides of the configuration: what we prove ourselves with to each, and who it is that calls us."""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from core.api.errors import ConfigError, NotFound
from core.api.relay_targets import PeerView
from core.relay import signing
from core.relay_settings import PeerSettings, RelaySettings
from core.secrets import Secret

_SCHEME = "bearer"
_FINGERPRINT = 8


class Credentials(msgspec.Struct, frozen=True):
    """What a call to a peer carries. keys: each makes a signature, so that one can replace the other at any time.

    fingerprint: of the first of what is sent, "" for none.
    """

    peer: str = ""
    keys: tuple[Secret, ...] = ()
    token: Secret | None = None
    fingerprint: str = ""


NOBODY = Credentials()
"""For a bot that is called without any."""


class UnknownCallerError(Exception):
    """A request does not prove who sends it. Says why in words that hold no secret."""


class _Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One peer with its secrets. keys, accepted: of signatures and of tokens, as they are compared. problems: of what
    we send, then of what it proves itself with.
    """

    settings: PeerSettings
    secrets: tuple[Secret, ...]
    keys: tuple[bytes, ...]
    token: Secret | None
    accepted: tuple[bytes, ...]
    fingerprints: tuple[str, ...]
    sending: tuple[ConfigError, ...]
    proving: tuple[ConfigError, ...]


class Peers:
    """All of them. secret: what stands behind a reference; raises ConfigError."""

    def __init__(self, settings: RelaySettings, secret: Callable[[str], Secret]) -> None:
        self._tolerance_s = settings.tolerance_s
        self._peers = {name: _peer(name, item, secret) for name, item in sorted(settings.peers.items())}
        # Compared in one list, so that a proof that fits the first peer costs as much as one that fits none.
        self._keys = [(key, name) for name, peer in self._peers.items() for key in peer.keys]
        self._tokens = [(token, name) for name, peer in self._peers.items() for token in peer.accepted]
        self._owners: defaultdict[bytes, set[str]] = defaultdict(set)
        for proof, name in (*self._keys, *self._tokens):
            self._owners[proof].add(name)

    def names(self) -> Sequence[str]:
        """Of the configuration, sorted."""
        return tuple(self._peers)

    def settings_of(self, name: str) -> PeerSettings:
        """What the configuration says of one. Raises NotFound."""
        return self._demand(name).settings

    def outgoing(self, name: str) -> Credentials:
        """What to call it with; NOBODY for "". Raises NotFound, ConfigError when a secret is missing."""
        if not name:
            return NOBODY
        peer = self._demand(name)
        for error in peer.sending:
            raise ConfigError(error.message, **error.facts)
        sent = peer.secrets[:1] or ((peer.token,) if peer.token else ())
        return Credentials(name, peer.secrets, peer.token, fingerprint(sent[0]) if sent else "")

    def identify(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """Whose request it is: a peer that signed it, or bears a token. headers: names in lower case. now: UTC seconds.

        Every key is compared in constant time. A request that does both must do both rightly, for the same peer.
        Raises UnknownCallerError.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        bears, signs = scheme.lower() == _SCHEME, signing.is_claimed(headers)
        if not bears and not signs:
            raise UnknownCallerError("neither a signature nor a bearer token came with it")
        signer = self._signer(headers, body, now) if signs else ""
        bearer = self._bearer(token.strip()) if bears else ""
        if signs and bears and signer != bearer:
            raise UnknownCallerError("the signature and the bearer token are of different peers")
        return signer or bearer

    def problem(self, name: str) -> str:
        """Why it cannot be used, "" when it can. Raises NotFound."""
        peer = self._demand(name)
        said = [error.message for error in (*peer.sending, *peer.proving)]
        twins = {owner for proof in (*peer.keys, *peer.accepted) for owner in self._owners[proof]} - {name}
        said.extend(f"{twin} has the same secret, so neither is believed" for twin in sorted(twins))
        return "; ".join(said)

    def view(self, name: str, *, version: int) -> PeerView:
        """As operators see it, without counts. Raises NotFound."""
        peer = self._demand(name)
        return PeerView(
            name=name,
            version=version,
            agent=peer.settings.agent or "",
            key_count=len(peer.keys),
            has_bearer=bool(peer.accepted),
            fingerprints=peer.fingerprints,
            rate_per_min=peer.settings.rate_per_min,
            callback=peer.settings.callback or "",
            problem=self.problem(name),
        )

    def _demand(self, name: str) -> _Peer:
        found = self._peers.get(name)
        if found is None:
            known = ", ".join(self._peers) or "none"
            raise NotFound(f"no peer is called {name!r}; relay.peers has {known}", noun="peer", id=name)
        return found

    def _signer(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        try:
            fits = signing.fitting([key for key, _ in self._keys], headers, body, now, self._tolerance_s)
        except signing.SignatureError as error:
            raise UnknownCallerError(str(error)) from None
        return _only([name for (_, name), does in zip(self._keys, fits, strict=True) if does], "signature")

    def _bearer(self, token: str) -> str:
        claimed = _digest(token.encode("latin-1", "replace"))
        fits = [hmac.compare_digest(claimed, known) for known, _ in self._tokens]
        return _only([name for (_, name), does in zip(self._tokens, fits, strict=True) if does], "bearer token")


def fingerprint(secret: Secret) -> str:
    """The first digits of a hash of a secret, by which operators tell one from another."""
    return _digest(secret.reveal().encode(errors="surrogatepass")).hex()[:_FINGERPRINT]


def _digest(token: bytes) -> bytes:
    # Tokens are compared by this: all are of one length then, so not even the length of one shows.
    return hashlib.sha256(token).digest()


def _only(names: Sequence[str], proof: str) -> str:
    """The one peer that fits. Two with the same secret cannot be told apart, so neither is believed."""
    found = set(names)
    if len(found) > 1:
        raise UnknownCallerError(f"the {proof} is of several peers")
    if not found:
        raise UnknownCallerError(f"the {proof} is of no peer")
    return found.pop()


def _peer(name: str, settings: PeerSettings, secret: Callable[[str], Secret]) -> _Peer:
    sending: list[ConfigError] = []
    proving: list[ConfigError] = []

    def read(reference: str, problems: list[ConfigError], *, is_key: bool = False) -> tuple[Secret, bytes] | None:
        try:
            found = secret(reference)
            return found, signing.key_bytes(found, reference) if is_key else b""
        except ConfigError as error:
            problems.append(ConfigError(f"peer {name}: {error.message}", **error.facts))
            return None

    keys = [found for item in settings.keys if (found := read(item, sending, is_key=True))]
    token = read(settings.token, sending) if settings.token else None
    accepted = [found for item in settings.accept_tokens if (found := read(item, proving))]
    return _Peer(
        settings=settings,
        secrets=tuple(found for found, _ in keys),
        keys=tuple(key for _, key in keys),
        token=token[0] if token else None,
        accepted=tuple(_digest(found.reveal().encode(errors="surrogatepass")) for found, _ in accepted),
        fingerprints=tuple(fingerprint(found) for found, _ in (*keys, *accepted)),
        sending=tuple(sending),
        proving=tuple(proving),
    )
