"""The oracle boundary: the only place that opens a request's payload and so knows its true output length."""

from __future__ import annotations

from scheduler.protocol.oracle_payload import open_output_tokens


def output_tokens(payload: bytes) -> int:
    """Tokens the emulated model will produce for this request, the first one included."""
    return open_output_tokens(payload)
