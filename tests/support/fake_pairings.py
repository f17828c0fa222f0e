"""Senders, invitations and access of a FakeHermes: views in the open, questions about them, orders to them."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from core.api import access, pairings
from core.api.access import AccessStep, AdmittedView, Rule, Tier, Verdict
from core.api.base import PlatformName
from core.api.deliveries import DeliveryState
from core.api.errors import ConflictError, NotFound
from core.api.pairings import InviteId, InviteState, InviteView, PairingId, PairingState, PairingView
from tests.support.views import NOW, ago

Emit = Callable[..., Any]
TELEGRAM = PlatformName("telegram")


def pairing(pairing_id: str = "p-1", **changes: Any) -> PairingView:
    """A sender that asked a minute ago."""
    values: dict[str, Any] = {
        "id": PairingId(pairing_id),
        "version": 1,
        "platform": TELEGRAM,
        "sender_id": "42",
        "sender_name": "Mara",
        "chat": "42",
        "state": PairingState.ASKED,
        "asked": ago(60),
        "expires": ago(-3540),
        "first_text": "hello",
        "notice": DeliveryState.SENT,
    }
    return PairingView(**{**values, **changes})


def invite(invite_id: str = "i-1", **changes: Any) -> InviteView:
    """An open invitation."""
    values: dict[str, Any] = {
        "id": InviteId(invite_id),
        "version": 1,
        "platform": None,
        "state": InviteState.OPEN,
        "created": ago(60),
        "expires": ago(-3540),
        "created_by": "ana",
    }
    return InviteView(**{**values, **changes})


_STEPS = {
    pairings.ApprovePairing: (PairingState.APPROVED, pairings.PairingApproved),
    pairings.DenyPairing: (PairingState.DENIED, pairings.PairingDenied),
    pairings.RevokePairing: (PairingState.REVOKED, pairings.PairingRevoked),
    pairings.UnblockSender: (PairingState.REVOKED, pairings.SenderUnblocked),
}


class FakePairings:
    """Does what a core does, without its rules."""

    def __init__(self, senders: Iterable[PairingView] = (), invites: Iterable[InviteView] = ()) -> None:
        self.pairings = {view.id: view for view in senders}
        self.invites = {view.id: view for view in invites}
        self.admitted: list[AdmittedView] = []
        self.verdict = Verdict(
            is_admitted=False, rule=Rule.DENY, layer=5, origin="default", text="nothing lets the sender in"
        )
        self.problem = ""

    def keep(self, event: Any) -> None:
        """Take up what an event says."""
        if isinstance(view := getattr(event, "pairing", None), PairingView):
            self.pairings[view.id] = view
        if isinstance(made := getattr(event, "invite", None), InviteView):
            self.invites[made.id] = made

    def answer(self, query: Any, seq: Any) -> Any:
        """The answer; None when the question is not about these."""
        match query:
            case pairings.ListPairings():
                found = [view for view in self.pairings.values() if not query.states or view.state in query.states]
                found.sort(key=lambda view: (view.state is not PairingState.ASKED, view.asked.at))
                return pairings.PairingList(
                    pairings=tuple(found[: query.limit]),
                    invites=tuple(self.invites.values()),
                    total=len(found),
                    problem=self.problem,
                    seq=seq,
                )
            case pairings.GetPairing():
                return self._get(query.pairing_id)
            case access.ListAdmitted():
                page = self.admitted[query.offset : query.offset + query.limit]
                return access.AdmittedPage(admitted=tuple(page), total=len(self.admitted), seq=seq)
            case access.ExplainAccess():
                return access.AccessExplanation(
                    platform=query.platform,
                    sender_id=query.sender_id,
                    chat=query.chat,
                    verdict=self.verdict,
                    steps=(
                        AccessStep(
                            rule=self.verdict.rule,
                            layer=self.verdict.layer,
                            fits=True,
                            is_reached=True,
                            origin=self.verdict.origin,
                            text=self.verdict.text,
                        ),
                    ),
                )
            case _:
                return None

    def carry_out(self, command: Any, actor: Any, emit: Emit) -> Any:
        """The receipt; None when the order is not about these."""
        match command:
            case pairings.BlockSender():
                key = next((key for key, view in self.pairings.items() if _is(view, command)), PairingId("p-new"))
                view = self.pairings.get(key) or pairing(
                    key, platform=command.platform, sender_id=command.sender_id, sender_name="", first_text=""
                )
                return self._decided(view, PairingState.BLOCKED, pairings.SenderBlocked, command, actor, emit)
            case pairings.CreateInvite():
                made = invite(f"i-{len(self.invites) + 1}", platform=command.platform, note=command.note)
                emit(pairings.InviteCreated(invite=made), actor=actor)
                return pairings.InviteReceipt(invite=made, code="ABCD2345")
            case pairings.VoidInvite():
                if command.invite_id not in self.invites:
                    raise NotFound("no invitation", noun="invite", id=command.invite_id)
                over = msgspec.structs.replace(self.invites[command.invite_id], version=2, state=InviteState.VOIDED)
                emit(pairings.InviteEnded(invite=over), actor=actor)
                return over
            case _ if type(command) in _STEPS:
                state, event = _STEPS[type(command)]
                return self._decided(self._get(command.pairing_id), state, event, command, actor, emit)
            case _:
                return None

    def _decided(self, view: PairingView, state: Any, event: Any, command: Any, actor: Any, emit: Emit) -> Any:
        version = getattr(command, "version", None)
        if version is not None and version != view.version:
            raise ConflictError("the sender changed", key="version", expected=version, found=view.version)
        after = msgspec.structs.replace(
            view,
            version=view.version + 1,
            state=state,
            decided=NOW,
            decided_by=actor.name,
            reason=getattr(command, "reason", ""),
            expires=None,
            notice=DeliveryState.QUEUED,
        )
        emit(event(pairing=after), actor=actor)
        return pairings.PairingReceipt(
            pairing=after,
            stopped_runs=int(getattr(command, "stops_runs", False)),
            is_replayed=getattr(command, "replays", False),
        )

    def _get(self, key: PairingId) -> PairingView:
        named = (view for view in self.pairings.values() if f"{view.platform}:{view.sender_id}" == key)
        view = self.pairings.get(key) or next(named, None)
        if view is None:
            raise NotFound(f"no sender {key} is known", noun="pairing", id=key, fix="see `pairing list`")
        return view


def admitted_view(sender_id: str = "42", **changes: Any) -> AdmittedView:
    """Somebody whom a list lets in."""
    values: dict[str, Any] = {
        "platform": TELEGRAM,
        "sender_id": sender_id,
        "sender_name": "",
        "rule": Rule.PLATFORM_ALLOWLIST,
        "origin": "config.yaml:7",
        "tier": Tier.ADMIN,
    }
    return AdmittedView(**{**values, **changes})


def _is(view: PairingView, command: pairings.BlockSender) -> bool:
    return (view.platform, view.sender_id) == (command.platform, command.sender_id)
