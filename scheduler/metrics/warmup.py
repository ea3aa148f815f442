"""What is left out of a run's figures, and the instant at which they begin."""

from __future__ import annotations

from msgspec import Struct


class Warmup(Struct, frozen=True):
    """What a run's figures leave out: its first `num_requests`, or those that arrive before `until_ns`."""

    num_requests: int = 0
    until_ns: int = 0

    def __bool__(self) -> bool:
        return bool(self.num_requests or self.until_ns)

    def __str__(self) -> str:
        return f"{self.num_requests:,} requests" if self.num_requests else f"{self.until_ns / 1e9:g} s"


class WarmupEnd(Struct, frozen=True):
    """What had come to pass when it ended: what no logged row tells.

    Requests from the id `first_request` on are counted. The others are counters of `Collector` at that instant.
    """

    at_ns: int
    first_request: int
    computed_tokens: int
    hidden_ns: tuple[int, ...]
    num_failed: tuple[tuple[int, ...], ...]
    num_resumed_gaps: int
    mixed_npu_ns: int = 0
