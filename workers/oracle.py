"""The oracle boundary: the only place that opens a request's payload and so knows its true output length."""

from __future__ import annotations

from scheduler.protocol.oracle_payload import open_output_tokens as output_tokens

__all__ = ["output_tokens"]
