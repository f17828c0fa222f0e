"""An answer of a chat endpoint as it comes in: text, thoughts, tool calls in pieces, token counts (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from core.agents.chat.completions import ChatError, error_of, usage_of
from core.agents.loose_json import decoded, list_of, object_of, one_line, text_of
from core.agents.tools.calls import ARGUMENT_LIMIT, WantedCall
from core.api.runs import RunReport, Stop, TextDelta, ThoughtDelta, Usage, UsageReported

CALL_LIMIT = 64
_STOPS = {
    "stop": Stop.END_TURN,
    "length": Stop.MAX_TOKENS,
    "content_filter": Stop.REFUSAL,
    "refusal": Stop.REFUSAL,
}


class _Pieces:
    """One tool call while its pieces come. place: where it stands among the others."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.id = ""
        self.name = ""
        self.is_cut = False
        self._arguments: list[str] = []
        self._room = ARGUMENT_LIMIT

    def add(self, id_: str, name: str, arguments: str) -> None:
        """Take a piece; id and name count once."""
        self.id = self.id or id_
        self.name = self.name or name
        self.is_cut = self.is_cut or len(arguments) > self._room
        self._arguments.append(arguments[: self._room])
        self._room -= len(self._arguments[-1])

    @property
    def arguments(self) -> str:
        """All of them, as far as they count."""
        return "".join(self._arguments)


class WantedCalls:
    """Tool calls put together from their pieces.

    Pieces of a call have its index, and the first one id and name. Some servers give no index, some the same one to
    all calls: then a new id, or a name without one, begins the next call.
    """

    def __init__(self) -> None:
        self._calls: list[_Pieces] = []
        self._at: dict[int, _Pieces] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, piece: Mapping[str, Any]) -> None:
        """Take a piece. Raises ChatError when there are too many calls."""
        named = object_of(piece.get("function"))
        id_, name = text_of(piece.get("id")), text_of(named.get("name"))
        arguments = named.get("arguments")
        more = msgspec.json.encode(arguments).decode() if isinstance(arguments, dict) else text_of(arguments)
        index = piece.get("index")
        self._call(index if isinstance(index, int) and not isinstance(index, bool) else None, id_, name).add(
            id_, name, more
        )

    def _call(self, index: int | None, id_: str, name: str) -> _Pieces:
        known = self._at.get(index) if index is not None else self._without_index(id_, name)
        if known is not None and not (id_ and name and known.id and known.id != id_):
            return known
        if len(self._calls) >= CALL_LIMIT:
            raise ChatError("protocol", f"more than {CALL_LIMIT} tool calls in one answer")
        made = _Pieces(len(self._calls) if index is None else index)
        self._calls.append(made)
        if index is not None:
            self._at[index] = made
        return made

    def _without_index(self, id_: str, name: str) -> _Pieces | None:
        if id_:
            return next((call for call in self._calls if call.id == id_), None)
        return self._calls[-1] if self._calls and not name else None

    def whole(self) -> list[WantedCall]:
        """All of them in order; one without an id gets a number."""
        ordered = sorted(self._calls, key=lambda call: call.place)
        return [
            WantedCall(id=call.id or f"call-{number}", name=call.name, arguments=call.arguments, is_cut=call.is_cut)
            for number, call in enumerate(ordered)
        ]


class Answer:
    """An answer as it comes in, chunk by chunk.

    text: so far. has_begun: whether anything was reported. is_whole: whether the server has said that this was all.
    """

    def __init__(self) -> None:
        self.usage = Usage()
        self.has_begun = False
        self.is_whole = False
        self._texts: list[str] = []
        self._stop: Stop | None = None
        self._calls = WantedCalls()

    @property
    def text(self) -> str:
        """What was said."""
        return "".join(self._texts)

    def take(self, data: str) -> Iterator[RunReport]:
        """Reports from the data of one event. Raises ChatError for an error object or nonsense."""
        for report in self._take(_decoded(data)):
            self.has_begun = True
            yield report

    def _take(self, chunk: Mapping[str, Any]) -> Iterator[RunReport]:
        if chunk.get("error"):
            raise error_of(chunk["error"], 0)
        usage = usage_of(chunk.get("usage"))
        if usage is not None:
            self.usage = usage
            yield UsageReported(usage=usage)
        choices = list_of(chunk.get("choices"))
        if not choices:
            return
        choice = object_of(choices[0])
        yield from self._delta(object_of(choice.get("delta") or choice.get("message")))
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.is_whole = True
            self._stop = self._stop if self._stop is Stop.REFUSAL else _STOPS.get(reason, Stop.END_TURN)

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[RunReport]:
        thought = text_of(delta.get("reasoning_content")) or text_of(delta.get("reasoning"))
        if thought:
            yield ThoughtDelta(text=thought)
        refusal = text_of(delta.get("refusal"))
        if refusal:
            self._stop = Stop.REFUSAL
        text = text_of(delta.get("content")) + refusal
        if text:
            self._texts.append(text)
            yield TextDelta(text=text)
        for piece in list_of(delta.get("tool_calls")):
            self._calls.add(object_of(piece))
            self.has_begun = True

    def calls(self) -> Sequence[WantedCall]:
        """Tool calls that the model wants."""
        return self._calls.whole()

    def wants_tools(self) -> bool:
        """Whether it is a wish for tools, and no answer yet.

        Raises ChatError when it broke off: what may be half a wish is never carried out.
        """
        if not self._calls or self._stop is Stop.REFUSAL:
            return False
        if not self.is_whole:
            raise ChatError("protocol", "the answer broke off in the middle of a tool call")
        return True

    def stop(self) -> Stop:
        """Why it ended. Raises ChatError when what came is no answer."""
        if self._stop is None and not self._texts and not self._calls:
            raise ChatError("protocol", "the answer ended before it began")
        return self._stop or Stop.END_TURN


def _decoded(data: str) -> Mapping[str, Any]:
    try:
        found = decoded(data)
    except (ValueError, RecursionError):
        raise ChatError("protocol", f"not JSON: {one_line(data)}") from None
    if not isinstance(found, dict):
        raise ChatError("protocol", f"not an object: {one_line(data)}")
    return object_of(cast("object", found))
