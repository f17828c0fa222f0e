"""Cards of agents: what ours says, and which address and version another one offers (pure)."""

import hashlib

import msgspec

from core.api.bindings import RelayProtocol
from core.relay.a2a import A2aFault, A2aVersion, Code, UnreadableError, cut
from core.relay.bot_url import BadUrl, place_of

PATH = "/a2a"
"""Where calls are answered."""

_JSON_RPC = "jsonrpc"
_TEXT = ["text/plain"]


class ElsewhereError(A2aFault):
    """A card leads to another origin than the bot's own, where its credentials do not belong."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.ANSWER, message)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Another one's card, as far as it matters. url: where it is called. tenant: that every call must name."""

    url: str
    version: A2aVersion
    name: str = ""
    agent_version: str = ""
    can_stream: bool = False
    tenant: str = ""

    @property
    def identity(self) -> str:
        """As the far side calls itself."""
        return " ".join(word for word in (self.name or "(no name)", self.agent_version) if word)


def write_card(*, name: str, url: str, version: str) -> bytes:
    """Our card. url: at which we are reached, without a path of ours; version: of this program.

    Those that know only 0.3 find there what they look for.
    """
    address = url.rstrip("/") + PATH
    bearer = {"httpAuthSecurityScheme": {"scheme": "bearer"}, "type": "http", "scheme": "bearer"}
    offered = [
        {"url": address, "protocolBinding": "JSONRPC", "protocolVersion": spoken.value}
        for spoken in (A2aVersion.V1, A2aVersion.V03)
    ]
    return msgspec.json.encode(
        {
            "name": name,
            "description": "Agents behind a hermes-console. Send a text; the answer is a text.",
            "version": version,
            "supportedInterfaces": offered,
            "capabilities": {"streaming": True, "pushNotifications": False, "extendedAgentCard": False},
            "defaultInputModes": _TEXT,
            "defaultOutputModes": _TEXT,
            "skills": [
                {
                    "id": "chat",
                    "name": "Chat",
                    "description": "Does what a text asks for, as far as this agent may, and answers in words.",
                    "tags": ["chat", "text"],
                }
            ],
            "securitySchemes": {"bearer": bearer},
            "securityRequirements": [{"schemes": {"bearer": {}}}],
            "url": address,
            "preferredTransport": "JSONRPC",
            "protocolVersion": "0.3.0",
            "security": [{"bearer": []}],
        }
    )


def etag_of(card: bytes) -> str:
    """The tag of a card."""
    return f'"{hashlib.sha256(card).hexdigest()[:32]}"'


def is_known(header: str, etag: str) -> bool:
    """Whether a caller's If-None-Match names the card that there is."""
    tags = {item.strip().removeprefix("W/") for item in header.split(",")}
    return etag.removeprefix("W/") in tags or "*" in tags


class _Interface(msgspec.Struct, rename="camel"):
    url: str | None = None
    protocol_binding: str | None = None
    transport: str | None = None
    protocol_version: str | None = None
    tenant: str | None = None


class _Capabilities(msgspec.Struct):
    streaming: bool | None = None


class _Card(msgspec.Struct, rename="camel"):
    name: str | None = None
    version: str | None = None
    url: str | None = None
    protocol_version: str | None = None
    preferred_transport: str | None = None
    supported_interfaces: list[_Interface] | None = None
    additional_interfaces: list[_Interface] | None = None
    capabilities: _Capabilities | None = None


_CARD = msgspec.json.Decoder(_Card)


def read_card(body: bytes, base_url: str) -> Card:
    """The card of a bot that is bound at base_url: of what it offers the latest that we speak.

    Raises UnreadableError for what is no card, ElsewhereError for one that leads to another origin than the bot's own,
    A2aFault for one that offers nothing that we speak.
    """
    try:
        found = _CARD.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UnreadableError("its agent card", str(error)) from None
    offers = [offer for version in (A2aVersion.V1, A2aVersion.V03) for offer in _offers(found, version)]
    if not offers:
        raise A2aFault(Code.VERSION, "its agent card offers no JSON-RPC of version 1.0 or 0.3 over HTTP")
    version, interface = next((offer for offer in offers if _is_at_home(offer[1], base_url)), offers[0])
    if not _is_at_home(interface, base_url):
        raise ElsewhereError(
            f"its agent card leads to {cut(interface.url or '')}, which is another place than {cut(base_url)}; "
            "bind the bot under the address that the card names",
        )
    return Card(
        url=interface.url or "",
        version=version,
        name=cut(found.name or ""),
        agent_version=cut(found.version or ""),
        can_stream=found.capabilities is not None and found.capabilities.streaming is True,
        tenant=interface.tenant or "",
    )


def _offers(card: _Card, version: A2aVersion) -> list[tuple[A2aVersion, _Interface]]:
    if card.supported_interfaces:
        offered = card.supported_interfaces
        binding = {id(item): item.protocol_binding or "JSONRPC" for item in offered}
    else:
        said = card.protocol_version or "0.3.0"
        offered = [_Interface(url=card.url, transport=card.preferred_transport or "JSONRPC", protocol_version=said)]
        for item in card.additional_interfaces or ():
            offered.append(msgspec.structs.replace(item, protocol_version=said))
        binding = {id(item): item.transport or "" for item in offered}
    return [
        (version, item)
        for item in offered
        if item.url and binding[id(item)].lower() == _JSON_RPC and _version(item.protocol_version) is version
    ]


def _version(text: str | None) -> A2aVersion | None:
    """Of an interface. Without one it is of the first that has interfaces; before 0.3 nobody wrote 0.3."""
    numbers = (text or "1.0").split(".")
    if numbers[0] == "1":
        return A2aVersion.V1
    return A2aVersion.V03 if numbers[0] == "0" and len(numbers) > 1 and numbers[1] in {"2", "3"} else None


def _is_at_home(interface: _Interface, base_url: str) -> bool:
    place = _origin(interface.url or "")
    return place is not None and place == _origin(base_url)


def _origin(url: str) -> str | None:
    try:
        return place_of(url.partition("?")[0], RelayProtocol.A2A).origin
    except BadUrl:
        return None
