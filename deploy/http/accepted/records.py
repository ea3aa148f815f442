"""The records of the file of accepted requests.

    "A" + msgpack [request_id, created_s, key, body, [fields of ClientRequest...]]          a request was accepted
    "E" + msgpack [request_id, ended_s, reason, output_tokens, cached_tokens, times by stage]   it has ended
    "F" + msgpack [request_id]                                                              its outcome is forgotten

No prompt and no answer is in them: prompts are there as numbers of blocks, and the text of an answer is made anew from
the request that a client sends again.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, cast

from msgspec import Struct
from msgspec.structs import astuple

from scheduler.gateway.gateway_source import ClientRequest
from scheduler.protocol.codec import pack, unpack
from scheduler.protocol.errors import CodecError
from scheduler.protocol.finish import FinishReason

MAGIC: Final = b"SNACCEP\n"
FORMAT_VERSION: Final = 1
MAKER: Final = "up --http"
ACCEPTED, ENDED, FORGOTTEN = b"A", b"E", b"F"
KINDS: Final = ACCEPTED + ENDED + FORGOTTEN


class Accepted(Struct, frozen=True):
    """A request that the service has promised to answer: all that is needed to submit it again.

    `created_s` is Unix time. `key` and `body` are digests of the `Idempotency-Key` with whose it is, and of what was
    asked for; empty if the client sent no key.
    """

    request_id: str
    created_s: int
    key: bytes
    body: bytes
    request: ClientRequest


class Outcome(NamedTuple):
    """How a request ended, from its row of the table; `times_s` by stage, None for a stage that it never reached."""

    reason: FinishReason
    output_tokens: int
    cached_tokens: int
    times_s: dict[str, float | None]


class Ended(NamedTuple):
    """The outcome of a request, and the Unix time at which it was noted."""

    request_id: str
    ended_s: int
    outcome: Outcome


class Forgotten(NamedTuple):
    """Nobody can ask for this request any more."""

    request_id: str


Record = Accepted | Ended | Forgotten


def body_of(record: Record) -> bytes:
    """A record as the body of a frame."""
    if isinstance(record, Accepted):
        fields = (record.request_id, record.created_s, record.key, record.body, astuple(record.request))
        return ACCEPTED + pack(fields)
    if isinstance(record, Ended):
        return ENDED + pack((record.request_id, record.ended_s, *record.outcome))
    return FORGOTTEN + pack((record.request_id,))


def record_of(body: bytes) -> Record:
    """The record of a frame's body; `CodecError` if it is none."""
    kind, values = body[:1], cast("list[Any]", unpack(body[1:]))
    try:
        if kind == ACCEPTED:
            request_id, created_s, key, digest, request = values
            return Accepted(request_id, created_s, key, digest, ClientRequest(*request))
        if kind == ENDED:
            request_id, ended_s, reason, *outcome = values
            return Ended(request_id, ended_s, Outcome(FinishReason(reason), *outcome))
        if kind == FORGOTTEN:
            return Forgotten(*values)
    except (TypeError, ValueError) as error:
        raise CodecError(f"an unreadable record ({error})") from error
    raise CodecError(f"a record of unknown kind {kind!r}")
