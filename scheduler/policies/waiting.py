"""A request that is not sent anywhere yet, as those who admit and order see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NO_LIMIT_NS: Final = 2**63 - 1
"""Of a request that may take any time."""


@dataclass(slots=True)
class WaitingRequest:
    """`num_tokens`: uncached prompt tokens. `priority`: the higher, the more important. Limits are from arrival, in
    nanoseconds; `arrived_ns` plus `ttft_limit_ns` is its deadline."""

    request_id: Final[int]
    arrived_ns: Final[int]
    num_tokens: Final[int]
    priority: Final[int] = 0
    tenant: Final[int] = 0
    ttft_limit_ns: Final[int] = NO_LIMIT_NS
    tpot_limit_ns: Final[int] = NO_LIMIT_NS
