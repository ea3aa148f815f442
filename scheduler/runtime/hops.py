"""What hops cost: how late messages were received, as a histogram of fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct

_SUB_BITS: Final = 5
_SUB_BUCKETS: Final = 1 << _SUB_BITS
_NUM_BUCKETS: Final = (64 - _SUB_BITS + 1) * _SUB_BUCKETS

WARN_SHARE: Final = 0.03
"""Share of the median TPOT above which the cost of a hop is worth a warning."""


class HopCost(Struct, frozen=True):
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

    def share_of_tpot(self, median_tpot_ns: float, mean_output_tokens: float) -> float:
        """By how much a late join makes the median TPOT longer, as a share of it; 0 without a TPOT.

        Who is told late that it may decode joins that much later, and its tokens share the delay. Times that do not
        depend on when a busy instance hears of work, TTFT among them, are not touched (`protocol.stepper`).
        """
        if median_tpot_ns <= 0 or mean_output_tokens <= 1:
            return 0.0
        return self.p50_ns / (mean_output_tokens - 1) / median_tpot_ns

    def warning(self, median_tpot_ns: float, mean_output_tokens: float) -> str:
        """One line if that share is above 3 %, else nothing."""
        share = self.share_of_tpot(median_tpot_ns, mean_output_tokens)
        if share <= WARN_SHARE:
            return ""
        return (
            f"TPOT is about {share:.0%} too long (limit {WARN_SHARE:.0%}), as requests join a busy decode instance "
            f"{self.p50_ns / 1e6:.0f} ms of emulated time late; other times are hardly affected: take a lower --speed"
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
