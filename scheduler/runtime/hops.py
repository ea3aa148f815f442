"""What hops cost: how late messages were received, as a histogram of fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

_SUB_BITS: Final = 5
_SUB_BUCKETS: Final = 1 << _SUB_BITS
_NUM_BUCKETS: Final = (64 - _SUB_BITS + 1) * _SUB_BUCKETS

WARN_SHARE: Final = 0.05
"""Share of the median TTFT above which the cost of a hop is worth a warning."""


@dataclass(frozen=True, slots=True)
class HopCost:
    """Lateness of messages (receipt - due time), on the wall and in emulated time."""

    num_messages: int
    p50_wall_ns: int
    p99_wall_ns: int
    max_wall_ns: int
    p50_ns: int
    p99_ns: int
    max_ns: int

    def share_of_ttft(self, median_ttft_ns: float) -> float:
        """The median hop as a share of the median TTFT, both in emulated time; 0 without a TTFT."""
        return self.p50_ns / median_ttft_ns if median_ttft_ns > 0 else 0.0

    def warning(self, median_ttft_ns: float) -> str:
        """One line if the share is above 5 %, else nothing."""
        share = self.share_of_ttft(median_ttft_ns)
        if share <= WARN_SHARE:
            return ""
        return (
            f"messages are {self.p50_ns / 1e6:.1f} ms of emulated time late, {share:.0%} of the median TTFT (limit "
            f"{WARN_SHARE:.0%}), so that busy instances hear late of work: take a lower --speed for exact times"
        )


class LatenessHistogram:
    """Counts in buckets that grow by the power of two, 32 to each: a quantile is right within 3 %."""

    def __init__(self) -> None:
        self.num_samples = 0
        self.sum_ns = 0
        self.max_ns = 0
        self._counts = [0] * _NUM_BUCKETS

    def add(self, lateness_ns: int) -> None:
        """Count one message; what came before its time (clocks of two processes) counts as 0."""
        value = max(lateness_ns, 0)
        self._counts[_bucket(value)] += 1
        self.num_samples += 1
        self.sum_ns += value
        self.max_ns = max(self.max_ns, value)

    def num_within(self, limits_ns: Sequence[float]) -> list[int]:
        """Messages that were at most so late, for each limit; those up to 3 % later may count in."""
        totals = list(accumulate(self._counts))
        return [totals[_bucket(int(limit))] for limit in limits_ns]

    def quantile_ns(self, share: float) -> int:
        """The lower edge of the bucket in which that share of the messages is reached; 0 without any."""
        left = share * self.num_samples
        for bucket, count in enumerate(self._counts):
            left -= count
            if count and left <= 0:
                shift = max((bucket >> _SUB_BITS) - 1, 0)
                return (bucket - (shift << _SUB_BITS)) << shift
        return 0

    def cost(self, speed: float) -> HopCost:
        """The summary; samples are emulated time, of which `speed` go into one of wall time."""
        p50_ns, p99_ns = self.quantile_ns(0.50), self.quantile_ns(0.99)
        return HopCost(
            num_messages=self.num_samples,
            p50_wall_ns=int(p50_ns / speed),
            p99_wall_ns=int(p99_ns / speed),
            max_wall_ns=int(self.max_ns / speed),
            p50_ns=p50_ns,
            p99_ns=p99_ns,
            max_ns=self.max_ns,
        )


def _bucket(value: int) -> int:
    """The bucket of a value that is not negative."""
    shift = max(value.bit_length() - _SUB_BITS - 1, 0)
    return min((shift << _SUB_BITS) + (value >> shift), _NUM_BUCKETS - 1)
