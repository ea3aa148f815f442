"""The oracle boundary: the only place that opens a request's payload and so knows its true output length."""

from __future__ import annotations

from functools import cache

from scheduler.protocol.sealed_payload import open_output_tokens

output_tokens = cache(open_output_tokens)
"""As `open_output_tokens`; it is asked twice about each request, and lengths come back."""
