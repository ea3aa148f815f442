"""Answers in the shapes of OpenAI's interface: whole ones, events of a stream, usage, timings."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import Any, Final, Protocol

from msgspec import Struct

from deploy.http.accepted.records import Outcome


class Reply(Struct, frozen=True):
    """What all that is said of one request has in common."""

    request_id: str
    created_s: int
    model: str
    prompt_tokens: int

    def usage(self, outcome: Outcome) -> dict[str, Any]:
        """Tokens in and out; cached ones are those whose KV was read rather than computed."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": outcome.output_tokens,
            "total_tokens": self.prompt_tokens + outcome.output_tokens,
            "prompt_tokens_details": {"cached_tokens": outcome.cached_tokens},
        }

    def head(self, kind: str) -> dict[str, Any]:
        """The fields that every object begins with."""
        return {"id": self.request_id, "object": kind, "created": self.created_s, "model": self.model}


class Shape(Protocol):
    """Chat or plain completions. `kind` and `chunk_kind` are names of whole answers and of events, `operation` is what
    traces call it."""

    id_prefix: str
    operation: str
    kind: str
    chunk_kind: str

    def choice(self, text: str, finish_reason: str) -> dict[str, Any]:
        """Of a whole answer."""
        ...

    def delta(self, text: str | None, *, is_first: bool) -> dict[str, Any]:
        """The piece of a choice that an event adds; None for no text."""
        ...


class ChatShape:
    """/v1/chat/completions."""

    id_prefix = "chatcmpl-"
    operation = "chat"
    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def choice(self, text: str, finish_reason: str) -> dict[str, Any]:
        """See `Shape`."""
        message = {"role": "assistant", "content": text}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}

    def delta(self, text: str | None, *, is_first: bool) -> dict[str, Any]:
        """See `Shape`."""
        role = {"role": "assistant"} if is_first else {}
        return {"delta": role if text is None else {**role, "content": text}}


class TextShape:
    """/v1/completions."""

    id_prefix = "cmpl-"
    operation = "text_completion"
    kind = "text_completion"
    chunk_kind = "text_completion"

    def choice(self, text: str, finish_reason: str) -> dict[str, Any]:
        """See `Shape`."""
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}

    def delta(self, text: str | None, *, is_first: bool) -> dict[str, Any]:
        """See `Shape`."""
        return {"text": text or "", "logprobs": None}


CHAT: Final[Shape] = ChatShape()
TEXT: Final[Shape] = TextShape()


def whole(reply: Reply, shape: Shape, text: str, finish_reason: str, outcome: Outcome, *, timings: bool) -> Any:
    """An answer that is not streamed."""
    document = reply.head(shape.kind) | {
        "choices": [shape.choice(text, finish_reason)],
        "usage": reply.usage(outcome),
    }
    return document | {"timings": outcome.times_s} if timings else document


class Events:
    """The events of one stream; with `includes_usage` each has a usage, null but in the last.

    With `ids` each event with tokens has as its id how many there are up to it, by which a client can go on; one that
    goes on (`is_resumed`) was told the role before.

    What all events with tokens have in common is written once: at 128 streams of 20 tokens/s they are most of what
    the service does.
    """

    def __init__(
        self,
        reply: Reply,
        shape: Shape,
        *,
        includes_usage: bool,
        timings: bool,
        ids: bool = False,
        is_resumed: bool = False,
    ) -> None:
        self._reply = reply
        self._shape = shape
        self._includes_usage = includes_usage
        self.has_timings: Final = timings
        self._ids = ids
        self._has_begun = is_resumed
        self._before, self._after = self._around(is_first=not is_resumed)

    def tokens(self, text: str, num_tokens: int, at_s: float | None, late_s: float) -> bytes:
        """Tokens that one step brought, `num_tokens` with those before; with timings, when they were due, if that is
        known, and how late they leave."""
        data = self._before + encode_basestring_ascii(text) + self._after
        if not self._has_begun:
            self._has_begun = True
            self._before, self._after = self._around(is_first=False)
        if self.has_timings and at_s is not None:
            data += f',"timings":{{"at_s":{at_s:.9f},"late_s":{late_s:.6f}}}'
        line = f"id: {num_tokens}\n" if self._ids else ""
        return f"{line}data: {data}}}\n\n".encode()

    def end(self, finish_reason: str, outcome: Outcome) -> bytes:
        """Why it ends, what it took, and `[DONE]`."""
        event = self._event(self._shape.delta(None, is_first=not self._has_begun), finish_reason)
        if self.has_timings:
            event["timings"] = outcome.times_s
        written = _data(event)
        if self._includes_usage:
            usage = self._reply.usage(outcome)
            written += _data(self._reply.head(self._shape.chunk_kind) | {"choices": [], "usage": usage})
        return written + b"data: [DONE]\n\n"

    def _around(self, *, is_first: bool) -> tuple[str, str]:
        """JSON of an event before its text and after it, without the brace that closes it."""
        event = _dumps(self._event(self._shape.delta(_TEXT, is_first=is_first), None))
        before, _, after = event.removesuffix("}").rpartition(_dumps(_TEXT))
        return before, after

    def _event(self, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, **delta, "finish_reason": finish_reason}
        event = self._reply.head(self._shape.chunk_kind) | {"choices": [choice]}
        return event | {"usage": None} if self._includes_usage else event


_TEXT: Final = "text"
"""Stands where the text of an event will be; nothing of ours after it in an event has that value."""


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _data(document: dict[str, Any]) -> bytes:
    return f"data: {_dumps(document)}\n\n".encode()
