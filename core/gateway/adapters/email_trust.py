"""Who wrote a mail, and whether that is proved; which mail was written by a program (pure).

Anybody can write any From. What counts is what our own server says about it in the topmost Authentication-Results
(RFC 8601), and only that one: further down stands what the sender may have written. A sender is proved by dmarc=pass
for the domain of From, or by SPF or DKIM of that domain or of one above it. Anything unclear is not proved.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from core.gateway.adapters.email_headers import Headers, small

ADDRESS_LIMIT = 254
_LETTER = r"[^\s\"<>@,;:()\[\]\\\x00-\x1f\x7f\ufffd]"
_ADDRESS = re.compile(_LETTER + "{1,64}@" + _LETTER + "{1,253}")
_ANGLED = re.compile(r"[^<>@,;:]*<\s*([^<>]*?)\s*>\s*")
_MARK = "\0"
_UNCLEAR = "\1"
_MARKED = re.compile(f"{_MARK}(\\d+){_MARK}")
_METHOD = re.compile(r"\s*([A-Za-z0-9_-]+)(?:\s*/\s*\d+)?\s*=\s*([A-Za-z0-9_-]+)")
_PROPERTY = re.compile(r"(?<![A-Za-z0-9_-])([A-Za-z0-9_-]+)\s*\.\s*([A-Za-z0-9_-]+)\s*=\s*([^\s;]+)")
_MACHINES = re.compile(
    r"(?:no-?_?reply|do-?_?not-?_?reply|mailer-daemon|postmaster|bounces?|auto-?reply|notifications?-noreply)"
    r"(?:[+._=-].*)?"
)
_BULK = frozenset({"bulk", "list", "junk", "auto_reply"})
_LISTS = ("list-id", "list-unsubscribe", "list-post", "x-autoreply", "x-autorespond", "x-auto-reply", "feedback-id")


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """One method of an Authentication-Results. properties: such as header.from, in small letters."""

    method: str
    result: str
    properties: Mapping[str, str]


def sender_of(headers: Headers) -> str:
    """The one address of From in small letters; "" when there is none, or more than one, or it can be read two ways."""
    values = headers.exact("from")
    if len(values) != 1:
        return ""
    plain, _ = _split(values[0])
    plain = plain.replace(_UNCLEAR, "")
    angled = _ANGLED.fullmatch(plain)
    address = (angled[1] if angled else plain).strip()
    return small(address) if is_address(address) else ""


def is_address(text: str) -> bool:
    """Whether it is one plain address, such as can stand in a header and in an envelope."""
    return len(text) <= ADDRESS_LIMIT and _ADDRESS.fullmatch(text) is not None and not text.startswith("-")


def doubt(headers: Headers, sender: str, authserv_id: str) -> str:
    """Why the sender is not proved, in words for an operator; "" when he is. authserv_id: of our own server."""
    if not headers.is_clear:
        return "its headers can be read in two ways"
    values = headers.exact("authentication-results")
    if not values:
        return f"no Authentication-Results of {authserv_id}"
    said_by, proofs = results(values[0])
    if said_by != authserv_id.strip().lower():
        return f"the topmost Authentication-Results is of another server than {authserv_id}"
    domain = sender.rpartition("@")[2]
    verdicts = [proof.result for proof in proofs if proof.method == "dmarc"]
    if any(verdict not in {"pass", "none"} for verdict in verdicts):
        return "DMARC did not pass"
    if any(_proves(proof, domain) for proof in proofs):
        return ""
    return "neither DMARC, SPF nor DKIM proves the domain of From"


def results(value: str) -> tuple[str, Sequence[Proof]]:
    """What an Authentication-Results says: who stamped it, in small letters, and its methods."""
    plain, strings = _split(value)

    def whole(text: str) -> str:
        return _MARKED.sub(lambda found: strings[int(found[1])], text)

    if _UNCLEAR in plain:
        # Some servers repeat an address in a comment, and what was quoted there may end it.
        return "", ()
    first, *rest = plain.split(";")
    words = first.split()
    proofs: list[Proof] = []
    for piece in rest:
        found = _METHOD.match(piece)
        if found is None:
            continue
        told: dict[str, str] = {}
        for kind, name, said in _PROPERTY.findall(piece[found.end() :]):
            told.setdefault(f"{kind}.{name}".lower(), small(whole(said)))
        proofs.append(Proof(method=found[1].lower(), result=found[2].lower(), properties=told))
    return (small(whole(words[0])) if words else ""), proofs


def machine(headers: Headers, sender: str, own: Sequence[str]) -> str:
    """Why nobody should answer this mail: a program wrote it, or we did; "" when somebody should.

    own: our addresses.
    """
    automatic = headers.first("auto-submitted").partition(";")[0].strip().lower()
    listed = next((name for name in _LISTS if headers.all(name)), "")
    reasons = {
        "a mail of our own": sender in own,
        "an automatic mail (Auto-Submitted)": automatic not in {"", "no"},
        "an automatic mail (Precedence)": headers.first("precedence").strip().lower() in _BULK,
        f"mail of a list or a program ({listed.title()})": bool(listed),
        "a bounce (empty Return-Path)": headers.first("return-path").strip() == "<>",
        "a report of a mail server": headers.first("content-type").strip().lower().startswith("multipart/report"),
        "mail from an address that takes no answers": _MACHINES.fullmatch(sender.rpartition("@")[0]) is not None,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _proves(proof: Proof, domain: str) -> bool:
    if proof.result != "pass":
        return False
    if proof.method == "dmarc":
        return proof.properties.get("header.from", "").rpartition("@")[2].rstrip(".") == domain
    if proof.method == "spf":
        return _is_above(proof.properties.get("smtp.mailfrom", ""), domain)
    if proof.method == "dkim":
        return _is_above(proof.properties.get("header.d", "") or proof.properties.get("header.i", ""), domain)
    return False


def _is_above(proved: str, domain: str) -> bool:
    # A domain speaks for those below it. The other way round a neighbour under github.io would speak for github.io.
    above = proved.rpartition("@")[2].rstrip(".")
    return "." in above and (domain == above or domain.endswith(f".{above}"))


def _split(value: str) -> tuple[str, Sequence[str]]:
    """The value without its comments, and with a mark for each quoted string, which stand apart.

    Read letter by letter, for a quote may hold a bracket and a bracket a quote. What is not closed is left out to the
    end, and so proves nothing.
    """
    plain: list[str] = []
    strings: list[str] = []
    held: list[str] = []
    depth, is_quoted, is_escaped = 0, False, False
    for letter in value.replace(_MARK, ""):
        if is_escaped:
            is_escaped = False
            held.append(letter)
        elif letter == "\\" and (is_quoted or depth):
            is_escaped = True
        elif is_quoted:
            if letter == '"':
                is_quoted = False
                plain.append(f"{_MARK}{len(strings)}{_MARK}")
                strings.append("".join(held))
            else:
                held.append(letter)
        elif letter in "()":
            depth = max(0, depth + (1 if letter == "(" else -1))
            plain.append(" ")
        elif depth:
            plain += [_UNCLEAR] if letter == '"' else []
        elif letter == '"':
            is_quoted, held = True, []
        else:
            plain.append(letter)
    return "".join(plain), strings
