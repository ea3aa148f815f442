"""What a client says that sends a request again: which one it means, and how much of the answer it has.

`Idempotency-Key` is as draft-ietf-httpapi-idempotency-key-header and Stripe's API have it: the same key with another
request is refused with 422. Where they answer a key whose request is still being worked on with 409, this service lets
the client join: that is what it comes again for. `Last-Event-ID` is that of server-sent events (HTML, section 9.2.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from deploy.http.errors import HttpError

KEY_HEADER: Final = "Idempotency-Key"
LAST_EVENT_HEADER: Final = "Last-Event-ID"

MAX_KEY_CHARACTERS: Final = 255
"""As Stripe has it."""

DIGEST_BYTES: Final = 16
_MAX_DIGITS: Final = 10
_WHO: Final = ("Authorization", "X-API-Key")


class Resumption(NamedTuple):
    """The digest of a key with whose it is, empty if there is none; tokens that the client has already."""

    key: bytes
    num_tokens: int


def resumption_of(headers: Mapping[str, str], *, streams: bool) -> Resumption:
    """`HttpError` 400 for what cannot be meant."""
    key, last = headers.get(KEY_HEADER, "").strip(), headers.get(LAST_EVENT_HEADER, "").strip()
    if len(key) > MAX_KEY_CHARACTERS or not key.isprintable():
        line = f"{KEY_HEADER} is longer than {MAX_KEY_CHARACTERS} printable characters"
        raise HttpError(400, line, "invalid_header")
    if not last:
        return Resumption(_digest(key, headers), 0)
    if not (last.isascii() and last.isdigit() and len(last) <= _MAX_DIGITS):
        line = f"{LAST_EVENT_HEADER} is no id of ours: those are the number of tokens up to an event"
        raise HttpError(400, line, "invalid_header")
    if not key or not streams:
        line = f"{LAST_EVENT_HEADER} goes on with a stream, so send its {KEY_HEADER} and the same body too"
        raise HttpError(400, line, "invalid_header")
    return Resumption(_digest(key, headers), int(last))


def fingerprint(*what: object) -> bytes:
    """A digest of what is asked for."""
    return blake2b(repr(what).encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def _digest(key: str, headers: Mapping[str, str]) -> bytes:
    """Keys of one client say nothing of those of another."""
    return fingerprint(key, *(headers.get(name, "") for name in _WHO)) if key else b""
