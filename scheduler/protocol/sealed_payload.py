"""The opaque payload of a trace request: its true output length, sealed from the control plane.

Only trace gateways seal and only the oracle in `workers` opens; an import contract keeps `core` and `policies` away.
"""

from __future__ import annotations

from typing import Final

OUTPUT_TOKENS_BYTES: Final = 4


def seal_output_tokens(output_tokens: list[int]) -> list[bytes]:
    """One payload per request: its output tokens as a little-endian unsigned 32-bit integer."""
    return [count.to_bytes(OUTPUT_TOKENS_BYTES, "little") for count in output_tokens]


def open_output_tokens(payload: bytes) -> int:
    """The output tokens that `seal_output_tokens` put in."""
    return int.from_bytes(payload, "little")
