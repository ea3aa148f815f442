"""What a caller gives to open a trace, and what comes back beside the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from scheduler.protocol.errors import ConfigError, TraceError
from scheduler.sources.arrivals import Trace

MAX_COPIES: Final = 10_000
"""Bound on `superpose`: the merge keeps a few words for each copy."""

MAX_RATE_SCALE: Final = 1e6
"""Bound on `rate_scale` and its inverse, so that integer nanoseconds neither collapse nor overflow."""

NUM_LISTED: Final = 20
"""Skipped rows that are listed one by one; the rest are only counted."""


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """How to read a trace; `limit`, `superpose` and `rate_scale` are applied in this order.

    `limit`: rows read of the trace, skipped ones included; None for all. `superpose`: copies laid over each other,
    copy k offset by a seeded draw in [0, 60 s) and with tenant k. `rate_scale` multiplies the rate, by compressing
    times. `skip_bad`: leave bad rows out and count them. `format`: name of a format, None to find out.
    """

    limit: int | None = None
    superpose: int = 1
    rate_scale: float = 1.0
    seed: int = 0
    skip_bad: bool = False
    format: str | None = None
    block_tokens: int | None = None
    """Tokens of a block of requests that are generated, such as those of a run's cache; None for 512."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}; give the number of rows to read, at least 1")
        if not 1 <= self.superpose <= MAX_COPIES:
            raise ConfigError(f"superpose is {self.superpose}; give a number of copies from 1 to {MAX_COPIES}")
        if not (math.isfinite(self.rate_scale) and 1 / MAX_RATE_SCALE <= self.rate_scale <= MAX_RATE_SCALE):
            raise ConfigError(
                f"rate-scale is {self.rate_scale}; give a factor from {1 / MAX_RATE_SCALE:g} to {MAX_RATE_SCALE:g}"
            )
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; give an integer of at least 0")


@dataclass(slots=True)
class SkippedRows:
    """Rows that were left out, counted while the trace is read: complete once its last block came."""

    num_bad: int = 0
    num_failed: int = 0
    listed: list[TraceError] = field(default_factory=list[TraceError])

    def add_bad(self, error: TraceError) -> None:
        """Count one bad row and list it if it is among the first."""
        self.num_bad += 1
        if len(self.listed) < NUM_LISTED:
            self.listed.append(error)

    def lines(self) -> list[str]:
        """What to tell a person, one line each; empty if nothing was left out."""
        told: list[str] = []
        if self.num_failed:
            told.append(f"left out {self.num_failed} rows without response tokens (requests that failed in the log)")
        if self.num_bad:
            told.append(f"left out {self.num_bad} bad rows" + (", the first:" if self.num_bad > NUM_LISTED else ":"))
            told.extend(f"  {error}" for error in self.listed)
        return told


@dataclass(slots=True)
class OpenedTrace(Trace):
    """A trace with the account of its skipped rows, which grows as `blocks` is read."""

    skipped: Final[SkippedRows]
