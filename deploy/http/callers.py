"""Who asks, as headers say: tenant, session and class, as the scheduler knows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from deploy.http.errors import HttpError
from scheduler.protocol.messages import NO_SESSION

SESSION_HEADER: Final = "X-Session-Id"
TENANT_HEADER: Final = "X-Tenant"
CLASS_HEADER: Final = "X-Request-Class"
TIMINGS_HEADER: Final = "X-Timings"

MAX_CHARACTERS: Final = 200
_LARGEST: Final = 2**31 - 1


class Caller(NamedTuple):
    """Numbers of tenant and session, the name of a class (empty for none), and whether timings are wanted."""

    tenant: int
    session: int
    class_name: str
    wants_timings: bool


def caller_of(headers: Mapping[str, str], class_names: Collection[str] = ()) -> Caller:
    """A tenant or session in digits keeps its number, a name gets one that is always the same. `HttpError` 400 for a
    class that is not among those."""
    class_name = _text(headers, CLASS_HEADER)
    if class_name and class_name not in class_names:
        known = f"known: {', '.join(class_names)}" if class_names else "this cluster has no classes; leave it out"
        raise HttpError(400, f"{CLASS_HEADER}: no such class: {class_name}; {known}", "unknown_class")
    session = _text(headers, SESSION_HEADER)
    return Caller(
        _number(_text(headers, TENANT_HEADER) or "0"),
        _number(session) if session else NO_SESSION,
        class_name,
        _text(headers, TIMINGS_HEADER).lower() in ("1", "true"),
    )


def _text(headers: Mapping[str, str], name: str) -> str:
    text = headers.get(name, "").strip()
    if len(text) > MAX_CHARACTERS or not text.isprintable():
        raise HttpError(400, f"{name} is longer than {MAX_CHARACTERS} printable characters", "invalid_header")
    return text


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= _LARGEST:
        return int(text)
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest()) & _LARGEST
